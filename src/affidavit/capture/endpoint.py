"""One configured provider, ready for use: where it is, how it speaks, whose credential it gets.

Rules for what is forwarded:

1. Fields go on in their order with their values; taken away are hop-by-hop fields (RFC 9110
   §7.6.1), ``Host``, ``Content-Length`` and ``Expect``, which the next message has of its own, and
   every ``affidavit-`` field, which is meant for us, and any field with a key of ours in it.
2. With ``credential: inject`` the caller's credentials and cookies are taken away and the
   provider's own is put in, in the form its SDK uses; with ``pass`` they stay.
3. The secret is nowhere else: not in ``repr``, not in records (``wire.credentials``).
"""

from collections.abc import Sequence

from affidavit.capture.egress import Origin, Proxy, tls_context
from affidavit.capture.upstream import Limits, Upstream
from affidavit.config import Config, Provider
from affidavit.providers import registry
from affidavit.wire.credentials import holds_our_key
from affidavit.wire.http_rules import end_to_end

_OURS = b"affidavit-"
_FRAMING = frozenset({b"host", b"content-length", b"expect"})
_CALLERS = frozenset({b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"cookie"})

Headers = Sequence[tuple[bytes, bytes]]


class Endpoint:
    """``name`` is the first path segment on the gateway. For one event loop."""

    def __init__(self, name: str, provider: Provider) -> None:
        self.name = name
        self.dialect = registry.lookup(provider.dialect)
        self.credential = provider.credential
        self.origin = Origin.parse(provider.base_url)
        limits = Limits(
            provider.connect_timeout, provider.first_byte_timeout, provider.idle_timeout
        )
        tls = tls_context(provider.ca_file) if self.origin.scheme == "https" else None
        proxy = _proxy(provider)
        self.upstream = Upstream(self.origin, limits, tls, proxy)
        secret = provider.secret
        self._credential: tuple[bytes, bytes] | None = None
        if secret is not None and self.credential == "inject":
            value = secret.get_secret_value().encode()
            self._credential = _credential(self.dialect.name, self.dialect.provider, value)

    def forwarded(self, headers: Headers) -> list[tuple[bytes, bytes]]:
        """The caller's fields as they go on, without any credential of ours or the provider's.

        Names in lower case; a request with fields that are refused has been refused before.
        """
        dropped = _FRAMING | _CALLERS if self.credential == "inject" else _FRAMING
        return [
            field
            for field in end_to_end(headers)
            if field[0] not in dropped and field[0][:10] != _OURS and not holds_our_key(field[1])
        ]

    def credentialed(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Those fields with the provider's credential, if this gateway holds it."""
        return headers if self._credential is None else [*headers, self._credential]


def endpoints(config: Config) -> dict[str, Endpoint]:
    """Every provider that is on, by name; ``ConfigError`` if one cannot be used as configured."""
    return {
        name: Endpoint(name, provider)
        for name, provider in config.providers.items()
        if provider.off is None
    }


def _credential(dialect: str, provider: str, secret: bytes) -> tuple[bytes, bytes]:
    if dialect == "anthropic":
        return (b"x-api-key", secret)
    if provider == "azure.ai.openai":
        return (b"api-key", secret)
    return (b"authorization", b"Bearer " + secret)


def _proxy(provider: Provider) -> Proxy | None:
    if provider.proxy is None:
        return None
    secret = provider.proxy_secret
    return Proxy.parse(provider.proxy, secret.get_secret_value() if secret is not None else "")
