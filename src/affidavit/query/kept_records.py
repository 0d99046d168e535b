"""How many records together are kept: by class, under which holds, what of them is gone.

Rules: the class is the one under which the vault keeps a record; limits are those of the
configuration in force. Told within the boundary; of holds only to who may know of them.
Certificates are not told record by record, as they name how many and a digest: those recorded
later than the first of the records are named together. Erased is what the vault says is gone, and
nothing that only cannot be found or is damaged; where the vault has no entry any more and records
around were erased, it is said that this is all that is known. Not here: one record and why
(``kept``), looks (``evidence.report_kept``).
"""

from collections.abc import Sequence
from typing import Any

from affidavit import retention
from affidavit.config import Config
from affidavit.errors import CorruptError
from affidavit.query.boundary import Boundary, inject
from affidavit.query.kept import Buckets, Hold, gone_of_it, halves, held
from affidavit.query.search import Searcher
from affidavit.query.tree import And, Has, Match, Or, Tree
from affidavit.vault.retention import what_expires

MOST = 10_000
"""Records that are looked at: each takes a look into the vault. Of more, the first."""
CERTIFICATES = 20
UNSURE = (
    "not in the vault, where records around were erased: if these were, by {}; "
    "affidavit fsck --deep tells whether more is missing than was erased"
)
"""What is said of records without an entry: somebody may have removed the file."""
_OF_ERASURE = Or((Match("type", "retention.erased"), Match("type", "retention.expired")))


def kept_records(
    searcher: Searcher,
    vault: Buckets,
    config: Config,
    boundary: Boundary,
    records: Sequence[int],
    now: str,
    holds: Sequence[Hold] | None,
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
        kept = retention.kept(config, bucket[1])
        if retention.due(kept, bucket[2], now) and _stays(vault, index, what_expires(kept)):
            due.append(index)
    told: dict[str, Any] = {"classes": [_class(config, name, of) for name, of in days.items()]}
    if gone:
        told["classes"].append({"class": "nothing but the leaf is kept", "records": gone})
    if beyond > 0:
        told["looked_at"] = MOST
        told["classes"].append({"class": f"beyond the first {MOST:,}", "records": beyond})
    if holds is not None:
        both = halves(searcher, records)
        under = [
            {"matter": one.holding.matter,
             "records": held(searcher, boundary, records, both, one.tree)}
            for one in holds
        ]  # fmt: skip
        told["holds"] = [one for one in under if one["records"]]
    gone_of: dict[tuple[tuple[str, ...], bool], list[int]] = {}
    for index in _which(searcher, boundary, records, And((boundary.rows, Has("erased")))):
        if sections := gone_of_it(vault, index):
            gone_of.setdefault((sections, vault.bucket(index) is not None), []).append(index)
    first = min((of[0] for of in gone_of.values()), default=0)
    names = _certificates(searcher, boundary, first) if gone_of else ""
    told["erased"] = [
        {
            "certificate": names if there else UNSURE.format(names),
            "records": of, "sections": list(sections),
        }
        for (sections, there), of in gone_of.items()
    ]  # fmt: skip
    told["due"] = due
    return told


def _class(config: Config, name: str, days: list[str]) -> dict[str, Any]:
    kept = retention.kept(config, name)
    return {
        "class": name if kept.name == name else f"{name}, which is kept as {kept.name}",
        "records": len(days),
        "minimum_days": kept.minimum,
        "maximum_days": kept.maximum,
        "expires": kept.expires,
        "regimes": list(kept.regimes),
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
