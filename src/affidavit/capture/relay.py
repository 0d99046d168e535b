"""One exchange on its way: journal, provider, journal, caller, in this order and no other.

Rules:

1. Nothing is sent to the provider before the request record is durable (guarantee G1).
2. A piece of the response is in the journal before it is sent to the caller. Pieces of an event
   stream are sent as they come, except: the piece with the protocol's last event, and whatever
   ends the transfer, wait until the outcome record is durable. Of any other body the newest piece
   waits for the next one, or for that record, as its end may come late. So nobody holds a finished
   answer that the ledger does not know to be finished; but where a stream's protocol has no last
   event, as far as we know it, only the end of the transfer waits.
3. After the last event the framing has ``GRACE_SECONDS`` to end too; then the answer is done.
4. A body larger than ``max_response`` bytes is cut there, as if the provider had broken off.
5. Each exchange has exactly one outcome record, also when its task is cancelled. What ends it
   first decides (``exchange``). One that the journal refused is due again when it has room.
6. When the journal refuses: nothing more goes to the provider or to the caller. A caller that has
   seen nothing yet gets the provider's error shape with 503, any other a broken transfer.
7. An outcome whose commit takes long, or whose journal failed meanwhile, may be durable or not, and
   may say that the answer is complete. Then nobody is told 503, which would say that nothing was
   done: the caller waits ``OUTCOME_SECONDS``, and then the connection breaks. What waited for the
   record is counted apart in it (``bytes_held``), never as delivered.
8. Where the route says so, 6 and 7 do not hold: what the journal does not take, or not within
   ``RECORD_SECONDS``, goes on without a record. ``lost`` hears of it once (``gaps``). What lands
   later all the same gets its outcome later (``commits``).

Not here: who may call and reading the request (``gateway``), what records say (``exchange``).
"""

import asyncio
from collections.abc import Callable

from affidavit.capture import replies
from affidavit.capture.answer import Answer, Send
from affidavit.capture.commits import Commits, took_too_long
from affidavit.capture.endpoint import Endpoint
from affidavit.capture.exchange import Exchange, forget_where
from affidavit.capture.replies import Reply
from affidavit.capture.server import Connection
from affidavit.capture.upstream import Call, Request
from affidavit.errors import (
    AffidavitError,
    CannotRecordError,
    UnavailableError,
    UpstreamError,
)
from affidavit.record.disclose import sections_digest
from affidavit.record.journal import JournalWriter
from affidavit.record.model import Part

GRACE_SECONDS = 0.25
"""So long may a provider take to end the transfer after its protocol's last event."""

MAX_HELD = 1 << 20
"""More bytes than this behind the last event are not waited for."""

RECORD_SECONDS = 5.0
"""A disk that takes longer than this for a request counts as one that cannot record."""

OUTCOME_SECONDS = 30.0
"""So long a finished answer waits for its outcome before its caller's connection is broken."""

Lost = Callable[[CannotRecordError], None]


class Relay:
    """Carries one exchange: ``record``, then ``carry``. ``interrupt`` ends it, from anywhere.

    ``digest`` and ``recorded_at`` are those of the request record, which is in the journal if
    ``recorded``; ``unrecorded`` is why a record was not taken in time, if so. Who sees ``overdue``
    calls ``give_up``. ``lost``: rule 8 holds; it is told why.
    """

    def __init__(
        self,
        exchange: Exchange,
        endpoint: Endpoint,
        journal: JournalWriter,
        connection: Connection,
        send: Send,
        *,
        max_response: int,
        lost: Lost | None = None,
    ) -> None:
        self.exchange = exchange
        self.digest = ""
        self.recorded_at = ""
        self.unrecorded: CannotRecordError | None = None
        self._endpoint = endpoint
        self._journal = journal
        self.commits = Commits(journal, RECORD_SECONDS if lost is not None else None)
        self._connection = connection
        self._answer = Answer(connection, send)
        self._max_response = max_response
        self.served = lost is not None
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._call: Call | None = None
        self.recorded = False
        self._concluding = False
        self._refusal: Reply | None = None
        self._recording = True
        self._in_journal = False
        self._held = b""
        self._late: tuple[Part | None, tuple[bytes | None, ...]] | None = None

    async def carry(self, request: Request) -> None:
        """Forward what ``record`` acknowledged, stream back, record the outcome, let go."""
        try:
            if not self.exchange.outcome:
                await self._forward(request)
            await self.conclude()
        finally:
            self._connection.watch(None)
            if self._call is not None:
                self._call.close()

    def interrupt(self) -> None:
        """End the exchange as ``interrupted``, unless something else has ended it already."""
        error = UnavailableError("The gateway is stopping.", hint="Send the request again.")
        self._stop("interrupted", error)

    @property
    def owes_outcome(self) -> bool:
        """Whether the request is in the journal, or may be, and its outcome was not yet written."""
        return self.recorded and not self._concluding

    @property
    def unsettled(self) -> bool:
        """Whether the journal refused the outcome; ``settle`` when it has room again."""
        return self._late is not None and self.commits.pending is None

    def overdue(self, now: float) -> bool:
        """Whether a commit runs, at this time of the event loop, for longer than it may."""
        return self.commits.overdue(now, OUTCOME_SECONDS if self._concluding else RECORD_SECONDS)

    # --- the request ------------------------------------------------------------------------------

    async def record(self, hopeless: CannotRecordError | None = None) -> bool:
        """Commit the request record; False if it was refused, and the caller has been told so.

        ``hopeless``: why not to try, under rule 8.
        """
        self._connection.watch(self._client_gone)
        record, bodies = self.exchange.request()
        self.digest = sections_digest(record)
        self.recorded_at = record.at
        self.recorded = True
        try:
            await self.commits.commit(record, bodies, hopeless)
        except CannotRecordError as error:
            self.recorded = False
            if self._lost is not None:
                self._go_on_without(error)
                return True
            await self._refuse(error)
            return False
        self._answer.record = self.exchange.id, self.digest
        return True

    async def give_up(self) -> None:
        """A commit takes too long: the caller waits no more; the record may land late.

        A request is refused; an answer, whose outcome may be recorded, breaks.
        """
        if not self.commits.give_up():
            return
        error = took_too_long(OUTCOME_SECONDS if self._concluding else RECORD_SECONDS)
        if self._concluding:
            self._break_off(error)
        else:
            self._stop("interrupted", error)
            await self._refuse(error)

    async def _forward(self, request: Request) -> None:
        exchange = self.exchange
        call = self._call = self._endpoint.upstream.call(request)
        exchange.forwarded()
        try:
            await call.start()
        except AffidavitError as error:
            exchange.failed(error)
            return
        exchange.head(call.status, call.headers)
        try:
            await self._stream(call)
        except CannotRecordError as error:
            self.unrecorded = forget_where(error)
            self._stop("interrupted", error)

    # --- the response -----------------------------------------------------------------------------

    async def _stream(self, call: Call) -> None:
        exchange = self.exchange
        if not call.ready:
            await self._send_head()
        last_event = False
        ends = 0.0  # the last event has come: the framing must end by then, of the loop's time
        while not exchange.outcome:
            left = ends - self._loop.time() if last_event else None
            if left is not None and left <= 0:
                exchange.end(None)
                return
            try:
                piece = await call.next(left)
            except AffidavitError as error:
                if last_event:
                    exchange.end(None)
                else:
                    exchange.failed(error)
                return
            if exchange.settled():
                return
            finished = call.finished
            if not piece:
                exchange.end(call.ended)
                return
            if exchange.received + len(piece) > self._max_response:
                self._cut(call)
                return
            if finished and not exchange.received:
                # The whole body is here: it goes into the outcome record itself.
                self._held = piece
                exchange.piece(piece)
                exchange.end(call.ended)
                return
            self._write(piece)
            if exchange.piece(piece) and not last_event:
                last_event, ends = True, self._loop.time() + GRACE_SECONDS
            if last_event or finished:
                self._held += piece
                if len(self._held) > MAX_HELD and not finished:
                    exchange.end(None)
            elif exchange.streamed:
                piece, self._held = self._held + piece, b""
                await self._hand_over(piece)
            else:
                piece, self._held = self._held, piece
                if piece:
                    await self._hand_over(piece)

    def _write(self, piece: bytes) -> None:
        """Put a piece in the journal, if the call is still recorded there."""
        if not self._recording:
            return
        try:
            self._journal.piece(self.exchange.id, piece)
        except CannotRecordError as error:
            if self._lost is None:
                raise
            self._go_on_without(error)
        else:
            self._in_journal = True

    def _go_on_without(self, error: CannotRecordError) -> None:
        """From here on nothing of this call is recorded, and it goes on."""
        assert self._lost is not None
        self._recording = False
        self.unrecorded = forget_where(error)
        self.exchange.lose(self.unrecorded)
        self._lost(self.unrecorded)

    def _cut(self, call: Call) -> None:
        """More comes than is taken: the provider is left, and what came is a truncated answer."""
        error = UpstreamError(
            f"The response is larger than {self._max_response} bytes.",
            hint="Raise gateway.max_response_bytes.",
        )
        call.abort(error)
        self.exchange.failed(error)

    async def _send_head(self) -> None:
        assert self._call is not None
        await self._answer.head(self._call.status, self._call.headers)

    async def _hand_over(self, piece: bytes) -> None:
        """Send a piece as soon as the caller takes it."""
        await self._send_head()
        await self._answer.body(piece, more=True)
        if not self.exchange.outcome:
            self.exchange.handed_over(len(piece))

    # --- the outcome ------------------------------------------------------------------------------

    async def conclude(self) -> None:
        """Record the outcome, then let go what was held; at most once."""
        if self._concluding:
            return
        self._concluding = True
        exchange = self.exchange
        own: Reply | None = None
        if exchange.outcome in ("upstream_error", "truncated", "interrupted") and not (
            self._answer.begun or exchange.received
        ):
            own = self._refusal or self._own_reply()
        if not self.recorded:
            await self._let_go(own)
            return
        part, bodies = self._content(own)
        if self._answer.over:
            exchange.released()
        elif own is None and exchange.outcome not in ("client_gone", "interrupted"):
            exchange.held = len(self._held)
        try:
            await self.commits.commit(exchange.response(part), bodies)
        except CannotRecordError as error:
            if self._lost is None:
                await self._withhold(error)
                return
            self._late = part, bodies
            exchange.released()
        await self._let_go(own)

    async def settle(self) -> None:
        """Record the outcome that was refused when it was due; at most once.

        ``CannotRecordError`` if it is refused again. If this worker ends before, the sweep closes
        the exchange as interrupted.
        """
        if self._late is not None:
            part, bodies = self._late
            await self._journal.commit(self.exchange.response(part), bodies)
            self._late = None

    async def landed(self) -> None:
        """Wait for the commit that nobody waited for; a request that landed is owed an outcome."""
        if await self.commits.land():
            self._late = None if self.recorded else (None, ())
            self.recorded = True

    async def _withhold(self, error: CannotRecordError) -> None:
        """The outcome was not taken, so the caller does not get what waited for it."""
        exchange = self.exchange
        exchange.withheld(error)
        answer = self._refusal or replies.failure(error, self._endpoint.dialect, exchange.id)
        unseen = not (self._answer.begun or exchange.received)
        self._late = self._content(answer if unseen else None)
        if unseen:
            exchange.released()
        if self._answer.begun or self._journal.failure is not None:
            self._break_off(error)
        else:
            await self._refuse(error, exchange.id)

    def _break_off(self, error: CannotRecordError) -> None:
        """What was answered, if anything, is all; whether it is recorded is not known here."""
        self.unrecorded = forget_where(error)
        if not self._answer.over:
            self._answer.break_off()

    def _content(self, own: Reply | None) -> tuple[Part | None, tuple[bytes | None, ...]]:
        """The outcome's content: a reply of ours, or what came from the provider."""
        if own is not None:
            part = self.exchange.answered_by_gateway(own.status, own.headers, own.body)
            return part, (own.body,)
        if self._in_journal:
            return None, (None,)
        return None, (self._held,) if self._held and self._recording else ()

    async def _let_go(self, own: Reply | None) -> None:
        """The outcome is durable: give the caller what waited for it, and the end it has."""
        exchange = self.exchange
        if self._answer.over:
            return
        if own is not None:
            await self._answer.reply(own, recorded=True)
        elif exchange.outcome == "interrupted" and not self._answer.begun:
            await self._answer.reply(self._own_reply())
        elif exchange.outcome in ("client_gone", "interrupted"):
            self._answer.break_off()
        else:
            await self._send_head()
            await self._answer.body(self._held, more=not exchange.whole)
            if not exchange.whole:
                self._answer.break_off()

    def _own_reply(self) -> Reply:
        error = self.exchange.error or UpstreamError("The provider did not answer.")
        record_id = self.exchange.id if self.recorded else ""
        return replies.failure(error, self._endpoint.dialect, record_id)

    async def _refuse(self, error: CannotRecordError, record_id: str = "") -> None:
        """Nothing was done, or its outcome is not recorded: say so, in the provider's shape."""
        self.unrecorded = forget_where(error)
        if self._answer.over:
            return
        self._refusal = replies.failure(error, self._endpoint.dialect, record_id)
        await self._answer.reply(self._refusal)

    # --- what comes from the side -----------------------------------------------------------------

    def _client_gone(self, how: UnavailableError) -> None:
        self._stop("client_gone", how)

    def _stop(self, outcome: str, error: AffidavitError) -> None:
        if self._concluding:
            return
        self.exchange.settle(outcome, error)
        if self._call is not None:
            self._call.abort(error)
