"""The files that stay of pruned leaves: one form, and nothing else is taken for it."""

from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.errors import CorruptError
from affidavit.ledger import pruned
from affidavit.ledger.pruned import Pruned, decode, encode, encode_kept, split_kept

LEAVES = st.dictionaries(
    st.integers(0, 255), st.tuples(st.binary(max_size=40), st.binary(max_size=40)), max_size=9
)
EXAMPLE = Pruned(
    256, "2026-11-23T12:00:00.000000Z", False, (0,), {"A": 4, "B": None}, (17,),
    array("Q", [0, 17, 255]),
)  # fmt: skip


@given(LEAVES)
def test_kept_leaves_come_back(leaves: dict[int, tuple[bytes, bytes]]) -> None:
    """By their places, in order."""
    data = encode_kept((place, *leaves[place]) for place in sorted(leaves))
    assert split_kept(data, "kept/000") == leaves


@given(LEAVES.filter(bool), st.data())
def test_kept_leaves_that_are_cut_or_out_of_order_are_refused(
    leaves: dict[int, tuple[bytes, bytes]], data: st.DataObject
) -> None:
    """By the name of the file; a cut between two leaves is one that the snapshot notices."""
    one = [encode_kept([(place, *leaves[place])]) for place in sorted(leaves)]
    cut = data.draw(st.integers(1, len(one[-1]) - 1))
    with pytest.raises(CorruptError, match="kept/000"):
        split_kept(b"".join(one)[:-cut], "kept/000")
    with pytest.raises(CorruptError, match="kept/000"):
        split_kept(b"".join([*one, one[0]]), "kept/000")


def test_a_snapshot_comes_back_and_not_if_anything_of_it_changed() -> None:
    """Its digest covers all of it; another version of the line is refused, too."""
    data = encode(EXAMPLE)
    assert decode(data) == EXAMPLE
    for at in range(len(data)):
        with pytest.raises(ValueError, match="digest"):
            decode(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    for wrong in (b"", data[:-1], data + b"0"):
        with pytest.raises(ValueError, match="digest"):
            decode(wrong)


def test_what_is_there_is_what_was_kept_and_all_behind() -> None:
    """In any range, in order."""
    assert list(EXAMPLE.present(0, 258)) == [0, 17, 255, 256, 257]
    assert list(EXAMPLE.present(1, 255)) == [17]
    assert list(EXAMPLE.present(300, 302)) == [300, 301]
    assert [index for index in range(258) if EXAMPLE.has(index)] == [0, 17, 255, 256, 257]
    assert EXAMPLE.positions(0) == [0, 17, 255]
    assert EXAMPLE.positions(1) == []
    several = Pruned(256, "", False, (0, 9, 40), {}, (), array("Q"))
    assert [several.epoch_of(index) for index in (0, 8, 9, 39, 255)] == [0, 0, 9, 9, 40]


def test_the_minimum_is_a_number_in_one_spelling(tmp_path: Path) -> None:
    """Anything else is damage, and no file is 0."""
    assert pruned.minimum_of(tmp_path) == 0
    (tmp_path / "minimum").write_bytes(b"512\n")
    assert pruned.minimum_of(tmp_path) == 512
    for wrong in (b"", b"512", b"0512\n", b"-256\n", b"511\n", b" 512\n", b"512\n\n", b"1e3\n"):
        (tmp_path / "minimum").write_bytes(wrong)
        with pytest.raises(CorruptError, match="minimum"):
            pruned.minimum_of(tmp_path)


def test_a_snapshot_of_another_minimum_is_refused(tmp_path: Path) -> None:
    """So is one that is not there."""
    with pytest.raises(CorruptError, match="pruned/512 is not there"):
        pruned.read_snapshot(tmp_path, 512)
    (tmp_path / "pruned").mkdir()
    (tmp_path / "pruned/512").write_bytes(encode(EXAMPLE))
    with pytest.raises(CorruptError, match="is of leaf 256"):
        pruned.read_snapshot(tmp_path, 512)
