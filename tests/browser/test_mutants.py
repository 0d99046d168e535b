"""``verify.html`` with a check taken out is one that these bundles notice."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from affidavit.evidence.bundle import _json
from affidavit.ledger import note
from tests.attacks.test_every_byte import small
from tests.attacks.world import World, members, pack, repaired, without
from tests.browser.node import PAGE, Node, python
from tests.browser.test_agreement import (
    WITNESS,
    bundles,
    forged,
    policies,
    tricks,
    world,
)

__all__ = ["bundles", "world"]  # fixtures

pytestmark = pytest.mark.slow

MUTANTS = {
    "a member twice": ("MEMBER.test(name) && !members.has(name)", "MEMBER.test(name)"),
    "any name": ("MEMBER.test(name) && !", "!"),
    "any directory": ("good = equal(data.subarray(offset), wanted);", "good = true;"),
    "any sum": ("[4, crc32(body)]", "[4, view.getUint32(offset + 14, true)]"),
    "a key twice": ("found.size === keys", "true"),
    "any white space": ("this.canonical &&= SPACE.lastIndex === this.at;", ""),
    "no last newline": ("start === data.length,", "true,"),
    "any member's digest": (
        "const same = b64u(sha256(members.get(name))) === files.get(name);", "const same = true;",
    ),
    "members that are not listed": ("isList(names, [...files.keys()])", "true"),
    "any manifest": ('named === "" || named === digest,', "true,"),
    "any version": ("leaf.v === 1n &&", ""),
    "any signature": ("return crossed(0) === 0n && crossed(1) === 0n;", "return true;"),
    "no signature": ("let signed = given.length === 0;", "let signed = true;"),
    "any quorum": ("return have.get(policy.quorum[0]) ?? true;", "return true;"),
    "any tree": ("equal(batchRoot(leaves, note.size, hashes), note.root)", "true"),
    "any history": ("good = consistent(older, note, readHashes(proof, place));", "good = true;"),
    "any imprint": ("good = equal(digest, sha256(text));", "good = true;"),
    "a time that had not come": ("moved(leaf.at, -300) <= time", "true"),
    "a number of a writer twice": ("&& !sources.has(source)", ""),
    "any link": (".links.includes(b64u(sha256(raw)))", ".links.length > 0"),
    "any name of a chain": ("b64u(root) === leaf.salts", "true"),
    "any bucket": ("b64u(pathRoot(number, size, entries, hashes)) === leaf.map", "true"),
    "no head": ("const atHead = head === asHead(last);", "const atHead = true;"),
    "no start": ("links[0].n === 1n || ", "true || "),
    "a hole": ("need(!leftOut || within,", "need(true,"),
    "a fork": ("leftOut > 0n || link.previous === before.leaf", "true"),
    "strays": ('need(!number, "stray-piece"', 'need(true, "stray-piece"'),
    "any disclosure": (
        "good = b64u(sha256(utf8(disclosure))) === answer.leaves.get(index).sections[place];",
        "good = true;",
    ),
    "any content": ("&& committed[1] === digest", ""),
    "any count": ("good = show(counts) === stated;", "good = true;"),
    "unknown is false": ("results.includes(null) ? null :", "results.includes(null) ? false :"),
    "any sample": ('number === stated.get("population") &&', ""),
    "more than the sample": ("const fits = whole.has(index) ||", "const fits = true ||"),
    "one clock for all": ('=== "source" ? "at" : "time"', '=== "source" ? "time" : "time"'),
    "a monitor that nobody named": ("if (policy.monitors.has(name))", "if (true)"),
}  # fmt: skip


def swapped(files: dict[str, bytes], name: str, draw: random.Random) -> dict[str, bytes]:
    """A byte of a member changed."""
    body = bytearray(files[name])
    body[draw.randrange(len(body))] ^= 1 << draw.randrange(8)
    return {**files, name: bytes(body)}


def bad(world: World, bundles: dict[str, bytes]) -> Iterator[tuple[bytes, str, str]]:
    """Bundles, good and bad, with outside trust and a manifest's digest."""
    draw, key = random.Random(9), world.vkey
    other = f"log {note.Signer('ledger.example/test', bytes([9]) * 32).verifier().vkey}\n"
    for data in bundles.values():
        yield data, key, ""
    for trust in (*policies(world), f"{other}quorum none\n", f"{other}log {key}\nquorum none\n"):
        yield bundles["witnessed"], trust, ""
    yield bundles["witnessed"], f"log {key}\nwitness w {WITNESS.vkey}\nquorum w\n", ""
    yield bundles["content"], f"log {key}\nwitness w {WITNESS.vkey}\nquorum w\n", ""
    yield bundles["content"], key, "A" * 43
    yield from ((data, key, "") for data in tricks(bundles["content"]).values())
    yield from ((data, key, "") for data in forged(world))
    for name in ("content", "a window", "a count", "several chains"):
        for line in members(bundles[name])["leaves.jsonl"].splitlines()[::3]:
            yield without(world, bundles[name], json.loads(line)["index"]), key, ""
    for name in ("witnessed", "content", "a sample"):
        files = members(bundles[name])
        for member in sorted(set(files) - {"manifest.json"}):
            for _ in range(6):
                yield pack(swapped(files, member, draw)), key, ""
    yield from ((data, key, "") for data in rewritten(world, bundles))


def rewritten(world: World, bundles: dict[str, bytes]) -> Iterator[bytes]:
    """Members written otherwise, and manifests that say otherwise."""
    files = members(bundles["content"])
    for name in ("links.jsonl", "disclosures.jsonl", "chains.jsonl"):
        first, _, rest = files[name].partition(b"\n")
        for line in (first.replace(b'"leaf":', b'"leaf": '), first[:-1] + b',"leaf":1}'):
            yield pack({**files, name: line + b"\n" + rest})
        yield pack({**files, name: files[name][:-1]})
    manifest = json.loads(files["manifest.json"])
    gone = members(bundles["digests"])
    yield repaired(world, {**gone, "links.jsonl": gone["links.jsonl"].split(b"\n", 1)[1]})
    wide = members(bundles["several chains"])
    for name in ("chains.jsonl", "links.jsonl", "leaves.jsonl"):
        yield repaired(world, {**files, name: wide[name]})
    lies: list[dict[str, Any]] = [
        {"counts": {**manifest["counts"], "records": 99}},
        {"question": {**manifest["question"], "since": "2026-11-23T12:00:03.000000Z"}},
        {"question": {**manifest["question"], "conditions": [["is", "person.x", "y"]]}},
    ]
    sample = members(bundles["a sample"])
    drawn = json.loads(sample["manifest.json"])
    for lie in lies:
        yield pack({**files, "manifest.json": _json({**manifest, **lie})})
    for change in ({"population": 99}, {"seed": "T"}):
        lie = {**drawn, "sampling": {**drawn["sampling"], **change}}
        yield pack({**sample, "manifest.json": _json(lie)})
    every = members(bundles["a sample of all"])
    drawn = json.loads(every["manifest.json"])
    lie = {**drawn, "sampling": {**drawn["sampling"], "size": 1}}
    yield pack({**every, "manifest.json": _json(lie)})
    fewer = json.loads(wide["manifest.json"])
    fewer["question"]["chains"] = fewer["question"]["chains"][:1]
    yield repaired(world, {**wide, "manifest.json": _json(fewer)})


@pytest.fixture(scope="module")
def corpus(world: World, bundles: dict[str, bytes]) -> list[tuple[tuple[bytes, str, str], Any]]:
    """Each with what ``verify.py`` says of it."""
    assert all(len(small(data)) == len(data) for data in bundles.values())
    return [(one, python(*one)) for one in bad(world, bundles)]


def test_both_say_the_same_of_the_corpus(node: Node, corpus: list[tuple[Any, Any]]) -> None:
    """Nothing in it is noticed without a mutant."""
    for asked, want in corpus:
        assert node.check(*asked) == want


@pytest.mark.parametrize("name", MUTANTS)
def test_a_missing_check_is_noticed(
    name: str, corpus: list[tuple[Any, Any]], tmp_path: Path
) -> None:
    """At least one bundle gets another verdict."""
    right, wrong = MUTANTS[name]
    text = PAGE.read_text(encoding="utf-8")
    assert text.count(right) == 1, f"{right} stands there {text.count(right)} times"
    (tmp_path / "verify.html").write_text(text.replace(right, wrong), encoding="utf-8")
    node = Node(tmp_path, tmp_path / "verify.html")
    try:
        assert any(node.check(*asked) != want for asked, want in corpus)
    finally:
        node.close()
