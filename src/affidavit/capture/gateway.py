"""The gateway: a raw ASGI application that records every call before it is made.

Rules, in the order in which a call meets them:

1. What two parsers could read differently is refused, from the raw fields (``wire.http_rules``);
   so is HTTP/1.0, whose clients cannot be told a cut answer from a whole one, and ``Upgrade``.
2. The first path segment names the provider; the rest is forwarded byte for byte.
3. The caller is identified before its body is read. Refusals are records (``refusals``).
4. The body is read whole, within a limit of size and of time, and within one for all bodies that
   a worker holds at one time; over that one callers are told to come again.
5. The dialect reads it; failing to read is never failing to record. What was read of a large or
   compressed body may take many times its memory, so one of those is read at a time.
6. ``Relay`` records, forwards and streams back. What cannot be recorded is refused, or served all
   the same where its route says so; either is counted, and on record when that works (``gaps``).

``/receipts/{id}``, ``/healthz`` and ``/readyz`` are ours. Health is red while recording fails, and
until the gap is on record.
Not here: sockets (``server``), what is recorded (``exchange``), the process (``worker``).
"""

import contextlib
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, NoReturn

from affidavit import config as configuration
from affidavit.capture import admission, replies
from affidavit.capture import relay as relaying
from affidavit.capture.admission import GoneError, Inflight, Receive, Share
from affidavit.capture.current import Current
from affidavit.capture.endpoint import Endpoint
from affidavit.capture.exchange import Exchange, media_type
from affidavit.capture.gaps import REFUSED, SERVED, Gaps
from affidavit.capture.receipts import Receipts, access_record
from affidavit.capture.refusals import Refusals, Refused
from affidavit.capture.relay import Relay
from affidavit.capture.replies import Reply
from affidavit.capture.routes import DEFAULT, Routes
from affidavit.capture.running import Running
from affidavit.capture.sections import Asked, setting
from affidavit.capture.server import Connection
from affidavit.capture.understanding import Understanding, report
from affidavit.capture.upstream import Request
from affidavit.clock import Clock
from affidavit.control.attribution import Hints, ResponseSessions, attribute
from affidavit.control.identity import Identity, check_caller, presented_key
from affidavit.control.link import ControlLink
from affidavit.errors import (
    AffidavitError,
    BusyError,
    CannotRecordError,
    HeadTooLargeError,
    NotFoundError,
    ParseError,
    TooLargeError,
    TooSlowError,
    UnavailableError,
)
from affidavit.providers import registry
from affidavit.providers.dialect import Dialect
from affidavit.record.journal import JournalWriter

Send = Callable[[dict[str, Any]], Awaitable[None]]

_UNREAD = (TooLargeError, HeadTooLargeError, BusyError)
"""With these the client is still sending a body that nobody reads."""


class Gateway:
    """One worker's application. ``counters`` are plain numbers for metrics, by name."""

    def __init__(
        self,
        *,
        endpoints: Mapping[str, Endpoint],
        off: Mapping[str, str],
        journal: JournalWriter,
        current: Current,
        link: ControlLink | None,
        clock: Clock,
        config: configuration.Config,
        worker: str,
        gaps: Gaps | None = None,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self.draining = False
        self.gaps = gaps or Gaps(worker, clock)
        self._routes = Routes(config.routes)
        self._endpoints = endpoints
        self._off = off
        self._dialects = {
            name: registry.lookup(config.providers[name].dialect)
            for name in off
            if name in config.providers
        }
        self._journal = journal
        self._current = current
        self._clock = clock
        self._limits = config.gateway
        self._worker = worker
        self._setting = setting(socket.gethostname(), worker, config)
        self._refusals = Refusals(journal, self._setting, clock)
        self._receipts = Receipts(link, clock)
        self._sessions = ResponseSessions()
        self._running = Running(self.counters)
        self._inflight = Inflight(config.gateway.max_inflight_bytes)
        self._understanding = Understanding()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request (ASGI 3, ``http`` only)."""
        if scope["type"] != "http":
            return
        connection: Connection = scope["affidavit.connection"]
        try:
            with self._inflight.share() as share:
                await self._route(scope, receive, send, connection, share)
        except GoneError:
            self.counters["gone_early"] += 1
            connection.abort()

    def refused_unread(self, error: AffidavitError, address: str) -> None:
        """A request was refused before it was one: count it, and record it soon."""
        self.counters["refused"] += 1
        self._running.owe(self._record_unread(Refused(error, "", "", "", address, None)))

    # --- health and the end -----------------------------------------------------------------------

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Whether this worker can record, and what to say about it."""
        refusing = self._journal.failure or self._journal.refusing or self.gaps.why
        facts: dict[str, Any] = {"status": "ok", "worker": self._worker}
        facts["running"] = len(self._running)
        facts["counters"] = dict(self.counters)
        if refusing is not None:
            facts.update(refusing.as_json())
            facts["status"] = "cannot record"
        return refusing is None, facts

    def recover(self) -> None:
        """Call this ten times a second: a journal that refused is tried again, outcomes are paid.

        So health turns green without a caller, and an exchange whose outcome was refused has one.
        """
        self._journal.retry()
        if self._journal.refusing is None:
            self._running.settle()
            if self.gaps.due:
                self._running.owe(self._record_gaps())

    async def drain(self, seconds: float) -> None:
        """Refuse new calls, let running ones end for ``seconds``, then interrupt the rest.

        On return every call has its outcome in the journal, as far as the journal takes it.
        """
        self.draining = True
        await self._running.quiet(seconds)
        self._running.interrupt()
        await self._running.quiet(relaying.RECORD_SECONDS + 1)
        self.recover()
        await self._running.quiet(relaying.RECORD_SECONDS)
        await self._record_gaps()
        await self._refusals.flush()

    def close(self) -> None:
        """Close the unused connections to the providers."""
        for endpoint in self._endpoints.values():
            endpoint.upstream.close()

    # --- a call -----------------------------------------------------------------------------------

    async def _route(
        self,
        scope: dict[str, Any],
        receive: Receive,
        send: Send,
        connection: Connection,
        share: Share,
    ) -> None:
        target: bytes = scope["affidavit.target"]
        path = target.partition(b"?")[0]
        name = path[1:].partition(b"/")[0].decode("latin-1")
        if name in ("healthz", "readyz") and path == b"/" + name.encode():
            await _answer(send, self._health_reply(ready=name == "readyz"))
            return
        endpoint = self._endpoints.get(name)
        dialect = endpoint.dialect if endpoint is not None else None
        identity: Identity | None = None
        try:
            admission.check(scope, target, self._limits.max_header_bytes)
            if name == "receipts":
                identity = self._identify(scope, "inject")
                check_caller(identity)
                await _answer(send, await self._receipt(path, identity))
                return
            if endpoint is None:
                dialect = self._dialects.get(name)
                self._no_provider(name)
            self._unless_draining()
            identity = self._identify(scope, endpoint.credential)
            check_caller(identity)
            admission.check_goes_on(target)
            body = await admission.read_body(scope, receive, connection, self._limits, share)
            self._unless_draining()
        except AffidavitError as error:
            share.release()
            refused = Refused(
                error,
                name if dialect is not None else "",
                scope["method"],
                target.decode("latin-1"),
                _address(scope),
                identity,
            )
            await self._turn_away(refused, dialect, receive, send)
            return
        rest = target[len(name) + 1 :]
        await self._call(scope, send, connection, endpoint, identity, body, rest, path)

    async def _call(
        self,
        scope: dict[str, Any],
        send: Send,
        connection: Connection,
        endpoint: Endpoint,
        identity: Identity,
        body: bytes,
        rest: bytes,
        path: bytes,
    ) -> None:
        current = self._current.snapshot
        method: str = scope["method"]
        target = endpoint.origin.prefix + (rest if rest.startswith(b"/") else b"/" + rest)
        received = scope["headers"]
        headers = endpoint.forwarded(received)
        facts = await self._understanding.read(
            endpoint.dialect, method, target.decode("latin-1"), headers, body
        )
        hints = Hints(
            session=facts.session or facts.conversation or None,
            end_user=facts.end_user or None,
            previous_response_id=facts.previous_response_id or None,
        )
        key = current.pseudonym_key(identity.tenant, identity.team)
        asked = Asked(
            endpoint.name,
            method,
            target.decode("latin-1"),
            headers,
            facts,
            identity,
            attribute(received, hints, identity, key, self._sessions),
            _address(scope),
            media_type(headers),
        )
        exchange = Exchange(asked, body, endpoint.dialect, self._setting, self._clock)
        route, serves = self._routes.find(path)
        relay = Relay(
            exchange,
            endpoint,
            self._journal,
            connection,
            send,
            max_response=self._limits.max_response_bytes,
            lost=partial(self.gaps.count, SERVED, route) if serves else None,
        )
        no_body = not body and b"content-length" not in dict(received)
        request = Request(
            method.encode(), target, endpoint.credentialed(headers), None if no_body else body
        )
        self.counters["requests"] += 1
        self._running.begin(relay)
        try:
            if await relay.record(self.gaps.hopeless if serves else None):
                if relay.recorded:
                    self._receipts.hold(exchange.id, relay.digest, relay.recorded_at, identity)
                await relay.carry(request)
            elif relay.unrecorded is not None:
                self.gaps.count(REFUSED, route, relay.unrecorded)
        except BaseException as fault:
            # Cancelled, or a fault of ours: the outcome is owed all the same.
            if isinstance(fault, Exception):
                self.counters["faults"] += 1
                report(fault, exchange.id)
            if relay.owes_outcome:
                relay.interrupt()
                self._running.conclude(relay)
            raise
        finally:
            self._note(relay, asked)
            self._running.end(relay)

    def _note(self, relay: Relay, asked: Asked) -> None:
        exchange = relay.exchange
        if relay.unrecorded is not None:
            self.counters["unrecorded" if relay.served else "unrecordable"] += 1
        else:
            self.counters[f"outcome.{exchange.outcome or 'interrupted'}"] += 1
        raw, facts = asked.attribution.session_raw, exchange.facts
        if raw is not None and facts is not None and facts.id and asked.facts.api == "responses":
            self._sessions.remember(asked.identity.tenant, facts.id, raw)

    # --- before a call ----------------------------------------------------------------------------

    def _unless_draining(self) -> None:
        if self.draining:
            raise UnavailableError("The gateway is stopping.", hint="Send the request again.")

    def _identify(self, scope: dict[str, Any], credential: Any) -> Identity:
        return self._current.directory.find(presented_key(scope["headers"], credential))

    def _no_provider(self, name: str) -> NoReturn:
        reason = self._off.get(name)
        if reason is not None:
            raise UnavailableError(f"The provider {name} is off: {reason}.")
        known = ", ".join(sorted(self._endpoints)) or "none"
        raise NotFoundError(
            "There is no provider of that name here.", hint=f"Configured are: {known}."
        )

    async def _turn_away(
        self, refused: Refused, dialect: Dialect | None, receive: Receive, send: Send
    ) -> None:
        error = refused.error
        if not isinstance(error, CannotRecordError):
            self.counters["refused"] += 1
            try:
                await self._refusals.refuse(refused)
            except CannotRecordError as unrecorded:
                error = unrecorded
        if isinstance(error, CannotRecordError):
            path = refused.target.partition("?")[0].encode("latin-1")
            self.gaps.count(REFUSED, self._routes.find(path)[0], error)
        reply = replies.failure(error, dialect)
        if isinstance(error, (ParseError, *_UNREAD, TooSlowError)):
            # Where the next request begins is not certain, or far away.
            reply.headers.append((b"connection", b"close"))
        await _start(send, reply)
        await send({"type": "http.response.body", "body": reply.body, "more_body": True})
        if isinstance(error, _UNREAD):
            await admission.linger(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _record_unread(self, refused: Refused) -> None:
        try:
            await self._refusals.refuse(refused)
        except CannotRecordError as error:  # nobody is left to be told
            self.gaps.count(REFUSED, DEFAULT, error)

    async def _record_gaps(self) -> None:
        with contextlib.suppress(CannotRecordError):  # they are kept
            await self.gaps.record(self._journal)

    async def _receipt(self, path: bytes, identity: Identity) -> Reply:
        record_id = path.removeprefix(b"/receipts/").decode("latin-1")
        found = await self._receipts.find(record_id, identity, self._current.signer)
        if found is None:
            return replies.document({"id": record_id, "status": "not sequenced yet"}, 202)
        if "halves" in found:
            record = access_record(record_id, identity, self._setting, self._clock)
            await self._journal.commit(record, ())
        return replies.document(found)

    def _health_reply(self, *, ready: bool) -> Reply:
        good, facts = self.health()
        if ready and self.draining:
            good, facts["status"] = False, "draining"
        return replies.document(facts, 200 if good else 503)


def _address(scope: dict[str, Any]) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


async def _start(send: Send, reply: Reply) -> None:
    await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})


async def _answer(send: Send, reply: Reply) -> None:
    await _start(send, reply)
    await send({"type": "http.response.body", "body": reply.body, "more_body": False})
