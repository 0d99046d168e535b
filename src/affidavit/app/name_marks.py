"""Marks of names: keyed digests by which a restored backup finds who was erased, and names nobody.

Rules: a name is marked casefolded, as names are looked for (``forgetting``), with its length, so
that of a text only what is as long is compared. The key is in ``keys.db``: whoever has that, with
the key-encryption key, can try a name, and nobody else can. Not here: whose marks are kept, and
until when (``remembering``).
"""

import hashlib
import hmac
import re
from collections.abc import Collection, Iterable
from typing import NamedTuple

from affidavit.vault.keyring import Keyring

_SECRET = "erased/names"  # noqa: S105 - the name of one
_BEGINS, _ENDS = re.compile(r"(?<!\w)"), re.compile(r"(?!\w)")


class Mark(NamedTuple):
    """A casefolded name: its characters, and 128 bits of its keyed digest."""

    length: int
    digest: bytes


def marks(keyring: Keyring, names: Iterable[str]) -> tuple[Mark, ...]:
    """The marks of these names, in an order that tells nothing."""
    folded = {name.casefold() for name in names}
    if not folded:
        return ()
    key = keyring.secret(_SECRET)
    return tuple(sorted(_mark(key, name) for name in folded))


def said(keyring: Keyring, texts: Iterable[str], wanted: Collection[Mark]) -> dict[Mark, str]:
    """What these texts say as words of its own that has one of these marks, by its mark."""
    found: dict[Mark, str] = {}
    lengths = sorted({one.length for one in wanted})
    if not lengths:
        return found
    key, every = keyring.secret(_SECRET), frozenset(wanted)
    for text in {one.casefold() for one in texts}:
        ends = {one.start() for one in _ENDS.finditer(text)}
        for begin in _BEGINS.finditer(text):
            first = begin.start()
            for length in lengths:
                if first + length in ends:
                    mark = _mark(key, text[first : first + length])
                    if mark in every:
                        found[mark] = text[first : first + length]
    return found


def _mark(key: bytes, folded: str) -> Mark:
    made = hmac.digest(key, folded.encode("utf-8", "replace"), hashlib.sha256)
    return Mark(len(folded), made[:16])
