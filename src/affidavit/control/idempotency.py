"""Writes that are asked for twice and done once: answers by idempotency key, in ``state.db``.

Rules: after the IETF draft "The Idempotency-Key HTTP Header Field". A key belongs to who sent it;
the same key with the same request within 24 hours gets the answer that was given, and nothing is
done; with another request it is a ``KeyReusedError``. The answer is kept in the transaction that
does the work, so a crash leaves both or neither. What opens doors, and the names of whom an erasure
is of, are no part of what is kept (``SECRETS``), so a repeated answer cannot show them. Keys are
kept as digests: what stands in them is the caller's. Not here: one at a time (``app.repeating``),
HTTP (``console``).
"""

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import apsw
import msgspec

from affidavit.clock import Clock, add_seconds
from affidavit.errors import KeyReusedError

KEPT_SECONDS = 24 * 3600.0
SECRETS = frozenset({"token", "named"})

_SCHEMA = """
create table if not exists idempotency (
  name blob primary key, request blob not null, at text not null, answer blob not null
) strict, without rowid;
create index if not exists idempotency_at on idempotency (at);
"""


class Once(NamedTuple):
    """One request that is to act once: digests of whose key it is and of what is asked."""

    name: bytes
    request: bytes


def once(method: str, params: Mapping[str, Any], *, account: str, key: str) -> Once:
    """The request ``method`` with ``params`` of an account, under an idempotency key.

    ``by`` is left out of the request: it says how the asker was authenticated this time.
    """
    name = hashlib.sha256(msgspec.msgpack.encode([account, key])).digest()
    asked = {key: value for key, value in params.items() if key != "by"}
    request = hashlib.sha256(msgspec.msgpack.encode([method, asked], order="deterministic"))
    return Once(name, request.digest())


class Answered:
    """The answers of the last day; one thread at a time."""

    def __init__(self, connection: apsw.Connection, clock: Clock) -> None:
        self._db = connection
        self._clock = clock
        connection.execute(_SCHEMA)

    def find(self, asked: Once) -> Any:
        """What was answered before, without secrets; ``None`` if nothing was.

        ``KeyReusedError`` if the key was sent with another request.
        """
        row = self._db.execute(
            "select request, answer from idempotency where name = ? and at > ?",
            (asked.name, self._since()),
        ).fetchone()
        if row is None:
            return None
        if row[0] != asked.request:
            raise KeyReusedError(
                "This idempotency key was sent with another request.",
                kept="nothing: the request was not looked at",
                hint="Send a new Idempotency-Key with a new request.",
            )
        return msgspec.msgpack.decode(row[1])

    def keep(self, asked: Once, answer: Mapping[str, Any]) -> None:
        """Keep an answer, within the caller's transaction; those of more than a day ago go.

        What was kept of the same request is replaced: its answer may say more by now.
        """
        kept = {name: value for name, value in answer.items() if name not in SECRETS}
        self._db.execute("delete from idempotency where at <= ?", (self._since(),))
        self._db.execute(
            "insert or replace into idempotency values (?, ?, ?, ?)",
            (asked.name, asked.request, self._clock.now(), msgspec.msgpack.encode(kept)),
        )

    def clear(self) -> None:
        """Forget all of them, within the caller's transaction: an erased person may be in one."""
        self._db.execute("delete from idempotency")

    def _since(self) -> str:
        return add_seconds(self._clock.now(), -KEPT_SECONDS)
