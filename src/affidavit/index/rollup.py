"""Daily sums that answer "how much" without touching a row.

Rules: a closed exchange counts once, at its response, on the UTC day of the response's ledger
time, under (day, tenant, team, actor, model, status); a response that answers no request of this
ledger (``re`` null) counts nowhere, because its request was closed before. Sums only, so that
erasing a record can subtract what it added. Requests still open are not counted. Not here: SQL.
"""

from collections.abc import Iterable
from typing import NamedTuple

from affidavit.index.schema import Row


class Key(NamedTuple):
    """What is summed under: ``""`` where the value is unknown."""

    day: str
    tenant: str
    team: str
    actor: str
    model: str
    status: str


class Sums(NamedTuple):
    """What is summed. ``errors`` are exchanges not ``complete`` or with HTTP status >= 400."""

    requests: int = 0
    errors: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0
    tokens_reasoning: int = 0


NOTHING = Sums()


def counts(row: Row) -> bool:
    """Whether the row closes an exchange of this ledger."""
    return row.type == "exchange.response" and row.re is not None


def contribution(row: Row) -> tuple[Key, Sums] | None:
    """What one row adds, or ``None`` if it adds nothing."""
    if not counts(row):
        return None
    failed = row.status != "complete" or (row.http is not None and row.http >= 400)
    key = Key(
        row.time[:10], row.tenant or "", row.team or "", row.actor or "",
        row.model or "", row.status or "",
    )  # fmt: skip
    return key, Sums(
        1, int(failed), row.tokens_in or 0, row.tokens_out or 0,
        row.tokens_cached or 0, row.tokens_reasoning or 0,
    )  # fmt: skip


def merge(added: Iterable[Row], removed: Iterable[Row] = ()) -> dict[Key, Sums]:
    """The change of all sums when ``added`` come and ``removed`` go; keys in order of first use."""
    changes: dict[Key, Sums] = {}
    for rows, sign in ((removed, -1), (added, 1)):
        for row in rows:
            entry = contribution(row)
            if entry is None:
                continue
            key, sums = entry
            old = changes.get(key, NOTHING)
            changes[key] = Sums(*(a + sign * b for a, b in zip(old, sums, strict=True)))
    return changes
