"""Content codings: every division in pieces, every truncation, bombs, and lies in the header."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from functools import cache

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from affidavit.wire.decode import MAX_CODINGS, ZLIB_SLICE_BYTES, Decoder, decode

TEXT = b'{"choices":[{"message":{"content":"' + bytes(range(32, 127)) * 40 + b'"}}]}'


def raw_deflate(data: bytes) -> bytes:
    """Deflate without its zlib wrapper, as some servers send it."""
    coder = zlib.compressobj(wbits=-15)
    return coder.compress(data) + coder.flush()


ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


def in_pieces(data: bytes, coding: str, size: int) -> tuple[bytes, str]:
    """Decode ``data`` fed in pieces of ``size`` bytes."""
    decoder = Decoder(coding)
    out = b"".join(decoder.feed(data[i : i + size]) for i in range(0, len(data), size))
    decoder.finish()
    return out, decoder.problem


@pytest.mark.parametrize("coding", sorted(ENCODERS))
@pytest.mark.parametrize("size", [1, 7, 300, 1 << 20])
def test_pieces_of_any_size_give_the_text(coding: str, size: int) -> None:
    """The division of the wire does not show in the result."""
    assert in_pieces(ENCODERS[coding](TEXT), coding, size) == (TEXT, "")


@pytest.mark.parametrize("size", [1, 1 << 20])
def test_deflate_without_its_wrapper(size: int) -> None:
    """Both readings of "deflate" that servers use are understood."""
    assert in_pieces(raw_deflate(TEXT), "deflate", size) == (TEXT, "")


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_members_and_frames_one_after_another(coding: str, size: int) -> None:
    """RFC 1952 members and RFC 8878 frames are joined."""
    assert in_pieces(ENCODERS[coding](b"one") + ENCODERS[coding](b"two"), coding, size) == (
        b"onetwo",
        "",
    )


def test_many_small_members_cost_no_more_than_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is behind a member is not handed over again, whole, for each of them."""
    members, handed = 2000, 0
    real = zlib.decompressobj

    class Counting:
        """zlib's own, with the bytes given to it counted."""

        def __init__(self, window: int) -> None:
            self._inner = real(window)

        def decompress(self, data: bytes, room: int) -> bytes:
            nonlocal handed
            handed += len(data)
            return self._inner.decompress(data, room)

        def __getattr__(self, name: str) -> object:
            return getattr(self._inner, name)

    monkeypatch.setattr(zlib, "decompressobj", Counting)
    assert decode(gzip.compress(b"x") * members, "gzip") == (b"x" * members, "")
    assert handed <= members * ZLIB_SLICE_BYTES


@pytest.mark.parametrize("size", [1, 3, 1 << 20])
def test_padding_after_gzip_is_ignored_however_it_arrives(size: int) -> None:
    """Padding, even padding with a gzip header in it, adds nothing in any division."""
    data = gzip.compress(b"text") + b"\0\0\0" + gzip.compress(b"more")
    assert in_pieces(data, "gzip", size) == (b"text", "")


def test_codings_are_undone_from_the_last() -> None:
    """RFC 9110 §8.4: listed in the order applied, header values may be joined."""
    data = brotli.compress(gzip.compress(TEXT))
    assert decode(data, "GZIP, br") == (TEXT, "")
    assert decode(data, "identity , gzip,, br") == (TEXT, "")


@pytest.mark.parametrize("coding", sorted(ENCODERS))
def test_every_truncation_is_named(coding: str) -> None:
    """Cut after any byte but the last: never a silent success."""
    data = ENCODERS[coding](b"some text, some more text")
    for cut in range(1, len(data)):
        out, problem = decode(data[:cut], coding)
        assert problem == "truncated", cut
        assert b"some text, some more text".startswith(out)


@pytest.mark.parametrize("coding", sorted(ENCODERS))
def test_a_lying_header_is_named(coding: str) -> None:
    """Plain JSON under a coding's name is bad or truncated, not an exception."""
    assert decode(b'{"plain":"json"} and something more to read', coding).problem in (
        "bad",
        "truncated",
    )


def test_unknown_and_too_many_codings() -> None:
    """A coding we have no decoder for is named, and nothing is guessed."""
    assert decode(b"x", "dcb") == (b"", "unknown")
    assert decode(b"x", ",".join(["gzip"] * (MAX_CODINGS + 1))) == (b"", "unknown")
    assert decode(b"plain", "identity") == (b"plain", "")
    assert decode(b"", "gzip") == (b"", "")


@cache
def bomb_of(coding: str) -> bytes:
    """10 MB of zeros, which is a few hundred bytes."""
    return ENCODERS[coding](bytes(10_000_000))


@pytest.mark.parametrize("coding", sorted(ENCODERS))
def test_a_bomb_takes_no_memory(coding: str) -> None:
    """Not only what comes out is bounded, also what is held while decoding."""
    bomb = bomb_of(coding)
    tracemalloc.start()
    try:
        decode(bomb, coding, limit=1000)
        assert tracemalloc.get_traced_memory()[1] < 9_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("coding", sorted(ENCODERS))
@pytest.mark.parametrize("size", [100, 1 << 20])
def test_a_bomb_stops_at_the_limit(coding: str, size: int) -> None:
    """10 MB from a few hundred bytes: exactly ``limit`` bytes come out, then nothing."""
    bomb = bomb_of(coding)
    decoder = Decoder(coding, limit=100_000)
    total = 0
    for i in range(0, len(bomb), size):
        out = decoder.feed(bomb[i : i + size])
        assert len(out) <= 100_000
        total += len(out)
    decoder.finish()
    assert (total, decoder.problem) == (100_000, "limit")


def test_a_bomb_inside_a_bomb_stops_at_the_limit() -> None:
    """Each layer of a stack is bounded, not only the last."""
    bomb = gzip.compress(gzip.compress(bytes(20_000_000)))
    assert decode(bomb, "gzip, gzip", limit=1000) == (bytes(1000), "limit")


def test_the_limit_itself_is_allowed() -> None:
    """Exactly ``limit`` bytes are whole, one more is not."""
    assert decode(gzip.compress(bytes(100)), "gzip", limit=100) == (bytes(100), "")
    assert decode(gzip.compress(bytes(101)), "gzip", limit=100) == (bytes(100), "limit")
    assert decode(bytes(101), "", limit=100) == (bytes(100), "limit")


@given(
    st.sampled_from(["", "gzip", "deflate", "br", "zstd", "gzip, br", "zstd, gzip"]),
    st.binary(max_size=200),
    st.sampled_from([b"", gzip.compress(b"a"), zlib.compress(b"a"), brotli.compress(b"a")]),
)
def test_no_bytes_raise(coding: str, data: bytes, prefix: bytes) -> None:
    """Random bytes, also after a good start, whole and byte by byte: an answer every time."""
    data = prefix + data
    whole = decode(data, coding)
    pieces = in_pieces(data, coding, 1)
    assert whole.problem in ("", "truncated", "bad")
    if "bad" not in (whole.problem, pieces[1]):
        assert whole == pieces
