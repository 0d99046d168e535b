"""The short way through a leaf takes nothing that the long way would not, and says the same."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.errors import CorruptError
from affidavit.ledger import scan
from affidavit.ledger.leaf import BARE, decode, encode
from tests.world.ledger import World, Writer, record

NAME = "links/000"


def _bundle(world: World) -> tuple[list[bytes], list[bytes]]:
    writer = Writer()
    world.put([*writer.exchange(), writer.submit(record("custom", sections=(None,) * 7))])
    world.put([writer.response("019ab000-0000-7000-8000-000000000000"), writer.ended()])
    world.log.publish()
    reader = world.reader()
    size = reader.checkpoint().size
    entries = [reader.leaf(index) for index in range(size)]
    return entries, [b"".join(reader.links(index)) for index in range(size)]


def test_both_ways_give_the_same_rows(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Field by field, for every kind of leaf."""
    entries, links = _bundle(world)
    fast = list(scan.scan(0, entries, links, NAME))
    monkeypatch.setattr(scan, "_fast", lambda *_: None)
    assert list(scan.scan(0, entries, links, NAME)) == [
        row._replace(links=list(row.links)) for row in fast
    ]
    assert [row.kept for row in fast] == [False, True, True, False, True, True]
    assert [row.re for row in fast] == [None, None, 1, None, None, None]


def test_the_short_way_is_the_usual_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only leaves without sections and links take the long one."""
    entries, links = _bundle(world)
    taken: list[int] = []

    def slow(index: int, *rest: Any) -> scan.Row:
        taken.append(index)
        return _slow(index, *rest)

    _slow: Callable[..., scan.Row] = scan._slow
    monkeypatch.setattr(scan, "_slow", slow)
    kinds = [row.type for row in scan.scan(0, entries, links, NAME)]
    assert taken == [index for index, kind in enumerate(kinds) if kind in BARE]


@given(st.data())
def test_what_the_short_way_takes_is_a_leaf(world: World, draws: st.DataObject) -> None:
    """Bytes changed, put in or taken out anywhere: taken only as the leaf that it still is."""
    if world.log.size == 1:
        _bundle(world)
    reader = world.reader()
    size = reader.checkpoint().size
    index = draws.draw(st.integers(0, size - 1))
    entry, links = reader.leaf(index), list(reader.links(index))
    at = draws.draw(st.integers(0, len(entry) - 1))
    width = draws.draw(st.integers(0, 3))
    more = draws.draw(
        st.one_of(st.binary(max_size=3), st.sampled_from([b"0", b" ", b"null", b","]))
    )
    changed = entry[:at] + more + entry[at + width :]
    digests = scan._digests(links)
    row = scan._fast(index, changed, b"".join(links), links, digests)
    if row is None:
        return
    leaf = decode(changed)
    assert encode(leaf) == changed
    assert scan.row_of(leaf, links) == row


def test_links_that_are_not_the_leafs_are_named_by_their_bundle(world: World) -> None:
    """In another order, of another leaf, cut: the bundle of links is what is wrong."""
    entries, links = _bundle(world)
    turned = b"".join(reversed([links[1][at : at + 49] for at in range(0, len(links[1]), 49)]))
    for wrong in (turned, links[2], links[1][:-49], links[1][:-1], links[1] + links[1][:49]):
        broken = [links[0], wrong, *links[2:]]
        with pytest.raises(CorruptError, match=re.escape(f"{NAME}: what stands for leaf 1")) as at:
            list(scan.scan(0, entries, broken, NAME))
        assert at.value.detail == {"object": NAME}


def test_a_leaf_that_is_none_is_named_by_its_index(world: World) -> None:
    """Another index, another spelling, an answer to a later leaf."""
    entries, links = _bundle(world)
    for old, new in ((b'"index":2', b'"index":3'), (b'"re":1', b'"re":2'), (b'{"v"', b'{ "v"')):
        broken = [*entries[:2], entries[2].replace(old, new), *entries[3:]]
        with pytest.raises(CorruptError, match="Leaf 2") as at:
            list(scan.scan(0, broken, links, NAME))
        assert at.value.detail == {"object": "leaf 2"}
