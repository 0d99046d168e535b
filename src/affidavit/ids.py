"""Identifiers and random bytes: the only user of the system's random source.

Rules: record ids are UUIDv7 (RFC 9562 §5.7), minted here and never taken from a caller; salts
are 16 random bytes, keys 32; everything comes from the operating system's generator. Not here:
anything derived from a key (``record.keys``).
"""

import base64
import binascii
import os
import secrets  # noqa: TID251 - this module is the source of randomness
import time

SALT_BYTES = 16
KEY_BYTES = 32

_SALTS_AT_ONCE = 256
_salts: list[bytes] = []
_salt_texts: list[str] = []
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def record_id() -> str:
    """Return a new UUIDv7 in canonical text: 48 bits of Unix milliseconds, 74 random bits."""
    millis = f"{time.time_ns() // 1_000_000:012x}"  # noqa: TID251 - the time inside a UUIDv7
    drawn = salt().hex()
    variant = "89ab"[int(drawn[0], 16) & 3]
    return f"{millis[:8]}-{millis[8:]}-7{drawn[1:4]}-{variant}{drawn[4:7]}-{drawn[7:19]}"


def salt() -> bytes:
    """Return 16 random bytes.

    Drawn for many salts at once, as a record needs a dozen; each is given out once, in one
    process (``list.pop`` is one step to other threads, and a forked child draws its own).
    """
    try:
        return _salts.pop()
    except IndexError:
        drawn = os.urandom(SALT_BYTES * _SALTS_AT_ONCE)  # noqa: TID251 - the source of randomness
        salts = [drawn[i : i + SALT_BYTES] for i in range(0, len(drawn), SALT_BYTES)]
        last = salts.pop()
        _salts.extend(salts)
        return last


def salt_text() -> str:
    """Return 16 random bytes as base64url without padding: 22 characters; else as ``salt``."""
    try:
        return _salt_texts.pop()
    except IndexError:
        # One conversion for many: with two zero bytes behind it, each salt takes 24 characters.
        text = b64u(b"".join(salt() + b"\0\0" for _ in range(_SALTS_AT_ONCE)))
        texts = [text[i : i + 22] for i in range(0, len(text), 24)]
        last = texts.pop()
        _salt_texts.extend(texts)
        return last


os.register_at_fork(after_in_child=_salts.clear)
os.register_at_fork(after_in_child=_salt_texts.clear)


def key() -> bytes:
    """Return 32 random bytes."""
    return os.urandom(KEY_BYTES)  # noqa: TID251 - this module is the source of randomness


def random_bytes(count: int) -> bytes:
    """Return ``count`` random bytes."""
    return os.urandom(count)  # noqa: TID251 - this module is the source of randomness


def token(prefix: str) -> str:
    """Return a new secret for a person or program: ``prefix`` and 43 characters, 256 bits."""
    return prefix + secrets.token_urlsafe(32)


def pseudonym(prefix: str) -> str:
    """Return a random name that says nothing: ``prefix`` and 26 lower-case characters, 128 bits."""
    return prefix + b32(salt())


def b32(data: bytes) -> str:
    """Return lower-case base32 without padding (RFC 4648 §6): one word wherever text is split."""
    return base64.b32encode(data).decode().rstrip("=").lower()


def b64u(data: bytes) -> str:
    """Return base64url without padding (RFC 4648 §5)."""
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").translate(_URL_SAFE).decode()


def from_b64u(text: str) -> bytes:
    """Decode strict base64url without padding; ``ValueError`` for anything not canonical."""
    data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if b64u(data) != text:
        raise ValueError("not canonical base64url")
    return data
