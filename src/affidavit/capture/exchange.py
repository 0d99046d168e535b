"""One exchange, without I/O: what happened goes in, two records and one outcome come out.

Rules:

1. The outcome is decided once; the first cause wins. A client that leaves makes ``client_gone``
   even if the provider breaks off a moment later, and the other way round.
2. Before a response head, a provider's failure is ``upstream_error``; after it, what came is kept
   and the outcome is ``truncated``. An error event inside a stream is ``upstream_error`` too.
3. A body received whole is ``complete`` whatever its status. Whole means: its framing came to its
   end, and a stream whose protocol has a last event had it. Where only the end of the connection
   delimits, JSON must be whole JSON; of other contents nobody can tell, and ``body_end`` says so.
4. Bytes are hashed and read in the order in which they arrive; reading them never fails.
5. ``bytes_delivered`` are those given to the caller before the outcome was written, ``bytes_held``
   those that waited for it, so that the record never claims what had not happened.
6. What is served on without being recorded is ``interrupted`` in the record of its outcome, with
   the content up to there and the count of all bytes, also when the caller got all of it.
7. ``person``, ``context`` and ``control`` stand in the request record alone; a response is of the
   same call and the same worker.

::

    request() ─▶ forwarded() ─▶ head() ─▶ piece()… ─▶ end() or settle() ─▶ response()

Not here: sockets, the journal and time limits (``gateway``); what the sections say (``sections``).
"""

from typing import Any, TypeVar

import msgspec

from affidavit import ids
from affidavit.capture import sections
from affidavit.capture.sections import Asked, Headers, Setting
from affidavit.capture.upstream_http import Ended
from affidavit.clock import Clock
from affidavit.errors import AffidavitError, CannotRecordError
from affidavit.providers.dialect import Dialect, StreamReader
from affidavit.providers.facts import ResponseFacts
from affidavit.record.classes import class_of
from affidavit.record.disclose import PartHasher, commit_part, content, disclose
from affidavit.record.model import OUTCOMES, Chain, Part, Record

_JSON = (b"/json", b"+json")
_E = TypeVar("_E", bound=AffidavitError)


class Exchange:
    """A request and its response on their way through the gateway.

    ``id`` is the id of the request record. ``outcome`` is ``""`` until it is decided.
    ``received`` and ``delivered`` count body bytes from the provider and to the caller, ``held``
    those that wait for the outcome record and are given to the caller once it is durable;
    ``error`` is what ended it, if something of ours did.
    """

    def __init__(
        self, asked: Asked, body: bytes, dialect: Dialect, setting: Setting, clock: Clock
    ) -> None:
        self.id = ids.record_id()
        self.outcome = ""
        self.received = 0
        self.delivered = 0
        self.held = 0
        self.facts: ResponseFacts | None = None
        self._asked = asked
        self._body = body
        self._dialect = dialect
        self._setting = setting
        self._clock = clock
        self._began = clock.monotonic()
        self._forwarded = 0.0
        self._first_byte: float | None = None
        self.error: AffidavitError | None = None
        self._status = 0
        self._headers: Headers = ()
        self._made_by = "provider"
        self._ended: Ended | None = None
        self._reader: StreamReader | None = None
        self._hasher: PartHasher | None = None
        self._part: Part | None = None
        self._lost: AffidavitError | None = None
        self._who = msgspec.Raw()
        self._class = ""
        self._chains: tuple[Chain, ...] = ()
        self._subjects: tuple[str, ...] = ()

    # --- the request ------------------------------------------------------------------------------

    def request(self) -> tuple[Record, tuple[bytes, ...]]:
        """The request record and the bodies beside its parts."""
        asked = self._asked
        who = sections.who(asked)
        self._who = msgspec.Raw(msgspec.json.encode(who))
        impersonal, personal = sections.shown(asked.headers)
        self._chains = sections.request_chains(asked)
        if asked.identity.kind == "person":
            self._subjects = (asked.identity.actor,)
        self._class = class_of(self._setting.config, "exchange.request", who, self._chains)
        parts: tuple[Part, ...] = ()
        bodies: tuple[bytes, ...] = ()
        if self._body:
            parts = (commit_part("request.body", asked.media_type, self._body),)
            bodies = (self._body,)
        record = Record(
            id=self.id,
            type="exchange.request",
            at=self._clock.now(),
            tier="observed",
            tenant=asked.identity.tenant,
            retention_class=self._class,
            sections=(
                disclose("who", self._who),
                disclose("person", sections.person(asked, personal)),
                disclose("what", sections.request_what(asked, impersonal)),
                disclose("context", self._setting.context),
                disclose("control", sections.ALLOWED),
                None,
                disclose("content", content(parts)),
            ),
            chains=self._chains,
            parts=parts,
            subjects=self._subjects,
        )
        self._body = b""
        return record, bodies

    # --- what happens -----------------------------------------------------------------------------

    def forwarded(self) -> None:
        """The request is on its way to the provider."""
        self._forwarded = self._clock.monotonic()

    def head(self, status: int, headers: Headers) -> None:
        """The provider's response head has arrived."""
        self._first_byte = self._clock.monotonic() - self._forwarded
        self._status = status
        self._headers = headers
        self._reader = self._dialect.stream(self._asked.facts, status, headers)
        if self._lost is None:
            self._hasher = PartHasher("response.body", media_type(headers))

    def piece(self, data: bytes) -> bool:
        """Body bytes have arrived; True once the protocol's last event is among them.

        From then on nothing more may be given to the caller before the outcome is recorded.
        """
        assert self._reader is not None
        self.received += len(data)
        if self._hasher is not None:
            self._hasher.update(data)
        self._reader.feed(data)
        return self._reader.terminal

    @property
    def streamed(self) -> bool:
        """Whether the body that arrives is known to be a stream of events."""
        return self._reader is not None and self._reader.streamed

    def handed_over(self, size: int) -> None:
        """So many bytes of the body were given to the caller's connection."""
        self.delivered += size

    def settle(self, outcome: str, error: AffidavitError | None = None) -> None:
        """Something ended the exchange; only the first call counts."""
        assert outcome in OUTCOMES
        if error is not None:
            forget_where(error)
        if not self.outcome:
            self.outcome = outcome
            self.error = error

    def withheld(self, error: AffidavitError) -> None:
        """The outcome was not recorded, so the caller did not get what was held."""
        self.held = 0
        if self.outcome not in ("client_gone", "interrupted"):
            self.outcome = "interrupted"
            self.error = error

    def released(self) -> None:
        """The answer of ours does not wait for the outcome record."""
        self.delivered += self.held
        self.held = 0

    def lose(self, error: AffidavitError) -> None:
        """From here on it is served without being recorded: the content ends before this piece."""
        self._lost = CannotRecordError(
            f"From byte {self.received} on the response was served and not recorded:"
            f" {error.message}"
        )
        if self._hasher is not None and self._hasher.size:
            self._part = self._hasher.finish()
        self._hasher = None

    def settled(self) -> bool:
        """Whether the outcome is decided."""
        return self.outcome != ""

    def failed(self, error: AffidavitError) -> None:
        """The provider broke off, stalled or sent what is not HTTP."""
        self.settle("truncated" if self._status else "upstream_error", error)

    def end(self, ended: Ended | None) -> None:
        """The body is over; ``None`` when its last event came and its framing did not end."""
        self._ended = ended
        facts = self._finish()
        assert facts is not None
        if facts.streamed and facts.error is not None and facts.status < 400:
            self.settle("upstream_error")
        cut_off = facts.expects_terminal or (ended is Ended.CLOSE and _claims_json(self._headers))
        self.settle("truncated" if cut_off and not facts.terminal else "complete")

    @property
    def whole(self) -> bool:
        """Whether the caller may see a clean end of the transfer.

        So it is for everything whose framing came to its end, even if its protocol did not;
        where the end of the connection is all there is, the protocol decides.
        """
        if self.outcome in ("client_gone", "interrupted") or self.error is not None:
            return False
        if self._ended is Ended.CLOSE:
            return self.outcome == "complete"
        return self.outcome in ("complete", "truncated", "upstream_error")

    # --- the outcome ------------------------------------------------------------------------------

    def answered_by_gateway(self, status: int, headers: Headers, body: bytes) -> Part:
        """The caller gets a response of ours, because there is none from the provider."""
        self._made_by = "gateway"
        self._status = status
        self._headers = headers
        self._reader = None
        self.held = len(body)
        return commit_part("response.body", media_type(headers), body)

    def response(self, own: Part | None = None) -> Record:
        """The response record; its one part, if it has one, is ``own`` or what the pieces gave."""
        assert self.outcome
        facts = self._finish()
        part = own or self._part
        if part is None and self._hasher is not None and self._hasher.size:
            part = self._hasher.finish()
        parts = () if part is None else (part,)
        asked = self._asked
        what = sections.response_what(asked, self.id, facts, self._headers, self._made_by)
        return Record(
            id=ids.record_id(),
            type="exchange.response",
            at=self._clock.now(),
            tier="observed",
            tenant=asked.identity.tenant,
            retention_class=self._class,
            sections=(
                disclose("who", self._who),
                None,
                disclose("what", what),
                None,
                None,
                disclose("outcome", self._outcome(facts)),
                disclose("content", content(parts)),
            ),
            chains=sections.response_chains(asked, self._chains, facts),
            parts=parts,
            parent=self.id,
            subjects=self._subjects,
        )

    def _finish(self) -> ResponseFacts | None:
        reader, self._reader = self._reader, None
        if reader is not None:
            self.facts = reader.finish()
        return self.facts

    def _outcome(self, facts: ResponseFacts | None) -> dict[str, Any]:
        section: dict[str, Any] = {"outcome": "interrupted" if self._lost else self.outcome}
        if facts is not None:
            section.update(facts.outcome())
        if self._status:
            section["http.response.status_code"] = self._status
        section["bytes_received"] = self.received
        section["bytes_delivered"] = self.delivered
        if self.held:
            section["bytes_held"] = self.held
        if self._ended is Ended.CLOSE:
            section["body_end"] = "close"
        if self._first_byte is not None:
            section["time_to_first_byte"] = round(self._first_byte, 6)
        section["duration"] = round(self._clock.monotonic() - self._began, 6)
        error = self._lost or self.error
        if error is not None:
            section["error"] = {"code": error.code, "message": error.message, "type": "gateway"}
        return section


def forget_where(error: _E) -> _E:
    """Take the traceback off an error that is kept, and with it every frame it holds on to."""
    error.__traceback__ = error.__cause__ = error.__context__ = None
    return error


def media_type(headers: Headers) -> str:
    """Type and subtype of ``Content-Type`` in lower case, without parameters; maybe empty."""
    return (
        dict(headers).get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")
    )


def _claims_json(headers: Headers) -> bool:
    return media_type(headers).encode("latin-1").endswith(_JSON)
