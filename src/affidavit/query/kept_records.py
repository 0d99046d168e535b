"""How many records together are kept: by class, under which holds, what of them is gone.

Rules: the class is the one under which the vault keeps a record; limits are those of the
configuration in force. Told within the boundary; of holds only to who may know of them.
Erased is what some request takes that took something of the record, as the sequencer knows record
by record, or what the vault says is gone; where no request is known, what else could be the
certificate is named together: the records of erasures and expiries later than the first of these.
What is not there without any of this is missing, which is damage, and said to be; of what only an
earlier release may have removed, it is said that this is all that is known. Not here: one record
and why (``kept``), looks (``evidence.report_kept``).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from affidavit import retention
from affidavit.config import Config
from affidavit.errors import CorruptError, PrunedError
from affidavit.query import kept
from affidavit.query.boundary import Boundary, inject
from affidavit.query.kept import Hold, halves, held
from affidavit.query.search import Searcher
from affidavit.query.tree import Match, Or, Tree
from affidavit.record.model import SECTIONS
from affidavit.vault.reader import AROUND, NOT_THERE, REMOVED
from affidavit.vault.retention import what_expires

MOST = 10_000
"""Records that are looked at: each takes a look into the vault. Of more, the first."""
CERTIFICATES = 20
UNSURE = (
    "not in the vault, where an earlier release erased records around: if these were, by {}; "
    "affidavit fsck --deep tells whether more is missing than was erased"
)
"""What is said of records without an entry that this release cannot know of."""
BY = (
    "request {0} erased something of it (affidavit erase certificate {0}); "
    "what it did not take had gone before"
)
"""What is said of sections that the latest request takes: they may have expired before it."""
_OF_ERASURE = Or((Match("type", "retention.erased"), Match("type", "retention.expired")))
_TAKES = {"person": ("person", "content"), "content": ("content",), "sections": SECTIONS}
"""The sections that go with what a request takes."""


class Request(NamedTuple):
    """A request under which a record was erased, and what it took (``control.erasures.What``)."""

    id: str
    what: str


Under = Callable[[Sequence[int]], Mapping[int, Request]]
"""Tells the requests under which leaves were erased, as far as that is known."""


def unknown(gone: Sequence[int]) -> dict[int, Request]:
    """Nobody knows of any request."""
    del gone
    return {}


class Buckets(kept.Buckets, Protocol):
    """What is needed of ``vault.reader.VaultReader``."""

    def left(self, named: Mapping[int, str]) -> dict[int, int]:
        """A bit for each section of these records that opens; of damaged ones nothing."""


def kept_records(
    searcher: Searcher,
    vault: Buckets,
    config: Config,
    boundary: Boundary,
    records: Sequence[int],
    now: str,
    holds: Sequence[Hold] | None,
    under: Under = unknown,
) -> dict[str, Any]:
    """What a manifest says of retention (docs/format/evidence.md), as of ``now``.

    ``holds`` is ``None`` for who may not know of holds: then nothing is said of them.
    """
    days: dict[str, list[str]] = {}
    due: list[int] = []
    gone, beyond = 0, len(records) - MOST
    records = records[:MOST]
    for index in records:
        bucket = vault.bucket(index)
        if bucket is None:
            gone += 1
            continue
        days.setdefault(bucket[1], []).append(bucket[2])
        terms = retention.kept(config, bucket[1])
        if retention.due(terms, bucket[2], now) and _stays(vault, index, what_expires(terms)):
            due.append(index)
    told: dict[str, Any] = {"classes": [_class(config, name, of) for name, of in days.items()]}
    if gone:
        told["classes"].append({"class": "nothing but the leaf is kept", "records": gone})
    if beyond > 0:
        told["looked_at"] = MOST
        told["classes"].append({"class": f"beyond the first {MOST:,}", "records": beyond})
    if holds is not None:
        both = halves(searcher, records)
        keeping = [
            {"matter": one.holding.matter,
             "records": held(searcher, boundary, records, both, one.tree)}
            for one in holds
        ]  # fmt: skip
        told["holds"] = [one for one in keeping if one["records"]]
    told |= _gone(searcher, vault, boundary, records, under)
    told["due"] = due
    return told


_ERASED, _AROUND, _MISSING = "erased", "around", "missing"


def _gone(
    searcher: Searcher, vault: Buckets, boundary: Boundary, records: Sequence[int], under: Under
) -> dict[str, Any]:
    """What of the records is ``erased``, under which certificate, and what is ``missing``."""
    lacking = _lacking(searcher, vault, _which(searcher, boundary, records, boundary.rows))
    known = under([*lacking])
    found: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    for index, reasons in lacking.items():
        why: dict[str, list[str]] = {}
        for section, reason in reasons.items():
            why.setdefault(_why(section, reason, known.get(index)), []).append(section)
        for one, sections in why.items():
            found.setdefault((one, tuple(sections)), []).append(index)
    unnamed = [of[0] for (one, _), of in found.items() if one in (_ERASED, _AROUND)]
    names = _certificates(searcher, boundary, min(unnamed)) if unnamed else ""
    words = {_ERASED: names, _AROUND: UNSURE.format(names)}
    return {
        "erased": [
            {"certificate": words.get(one, one), "records": of, "sections": list(sections)}
            for (one, sections), of in found.items()
            if one != _MISSING
        ],
        "missing": [
            {"records": of, "sections": list(sections)}
            for (one, sections), of in found.items()
            if one == _MISSING
        ],
    }


def _lacking(
    searcher: Searcher, vault: Buckets, records: Sequence[int]
) -> dict[int, dict[str, str]]:
    """The sections that were recorded and do not open, with the reason; of whole ones nothing."""
    rows = [row for row in map(searcher.reader.row, records) if row is not None]
    left = vault.left({row.idx: row.id for row in rows})
    found: dict[int, dict[str, str]] = {}
    for row in rows:
        if not row.present & ~left.get(row.idx, row.present):
            continue
        try:
            missing = vault.missing(row.idx)
        except (CorruptError, PrunedError):
            continue
        if reasons := {name: missing[name] for name in SECTIONS if name in missing}:
            found[row.idx] = reasons
    return found


def _why(section: str, reason: str, request: Request | None) -> str:
    """The latest request, if it takes such a section; else what else is known of it.

    Whether that section went under it or was gone before is not known: only its certificate says.
    """
    if request is not None and section in _TAKES.get(request.what, ()):
        return BY.format(request.id)
    if reason in (NOT_THERE, REMOVED):
        return _MISSING
    return _AROUND if reason.startswith(AROUND) else _ERASED


def _class(config: Config, name: str, days: list[str]) -> dict[str, Any]:
    terms = retention.kept(config, name)
    return {
        "class": name if terms.name == name else f"{name}, which is kept as {terms.name}",
        "records": len(days),
        "minimum_days": terms.minimum,
        "maximum_days": terms.maximum,
        "expires": terms.expires,
        "regimes": list(terms.regimes),
        "first_day": min(days),
        "last_day": max(days),
    }


def _stays(vault: Buckets, index: int, what: str) -> bool:
    """Whether anything is left of a record that should go once it is over its maximum."""
    try:
        opened = vault.sections(index)
    except CorruptError:
        return True
    return "content" in opened if what == "content" else bool(opened)


def _which(searcher: Searcher, boundary: Boundary, records: Sequence[int], tree: Tree) -> list[int]:
    return searcher.within(list(records), boundary._replace(rows=tree))


def _certificates(searcher: Searcher, boundary: Boundary, first: int) -> str:
    """The records of erasures later than ``first``: one of them is the certificate."""
    found = searcher.rows_of(inject(_OF_ERASURE, boundary), CERTIFICATES + 1, first)
    names = ", ".join(f"#{row.idx}" for row in found[:CERTIFICATES])
    if not names:
        return "none that who exported may see"
    return f"one of {names}{' and more' if len(found) > CERTIFICATES else ''}"
