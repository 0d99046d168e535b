"""Certificates of erasure: a text that people read, signed as a C2SP signed note.

Rules: what stands in it is what ``retention.erased`` has on record, one fact a line, in the order
of ``LINES``; nothing in it names a person. It is signed by the installation's certificate key
(Ed25519, type 01), which the ledger names (``ledger.key``, purpose ``certificate``). The key inside
is a name, no reason to trust: whoever checks brings the key from outside. Not here: what was erased
(``app``).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from affidavit.errors import ParseError
from affidavit.ledger.note import Signer, Verifier, open_note

TITLE = "Affidavit certificate of erasure, version 1"
LINES = (
    "log", "request", "certificate", "kind", "of", "erased", "records", "sections and parts",
    "bytes", "leaf digest", "keys destroyed", "legal basis", "asked by", "asked", "approved by",
    "approved", "finished", "remains", "stays", "not known to this log", "exported before",
)  # fmt: skip
"""What a certificate says, in this order; lines of which there is nothing to say are left out."""

MOST = 64
"""So many bytes of a file show whether it is one."""
_LINE = re.compile(r"([a-z ]+): (.+)")
_RECORDS = re.compile(r"^records: ([0-9]+)$", re.MULTILINE)
_REPEATED = frozenset({"remains", "stays", "exported before", "not known to this log"})


class Certificate(NamedTuple):
    """An opened certificate: its lines by name, and by which keys it is signed."""

    lines: tuple[tuple[str, str], ...]
    keys: tuple[str, ...]


def make(facts: Mapping[str, Any], signer: Signer) -> str:
    """The signed note of these facts by the names of ``LINES``; a list is a line for each."""
    lines = [TITLE]
    for name in LINES:
        value = facts.get(name)
        every = value if isinstance(value, list) else [value]
        lines += [f"{name}: {_plain(str(one))}" for one in every if one not in (None, "")]
    text = "\n".join(lines) + "\n"
    return f"{text}\n{signer.sign(text)}"


def is_one(data: bytes) -> bool:
    """Whether these bytes begin as a certificate."""
    return data.startswith(f"{TITLE}\n".encode())


def records(text: str) -> int:
    """How many records went by a certificate of this installation's own; 0 if it does not say."""
    found = _RECORDS.search(text)
    return 0 if found is None else int(found[1])


def check(data: bytes, keys: Sequence[Verifier]) -> Certificate:
    """Open a certificate under keys from outside; without any, its signature is not checked.

    ``ParseError`` if it is none; ``CheckFailedError`` if it is not signed by one of these keys.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ParseError("A certificate is UTF-8.") from error
    body = text.rpartition("\n\n")[0] + "\n"
    title, _, rest = body.partition("\n")
    if title != TITLE:
        raise ParseError("This is no certificate of erasure.")
    lines = []
    for line in rest.splitlines():
        found = _LINE.fullmatch(line)
        if found is None or found[1] not in LINES:
            raise ParseError("A line of the certificate is not understood.")
        lines.append((found[1], found[2]))
    order = [LINES.index(name) for name, _ in lines]
    twice = {name for name, _ in lines if sum(one == name for one, _ in lines) > 1}
    if order != sorted(order) or twice - _REPEATED:
        raise ParseError("The lines of the certificate are not as they are written.")
    if not keys:
        return Certificate(tuple(lines), ())
    return Certificate(tuple(lines), tuple(open_note(data, keys).signers))


def _plain(text: str) -> str:
    """One line, whatever somebody typed."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
