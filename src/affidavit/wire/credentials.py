"""Which header fields and query parameters are credentials, and records without them.

Guarantee G8: no credential of a caller or a provider on disk or in logs. Headers are judged by
exact name, by the usual endings of such names, and by the authentication schemes their values
begin with; query parameters by decoded name. A key of ours is known by its form wherever in a
target or a field it stands. When in doubt a value is left out: the record then lacks a header,
which is better than holding a key.

Not here: secrets inside bodies and prompts (the detectors of ``control`` look for those).
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import unquote_plus

CREDENTIAL_HEADERS = frozenset(
    {
        "authorization", "proxy-authorization", "proxy-authenticate", "www-authenticate",
        "authentication-info", "proxy-authentication-info",
        "cookie", "cookie2", "set-cookie", "set-cookie2",
        "x-api-key", "api-key", "apikey", "x-goog-api-key", "affidavit-key", "x-amz-security-token",
        "ocp-apim-subscription-key", "x-goog-iap-jwt-assertion",
        "cf-access-jwt-assertion", "cf-access-client-id", "cf-access-client-secret",
        "x-amzn-oidc-data", "x-amzn-oidc-identity", "x-forwarded-client-cert", "client-cert",
        "x-client-cert", "x-ssl-cert", "x-csrf-token", "x-xsrf-token", "x-vault-token",
        "x-auth-token", "x-access-token", "x-portkey-virtual-key", "helicone-auth",
        "cf-aig-authorization", "x-litellm-api-key", "x-bf-vk", "dpop",
    }
)  # fmt: skip
"""Lower-case names of fields that carry or accompany a credential; never recorded."""

CREDENTIAL_PARAMETERS = frozenset(
    {
        "key", "api_key", "api-key", "apikey", "x-api-key", "x-goog-api-key", "access_key",
        "access_token", "refresh_token", "id_token", "auth_token", "token", "auth",
        "authorization", "client_secret", "secret", "password", "passwd", "pwd", "jwt",
        "assertion", "code", "sig", "signature", "subscription-key", "affidavit-key",
        "x-amz-signature", "x-amz-credential", "x-amz-security-token",
        "x-goog-signature", "x-goog-credential", "awsaccesskeyid", "googleaccessid",
    }
)  # fmt: skip
"""Lower-case names of query parameters whose values are never recorded."""

REDACTED = "[redacted]"

_ENDINGS = (
    "-key", "_key", "apikey", "-token", "_token", "-secret", "_secret", "-password", "-passwd",
    "-authorization", "-auth", "-credential", "-credentials", "-signature", "-cookie", "-jwt",
    "-assertion",
)  # fmt: skip
_HARMLESS = frozenset(
    {"idempotency-key", "x-idempotency-key", "sec-websocket-key", "x-time-per-token"}
)
_SCHEME = re.compile(rb"\s*(?:bearer|basic|digest|negotiate|aws4-hmac-sha256)\s", re.IGNORECASE)
_LINKS = frozenset({"location", "content-location", "operation-location", "referer", "link"})
_OUR_KEY = re.compile(r"aff_[0-9A-Za-z_-]{20,}")
_OUR_KEY_BYTES = re.compile(_OUR_KEY.pattern.encode())
_SEPARATORS = re.compile(r"([&;])")
_USERINFO = re.compile(r"(//)[^/?#@\s]*@")


@lru_cache(maxsize=1024)
def is_credential(name: str) -> bool:
    """Tell whether a header of this name (any case) is kept out of every record and log."""
    name = name.lower()
    return name in CREDENTIAL_HEADERS or (name.endswith(_ENDINGS) and name not in _HARMLESS)


def holds_our_key(text: bytes) -> bool:
    """Tell whether a key of ours stands in a field's value or in a target."""
    return b"aff_" in text and _OUR_KEY_BYTES.search(text) is not None


def recordable(headers: Iterable[tuple[bytes, bytes]]) -> list[list[str]]:
    """Return ``[[name, value], …]`` for a record, in order: names in lower case, no credentials.

    A value that begins with an authentication scheme, or has a key of ours in it, counts as a
    credential whatever its name. Values that are links lose their credential parameters. Text is
    latin-1, as in HTTP.
    """
    kept: list[list[str]] = []
    for raw_name, raw_value in headers:
        name = raw_name.decode("latin-1").lower()
        if is_credential(name) or _SCHEME.match(raw_value):
            continue
        value = raw_value.decode("latin-1")
        if _OUR_KEY.search(value):
            continue
        kept.append([name, redact_target(value) if name in _LINKS else value])
    return kept


def redact_target(target: str) -> str:
    """Return a request target or URL with the values of credential parameters replaced.

    Names are compared decoded and without regard to case, so ``k%65y=`` and ``API_KEY=`` are
    seen; ``;`` separates parameters as ``&`` does, as some servers have it. User information
    in a URL goes too, and a key of ours anywhere. Everything else stays byte for byte.
    """
    if "aff_" in target:
        target = _OUR_KEY.sub(REDACTED, target)
    path, mark, query = target.partition("?")
    if "@" in path:
        path = _USERINFO.sub(r"\1", path)
    if not mark:
        return path
    query, hash_mark, fragment = query.partition("#")
    pieces = [_redact_parameter(piece) for piece in _SEPARATORS.split(query)]
    return path + mark + "".join(pieces) + hash_mark + (REDACTED if fragment else "")


def _redact_parameter(piece: str) -> str:
    name, equals, _ = piece.partition("=")
    if not equals:
        return piece
    plain = unquote_plus(name).strip().lower()
    if plain in CREDENTIAL_PARAMETERS or plain.endswith(_ENDINGS):
        return f"{name}={REDACTED}"
    return piece
