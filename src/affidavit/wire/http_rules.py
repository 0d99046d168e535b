"""What an HTTP message must be before this program acts on it, in both directions.

HTTP parsers differ in what they forgive, and a proxy that forgives differently from the server
behind it can be made to record one request while another is served. So whatever two parsers
could read differently is refused, from the raw header list, whichever parser made it:
RFC 9112 §6 (framing), §3.2 (Host, target form), §5 (fields); RFC 9110 §5.5, §5.6.2, §7.6.1.
Stricter than the RFCs: equal Content-Length twice, absolute-form targets, dot segments even
percent-encoded twice, and Connection naming a field that carries meaning.

Byte-exact: nothing is normalised. A target with ``%3A`` or ``%2F`` inside a segment (model ids
have them) passes as it is; only what decodes to a dot segment, a backslash or a control
character is refused. Which headers and parameters are credentials is in ``wire.credentials``.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from affidavit.errors import HeadTooLargeError, ParseError, UpstreamProtocolError
from affidavit.wire.credentials import CREDENTIAL_HEADERS

Headers = Iterable[tuple[bytes, bytes]]
"""Raw header fields in order of the wire; names in any case."""

MAX_TARGET_BYTES = 8 * 1024
MAX_HEADERS = 128
MAX_RESPONSE_FIELD_BYTES = 64 * 1024
MAX_DECODING_ROUNDS = 3

HOP_BY_HOP = frozenset(
    {
        b"connection", b"proxy-connection", b"keep-alive", b"te", b"transfer-encoding",
        b"upgrade", b"trailer", b"proxy-authenticate", b"proxy-authorization",
        b"http2-settings",
    }
)  # fmt: skip
"""Fields for one connection only: RFC 9110 §7.6.1, with those RFC 2616 §13.5.1 listed."""

_Special = dict[bytes, list[bytes]]
_NAME, _VALUE = itemgetter(0), itemgetter(1)
_SPECIAL = frozenset({b"connection", b"content-length", b"transfer-encoding", b"host"})
_CONNECTION_OPTIONS = HOP_BY_HOP | {b"close"}
_PROTECTED = frozenset(name.encode() for name in CREDENTIAL_HEADERS) | frozenset(
    {b"host", b"date", b"accept", b"user-agent", b"traceparent", b"tracestate", b"baggage"}
)
_PROTECTED_PREFIXES = (
    b"content-", b"affidavit-", b"x-affidavit-", b"openai-", b"anthropic-", b"x-amz-",
    b"x-goog-", b"x-ms-", b"x-stainless-", b"forwarded", b"x-forwarded-", b"cache-", b"if-",
)  # fmt: skip

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_NAMES = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+\n)*")
_BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_TARGET = re.compile(rb"/[\x21\x22\x24-\x5b\x5d-\x7e]*")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CONTROL_ESCAPE = re.compile(rb"%(?:[01][0-9A-Fa-f]|7[Ff])")
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._\-]+)(?::[0-9]{1,5})?")
_DIGITS = re.compile(rb"[0-9]{1,18}")


def check_request(
    method: str, target: bytes, http_version: str, headers: Headers, max_field_bytes: int
) -> None:
    """Refuse a request that another parser could read differently: ParseError.

    HeadTooLargeError for fields of more than ``max_field_bytes``, line ends with them.
    ``target`` is the raw request target, with or without its query; ``http_version`` as ASGI
    spells it ("1.0", "1.1"). On ParseError answer 400 and close the connection: where the next
    request begins is not certain.
    """
    _check_line(method, target)
    problem, special, size = _read(list(headers))
    if size > max_field_bytes:
        raise HeadTooLargeError(
            f"The header fields are larger than {max_field_bytes} bytes.",
            hint="Send less, or raise gateway.max_header_bytes.",
        )
    problem = problem or _connection_problem(special)
    problem = problem or _framing_problem(special, http_version)
    problem = problem or _host_problem(special, http_version)
    if problem:
        raise ParseError(f"The request is refused: {problem}.")


def check_response(status: int, headers: Headers) -> None:
    """Refuse a provider's response that another parser could read differently.

    UpstreamProtocolError for a status outside 200–599 (interim responses are consumed before)
    and for fields or framing that are not what RFC 9112 §6 allows.
    """
    problem, special, size = _read(list(headers))
    if size > MAX_RESPONSE_FIELD_BYTES:
        problem = f"header fields larger than {MAX_RESPONSE_FIELD_BYTES // 1024} KiB"
    if not 200 <= status <= 599:
        problem = "status outside 200 to 599"
    problem = problem or _connection_problem(special)
    problem = problem or _framing_problem(special, "1.1")
    problem = problem or _bodiless_problem(special, status)
    if problem:
        raise UpstreamProtocolError(f"The provider's response is refused: {problem}.")


def end_to_end(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Return the fields a proxy passes on, unchanged and in order (RFC 9110 §7.6.1).

    Without the hop-by-hop fields and those that Connection names; ParseError if it names one
    that carries meaning for the other end. Host and Content-Length stay: whoever frames the
    next message sets its own.
    """
    fields = list(headers)
    names = _names(tuple(map(_NAME, fields)))
    if not names.hop_by_hop:
        return fields
    special = _special(names, fields)
    problem = _connection_problem(special)
    if problem:
        raise ParseError(f"The message is refused: {problem}.")
    drop = HOP_BY_HOP | _connection_options(special)
    return [field for field, name in zip(fields, names.lowered, strict=True) if name not in drop]


@lru_cache(maxsize=256)
def _check_line(method: str, target: bytes) -> None:
    """The request line; callers ask for the same few things again and again."""
    if not _TOKEN.fullmatch(method.encode("latin-1", "replace")) or method in ("CONNECT", "TRACE"):
        raise ParseError("The method is not one this gateway forwards.")
    _check_target(target)


def _check_target(target: bytes) -> None:
    """Only origin-form (RFC 9112 §3.2.1), and only paths that decode to one path."""
    if len(target) > MAX_TARGET_BYTES:
        raise ParseError("The request target is longer than 8 KiB.")
    if target.startswith(b"//") or not _TARGET.fullmatch(target):
        raise ParseError("The request target is not an absolute path in visible ASCII.")
    if _BAD_ESCAPE.search(target):
        raise ParseError("The request target has a percent sign that escapes nothing.")
    path = target.partition(b"?")[0]
    if b"%" in path.partition(b"/")[2].partition(b"/")[0]:
        raise ParseError("The first path segment names the provider and takes no escapes.")
    for _ in range(MAX_DECODING_ROUNDS):
        if _CONTROL_ESCAPE.search(path) or b"\\" in path:
            raise ParseError("The path has a control character or a backslash in it.")
        if any(segment.partition(b";")[0] in (b".", b"..") for segment in path.split(b"/")):
            raise ParseError("The path has a dot segment in it.")
        if b"%" not in path:
            return
        path = unquote_to_bytes(path)


class _Names(NamedTuple):
    """What the names of a message's fields say, in order; ``lowered`` are in lower case.

    ``special``: the places of the fields that frame and route; ``size``: bytes, line ends with
    them; ``hop_by_hop``: whether one of the fields is.
    """

    problem: str
    lowered: tuple[bytes, ...]
    special: tuple[int, ...]
    size: int
    hop_by_hop: bool


@lru_cache(maxsize=128)
def _names(names: tuple[bytes, ...]) -> _Names:
    """Read the names alone: each client and provider has its own few lists of them.

    Obs-fold and a space before the colon show as a CR or LF in a value and as a name that is no
    token (RFC 9112 §5.1, §5.2). One search over all names is three times as fast as one for
    each; counting the line ends shows a name that holds one itself.
    """
    text = b"\n".join(names) + b"\n"
    lowered = tuple(map(bytes.lower, names))
    problem = ""
    if names and (not _NAMES.fullmatch(text) or text.count(b"\n") != len(names)):
        problem = "a header name that is not a token"
    special = tuple(place for place, name in enumerate(lowered) if name in _SPECIAL)
    return _Names(problem, lowered, special, len(text), not HOP_BY_HOP.isdisjoint(lowered))


def _read(fields: Sequence[tuple[bytes, bytes]]) -> tuple[str, _Special, int]:
    """Fields themselves (RFC 9110 §5.6.2 names, §5.5 values, count): a problem, or none.

    With it the values of the fields that frame and route, and how many bytes all of them take.
    """
    if len(fields) > MAX_HEADERS:
        return f"more than {MAX_HEADERS} header fields", {}, 0
    names = _names(tuple(map(_NAME, fields)))
    values = b"".join(map(_VALUE, fields))
    if names.problem:
        return names.problem, {}, 0
    if _BAD_VALUE.search(values):
        return "a control character in a header value", {}, 0
    return "", _special(names, fields), names.size + len(values)


def _special(names: _Names, fields: Sequence[tuple[bytes, bytes]]) -> _Special:
    """The values of the fields that frame and route, by name in lower case."""
    found: _Special = {}
    for place in names.special:
        found.setdefault(names.lowered[place], []).append(fields[place][1])
    return found


def _framing_problem(special: _Special, http_version: str) -> str:
    """Where the body ends: RFC 9112 §6.1 to §6.3, without any of the allowed repairs."""
    lengths = special.get(b"content-length")
    codings = special.get(b"transfer-encoding")
    if lengths and codings:
        return "both Content-Length and Transfer-Encoding"
    if lengths and len(lengths) > 1:
        return "more than one Content-Length"
    if lengths and not _DIGITS.fullmatch(lengths[0]):
        return "a Content-Length that is not a plain number"
    if codings and http_version == "1.0":
        return "Transfer-Encoding in HTTP/1.0"
    if codings and (len(codings) > 1 or codings[0].lower() != b"chunked"):
        return "a Transfer-Encoding other than chunked alone"
    return ""


def _host_problem(special: _Special, http_version: str) -> str:
    """Exactly one Host that is a host (RFC 9112 §3.2); HTTP/1.0 may have none."""
    hosts = special.get(b"host")
    if not hosts:
        return "" if http_version == "1.0" else "no Host"
    if len(hosts) > 1:
        return "more than one Host"
    return "" if _HOST.fullmatch(hosts[0]) else "a Host that is not a host name and port"


def _bodiless_problem(special: _Special, status: int) -> str:
    """No body whatever the fields say (RFC 9112 §6.3 item 1), no length in 204 (RFC 9110 §8.6)."""
    if status in (204, 304) and b"transfer-encoding" in special:
        return "Transfer-Encoding where there is no body"
    if status == 204 and special.get(b"content-length", [b"0"]) != [b"0"]:
        return "Content-Length where there is no body"
    return ""


def _connection_options(special: _Special) -> frozenset[bytes]:
    return _options(b",".join(special.get(b"connection", ())))


@lru_cache(maxsize=64)
def _options(values: bytes) -> frozenset[bytes]:
    return frozenset(option.strip(b" \t").lower() for option in values.split(b",")) - {b""}


def _connection_problem(special: _Special) -> str:
    """Connection must not strip a field the other end relies on, a credential above all."""
    if b"connection" in special:
        for option in _connection_options(special) - _CONNECTION_OPTIONS:
            if option in _PROTECTED or option.startswith(_PROTECTED_PREFIXES):
                return "Connection names a header field that is not for one hop"
    return ""
