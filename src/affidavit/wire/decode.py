"""Bounded decoding of a copy of a body that carries a ``content-encoding``.

What is recorded and forwarded are the bytes of the wire; this is for those who must read them.
Rules: gzip, deflate (with or without its zlib wrapper), br and zstd, also several after one
another (RFC 9110 §8.4: applied in the order listed, so undone from the last); input in any
pieces gives the same output; never more than ``limit`` bytes come out and memory stays within
a small multiple of what came out; no input raises. What was wrong is said in one word:

``truncated``  the input ended before the coding did
``bad``        the input is not in that coding; how much came out before depends on the pieces
``limit``      there is more than ``limit``; the rest is not decoded
``unknown``    a coding this module has no decoder for; nothing is decoded
"""

import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, Protocol

import brotli
import zstandard

MAX_DECODED_BYTES = 64 * 1024 * 1024
MAX_CODINGS = 4
ZLIB_SLICE_BYTES = 4096  # what is left behind a gzip member is copied for each member
GZIP_MAGIC = b"\x1f\x8b"
ZSTD_WINDOW_BYTES = 8 * 1024 * 1024  # RFC 9659: what a content coding may ask for
ZSTD_SLICE_BYTES = 256  # at most 64 blocks, so at most 8 MiB come out of one call


class Decoded(NamedTuple):
    """Result of ``decode``: the bytes and ``""`` or what was wrong."""

    data: bytes
    problem: str


class _BadInputError(Exception):
    """A layer's input is not in its coding; never leaves this module."""


class _Layer(Protocol):
    """One coding: ``feed`` stops soon after ``room`` bytes came out and forgets the rest."""

    def feed(self, data: bytes, room: int) -> bytes: ...
    def ended(self) -> bool: ...


class Decoder:
    """Incremental decoder of one body; never raises on any bytes.

    ``content_encoding`` is the header's value (several headers joined by commas), ``""`` for
    none; ``limit`` bounds the output of each coding, in bytes. ``problem`` is ``""`` or one of
    the words of the module's docstring; once it is set, nothing more comes out.
    """

    def __init__(self, content_encoding: str, limit: int = MAX_DECODED_BYTES) -> None:
        self.problem = ""
        self._fed = False
        makers = _makers(content_encoding)
        if makers is None:
            self.problem = "unknown"
        self._layers: list[_Layer] = [make() for make in makers or ()]
        self._rooms = [limit] * len(self._layers)

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes of the body and return what they decode to."""
        if self.problem or not data:
            return b""
        self._fed = True
        problem = ""
        for number, layer in enumerate(self._layers):
            room = self._rooms[number]
            try:
                data = layer.feed(data, room + 1)
            except _BadInputError:
                self.problem = "bad"
                return b""
            if len(data) > room:
                problem = "limit"
                data = data[:room]
            self._rooms[number] -= len(data)
        self.problem = problem
        return data

    def finish(self) -> None:
        """State that the body has ended; sets ``problem`` if a coding has not."""
        if not self.problem and self._fed and not all(layer.ended() for layer in self._layers):
            self.problem = "truncated"


def decode(data: bytes, content_encoding: str, limit: int = MAX_DECODED_BYTES) -> Decoded:
    """Decode a whole body; never raises."""
    decoder = Decoder(content_encoding, limit)
    out = decoder.feed(data)
    decoder.finish()
    return Decoded(out, decoder.problem)


class _Identity:
    """No coding: input is output."""

    def feed(self, data: bytes, room: int) -> bytes:
        return data[:room]

    def ended(self) -> bool:
        return True


class _Zlib:
    """gzip (members one after another) and deflate, which in the wild may lack its wrapper.

    What follows the last member or the end of deflate is padding and ignored.
    """

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._inner: zlib._Decompress | None = None
        self._head = b""
        self._members = 0
        self._done = False

    def feed(self, data: bytes, room: int) -> bytes:
        out: list[bytes] = []
        size = 0
        for at in range(0, len(data), ZLIB_SLICE_BYTES):
            if size >= room or self._done:
                break
            piece = self._slice(data[at : at + ZLIB_SLICE_BYTES], room - size)
            out.append(piece)
            size += len(piece)
        return b"".join(out)

    def _slice(self, data: bytes, room: int) -> bytes:
        out: list[bytes] = []
        size = 0
        data, self._head = self._head + data, b""
        while data and size < room and not self._done:
            if self._inner is None:
                if len(data) < 2:
                    self._head = data
                    break
                if self._members and not (self._gzip and data.startswith(GZIP_MAGIC)):
                    self._done = True
                    break
                self._inner = zlib.decompressobj(self._window(data))
            try:
                piece = self._inner.decompress(data, room - size)
            except zlib.error:
                raise _BadInputError from None
            out.append(piece)
            size += len(piece)
            data = self._inner.unconsumed_tail
            if self._inner.eof:
                data = self._inner.unused_data
                self._inner = None
                self._members += 1
        return b"".join(out)

    def ended(self) -> bool:
        return self._inner is None and self._members > 0

    def _window(self, data: bytes) -> int:
        if self._gzip:
            return 16 + zlib.MAX_WBITS
        # deflate: is there a zlib header (RFC 1950 §2.2)?
        wrapped = data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0
        return zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS


class _Brotli:
    """RFC 7932; its library bounds the output of one call itself."""

    def __init__(self) -> None:
        self._inner = brotli.Decompressor()

    def feed(self, data: bytes, room: int) -> bytes:
        out: list[bytes] = []
        size = 0
        if self._inner.is_finished():
            raise _BadInputError
        try:
            while size < room:
                piece = self._inner.process(data, output_buffer_limit=room - size)
                out.append(piece)
                size += len(piece)
                data = b""
                if self._inner.can_accept_more_data():
                    break
        except brotli.error:
            raise _BadInputError from None
        return b"".join(out)

    def ended(self) -> bool:
        return bool(self._inner.is_finished())


class _Zstd:
    """RFC 8878, frames one after another; fed in slices, as one call's output has no bound."""

    def __init__(self) -> None:
        self._factory = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES)
        self._inner: zstandard.ZstdDecompressionObj | None = None
        self._frames = 0

    def feed(self, data: bytes, room: int) -> bytes:
        out: list[bytes] = []
        size = 0
        at = 0
        try:
            while at < len(data) and size < room:
                if self._inner is None:
                    self._inner = self._factory.decompressobj()
                piece = self._inner.decompress(data[at : at + ZSTD_SLICE_BYTES])
                out.append(piece)
                size += len(piece)
                at += ZSTD_SLICE_BYTES
                if self._inner.eof:
                    at = min(at, len(data)) - len(self._inner.unused_data)
                    self._inner = None
                    self._frames += 1
        except zstandard.ZstdError:
            raise _BadInputError from None
        return b"".join(out)

    def ended(self) -> bool:
        return self._inner is None and self._frames > 0


@lru_cache(maxsize=64)
def _makers(content_encoding: str) -> tuple[Callable[[], _Layer], ...] | None:
    """What undoes the codings, the last one applied first; ``None`` if one is not known."""
    names = [name.strip().lower() for name in content_encoding.split(",")]
    names = [name for name in names if name not in ("", "identity")] or [""]
    if len(names) > MAX_CODINGS or any(name not in _CODINGS for name in names):
        return None
    return tuple(_CODINGS[name] for name in reversed(names))


def _gzip() -> _Layer:
    return _Zlib(gzip=True)


def _deflate() -> _Layer:
    return _Zlib(gzip=False)


_CODINGS: dict[str, Callable[[], _Layer]] = {
    "": _Identity,
    "gzip": _gzip,
    "x-gzip": _gzip,  # RFC 9110 §8.4.1.3
    "deflate": _deflate,
    "br": _Brotli,
    "zstd": _Zstd,
}
