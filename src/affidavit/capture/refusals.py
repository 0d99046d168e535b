"""Refusals are records too: who was turned away, when and why; counted when they flood.

Rules:

1. The first refusal of a kind (cause, provider, credential) is recorded before it is
   answered; more of the same within ``WINDOW_SECONDS`` are counted, and at the end of the window
   one record says how many, from when to when. Its time, path and address are those of the first
   it counts; where the others have more than one it says that they are several. What is no HTTP
   request is answered by the connection itself and recorded right after.
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
from affidavit.record.classes import class_of
from affidavit.record.disclose import disclose
from affidavit.record.journal import JournalWriter
from affidavit.record.model import UNATTRIBUTED, Chain, Record
from affidavit.wire.credentials import redact_target

WINDOW_SECONDS = 10.0
MAX_KINDS = 1_000
"""So many kinds are told apart in one window; beyond, one cause counts as another of its code."""


class Refused(NamedTuple):
    """One request that is turned away; ``identity`` None if the caller is not known."""

    error: AffidavitError
    provider: str
    method: str
    target: str
    address: str
    identity: Identity | None


class _Counted:
    """Refusals of one kind that are only counted: the first of them, how many, and until when."""

    def __init__(self, first: Refused, at: str) -> None:
        self.first = first
        self.since = self.until = at
        self.count = 1
        self.paths_differ = self.addresses_differ = False

    def add(self, refused: Refused, at: str) -> None:
        """Count one more."""
        self.count += 1
        self.until = at
        self.paths_differ |= (refused.method, refused.target) != self.first[2:4]
        self.addresses_differ |= refused.address != self.first.address


_Kind = tuple[str, str, str, str]


class Refusals:
    """Records refusals through the worker's journal."""

    def __init__(self, journal: JournalWriter, setting: Setting, clock: Clock) -> None:
        self._journal = journal
        self._setting = setting
        self._clock = clock
        self._open: dict[_Kind, _Counted | None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: set[asyncio.Task[None]] = set()

    async def refuse(self, refused: Refused) -> None:
        """Record or count; durable on return unless only counted. ``CannotRecordError``."""
        credential = refused.identity.id if refused.identity is not None else ""
        error, now = refused.error, self._clock.now()
        kind = (error.code, error.message, refused.provider, credential)
        if kind not in self._open and len(self._open) >= MAX_KINDS:
            kind = (error.code, "", refused.provider, credential)
        if kind in self._open:
            counted = self._open[kind]
            if counted is None:
                self._open[kind] = _Counted(refused, now)
            else:
                counted.add(refused, now)
            return
        self._open[kind] = None  # what comes while the first is being written is counted, too
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(WINDOW_SECONDS, self._window_over)
        try:
            await self._journal.commit(self._record(refused, now, {"count": 1}), ())
        except CannotRecordError:
            if self._open.get(kind) is None:
                self._open.pop(kind, None)
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
        ended, self._open = self._open, {}
        for kind, counted in ended.items():
            if counted is None:
                continue
            try:
                await self._journal.commit(self._record_of(counted), ())
            except CannotRecordError:
                self._keep(kind, counted)

    def _keep(self, kind: _Kind, counted: _Counted) -> None:
        """Put back what was not recorded, before what was counted since."""
        since = self._open.get(kind)
        if since is not None:
            counted.add(since.first, since.until)
            counted.count += since.count - 1
            counted.paths_differ |= since.paths_differ
            counted.addresses_differ |= since.addresses_differ
        self._open[kind] = counted

    def _record_of(self, counted: _Counted) -> Record:
        facts: dict[str, Any] = {
            "count": counted.count,
            "window": {"from": counted.since, "until": counted.until},
        }
        if counted.paths_differ:
            facts["paths"] = "several"
        if counted.addresses_differ:
            facts["addresses"] = "several"
        return self._record(counted.first, counted.since, facts)

    def _record(self, refused: Refused, at: str, facts: dict[str, Any]) -> Record:
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
                **identity.marks(),
            }
            chains = (
                Chain(identity.tenant, "actor", identity.actor),
                Chain(identity.tenant, "key", identity.id),
            )
        what = {
            "provider": refused.provider,
            "http.request.method": refused.method,
            "url.path": redact_target(refused.target)[:2048],
            **facts,
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
            at=at,
            tier="observed",
            tenant=identity.tenant if identity is not None else "",
            retention_class=class_of(self._setting.config, "access.denied", who),
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
