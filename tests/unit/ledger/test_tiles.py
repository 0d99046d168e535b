"""C2SP tile paths, bundles, and which tiles a checkpoint of some size needs."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affidavit.errors import CorruptError, ParseError
from affidavit.ledger import merkle, tiles
from affidavit.ledger.tiles import TilePath


@pytest.mark.parametrize(
    ("number", "path"),
    [(0, "000"), (273, "273"), (1000, "x001/000"), (1234067, "x001/x234/067")],
)
def test_numbers_are_written_in_groups_of_three(number: int, path: str) -> None:
    """The examples of the specification."""
    assert tiles.number_path(number) == path


@given(
    st.sampled_from(["tile/0", "tile/7", "tile/63", "tile/entries", "links"]),
    st.integers(0, 10**12),
    st.integers(1, 256),
)
def test_every_path_is_read_back(row: str, number: int, width: int) -> None:
    """Parsing is the inverse of writing."""
    path = TilePath(row, number, width)
    assert tiles.parse_path(path.text()) == path


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/x000/001",
        "tile/0/x01/000",
        "tile/0/001/000",
        "tile/0/x001",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000.p/1/",
        "/tile/0/000",
        "tile/0/../0/000",
        "tile/0/000%2f",
        "tile/0/000\n",
        "tile/0/٠٠٠",
        "tile/data/000",
        "entries/000",
        "checkpoint",
        "tile/0/" + "x000/" * 40 + "000",
    ],
)
def test_what_is_not_a_tile_is_refused(text: str) -> None:
    """Grammar only: nothing outside leads to another file."""
    with pytest.raises(ParseError):
        tiles.parse_path(text)


@given(st.text(alphabet="tilenrsk/x.p0123456789\\%", max_size=24))
def test_no_text_is_accepted_that_would_be_written_otherwise(text: str) -> None:
    """What parses is exactly what ``text`` gives."""
    try:
        path = tiles.parse_path(text)
    except ParseError:
        return
    assert path.text() == text
    assert re.fullmatch(r"[a-z0-9/.]+", text)


def test_the_files_of_70000_leaves() -> None:
    """The worked example of the specification, with the links beside the entries."""
    names = {path.text() for path in tiles.tiles_of(70_000)}
    assert {"tile/0/272", "tile/0/273.p/112", "tile/1/000", "tile/1/001.p/17"} <= names
    assert {"tile/2/000.p/1", "tile/entries/273.p/112", "links/273.p/112"} <= names
    hash_tiles = [name for name in names if not name.startswith("links/")]
    assert len(hash_tiles) == 551  # and the checkpoint
    assert not any(name.startswith("tile/3/") for name in names)


def test_no_tile_has_width_0() -> None:
    """At multiples of 256 the last tile is a full one."""
    assert [path.text() for path in tiles.tiles_of(256)] == [
        "tile/entries/000",
        "links/000",
        "tile/0/000",
        "tile/1/000.p/1",
    ]
    assert list(tiles.tiles_of(0)) == []


def test_bundles_are_lengths_and_bytes() -> None:
    """The worked bundle of the specification, and back."""
    entries = [bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031")]
    bundle = b"".join(map(tiles.frame, entries))
    assert bundle.hex() == "0000" + "000100" + "000110" + "00022021" + "00023031"
    assert tiles.split_bundle(bundle, "b") == entries


@pytest.mark.parametrize("data", [b"\x00", b"\x00\x01", b"\x00\x02a", b"\x00\x00\x01"])
def test_a_bundle_that_does_not_add_up_is_refused(data: bytes) -> None:
    """Neither cut entries nor trailing bytes."""
    with pytest.raises(CorruptError, match="middle of an entry"):
        tiles.split_bundle(data, "tile/entries/000")


def test_entries_and_tiles_have_their_sizes() -> None:
    """65,535 bytes fit, one more does not; a tile is whole hashes."""
    assert len(tiles.frame(bytes(65_535))) == 65_537
    with pytest.raises(ValueError, match="65,535"):
        tiles.frame(bytes(65_536))
    for data in (b"", bytes(33)):
        with pytest.raises(CorruptError):
            tiles.split_tile(data, "tile/0/000")


def _grown(sizes: list[int]) -> dict[str, bytes]:
    """The files after publishing at each of the sizes, as the publisher would write them."""
    frontier, tree, old = tiles.Frontier(), merkle.Tree(), 0
    files: dict[str, bytes] = {}
    for new in sizes:
        hashes = [merkle.leaf_hash(b"%d" % i) for i in range(old, new)]
        frontier.extend("tile/0", hashes)
        frontier.extend(tiles.ENTRIES, [tiles.frame(b"%d" % i) for i in range(old, new)])
        frontier.extend(tiles.LINKS, [tiles.frame(b"") for i in range(old, new)])
        for level, node in tree.extend(hashes):
            frontier.extend(tiles.hash_row(level), [node])
        for path, data in frontier.changed(old, new):
            assert files.setdefault(path.text(), data) == data
        for path in tiles.outgrown(old, new):
            assert path.text() in files
            for width in range(1, 256):
                files.pop(path._replace(width=width).text(), None)
        frontier.drop(new)
        old = new
    return files


@settings(deadline=None)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=6))
def test_however_a_log_grows_every_tile_it_needs_is_written_once(steps: list[int]) -> None:
    """Any growth gives all tiles of the last size, with the same bytes as growth in one go."""
    sizes = [sum(steps[: i + 1]) for i in range(len(steps))]
    files, whole = _grown(sizes), _grown(sizes[-1:])
    for path in tiles.tiles_of(sizes[-1]):
        assert files[path.text()] == whole[path.text()]


@settings(deadline=None)
@given(st.integers(0, 70_000))
def test_the_tree_comes_back_from_its_unfinished_tiles(size: int) -> None:
    """Root and growth from the partial tiles alone."""
    levels: dict[int, list[bytes]] = {0: [b"%032d" % i for i in range(size)]}
    level = 0
    while len(levels[level]) >= 256:
        row = levels[level]
        levels[level + 1] = [
            merkle.root(row[at : at + 256]) for at in range(0, len(row) - 255, 256)
        ]
        level += 1
    partial = {
        level: hashes[len(hashes) // 256 * 256 :] for level, hashes in levels.items() if hashes
    }
    assert tiles.tree_from_tiles(size, partial).root() == merkle.root(levels[0])


def test_tiles_that_lack_a_hash_make_no_tree() -> None:
    """The sizes must agree."""
    with pytest.raises(CorruptError, match="do not make up"):
        tiles.tree_from_tiles(3, {0: [bytes(32)] * 2, 1: []})
