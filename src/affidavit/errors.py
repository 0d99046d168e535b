"""Every error this program raises on purpose, in one tree.

::

    AffidavitError                 code, message, kept, hint, exit_code, http_status
    ├── UsageError                 usage.*      the caller asked wrongly        exit 2, HTTP 400
    │   ├── ConfigError            usage.config
    │   ├── ExpressionError        usage.expression (carries position and nearest)
    │   ├── ParseError             usage.parse  bytes that are not what they claim to be
    │   ├── TooLargeError          usage.too_large  more than is taken               HTTP 413
    │   ├── HeadTooLargeError      usage.head_too_large  header fields over the limit HTTP 431
    │   ├── TooSlowError           usage.too_slow   did not arrive in time           HTTP 408
    │   └── KeyReusedError         usage.key_reused  idempotency key of another request HTTP 422
    ├── NotFoundError              not_found    nothing there for this reader    exit 1, HTTP 404
    │   └── PrunedError            not_found.pruned  was there, and its time was over      HTTP 410
    ├── RefusedError               refused.*    policy, boundary, hold           exit 3, HTTP 403
    │   ├── UnauthenticatedError   refused.unauthenticated                       exit 3, HTTP 401
    │   └── LimitedError           refused.limited  too many, or too many at once    HTTP 429
    ├── CheckFailedError           check.*      something is not what it was     exit 1, HTTP 409
    │   └── CorruptError           check.corrupt (names the first bad object)
    ├── UnavailableError           unavailable.* cannot reach what is needed     exit 4, HTTP 503
    │   ├── BusyError              unavailable.busy    no room for more just now
    │   ├── CannotRecordError      unavailable.cannot_record
    │   └── LockedError            unavailable.locked  another process owns it
    └── UpstreamError              upstream.*   the provider failed              exit 4, HTTP 502
        ├── UnreachableError       upstream.unreachable  no connection was made
        ├── UpstreamTimeoutError   upstream.timeout                              HTTP 504
        └── UpstreamProtocolError  upstream.protocol

Rules: a class has one stable ``code``; the message is one sentence for a person; ``kept`` says
what was recorded nevertheless; ``hint`` says what to do. Nothing here ever carries a secret or
content. ``as_json`` is the one shape on every API. Not here: how a provider's SDK wants its
errors shaped (``capture.errors`` does that at the edge).
"""

from typing import Any, ClassVar


class AffidavitError(Exception):
    """Base of all errors; never raised itself.

    ``code`` is stable from release to release. ``kept`` says what was recorded although the
    work failed; ``hint`` says what to do next. ``detail`` holds JSON-able facts for programs.
    ``title`` says what all errors of this code have in common (RFC 9457, "title").
    """

    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something failed that was not foreseen"
    exit_code: ClassVar[int] = 4
    http_status: ClassVar[int] = 500
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str = "", kept: str = "", **detail: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.default_hint
        self.kept = kept
        self.detail = detail

    def as_json(self) -> dict[str, Any]:
        """Return ``{"error": {code, message, hint, kept, …detail}}``: one shape on every API."""
        body: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.hint:
            body["hint"] = self.hint
        if self.kept:
            body["kept"] = self.kept
        body.update(self.detail)
        return {"error": body}


class UsageError(AffidavitError):
    """The caller asked for something that has no meaning here."""

    code = "usage"
    title = "The request has no meaning here"
    exit_code = 2
    http_status = 400


class ConfigError(UsageError):
    """The configuration file has an unknown key, a wrong value or a missing one."""

    code = "usage.config"
    title = "The configuration is wrong"


class ExpressionError(UsageError):
    """A query expression was not understood; ``position`` (0-based) and ``nearest`` in detail."""

    code = "usage.expression"
    title = "The query expression was not understood"


class ParseError(UsageError):
    """Bytes are not in the format they claim: duplicate key, unknown field, trailing bytes, …."""

    code = "usage.parse"
    title = "The bytes are not what they claim to be"


class TooLargeError(UsageError):
    """What was sent is larger than what is taken."""

    code = "usage.too_large"
    title = "More was sent than is taken"
    http_status = 413


class HeadTooLargeError(UsageError):
    """The header fields of a request are larger than is taken."""

    code = "usage.head_too_large"
    title = "The header fields are too large"
    http_status = 431


class TooSlowError(UsageError):
    """What was announced did not arrive in time."""

    code = "usage.too_slow"
    title = "What was announced did not arrive in time"
    http_status = 408


class KeyReusedError(UsageError):
    """An ``Idempotency-Key`` was sent before, with another request."""

    code = "usage.key_reused"
    title = "The idempotency key belongs to another request"
    http_status = 422


class NotFoundError(AffidavitError):
    """Nothing of that name exists within what this reader may see."""

    code = "not_found"
    title = "Nothing of that name is there for this reader"
    exit_code = 1
    http_status = 404


class PrunedError(NotFoundError):
    """It was there and was taken away when the time for which it is kept was over."""

    code = "not_found.pruned"
    title = "It was there, and its time was over"
    http_status = 410


class RefusedError(AffidavitError):
    """Policy, boundary or hold says no; the refusal itself is a record where it matters."""

    code = "refused"
    title = "Policy, boundary or hold says no"
    exit_code = 3
    http_status = 403


class UnauthenticatedError(RefusedError):
    """No key was presented, or none that is known."""

    code = "refused.unauthenticated"
    title = "No known key was presented"
    http_status = 401


class LimitedError(RefusedError):
    """Too many requests, or too many at once; ``retry_after`` (seconds) in detail."""

    code = "refused.limited"
    title = "More was asked than one reader may"
    http_status = 429


class CheckFailedError(AffidavitError):
    """A check ran and did not hold."""

    code = "check"
    title = "A check did not hold"
    exit_code = 1
    http_status = 409


class CorruptError(CheckFailedError):
    """Something stored is not what was written; the message names the first bad object."""

    code = "check.corrupt"
    title = "Something stored is not what was written"


class UnavailableError(AffidavitError):
    """Something needed is not reachable: a server, a socket, a disk."""

    code = "unavailable"
    title = "Something that is needed cannot be reached"
    exit_code = 4
    http_status = 503


class BusyError(UnavailableError):
    """There is no room for more work just now; the answer says when to come again."""

    code = "unavailable.busy"
    title = "There is no room for more just now"
    default_hint = "Send the request again in a moment, or raise gateway.max_inflight_bytes."


class CannotRecordError(UnavailableError):
    """The journal cannot take the record, so the work was not done (guarantee G1)."""

    code = "unavailable.cannot_record"
    title = "It cannot be recorded, so it was not done"
    default_hint = "Free disk space or look at the health page; recording resumes by itself."


class LockedError(UnavailableError):
    """Another process owns this directory."""

    code = "unavailable.locked"
    title = "Another process owns it"


class UpstreamError(AffidavitError):
    """The provider could not be reached or broke off."""

    code = "upstream"
    title = "The provider failed"
    exit_code = 4
    http_status = 502


class UnreachableError(UpstreamError):
    """No connection to the provider was made: name unknown, refused, or not to be trusted."""

    code = "upstream.unreachable"
    title = "The provider could not be reached"


class UpstreamTimeoutError(UpstreamError):
    """The provider did not connect, answer or go on within its limit."""

    code = "upstream.timeout"
    title = "The provider took too long"
    http_status = 504


class UpstreamProtocolError(UpstreamError):
    """The provider's bytes are not HTTP that two parsers would read alike."""

    code = "upstream.protocol"
    title = "The answer of the provider is not HTTP that all read alike"
