"""A monitor over sockets: it reads the log through a console, with a key for nothing else."""

import asyncio
import base64
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import uvicorn

from affidavit.app import witness_replay
from affidavit.app.witness_fetch import Remote
from affidavit.app.witness_http import WitnessApp
from affidavit.app.witness_replay import Follower
from affidavit.app.witnessing import Options, run
from affidavit.cli.main import run as command
from affidavit.console.app import create_app
from affidavit.durable import Disk
from affidavit.errors import UnavailableError, UsageError
from affidavit.ledger import note, witness
from affidavit.ledger.leaf import encode
from affidavit.ledger.monitor import Monitor
from affidavit.ledger.monitor_state import MonitorState
from affidavit.ledger.monitor_tiles import Fetch
from affidavit.ledger.policy import LogKey
from affidavit.ledger.witness_store import Witness
from tests.unit.ledger.test_rules import _false_heads, _rows
from tests.world.clock import FakeClock
from tests.world.ledger import ORIGIN as ROWS_ORIGIN
from tests.world.ledger import SEED, World, quick
from tests.world.machine import Machine
from tests.world.served_log import from_files, of_bytes
from tests.world.witnessing import COSIGNER


class Site(NamedTuple):
    """An installation and where its console listens."""

    machine: Machine
    url: str


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Some exchanges, and a console on a socket."""
    machine = Machine(tmp_path_factory.mktemp("site"))
    machine.exchange("What is a monitor?", "A witness who counts.", session="s")
    machine.settle()
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    app = create_app(machine.services())
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", ws="none"))
    thread = threading.Thread(target=lambda: asyncio.run(server._serve([sock])), daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    yield Site(machine, f"http://127.0.0.1:{sock.getsockname()[1]}/log")
    server.should_exit = True
    thread.join(10)
    sock.close()
    machine.close()


Ask = Callable[[bytes], Awaitable[tuple[int, dict[str, str], str]]]


@contextmanager
def _app(
    root: Path, vkey: str, monitor: Monitor, clock: FakeClock
) -> Iterator[tuple[WitnessApp, Follower]]:
    logs = witness.logs_of([LogKey(note.Verifier.from_vkey(vkey))])
    served = Witness(Disk(), root, logs, [COSIGNER], clock, monitor.vouches)
    follower = Follower(monitor)
    app = WitnessApp(served, logs, clock, follower)
    yield app, follower
    app.close()


def _watch(
    root: Path,
    vkey: str,
    place: tuple[str, str] | Fetch,
    story: Callable[[Ask], Awaitable[None]],
    clock: FakeClock,
) -> None:
    """Run a monitor in this process while ``story`` asks it for cosignatures.

    It reads at (URL, key), or what it is handed.
    """

    async def all_of_it() -> None:
        origin = note.Verifier.from_vkey(vkey).name
        state = MonitorState(Disk(), root / "replay.db", bytes(32), origin)
        remote = Remote(*place, None) if isinstance(place, tuple) else None
        fetch = remote.get if remote is not None else place
        assert not isinstance(fetch, tuple)
        monitor = Monitor(state, fetch, clock)
        with _app(root, vkey, monitor, clock) as (app, follower):

            async def ask(data: bytes) -> tuple[int, dict[str, str], str]:
                sent: list[dict[str, Any]] = []

                async def receive() -> dict[str, Any]:
                    return {"type": "http.request", "body": data, "more_body": False}

                async def send(message: dict[str, Any]) -> None:
                    sent.append(message)

                await app(
                    {"type": "http", "method": "POST", "path": "/add-checkpoint"}, receive, send
                )
                headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
                return sent[0]["status"], headers, sent[1]["body"].decode()

            await story(ask)
            await follower.close()
            if remote is not None:
                remote.close()

    asyncio.run(all_of_it())


def _published(site: Site, old: int) -> bytes:
    """An ``add-checkpoint`` of the installation as it is now, from ``old``."""
    log = site.machine.reader_log
    size = log.checkpoint().size
    proof = log.consistency(old, size) if old else []
    lines = "".join(base64.b64encode(one).decode() + "\n" for one in proof)
    return f"old {old}\n{lines}\n".encode() + log.checkpoint_bytes()


def _size(data: bytes) -> int:
    return int(data.partition(b"\n\n")[2].split(b"\n")[1])


def test_a_monitor_reads_replays_and_cosigns(site: Site, tmp_path: Path) -> None:
    """Through the console, as the log grows; the reads are on record, under few records."""
    machine = site.machine
    key = machine.keys["monitor"]

    async def story(ask: Ask) -> None:
        old = 0
        for _ in range(3):
            data = _published(site, old)
            status, _, lines = await ask(data)
            assert status == 200, lines
            whole = data.partition(b"\n\n")[2] + lines.encode()
            keys = [note.Verifier.from_vkey(machine.log.vkey), COSIGNER.verifier()]
            assert len(note.open_note(whole, keys).signers) == 2
            old = _size(data)
            await asyncio.to_thread(machine.exchange, "And now?", "Still.", session="s")
            machine.settle()
        assert (await ask(_published(site, 0)))[0] == 409

    _watch(tmp_path, machine.log.vkey, (site.url, key), story, machine.clock)
    told = [one["what"] for one in machine.records("access.query")]
    assert [what.get("leaves_from") for what in told] == [0]
    assert told[0]["operation"] == "log.entries"


def test_what_keeps_a_monitor_from_reading_is_said(site: Site, tmp_path: Path) -> None:
    """A key that may not, a log that is not there: 503, and when it can read it goes on."""
    machine = site.machine

    async def refused(ask: Ask) -> None:
        status, headers, told = await ask(_published(site, 0))
        assert (status, headers["retry-after"]) == (503, "1")
        assert "does not let this monitor read tile/entries/" in told

    async def gone(ask: Ask) -> None:
        status, _, told = await ask(_published(site, 0))
        assert status == 503
        assert "does not accept connections" in told

    async def missing(ask: Ask) -> None:
        status, _, told = await ask(_published(site, 0))
        assert (status, "does not serve tile/" in told) == (503, True)

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for number, (url, key, story) in enumerate(
        [
            (site.url, machine.keys["caller"], refused),
            (site.url, "aff_nothing", refused),
            (f"http://127.0.0.1:{port}", machine.keys["monitor"], gone),
            (site.url + "/nowhere", machine.keys["monitor"], missing),
        ]
    ):
        _watch(tmp_path / str(number), machine.log.vkey, (url, key), story, machine.clock)


def test_a_file_that_is_too_large_or_answered_otherwise(site: Site) -> None:
    """Is not taken, and not taken for absent."""

    async def story() -> None:
        loop = asyncio.get_running_loop()
        remote = Remote(site.url, site.machine.keys["monitor"], None)
        assert await loop.run_in_executor(None, remote.get, "tile/0/999") is None
        other = Remote(site.url.replace("/log", ""), "k", None)
        with pytest.raises(UnavailableError, match="answered 405"):
            await asyncio.to_thread(other.get, "api/reveal")
        other.close()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("affidavit.app.witness_fetch.MAX_BYTES", 10)
            with pytest.raises(UnavailableError, match="more than checkpoint can hold"):
                await asyncio.to_thread(remote.get, "checkpoint")
        remote.close()

    asyncio.run(story())


def test_a_long_replay_is_told_to_come_again(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on meanwhile; a request in the middle waits for it, and one behind it has it."""
    monkeypatch.setattr(witness_replay, "ANSWER_SECONDS", 0.05)
    machine = site.machine
    go_on = threading.Event()
    files = from_files(machine.root / "log")

    def slow(path: str) -> bytes | None:
        assert go_on.wait(20)
        return files(path)

    async def story(ask: Ask) -> None:
        data = _published(site, 0)
        answers = await asyncio.gather(ask(data), ask(data))
        for status, headers, told in answers:
            assert (status, headers["retry-after"]) == (503, "1")
            assert told == f"0 of {_size(data)} leaves are replayed.\n"
        go_on.set()
        monkeypatch.setattr(witness_replay, "ANSWER_SECONDS", 20.0)
        first, second = await asyncio.gather(ask(data), ask(data))
        assert {first[0], second[0]} == {200, 409}

    _watch(tmp_path, machine.log.vkey, slow, story, machine.clock)


def test_a_monitor_that_comes_after_a_pruning_says_so_and_vouches_for_nothing(
    site: Site, tmp_path: Path
) -> None:
    """What it has not replayed it does not cosign, and whoever asks hears why."""
    root, vkey = site.machine.root / "log", site.machine.log.vkey
    size = site.machine.reader_log.checkpoint().size
    moved = [root / f"{row}/000.p" for row in ("tile/entries", "links")]
    for path in moved:  # as if the bundle were full and below the minimum index
        path.rename(path.with_suffix(".away"))
    (root / "minimum").write_bytes(b"256\n")

    async def story(ask: Ask) -> None:
        status, _, text = await ask(_published(site, 0))
        assert (status, "The log was pruned: tile/entries/" in text) == (503, True), text

    key = site.machine.keys["monitor"]
    try:
        _watch(tmp_path, vkey, (site.url, key), story, site.machine.clock)
    finally:
        (root / "minimum").unlink()
        for path in moved:
            path.with_suffix(".away").rename(path)
    assert site.machine.reader_log.checkpoint().size == size


def test_a_log_that_never_answers_does_not_keep_a_monitor_from_ending(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it waits for is given up, and what it had replayed is kept."""
    monkeypatch.setattr(witness_replay, "ANSWER_SECONDS", 0.05)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        place = f"http://127.0.0.1:{silent.getsockname()[1]}/log"

        async def story() -> None:
            remote = Remote(place, site.machine.keys["monitor"], None)
            state = MonitorState(Disk(), tmp_path / "replay.db", bytes(32), "a.example/log")
            follower = Follower(Monitor(state, remote.get, site.machine.clock))
            answer = await follower.reach(note.Checkpoint("a.example/log", 9, bytes(32)))
            assert answer is not None
            assert (answer.status, answer.body) == (503, b"0 of 9 leaves are replayed.\n")
            remote.stop()
            async with asyncio.timeout(10):
                await follower.close()
            with pytest.raises(UnavailableError, match="stopping"):
                await asyncio.to_thread(remote.get, "checkpoint")
            remote.close()

        asyncio.run(story())
    again = MonitorState(Disk(), tmp_path / "replay.db", bytes(32), "a.example/log")
    assert again.progress.standing.size == 0
    again.close()


def test_what_nobody_foresaw_is_one_line_and_no_traceback(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The log is told that the monitor failed, and nothing is cosigned from then on."""
    files = from_files(site.machine.root / "log")

    def odd(path: str) -> bytes | None:
        if path.startswith("links/"):
            raise RuntimeError("odd")
        return files(path)

    async def story(ask: Ask) -> None:
        for _ in range(2):
            status, _, told = await ask(_published(site, 0))
            assert (status, told) == (503, "The monitor has failed.\n")

    _watch(tmp_path, site.machine.log.vkey, odd, story, site.machine.clock)
    assert capsys.readouterr().err == "witness: the replay failed: RuntimeError\n"


def test_a_broken_rule_is_told_to_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """422 with the leaf and the rule, each time; one line on stderr; the same after a restart."""
    quick(monkeypatch)
    (tmp_path / "w").mkdir()
    world = World(tmp_path / "w")
    world.open()
    rows = _rows(world)
    world.drop()
    _false_heads(rows)
    served, checkpoint = of_bytes([(encode(leaf), b"".join(links)) for leaf, links in rows])
    signer = note.Signer(ROWS_ORIGIN, SEED)
    data = b"old 0\n\n" + note.sign_checkpoint(checkpoint, [signer])

    async def story(ask: Ask) -> None:
        for _ in range(2):
            status, headers, told = await ask(data)
            assert status == 422
            assert "retry-after" not in headers
            assert told.startswith("A rule is broken: Leaf 4 claims heads that do not follow from ")

    for _ in range(2):
        _watch(tmp_path / "m", signer.vkey, served, story, world.clock)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert all("8 leaves is not cosigned: A rule is broken: Leaf 4" in line for line in said)


def test_what_a_monitor_needs_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One log, its place, and a key that nobody else reads; each has its sentence."""
    monkeypatch.delenv("AFFIDAVIT_KEY", raising=False)
    log = note.Signer("a.example/log", bytes(32)).vkey
    other = note.Signer("b.example/log", bytes(32)).vkey
    key = tmp_path / "key"
    key.write_text("aff_x\n")
    policy = tmp_path / "policy"
    policy.write_text(f"log {log}\nlog {other} http://127.0.0.1:1/log\nquorum none\n")
    asked: list[tuple[list[str], str]] = [
        ([], "Give --log"),
        (["--log", log, "--policy", str(policy)], "and not both"),
        (["--policy", str(tmp_path / "nothing")], "could not be read"),
        (["--log", "x"], "not a verifier key"),
        (["--monitor", "--log", log], "where the log is"),
        (["--monitor", "--policy", str(policy)], "watches one log"),
        (["--monitor", "--log", f"{log}@http://127.0.0.1:1/log"], "needs a key"),
        (
            ["--monitor", "--log", f"{log}@http://127.0.0.1:1/log", "--key-file", str(key)],
            "may be read by others",
        ),
    ]
    key.chmod(0o644)
    for number, (options, said) in enumerate(asked):
        data = str(tmp_path / str(number))
        code = command(["witness", "--data", data, "--listen", "127.0.0.1:0", *options])
        assert code in {2, 4}, options
        assert said in capsys.readouterr().err
    policy.write_text("quorum none\n")
    assert command(["witness", "--data", str(tmp_path / "p"), "--policy", str(policy)]) == 2
    assert f"{policy}: " in capsys.readouterr().err
    with pytest.raises(UsageError, match="HOST:PORT"):
        run(
            Options(tmp_path / "l", "nowhere", "", None, (log,), False, False, None, None),
            as_json=True,
        )
