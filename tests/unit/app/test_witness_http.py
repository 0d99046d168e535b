"""The witness over HTTP: routes, limits, and a real process on a real socket."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from affidavit.app import witness_http
from affidavit.app.witness_http import WitnessApp
from affidavit.ledger import note, witness
from affidavit.ledger.witness_store import Witness
from tests.world.clock import FakeClock
from tests.world.rawclient import Answer, RawClient
from tests.world.witnessing import (
    LOG,
    LOGS,
    ORIGIN,
    body,
    checkpoint_of,
    grown,
    open_witness,
)

TREE = grown("a", 12)
FORK = grown("b", 12, TREE[:3])


class Front:
    """An application, asked without a socket."""

    def __init__(self, served: Witness) -> None:
        self.app = WitnessApp(served, LOGS, FakeClock())

    def ask(
        self, method: str, path: str, *pieces: bytes, never_ends: bool = False
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body."""
        waiting = [
            {"type": "http.request", "body": piece, "more_body": never_ends or n < len(pieces)}
            for n, piece in enumerate(pieces or (b"",), 1)
        ]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if not waiting:
                await asyncio.sleep(60)
            return waiting.pop(0)

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {"type": "http", "method": method, "path": path}
        asyncio.run(self.app(scope, receive, send))
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], headers, sent[1]["body"]


@pytest.fixture
def front(tmp_path: Path) -> Iterator[Front]:
    """A fresh witness."""
    made = Front(open_witness(tmp_path))
    yield made
    made.app.close()


def test_a_checkpoint_is_added_and_served(front: Front) -> None:
    """Cosignature lines as answer, the whole note under the monitoring prefix."""
    name = witness.path_name(ORIGIN)
    assert front.ask("GET", f"/{name}/checkpoint")[0] == 404
    status, headers, lines = front.ask("POST", "/add-checkpoint", body(0, TREE[:5]))
    assert (status, headers["content-type"]) == (200, "text/plain; charset=utf-8")
    status, headers, served = front.ask("GET", f"/{name}/checkpoint")
    text = checkpoint_of(TREE[:5]).text()
    assert (status, served) == (200, f"{text}\n{LOG.sign(text)}".encode() + lines)
    assert (headers["content-type"], headers["cache-control"]) == (
        "text/plain; charset=utf-8",
        "no-cache",
    )
    assert front.ask("HEAD", f"/{name}/checkpoint")[2] == b""


def test_a_body_in_pieces_is_one_body(front: Front) -> None:
    """However it was cut."""
    data = body(0, TREE[:5])
    assert (
        front.ask("POST", "/add-checkpoint", *(data[i : i + 7] for i in range(0, 999, 7)))[0] == 200
    )


def test_the_size_on_record_is_told(front: Front) -> None:
    """409 with its own media type."""
    front.ask("POST", "/add-checkpoint", body(0, TREE[:5]))
    status, headers, told = front.ask("POST", "/add-checkpoint", body(0, TREE[:9]))
    assert (status, headers["content-type"], told) == (409, "text/x.tlog.size", b"5\n")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/add-checkpoint", 405), ("PUT", "/add-checkpoint", 405), ("GET", "/", 404),
        ("POST", "/", 405), ("GET", "/healthz", 200), ("POST", "/healthz", 405),
        ("GET", "/../keys/ed25519", 404), ("GET", f"/{'0' * 64}/checkpoint", 404),
        ("GET", f"/{'0' * 64}/checkpoint/", 404), ("GET", f"/{'A' * 64}/checkpoint", 404),
        ("GET", "/add-checkpoint/", 404), ("DELETE", f"/{'0' * 64}/checkpoint", 405),
    ],
)  # fmt: skip
def test_nothing_else_is_there(front: Front, method: str, path: str, status: int) -> None:
    """One line of text each."""
    found, headers, told = front.ask(method, path)
    assert found == status
    assert (status == 405) == ("allow" in headers)
    assert told.count(b"\n") == 1


def test_bodies_are_limited_in_size_and_time(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    """413 as soon as it is too long, 408 if it does not end."""
    piece = b"x" * (1 << 19)
    status, headers, _ = front.ask("POST", "/add-checkpoint", piece, piece, never_ends=True)
    assert (status, headers["connection"]) == (413, "close")
    monkeypatch.setattr(witness_http, "BODY_SECONDS", 0.02)
    assert front.ask("POST", "/add-checkpoint", b"old 0\n", never_ends=True)[0] == 408


def test_what_speaks_against_a_log_is_a_line_once(
    front: Front, capsys: pytest.CaptureFixture[str]
) -> None:
    """A fork is told on stderr, not each time it is asked for; a mistake of a client is not."""
    front.ask("POST", "/add-checkpoint", body(0, TREE[:5]))
    for _ in range(3):
        assert front.ask("POST", "/add-checkpoint", body(5, FORK[:9]))[0] == 422
    front.ask("POST", "/add-checkpoint", body(0, TREE[:9]))
    front.ask("POST", "/add-checkpoint", b"old 0\n\n")
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"{ORIGIN} of 9 leaves is not cosigned" in said


def test_a_disk_that_failed_is_seen_in_health(front: Front) -> None:
    """So that somebody looks."""
    front.app._witness.failure = OSError(5, "Input/output error")
    assert front.ask("GET", "/healthz")[0] == 503
    assert front.ask("POST", "/add-checkpoint", body(0, TREE[:5]))[0] == 503


# --- a process ------------------------------------------------------------------------------------


def _start(data: Path, *more: str) -> tuple[subprocess.Popen[str], dict[str, Any]]:
    process = subprocess.Popen(
        [
            sys.executable, "-m", "affidavit", "witness", "--json", "--data", str(data),
            "--listen", "127.0.0.1:0", "--name", "witness.example/w1", "--log", LOG.vkey, *more,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert process.stdout is not None
    line = process.stdout.readline()
    return process, json.loads(line) if line else {}


def _exchange(port: int, method: str, path: str, data: bytes = b"") -> Answer:
    with RawClient(port) as client:
        head = f"{method} {path} HTTP/1.1\r\nhost: w\r\ncontent-length: {len(data)}\r\n\r\n"
        client.send(head.encode() + data)
        return client.answer()


def test_a_witness_by_itself(tmp_path: Path) -> None:
    """Started, asked, refused to a second one, ended; the next one goes on where it was."""
    process, facts = _start(tmp_path, "--post-quantum")
    port = int(facts["witness"].rpartition(":")[2])
    assert (facts["name"], facts["monitor"], facts["logs"]) == (
        "witness.example/w1", False, [ORIGIN],
    )  # fmt: skip
    assert facts["pid"] == process.pid
    assert (
        facts["policy"][0] == f"witness witness.example/w1 {facts['vkeys'][0]} {facts['witness']}"
    )
    answer = _exchange(port, "POST", "/add-checkpoint", body(0, TREE[:5]))
    assert answer.status == 200
    text = checkpoint_of(TREE[:5]).text()
    keys = [note.Verifier.from_vkey(vkey) for vkey in facts["vkeys"]]
    assert set(note.open_note(f"{text}\n".encode() + answer.body, keys).signers) == set(
        facts["vkeys"]
    )
    second, nothing = _start(tmp_path)
    _, said = second.communicate()
    assert (second.returncode, nothing) == (4, {})
    assert "lock is held by a witness" in said
    process.send_signal(signal.SIGTERM)
    assert process.communicate() == ("", "")
    assert process.returncode == 0
    again, facts_again = _start(tmp_path)
    port = int(facts_again["witness"].rpartition(":")[2])
    assert facts_again["vkeys"] == facts["vkeys"][:1]
    assert _exchange(port, "POST", "/add-checkpoint", body(0, TREE[:9])).body == b"5\n"
    served = _exchange(port, "GET", f"/{witness.path_name(ORIGIN)}/checkpoint")
    assert set(note.open_note(served.body, keys).signers) == set(facts["vkeys"])
    os.kill(again.pid, signal.SIGTERM)
    again.communicate()
    assert again.returncode == 0
