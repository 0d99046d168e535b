"""Values of another type, in every field of every member: refused by name, never a traceback."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from affidavit.evidence import bundle
from affidavit.evidence.bundle import Bundle
from tests.attacks.world import World, members, pack, refused

HOSTILE: list[Any] = [
    None, True, -1, 0, 1, 2**63, 2**70, 1.5, "", "x", "A" * 43, "\x00", [], [[]], {}, {"a": 1},
    [None], ["x", -1],
]  # fmt: skip
FREE = {"retention", "custody", "boundary", "disclosed", "expression"}
"""Statements of the exporter that no other byte of the bundle confirms."""


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values in a JSON value, two per list."""
    if path:
        yield path
    items: list[Any] = []
    if isinstance(value, dict):
        items = list(value)
    elif isinstance(value, list):
        items = list(range(len(value)))[:1]
    for key in items:
        yield from places(value[key], (*path, key))


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy with one value replaced."""
    copy = json.loads(json.dumps(value))
    at = copy
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = new
    return copy


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "name",
    ["manifest.json", "leaves.jsonl", "links.jsonl", "chains.jsonl", "disclosures.jsonl",
     "content/salts.jsonl", "heads"],
)  # fmt: skip
def test_values_of_another_kind(world: World, good: Bundle, name: str) -> None:
    """Whatever stands where something else belongs, the bundle is refused, and by name."""
    files = members(good.data)
    if name == "heads":
        name = next(one for one in files if one.startswith("heads/"))
    lines = files[name].split(b"\n")
    picked = sorted({0, len(lines) // 2, max(0, len(lines) - 2)})
    passed = []
    for number in picked:
        value = json.loads(lines[number])
        for path in places(value):
            if name == "manifest.json" and (FREE & {path[0], path[-1]} or path[0] == "files"):
                continue
            for new in HOSTILE:
                body = changed(value, path, new)
                if body == value:
                    continue
                mutated = [*lines[:number], bundle._json(body), *lines[number + 1 :]]
                data = pack({**files, name: b"\n".join(mutated)})
                if refused(data, world.vkey) == "":
                    passed.append((path, new))
    assert passed == []


def test_fields_in_another_order_missing_or_more(world: World, good: Bundle) -> None:
    """An object has its fields, in their order, and no other."""
    files = members(good.data)
    for name in ("manifest.json", "leaves.jsonl", "links.jsonl", "chains.jsonl",
                 "disclosures.jsonl", "content/salts.jsonl"):  # fmt: skip
        first, _, rest = files[name].partition(b"\n")
        value = json.loads(first)
        keys = list(value)
        for body in (
            {key: value[key] for key in reversed(keys)},
            {key: value[key] for key in keys[1:]},
            {**value, "more": 1},
        ):
            new = bundle._json(body) + (b"\n" + rest if name != "manifest.json" else b"")
            if name == "manifest.json" and "files" not in body:
                continue
            assert refused(pack({**files, name: new}), world.vkey) != "", (name, body)
