"""Claims about a gateway worker as a process of its own."""

import signal
import time
from pathlib import Path

import pytest

from affidavit.record.model import Piece
from tests.world.gateway import DONE, KEY, chat, chat_event
from tests.world.gateway_process import Worker, start
from tests.world.rawclient import RawClient, request
from tests.world.upstream import LAST_CHUNK, SSE_HEAD, Do, Step, Upstream, chunk

STREAM = request("/openai/v1/chat/completions", chat(stream=True), key=KEY)
EVENT = chat_event("Hello")


@pytest.mark.parametrize(
    ("number", "rest", "outcome"),
    [
        (signal.SIGTERM, [0.2, chunk(DONE), LAST_CHUNK], "complete"),
        (signal.SIGTERM, [Do.HOLD], "interrupted"),
        (signal.SIGINT, [Do.HOLD], "interrupted"),
    ],
)
def test_a_signal_drains(
    tmp_path: Path, number: signal.Signals, rest: list[Step], outcome: str
) -> None:
    """Running calls end or are interrupted; exit code 0; the last record is ledger.ended."""
    with (
        Upstream([SSE_HEAD + chunk(EVENT), *rest]) as provider,
        start(tmp_path, provider.url) as worker,
    ):
        with RawClient(worker.port) as client:
            client.send(STREAM)
            assert client.wait_for(EVENT)
            worker.process.send_signal(number)
            answer = client.answer()
        _, errors = worker.process.communicate(timeout=10)
    assert (worker.process.returncode, errors) == (0, "")
    assert answer.clean == (outcome == "complete")
    assert worker.journal.exchanges()[0][1].outcome == outcome
    assert worker.journal.entries()[-1].record.type == "ledger.ended"


def kill(worker: Worker) -> None:
    """SIGKILL, and wait until it is dead."""
    worker.process.kill()
    worker.process.wait(10)
    assert worker.process.returncode == -signal.SIGKILL


def pieces(worker: Worker) -> bytes:
    """The response bytes its journal holds."""
    return b"".join(f.data for f in worker.journal.frames() if isinstance(f, Piece))


def test_what_was_received_before_a_kill_is_in_the_journal(tmp_path: Path) -> None:
    """A kill in the middle of a stream: every byte a client got can be read back."""
    steady: list[Step] = [chunk(EVENT), 0.002]
    with (
        Upstream([SSE_HEAD, *steady * 500]) as provider,
        start(tmp_path, provider.url) as worker,
        RawClient(worker.port) as client,
    ):
        client.send(STREAM)
        assert client.wait_for(EVENT)
        time.sleep(0.05)
        kill(worker)
        received = client.answer().body
        (asked,) = worker.journal.entries()
        assert asked.parts["request.body"] == chat(stream=True)
        assert received.count(EVENT) > 1
        assert pieces(worker).startswith(received)


def test_kills_at_any_moment(tmp_path: Path) -> None:
    """Wherever the kill falls, what a client got is on record, and a clean end has an outcome."""
    script: list[Step] = [SSE_HEAD, *[chunk(EVENT)] * 3, 0.01, chunk(DONE), LAST_CHUNK]
    for turn in range(3):
        directory = tmp_path / str(turn)
        directory.mkdir()
        with (
            Upstream(script) as provider,
            start(directory, provider.url) as worker,
            RawClient(worker.port) as client,
        ):
            client.send(STREAM)
            time.sleep(turn * 0.008)
            kill(worker)
            answer = client.answer()
            entries = worker.journal.entries()
            assert pieces(worker).startswith(answer.body)
            if answer.clean or DONE in answer.body:
                assert [e.outcome for e in entries if e.outcome] == ["complete"]
            if provider.got:
                assert entries[0].record.type == "exchange.request"
