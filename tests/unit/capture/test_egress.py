"""Claims about where connections may go."""

import asyncio
from typing import Any

import pytest

from affidavit.capture.egress import Origin, Proxy, check_address, connect
from affidavit.errors import ConfigError, UnreachableError


@pytest.mark.parametrize(
    ("url", "host", "port", "prefix", "authority"),
    [
        ("https://api.openai.com", "api.openai.com", 443, b"", b"api.openai.com"),
        ("http://localhost:8080/base/", "localhost", 8080, b"/base", b"localhost:8080"),
        ("http://[::1]:81", "::1", 81, b"", b"[::1]:81"),
        ("https://HOST:443/v1", "host", 443, b"/v1", b"host"),
    ],
)
def test_origins(url: str, host: str, port: int, prefix: bytes, authority: bytes) -> None:
    """A base URL gives host, port, path prefix and the Host field."""
    origin = Origin.parse(url)
    assert (origin.host, origin.port, origin.prefix) == (host, port, prefix)
    assert origin.authority == authority


@pytest.mark.parametrize("url", ["ftp://x", "https://", "http://x:y", "http://x?q", "http://x#f"])
def test_what_is_no_origin(url: str) -> None:
    """Other schemes, queries and nonsense are refused at start."""
    with pytest.raises(ConfigError):
        Origin.parse(url)


def test_proxies() -> None:
    """Credentials of a proxy become its authorization field."""
    assert Proxy.parse("http://p:3128") == ("p", 3128, b"")
    assert Proxy.parse("http://p:3128", "me:p@ss").authorization == b"Basic bWU6cEBzcw=="
    for url in ("https://p:1", "http://p", "socks5://p:1"):
        with pytest.raises(ConfigError):
            Proxy.parse(url)


REFUSED = [
    "169.254.169.254", "169.254.0.1", "fe80::1", "fe80::1%eth0", "fd00:ec2::254",
    "::ffff:169.254.169.254", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "100.100.100.200",
    "240.0.0.1", "255.255.255.255",
    "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "64:ff9b::6464:64c8",
]  # fmt: skip
ALLOWED = ["127.0.0.1", "::1", "10.1.2.3", "192.168.1.1", "104.18.6.192", "2606:4700::6812:6c0",
           "::ffff:10.0.0.1", "64:ff9b::6812:6c0"]  # fmt: skip


@pytest.mark.parametrize("address", REFUSED)
def test_addresses_where_no_model_is(address: str) -> None:
    """Link-local, metadata, unspecified, multicast and reserved are refused for a name."""
    with pytest.raises(UnreachableError, match="where no model API is"):
        check_address(address, "api.example.com")


@pytest.mark.parametrize("address", ALLOWED)
def test_addresses_where_models_are(address: str) -> None:
    """Public, private and loopback addresses are allowed."""
    check_address(address, "api.example.com")


def test_an_address_in_the_configuration_is_meant() -> None:
    """Only that very address, not what it could be spelt as."""
    check_address("169.254.169.254", "169.254.169.254")
    with pytest.raises(UnreachableError):
        check_address("169.254.169.254", "2852039166")


def test_the_checked_address_is_the_one_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that resolves differently the second time (DNS rebinding) changes nothing."""
    asked: list[str] = []
    connected: list[str] = []

    async def work() -> None:
        loop = asyncio.get_running_loop()

        async def resolve(host: str, port: int, **_: Any) -> Any:
            asked.append(host)
            address = "127.0.0.1" if len(asked) == 1 else "169.254.169.254"
            return [(2, 1, 6, "", (address, port))]

        async def create(_: Any, host: str, port: int, **__: Any) -> Any:
            connected.append(host)
            raise OSError

        monkeypatch.setattr(loop, "getaddrinfo", resolve)
        monkeypatch.setattr(loop, "create_connection", create)
        with pytest.raises(UnreachableError, match="does not accept"):
            await connect(asyncio.Protocol, Origin.parse("http://rebind.test"), None, None)

    asyncio.run(work())
    assert (asked, connected) == (["rebind.test"], ["127.0.0.1"])


def test_odd_spellings_are_judged_by_what_they_resolve_to() -> None:
    """``0xa9fea9fe`` is 169.254.169.254 to the resolver, and is refused."""

    async def work() -> None:
        await connect(asyncio.Protocol, Origin.parse("http://0xa9fea9fe"), None, None)

    with pytest.raises(UnreachableError, match=r"no model API is|not a known name"):
        asyncio.run(work())


def test_unknown_names() -> None:
    """A name nobody knows is an error with that name."""

    async def work() -> None:
        await connect(asyncio.Protocol, Origin.parse("http://no-such-host.invalid"), None, None)

    with pytest.raises(UnreachableError, match="no-such-host"):
        asyncio.run(work())
