"""Listening sockets: addresses, a port in use, URLs."""

import pytest

from affidavit.app.listen import listen, split, url
from affidavit.errors import UnavailableError, UsageError


def test_addresses_are_split() -> None:
    """Host and port, IPv6 in brackets."""
    assert split("127.0.0.1:80") == ("127.0.0.1", 80)
    assert split("[::1]:80") == ("::1", 80)


@pytest.mark.parametrize("text", ["", "80", ":80", "host:", "host:x", "host:70000"])
def test_what_is_no_address_is_refused(text: str) -> None:
    """One sentence with an example."""
    with pytest.raises(UsageError, match="HOST:PORT"):
        split(text)


def test_a_port_in_use_has_its_sentence() -> None:
    """The second listener is told who cannot start, and how to choose another port."""
    first = listen("127.0.0.1", 0, "gateway")
    port = first.getsockname()[1]
    assert url(first) == f"http://127.0.0.1:{port}"
    with pytest.raises(UnavailableError, match="in use") as caught:
        listen("127.0.0.1", port, "gateway")
    assert "--gateway HOST:PORT" in caught.value.hint
    first.close()


def test_an_address_that_is_not_here_has_its_sentence() -> None:
    """TEST-NET-1 (RFC 5737) is nobody's."""
    with pytest.raises(UnavailableError, match="did not start"):
        listen("192.0.2.1", 0, "console")
