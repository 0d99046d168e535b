"""Commitments to sections and content parts: what can be shown later, one by one, or withheld.

Rules: a section is committed by a disclosure after the mechanism of RFC 9901 §4.2: base64url
without padding of the JSON ``[salt, name, value]``, salt 16 random bytes; its digest is SHA-256
over the ASCII of that text. A part is committed by SHA-256 over a salt of exactly 16 random bytes
followed by its bytes. The exact text or bytes are kept and hashed; nothing is ever serialised
again to be verified. Not here: what a section says (``capture``), and who may see it (``query``).
"""

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec

from affidavit import ids
from affidavit.errors import ParseError
from affidavit.record.model import Part, Record
from affidavit.wire import strict_json

_encode = msgspec.json.Encoder().encode
_MAX_DEPTH = 1000  # deeper than what is ever disclosed, so that what was committed also opens


def disclose(name: str, value: Any) -> str:
    """Commit to ``value`` under ``name`` with a fresh salt; returns the disclosure text.

    ``value`` is made of JSON types; floats that are not finite become ``null``. ``ParseError`` if
    it holds something that JSON text has no form for (a lone surrogate, an object, endless depth).
    """
    try:
        raw = _encode([ids.salt_text(), name, value])
    except (UnicodeEncodeError, TypeError, RecursionError, msgspec.MsgspecError) as error:
        raise ParseError(f"Section {name} has a value that JSON does not know.") from error
    return ids.b64u(raw)


def open_disclosure(text: str, name: str) -> Any:
    """Return the value of a disclosure whose name is ``name``.

    ``ParseError`` unless ``text`` is canonical base64url of a JSON array of exactly three items:
    a salt of 16 bytes, that name, and a value without duplicate keys, numbers out of range or
    lone surrogates.
    """
    try:
        salt, given, value = strict_json.loads(ids.from_b64u(text), max_depth=_MAX_DEPTH)
        salt_bytes = len(ids.from_b64u(salt))
    except (ParseError, ValueError, TypeError) as error:
        raise ParseError(f"This is not a disclosure of section {name}.") from error
    if given != name:
        raise ParseError(f"This is a disclosure, but not of section {name}.")
    if salt_bytes != ids.SALT_BYTES:
        raise ParseError(f"The disclosure of section {name} has a salt of another length.")
    return value


def digest(text: str) -> bytes:
    """SHA-256 over the ASCII of a disclosure: what the leaf holds of it (there as b64u)."""
    return hashlib.sha256(text.encode("ascii")).digest()


def sections_json(record: Record) -> bytes:
    """The record's ``sections`` array exactly as it will stand in its leaf, brackets included."""
    return _encode(record.section_digests())


def sections_digest(record: Record) -> str:
    """b64u SHA-256 of ``sections_json``: the ``affidavit-digest`` header of a response."""
    return ids.b64u(hashlib.sha256(sections_json(record)).digest())


class PartHasher:
    """Commits to a content part whose bytes come one piece after another.

    ``salt`` is fixed at the start; ``size`` counts the bytes so far.
    """

    def __init__(self, name: str, media_type: str) -> None:
        self.name = name
        self.media_type = media_type
        self.salt = ids.salt()
        self.size = 0
        self._hash = hashlib.sha256(self.salt)

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes of the part."""
        self._hash.update(data)
        self.size += len(data)

    def finish(self) -> Part:
        """The commitment to all bytes so far; more may follow and be committed anew."""
        return Part(self.name, self.media_type, self.size, self.salt, self._hash.digest())


def commit_part(name: str, media_type: str, data: bytes) -> Part:
    """Commit to a part whose bytes are all here."""
    hasher = PartHasher(name, media_type)
    hasher.update(data)
    return hasher.finish()


def content(parts: Iterable[Part]) -> dict[str, Any]:
    """The section ``content``: commitments without salts, which travel with the parts."""
    return {
        "parts": [
            {
                "name": part.name,
                "media_type": part.media_type,
                "size": part.size,
                "digest": ids.b64u(part.digest),
            }
            for part in parts
        ]
    }


def check_part(part: Part, data: bytes) -> bool:
    """Whether ``data`` is what ``part`` commits to, size included."""
    computed = hashlib.sha256(part.salt + data).digest()
    return len(part.salt) == ids.SALT_BYTES and len(data) == part.size and computed == part.digest
