"""Refusals are records too: who was turned away, when and why; counted when they flood.

Rules:

1. The first refusal of a kind (reason, provider, credential) is recorded before it is answered;
   more of the same within ``WINDOW_SECONDS`` are counted, and the count is recorded at its end.
   What is no HTTP request is answered by the connection itself and recorded right after.
2. What an unknown caller sent is not kept, or anybody could fill the disk; only the request line
   without credentials, and the address.
3. The type is ``access.denied``, outcome ``denied``. A caller who is not known belongs to no
   tenant, so the record joins the chain that is part of every answer.

Not here: how the refusal is worded on the wire (``replies``).
"""

import asyncio
from typing import Any, NamedTuple

from affidavit import ids
from affidavit.capture.sections import Setting
from affidavit.clock import Clock
from affidavit.control.identity import Identity
from affidavit.errors import AffidavitError, CannotRecordError
from affidavit.record.disclose import disclose
from affidavit.record.journal import JournalWriter
from affidavit.record.model import UNATTRIBUTED, Chain, Record
from affidavit.wire.credentials import redact_target

WINDOW_SECONDS = 10.0
MAX_KINDS = 1_000
"""So many kinds are told apart in one window; what goes beyond is recorded one by one."""


class Refused(NamedTuple):
    """One request that is turned away; ``identity`` None if the caller is not known."""

    error: AffidavitError
    provider: str
    method: str
    target: str
    address: str
    identity: Identity | None


class Refusals:
    """Records refusals through the worker's journal."""

    def __init__(self, journal: JournalWriter, setting: Setting, clock: Clock) -> None:
        self._journal = journal
        self._setting = setting
        self._clock = clock
        self._counts: dict[tuple[str, str, str], int] = {}
        self._latest: dict[tuple[str, str, str], Refused] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: set[asyncio.Task[None]] = set()

    async def refuse(self, refused: Refused) -> None:
        """Record or count; durable on return unless only counted. ``CannotRecordError``."""
        credential = refused.identity.id if refused.identity is not None else ""
        kind = (refused.error.code, refused.provider, credential)
        if kind in self._counts:
            self._counts[kind] += 1
            self._latest[kind] = refused
            return
        if len(self._counts) < MAX_KINDS:
            self._counts[kind] = 0  # what comes while the first is being written is counted, too
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(WINDOW_SECONDS, self._window_over)
        try:
            await self._journal.commit(self._record(refused, 1), ())
        except CannotRecordError:
            if not self._counts.get(kind):
                self._counts.pop(kind, None)
            raise

    async def flush(self) -> None:
        """Record what was only counted so far; counts the journal does not take are kept."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._flushing:
            await asyncio.gather(*self._flushing)
        await self._write_counts()

    def _window_over(self) -> None:
        self._timer = None
        task = asyncio.ensure_future(self._write_counts())
        self._flushing.add(task)
        task.add_done_callback(self._flushing.discard)

    async def _write_counts(self) -> None:
        counts, self._counts = self._counts, {}
        latest, self._latest = self._latest, {}
        for kind, count in counts.items():
            if not count:
                continue
            try:
                await self._journal.commit(self._record(latest[kind], count), ())
            except CannotRecordError:
                self._counts[kind] = self._counts.get(kind, 0) + count
                self._latest.setdefault(kind, latest[kind])

    def _record(self, refused: Refused, count: int) -> Record:
        error, identity = refused.error, refused.identity
        who: dict[str, Any] = {"authenticated_by": "none"}
        chains: tuple[Chain, ...] = (Chain("", UNATTRIBUTED, ""),)
        if identity is not None:
            who = {
                "tenant": identity.tenant,
                "actor": identity.actor,
                "kind": identity.kind,
                "role": identity.role,
                "team": identity.team,
                "credential": identity.id,
                "authenticated_by": "key",
                "assurance": "key",
            }
            chains = (
                Chain(identity.tenant, "actor", identity.actor),
                Chain(identity.tenant, "key", identity.id),
            )
        what = {
            "provider": refused.provider,
            "http.request.method": refused.method,
            "url.path": redact_target(refused.target)[:2048],
            "count": count,
        }
        outcome = {
            "outcome": "denied",
            "http.response.status_code": error.http_status,
            "error": {"code": error.code, "message": error.message, "type": "gateway"},
        }
        control = {"decision": "deny", "reasons": [error.code], "policy": "none"}
        return Record(
            id=ids.record_id(),
            type="access.denied",
            at=self._clock.now(),
            tier="observed",
            tenant=identity.tenant if identity is not None else "",
            retention_class=self._setting.retention_class,
            sections=(
                disclose("who", who),
                disclose("person", {"address": refused.address}),
                disclose("what", what),
                disclose("context", self._setting.context),
                disclose("control", control),
                disclose("outcome", outcome),
                None,
            ),
            chains=chains,
        )
