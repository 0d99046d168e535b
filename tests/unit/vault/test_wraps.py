"""The wraps file: what is packed is unpacked, and nothing half-written is taken for whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.errors import CorruptError
from affidavit.record.keys import hkdf
from affidavit.record.model import SECTIONS
from affidavit.vault import wraps
from affidavit.vault.wraps import Blob, Entry

_NAMES = ("who", "person", "what", "context", "control", "outcome", "content")
_wrapped = st.binary(min_size=40, max_size=40)
_size = st.integers(0, 2**32 - 1)
_sections = st.integers(0, 6).flatmap(
    lambda kind: st.builds(Blob, st.just(kind), st.just(_NAMES[kind]), _size, _wrapped)
)
_parts = st.builds(
    Blob,
    st.just(wraps.PART),
    st.text(st.characters(codec="utf-8"), max_size=60),
    _size,
    _wrapped,
)
_entries = st.builds(
    Entry,
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
    st.text("0123456789abcdef-", max_size=36),
    st.lists(st.integers(0, 2**64 - 1), max_size=4).map(tuple),
    st.lists(_sections | _parts, max_size=9).map(tuple),
)


@given(_entries)
def test_an_entry_comes_back(entry: Entry) -> None:
    """Whatever an entry says, it says the same after packing and unpacking."""
    assert wraps.unpack(wraps.pack(entry)) == entry


@given(st.lists(_entries, min_size=1, max_size=5), st.data())
def test_a_cut_file_ends_at_the_last_whole_entry(entries: list[Entry], data: st.DataObject) -> None:
    """Cut anywhere, a scan finds exactly the entries that are whole, where they stand."""
    packed = [wraps.pack(entry) for entry in entries]
    whole = b"".join(packed)
    cut = data.draw(st.integers(0, len(whole)))
    ends = [sum(map(len, packed[: i + 1])) for i in range(len(packed))]
    found = list(wraps.scan(whole[:cut]))
    assert [end for _, _, end in found] == [end for end in ends if end <= cut]
    for entry, (index, begin, end) in zip(entries, found, strict=False):
        assert index == entry.index
        assert wraps.unpack(whole[begin:end]) == entry
    assert list(wraps.places(whole[:cut])) == found


@given(st.lists(_entries, min_size=2, max_size=5), st.data())
def test_where_entries_stand_is_known_in_spite_of_a_damaged_one(
    entries: list[Entry], data: st.DataObject
) -> None:
    """Of all but the last: each is where it was, but for the damaged one, which does not open."""
    packed = [wraps.pack(entry) for entry in entries]
    hurt = data.draw(st.integers(0, len(packed) - 1))
    place = data.draw(st.integers(16, len(packed[hurt]) - 1))  # beyond length and index
    whole = bytearray(b"".join(packed))
    whole[sum(map(len, packed[:hurt])) + place] ^= data.draw(st.integers(1, 255))
    found = [bytes(whole[begin:end]) for _, begin, end in wraps.places(bytes(whole))]
    assert len(found) == len(packed) - (hurt == len(packed) - 1)
    for at, data_found in enumerate(found):
        if at == hurt:
            with pytest.raises(CorruptError):
                wraps.unpack(data_found)
        else:
            assert data_found == packed[at]


@given(_entries, st.data())
def test_a_changed_entry_is_refused(entry: Entry, data: st.DataObject) -> None:
    """One changed byte anywhere ends a scan and is refused by ``unpack``."""
    packed = bytearray(wraps.pack(entry))
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    assert list(wraps.scan(bytes(packed))) == []
    with pytest.raises(CorruptError):
        wraps.unpack(bytes(packed))


def test_zeros_are_nothing() -> None:
    """A file that was made longer and never filled holds no entries."""
    assert list(wraps.scan(bytes(4096))) == []


@pytest.mark.parametrize("bad", [b"", b"AFWRAPS1", b"AFWRAPS2" + bytes(8), bytes(16)])
def test_a_foreign_header_is_refused(bad: bytes) -> None:
    """Only the first 16 bytes of a wraps file are a header."""
    with pytest.raises(CorruptError):
        wraps.parse_header(bad)
    assert wraps.parse_header(wraps.header(77)) == 77


def test_the_wrapping_key_is_the_one_of_the_format() -> None:
    """HKDF-SHA-256 over B ‖ S₁ ‖ S₂ with the format's info; each key and the order matter."""
    bucket, one, two = b"B" * 32, b"1" * 32, b"2" * 32
    assert wraps.wrapping_key(bucket, [one, two]) == hkdf(bucket + one + two, "affidavit/wrap/v1")
    keys = {wraps.wrapping_key(bucket, s) for s in ([], [one], [two], [one, two], [two, one])}
    assert len(keys) == 5


@given(
    st.lists(
        st.tuples(st.integers(0, wraps.PART), st.booleans(), st.text(max_size=60)), max_size=9
    ),
    st.lists(st.integers(0, 2**64 - 1), max_size=3),
)
def test_kinds_with_a_wrap_are_those_of_the_blobs(
    blobs: list[tuple[int, bool, str]], subjects: list[int]
) -> None:
    """The short way says what the long one does."""
    gone = wraps.taken("2026-01-01T00:00:00.000000Z")
    made = tuple(
        wraps.Blob(
            kind, name if kind == wraps.PART else SECTIONS[kind], 7, b"\1" * 40 if live else gone
        )
        for kind, live, name in blobs
    )
    packed = wraps.pack(wraps.Entry(5, 8, "0" * 36, tuple(subjects), made))
    live = {
        blob.kind for blob in wraps.unpack(packed).blobs if wraps.taken_at(blob.wrapped) is None
    }
    assert wraps.live_kinds(packed) == sum(1 << kind for kind in live)
