"""The client turns whatever an address answers into an answer or one clear error."""

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from affidavit import errors
from affidavit.app.first_start import DEMO_YAML
from affidavit.cli.client import Client, _revived
from affidavit.errors import (
    AffidavitError,
    NotFoundError,
    RefusedError,
    UnavailableError,
    UsageError,
)


def answering(data: bytes) -> Iterator[str]:
    """An address that answers one request with ``data`` and hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(data)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    thread.join(10)
    listener.close()


BROKEN = {
    "no HTTP": b"nonsense\r\n\r\n",
    "nothing": b"",
    "cut off": b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{",
    "not JSON": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno",
    "a plain error": b"HTTP/1.1 500 X\r\ncontent-length: 2\r\n\r\nno",
    "an odd error": b'HTTP/1.1 500 X\r\ncontent-length: 11\r\n\r\n{"error":1}',
}


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key in the environment."""
    monkeypatch.setenv("AFFIDAVIT_KEY", "aff_x")


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_answer_is_unavailable(name: str) -> None:
    """Whatever is no answer of a console is code 4, in one sentence."""
    for url in answering(BROKEN[name]):
        with pytest.raises(UnavailableError) as caught:
            Client(None, url).get("/api/status")
        assert caught.value.message.endswith(".")


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize("url", ["ftp://x", "localhost:1", "http://", "http://x:nonsense"])
def test_an_address_that_is_none_is_wrong_use(url: str) -> None:
    """Only http and https with a host and a port that is a number."""
    with pytest.raises(UsageError):
        Client(None, url).get("/api/status")


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize("name", ["cut off", "no HTTP", "nothing"])
def test_a_broken_download_is_unavailable(name: str) -> None:
    """Half a bundle is no bundle."""
    for url in answering(BROKEN[name]):
        with pytest.raises(UnavailableError):
            Client(None, url).download("/api/export", {})


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize("name", ["cut off", "no HTTP"])
def test_a_broken_stream_is_unavailable(name: str) -> None:
    """A stream that is none, or ends in the middle of nothing, is told."""
    data = BROKEN[name].replace(b"{", b"data: {\n")
    for url in answering(data):
        with pytest.raises(UnavailableError):
            list(Client(None, url).events("/api/tail"))


@pytest.mark.usefixtures("key")
def test_https_is_verified() -> None:
    """Over https the certificate is checked: somebody without one is unavailable."""
    for url in answering(b"not TLS"):
        with pytest.raises(UnavailableError):
            Client(None, url.replace("http://", "https://")).get("/api/status")


def test_an_address_without_a_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The request is not even sent; where nothing listens, that is said and no key asked for."""
    monkeypatch.delenv("AFFIDAVIT_KEY", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(RefusedError, match="asks for a key"):
            Client(None, url)
    with pytest.raises(UnavailableError, match="No console answers"):
        Client(None, url)


def test_a_gateway_is_not_taken_for_a_console(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its 404 is turned into the sentence that helps."""
    monkeypatch.setenv("AFFIDAVIT_KEY", "aff_x")
    error = NotFoundError("There is no provider of that name here.").as_json()
    body = json.dumps(error).encode()
    head = f"HTTP/1.1 404 Not Found\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    for url in answering(head + body):
        with pytest.raises(UsageError, match="is a gateway") as caught:
            Client(None, url).get("/api/status")
    assert "console" in caught.value.message


def test_a_demo_directory_is_started_as_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The hint has --demo where the directory is the demo's."""
    monkeypatch.delenv("AFFIDAVIT_URL", raising=False)
    (tmp_path / "config.yaml").write_text(DEMO_YAML)
    with pytest.raises(UnavailableError) as caught:
        Client(tmp_path, None).get("/api/status")
    assert caught.value.hint == f"Start it: affidavit up --demo --data {tmp_path}"


def test_no_socket_says_how_to_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a server in a data directory the hint is the command to start one."""
    for name in ("AFFIDAVIT_URL", "AFFIDAVIT_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UnavailableError) as caught:
        Client(tmp_path, None).get("/api/status")
    assert caught.value.hint == f"Start it: affidavit up --data {tmp_path}"


def every_error() -> list[type[AffidavitError]]:
    """All error classes with a code of their own."""
    return [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type)
        and issubclass(kind, AffidavitError)
        and kind is not AffidavitError
    ]


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.code)
def test_errors_come_out_as_they_went_in(kind: type[AffidavitError]) -> None:
    """Code, sentence, hint, what was kept and details survive the way over HTTP."""
    sent = kind("It is so.", hint="Do this.", kept="That.", position=3)
    body = json.dumps(sent.as_json()).encode()
    got = _revived(sent.http_status, body)
    assert type(got) is kind
    assert got.as_json() == sent.as_json()
    assert got.exit_code == sent.exit_code
