"""``affidavit tail`` goes on when its connection breaks, and says so."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from affidavit.cli import following
from affidavit.cli.client import Client
from affidavit.errors import (
    AffidavitError,
    ExpressionError,
    LimitedError,
    UnauthenticatedError,
    UnavailableError,
    UsageError,
)
from tests.unit.cli.conftest import Command

STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
CHUNKED = STREAM[:-2] + b"transfer-encoding: chunked\r\n\r\n"


def rows(*indexes: int) -> bytes:
    """Events with these indexes."""
    return b"".join(
        b"id: %d\ndata: %s\n\n" % (i, json.dumps({"index": i}).encode()) for i in indexes
    )


def refusal(status: int, error: Any) -> bytes:
    """An error as a console answers it."""
    body = json.dumps(error.as_json()).encode()
    return b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%s" % (status, len(body), body)


@contextmanager
def console(*answers: bytes) -> Iterator[tuple[str, list[int]]]:
    """Something that gives one answer to each connection; the ``after`` of each request."""
    asked: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    target = connection.recv(65536).decode().split(" ")[1]
                    asked.append(int(parse_qs(urlsplit(target).query)["after"][0]))
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
        thread.join(10)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFFIDAVIT_KEY", "aff_test")
    monkeypatch.setattr(following, "FIRST_SECONDS", 0.01)


def followed(url: str, after: int = 3) -> tuple[list[int], Exception]:
    """The indexes of all rows until it ends, and what ended it."""
    found: list[int] = []
    try:
        for row in following.follow(Client(None, url), after):
            found.append(row["index"])  # noqa: PERF401 - what came before the error counts
    except AffidavitError as error:
        return found, error
    raise AssertionError


def test_it_goes_on_behind_the_last_row(capsys: pytest.CaptureFixture[str]) -> None:
    """Ended, broken off in the middle of a row, away, busy: asked again from the next leaf on."""
    broken = CHUNKED + b"20\r\n" + rows(8)[:12]
    busy = refusal(503, UnavailableError("Busy."))
    limited = refusal(429, LimitedError("Ten of your tails are open already.", retry_after=1))
    revoked = refusal(401, UnauthenticatedError("This key was revoked."))
    with console(STREAM + rows(4, 7), broken, busy, limited, STREAM + rows(8), revoked) as (
        url,
        asked,
    ):
        found, ended = followed(url)
    assert (found, asked) == ([4, 7, 8], [3, 8, 8, 8, 8, 9])
    assert isinstance(ended, UnauthenticatedError)
    said = capsys.readouterr().err
    assert "The console ended the tail. Connecting again in 0.01 s, to go on from leaf 8." in said
    assert "Busy." in said
    assert "Ten of your tails are open already." in said
    assert said.count("Connected again; going on from leaf 8.") == 2


def test_what_failed_there_ends_it_or_is_tried_again_by_its_kind(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What takes too long takes so again; what is away may come back. Neither is a row."""

    def failed(error: AffidavitError) -> bytes:
        return b"event: error\ndata: " + json.dumps(error.as_json()).encode() + b"\n\n"

    away, late = UnavailableError("No index."), UsageError("It takes too long.")
    answers = (STREAM + rows(4) + failed(away), STREAM + rows(5) + failed(late))
    with console(*answers) as (url, asked):
        found, ended = followed(url)
    assert (found, asked, type(ended)) == ([4, 5], [3, 5], UsageError)
    assert "No index. Connecting again" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error", [ExpressionError("No."), UnavailableError("Away."), LimitedError("Enough.")]
)
def test_what_does_not_begin_is_not_tried_again(error: Any) -> None:
    """The first answer decides: an error is told at once."""
    with console(refusal(error.http_status, error)) as (url, _):
        found, ended = followed(url)
    assert (found, type(ended)) == ([], type(error))


def test_the_verb_ends_with_the_code_of_the_refusal(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows on stdout, what happened on stderr, 3 when the key is revoked meanwhile."""
    monkeypatch.setenv("AFFIDAVIT_KEY", "aff_test")
    revoked = refusal(401, UnauthenticatedError("This key was revoked."))
    with console(STREAM + rows(4), revoked) as (url, _):
        monkeypatch.setenv("AFFIDAVIT_KEY", "aff_test")
        result = command("tail", "--after", "3", "--json", "--url", url)
    assert (result.code, [row["index"] for row in result.rows]) == (3, [4])
    assert "Connecting again" in result.err
    assert "revoked" in result.err
