"""Blobs: what is laid out comes back, compressed or not, and nothing else is accepted."""

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from affidavit.errors import CorruptError
from affidavit.record.disclose import commit_part, disclose
from affidavit.record.model import Part
from affidavit.vault.blobs import Packer, open_part, open_section, plain_part, plain_section


def _section(text: str) -> bytes:
    return Packer().pack([plain_section(text)])[0]


def _part(part: Part, body: bytes) -> bytes:
    return Packer().pack([plain_part(part, body)])[0]


@given(st.recursive(st.none() | st.text(max_size=40), st.lists, max_leaves=40))
def test_a_section_comes_back_to_the_letter(value: object) -> None:
    """The exact disclosure string is restored, whatever it discloses."""
    text = disclose("who", value)
    assert open_section(_section(text)) == text


@given(st.binary(max_size=2000), st.text(max_size=30), st.integers(1, 50))
def test_a_part_comes_back_with_its_salt(data: bytes, media_type: str, times: int) -> None:
    """Salt, media type and bytes are restored."""
    body = data * times
    part = commit_part("response.body", media_type, body)
    opened = open_part(_part(part, body))
    assert (opened.salt, opened.media_type, opened.data) == (part.salt, media_type, body)


def test_compression_is_used_when_it_saves_and_only_then() -> None:
    """A text that repeats gets smaller, random-looking and tiny bytes stay as they are."""
    repeated = b"tell me a story " * 200
    small, noise = b"aaaa", bytes(range(256)) * 2
    part = commit_part("p", "t", repeated)
    assert len(_part(part, repeated)) < len(repeated) // 10
    assert _part(part, small)[0] == 0
    assert _part(part, small).endswith(small)
    squeezed = zstandard.ZstdCompressor().compress(noise)
    again = _part(part, squeezed * 1)
    assert again.endswith(squeezed)


@pytest.mark.parametrize("bad", [b"", b"\x02abc", b"\x01no frame", b"\x00\xff\xfe"])
def test_what_is_no_section_is_corrupt(bad: bytes) -> None:
    """Bytes of another layout are refused, never half-read."""
    with pytest.raises(CorruptError):
        open_section(bad)


@pytest.mark.parametrize(
    "bad",
    [b"", bytes(18), bytes(17) + b"\x00\x05text", bytes(17) + b"\x00\x01\xff", b"\x03" + bytes(18)],
)
def test_what_is_no_part_is_corrupt(bad: bytes) -> None:
    """A part that ends early, names a broken media type or another method is refused."""
    with pytest.raises(CorruptError):
        open_part(bad)


def test_a_cut_zstd_frame_is_corrupt() -> None:
    """A compressed section that lost its end is refused."""
    blob = _section(disclose("what", "x" * 5000))
    assert blob[0] == 1
    with pytest.raises(CorruptError):
        open_section(blob[:-3])


@given(st.lists(st.binary(max_size=600) | st.just(b"again and " * 90), max_size=8))
def test_blobs_packed_together_are_those_packed_alone(bodies: list[bytes]) -> None:
    """What stands beside a blob in its batch changes nothing about it, nor does the order."""
    plain = [plain_part(commit_part("p", "t", body), body) for body in bodies]
    assert Packer().pack(plain) == [Packer().pack([one])[0] for one in plain]
