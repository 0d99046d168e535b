"""Records, places and leaves for the tests of vault and intake, without a ledger."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from affidavit import ids
from affidavit.ledger.leaf import Leaf
from affidavit.record import disclose
from affidavit.record.model import SECTIONS, Chain, Part, Placed, Record
from affidavit.vault import wraps
from affidavit.vault.segments import groups_in, segments_in, wraps_path

NOW = "2026-11-23T12:00:00.000000Z"
INCARNATION = "AAAAAAAAAAAAAAAAAAAAAA"


def record(
    bodies: dict[str, bytes] | None = None,
    *,
    kind: str = "exchange.request",
    tenant: str = "acme",
    retention_class: str = "default",
    subjects: tuple[str, ...] = (),
    parent: str | None = None,
    without: Sequence[str] = (),
) -> tuple[Record, tuple[bytes, ...]]:
    """A record with all seven sections (but ``without``), and the bytes of its parts."""
    given = bodies or {}
    parts = tuple(disclose.commit_part(name, "text/plain", data) for name, data in given.items())
    listed = [
        {"name": p.name, "media_type": p.media_type, "size": p.size, "digest": ids.b64u(p.digest)}
        for p in parts
    ]
    values = {
        "who": {"tenant": tenant, "actor": "act_1"},
        "person": {"email": "ann@example.com"},
        "what": {"gen_ai.request.model": "gpt-4o", "padding": "x" * 600},
        "context": {"gateway": "unknown"},
        "control": {"decision": "allow"},
        "outcome": {"outcome": "complete"},
        "content": {"parts": listed},
    }
    sections = tuple(
        None if name in without else disclose.disclose(name, values[name]) for name in SECTIONS
    )
    made = Record(
        id=ids.record_id(),
        type=kind,
        at=NOW,
        tier="observed",
        tenant=tenant,
        retention_class=retention_class,
        sections=sections,
        chains=(Chain(tenant, "model", "gpt-4o"), Chain(tenant, "actor", "act_1")),
        parts=parts,
        parent=parent,
        subjects=subjects,
    )
    return made, tuple(given.values())


def place(
    index: int, made: tuple[Record, tuple[bytes, ...]], time: str = NOW, n: int | None = None
) -> Placed:
    """That record at a place of the ledger; the leaf is nobody's business here."""
    return Placed(
        index=index,
        time=time,
        re=None,
        src=(INCARNATION, index if n is None else n),
        record=made[0],
        bodies=made[1],
        leaf=b"",
        links=(),
    )


def leaf_of(placed: Placed) -> Leaf:
    """What the ledger would show of it."""
    return Leaf(
        index=placed.index,
        time=placed.time,
        at=placed.record.at,
        id=placed.record.id,
        type=placed.record.type,
        tier=placed.record.tier,
        src=placed.src,
        re=placed.re,
        sections=placed.record.section_digests(),
        links=(),
    )


class Leaves:
    """The committed leaves of a test: ``leaf`` is what a ``VaultReader`` asks."""

    def __init__(self, placed: Sequence[Placed] = ()) -> None:
        self.known: dict[int, Leaf] = {}
        self.add(placed)

    def add(self, placed: Sequence[Placed]) -> None:
        """These are committed now."""
        self.known.update({item.index: leaf_of(item) for item in placed})

    def leaf(self, index: int) -> Leaf:
        """The leaf at ``index``."""
        return self.known[index]


def digest_of(part: Part, data: bytes) -> bytes:
    """The commitment computed afresh, by the words of the format."""
    return hashlib.sha256(part.salt + data).digest()


def entries(root: Path) -> list[tuple[str, int]]:
    """Every (record id, index) that has wrapped keys, from the files alone."""
    found = []
    for group in groups_in(root):
        for day in group.iterdir():
            for segment in segments_in(day):
                data = wraps_path(segment.path).read_bytes()[wraps.HEADER_BYTES :]
                for _, begin, end in wraps.scan(data):
                    entry = wraps.unpack(data[begin:end])
                    found.append((entry.id, entry.index))
    return sorted(found, key=lambda pair: pair[1])
