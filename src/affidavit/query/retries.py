"""Which requests are tries of an earlier one again, and from what that is known.

Rules: a request is called a retry only of one that failed before it came (not ``complete``, or an
HTTP status of 400 and up), of the same actor, session and key, to the same method and path, and
only on evidence: the same ``idempotency-key`` field, or the same bytes, which is told only to who
may see content. That a caller's program says of itself that it tries again is told as its word
(``x-stainless-retry-count``). Looked at are the last ``MOST`` requests of the narrative, whatever
page they are on; into each the vault is looked once. Not here: content and boundaries.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from affidavit.index.messages import REQUEST_BODY
from affidavit.index.schema import Row
from affidavit.query.content import Look

MOST = 64
_IDEMPOTENCY = ("idempotency-key", "x-idempotency-key")
_CLAIM = "x-stainless-retry-count"


class Retry(msgspec.Struct, frozen=True):
    """A request sent again: ``of`` which index, ``after`` which end of that, known ``by`` what."""

    of: int
    after: str
    by: str


class Retries:
    """Remembers the requests of a narrative in order.

    ``answer`` gives the row of a request's response if the reader may see it and how it ended,
    ``seen`` what the vault has of a row. ``bytes_count``: whether the reader may see content.
    """

    def __init__(
        self, answer: Callable[[Row], Row | None], seen: Callable[[Row], Look], *, bytes_count: bool
    ) -> None:
        self._answer = answer
        self._seen = seen
        self._bytes = bytes_count
        self._before: deque[_Earlier] = deque(maxlen=MOST)

    def remember(self, rows: Iterable[Row]) -> None:
        """Requests that came before, in ledger order."""
        self._before.extend(_Earlier(row) for row in rows if row.type == "exchange.request")

    def of(self, row: Row, here: Look, what: Mapping[str, Any]) -> Retry | None:
        """Of which request this one is a retry; remembers it.

        ``here`` is the vault's look at it, ``what`` that section if the reader may see it.
        """
        if row.type != "exchange.request":
            return None
        own = _Evidence(_key(what), _digest(here))
        found = next((r for r in map(self._again(row, own), reversed(self._before)) if r), None)
        self._before.append(_Earlier(row, own))
        return found

    def _again(self, row: Row, own: "_Evidence") -> Callable[["_Earlier"], Retry | None]:
        def look(before: _Earlier) -> Retry | None:
            earlier = before.row
            if any(getattr(earlier, name) != getattr(row, name) for name in _SAME):
                return None
            ended = self._answer(earlier)
            if ended is None or ended.idx > row.idx or not _failed(ended):
                return None
            if before.evidence is None:  # of an earlier page: looked at once for all that follow
                there = self._seen(earlier)
                before.evidence = _Evidence(_key(there.sections.get("what") or {}), _digest(there))
            by = []
            if own.key and own.key == before.evidence.key:
                by.append("the same idempotency-key")
            if self._bytes and own.body and own.body == before.evidence.body:
                by.append("the same bytes")
            return Retry(earlier.idx, _ending(ended), " and ".join(by)) if by else None

        return look


class _Evidence(NamedTuple):
    """What a request is known again by: its idempotency key and the digest of its bytes."""

    key: str
    body: bytes


@dataclass
class _Earlier:
    """A request that came before; ``evidence`` once somebody has looked."""

    row: Row
    evidence: _Evidence | None = None


def claimed(what: Mapping[str, Any]) -> int:
    """Which retry the caller's program says this is; 0 for none."""
    given = _header(what, (_CLAIM,))
    return int(given) if given.isdecimal() and len(given) < 5 else 0


_SAME = ("tenant", "actor", "session", "credential", "method", "path")


def _failed(response: Row) -> bool:
    return response.status != "complete" or (response.http or 0) >= 400


def _ending(response: Row) -> str:
    if response.status == "complete":
        return f"HTTP status {response.http}"
    return response.status or "an end that is not known"


def _digest(seen: Look) -> bytes:
    body = seen.parts.get(REQUEST_BODY)
    return hashlib.sha256(body).digest() if body else b""


def _key(what: Mapping[str, Any]) -> str:
    return _header(what, _IDEMPOTENCY)


def _header(what: Mapping[str, Any], names: tuple[str, ...]) -> str:
    pairs = what.get("http.request.headers")
    for pair in pairs if isinstance(pairs, list) else []:
        if isinstance(pair, list) and len(pair) == 2 and pair[0] in names:
            return str(pair[1])
    return ""
