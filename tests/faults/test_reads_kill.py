"""``kill -9`` of the console at every step of a read: what was shown is on record (guarantee G13).

A step is an effect on the disk, a look into index or vault, or a piece of an answer handed to the
server; the console dies before it. The reader is another process at the other end of a socket, so
what it received is what left. Then the sequencer sweeps the dead console's journal.
"""

import asyncio
import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
import uvicorn

from affidavit.app import opening
from affidavit.app.paths import Paths
from affidavit.clock import SystemClock
from affidavit.config import Config
from affidavit.console.access import Access
from affidavit.console.app import create_socket_app
from affidavit.console.services import ConsoleServices
from affidavit.control.identity import Directory, Snapshot
from affidavit.control.link import ControlLink
from affidavit.durable import Disk, Effects
from affidavit.index.reader import Reader
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.note import Verifier
from affidavit.query.prover import RemoteProver
from affidavit.record.journal import JournalWriter
from affidavit.record.seal import Recipient
from affidavit.vault.reader import VaultReader
from tests.world.audit import audit
from tests.world.machine import Machine
from tests.world.zygote import Ended, Report, Zygote, die

T = TypeVar("T")
MODEL = "demo-killed"
READS: dict[str, tuple[str, str, dict[str, Any] | None, str]] = {
    "query": ("POST", "/api/query", {"expression": f"model:{MODEL}"}, "access.query"),
    "show": ("GET", "/api/show/{0}", None, "access.query"),
    "reveal": ("POST", "/api/reveal", {"id": "{0}", "reason": "a test"}, "access.reveal"),
    "export": ("POST", "/api/export", {"expression": f"model:{MODEL}"}, "access.export"),
    "tail": ("GET", f"/api/tail?after=0&expression=model:{MODEL}", None, "access.tail"),
}
"""Each way to read: method, path, body, and the type of its record."""


class Steps:
    """Counts steps once armed and dies before the one of a number; of one name, if it is given."""

    def __init__(self, report: Report, die_before: int, name: str) -> None:
        self._report = report
        self._die_before = die_before
        self._name = name
        self._lock = threading.Lock()
        self._count = 0
        self.armed = False

    def step(self, name: str) -> None:
        """The next step is about to be made."""
        if not self.armed or self._name not in ("", name):
            return
        with self._lock:
            if self._count == self._die_before:
                self._report(name)
                die()
            self._count += 1


class DeadlyEffects(Effects):
    """Effects on the disk, each a step."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        """A step, then as it is."""
        self._steps.step("pwrite")
        return super().pwrite(fd, data, offset)

    def fdatasync(self, fd: int) -> None:
        """A step, then as it is."""
        self._steps.step("fdatasync")
        super().fdatasync(fd)


class DeadlyServices(ConsoleServices):
    """A console whose looks into index and vault are steps, before and behind."""

    steps: Steps

    async def blocking(self, work: Callable[[], T]) -> T:
        """A step, then as it is, and a step."""
        self.steps.step("look")
        found = await super().blocking(work)
        self.steps.step("looked")
        return found


def read_and_die(
    report: Report, root: str, snapshot: str, address: str, step: int, name: str, *, leaks: bool
) -> None:
    """Serve one read on a socket and die before step ``step``; else end behind it.

    ``leaks``: a console as it must not be, whose reads leave no record.
    """
    if leaks:
        Access.read = _nothing  # type: ignore[method-assign] # in this child alone
    steps = Steps(report, step, name)
    data, clock = Path(root), SystemClock()
    known = msgspec.msgpack.decode(base64.b64decode(snapshot), type=Snapshot)
    keyring = opening.keyring(Paths(data), clock)
    log = LogReader(data / "log", [Verifier.from_vkey(vkey) for vkey in known.log_vkeys])
    recipient = Recipient(known.recipient_day, known.recipient_public)
    journal = JournalWriter.open(
        Disk(DeadlyEffects(steps)), data / "journal", "console", lambda: recipient, clock,
        segment_bytes=1 << 18,
    )  # fmt: skip
    services = DeadlyServices(
        clock=clock, config=Config().named("test.example/log"), data=data, log=log,
        vault=VaultReader(data / "vault", keyring, log.decoded),
        reader=Reader(data, keyring.database_key("index.db")), prover=RemoteProver(_nobody),
        journal=journal, control=ControlLink(data / "run" / "nobody.sock"),
        snapshot=lambda: known, directory=lambda: Directory(known.identities),
    )  # fmt: skip
    member = next(i for i in known.identities if i.role == "member")
    Snapshot.local = property(lambda _: member)  # type: ignore[assignment, method-assign] # here alone
    object.__setattr__(services, "steps", steps)
    asyncio.run(_serve(services, steps, address))


async def _nothing(*_: object, **__: object) -> str:
    return ""


def _nobody(_: dict[str, Any]) -> dict[str, Any]:
    raise AssertionError("a member is proved nothing")


async def _serve(services: ConsoleServices, steps: Steps, address: str) -> None:
    inner = create_socket_app(services)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        steps.armed = True

        async def piece(message: Any) -> None:
            steps.step("send")
            await send(message)
            steps.step("sent")

        await inner(scope, receive, piece)

    config = uvicorn.Config(app, log_level="critical", lifespan="off", ws="none", http="httptools")
    server = uvicorn.Server(config)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    serving = asyncio.create_task(server._serve([listener]))
    while not steps.armed or server.server_state.tasks or server.server_state.connections:  # noqa: ASYNC110 - plain flags of a server
        await asyncio.sleep(0.005)
    server.should_exit = True
    await serving


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    """One process that has imported everything."""
    with Zygote(__name__) as process:
        yield process


class Story:
    """An installation, and reads of it by a console that dies."""

    def __init__(self, root: Path, sockets: Path, zygote: Zygote) -> None:
        root.mkdir()
        self.machine = Machine(root)
        _, self.record = self.machine.exchange("What is a witness?", "One.", model=MODEL)
        self.machine.settle()
        self._sockets, self._zygote = sockets, zygote
        day = self.machine.clock.now()[:10]
        recipient = self.machine.keyring.recipient_key(day).recipient
        known = msgspec.structs.replace(
            self.machine.snapshot(),
            recipient_day=recipient.day,
            recipient_public=recipient.public,
        )
        self._snapshot = base64.b64encode(msgspec.msgpack.encode(known)).decode()
        self._kills = 0

    def kill(self, kind: str, step: int, name: str = "", *, leaks: bool = False) -> Ended:
        """One read that dies before a step; asserts that what was shown is on record."""
        method, path, body, recorded = READS[kind]
        self._kills += 1
        address = self._sockets / str(self._kills)
        got: list[bytes] = []
        sent = json.dumps(body).replace("{0}", self.record).encode() if body else b""
        request = (
            f"{method} {path.format(self.record)} HTTP/1.1\r\nhost: localhost\r\n"
            f"content-type: application/json\r\ncontent-length: {len(sent)}\r\n"
            f"authorization: Bearer {self.machine.keys['member']}\r\n"
            "connection: close\r\n\r\n"
        ).encode()
        wanted = None if kind != "tail" else self.record.encode()
        reader = threading.Thread(target=_receive, args=(address, request + sent, wanted, got))
        reader.start()
        before = self.machine.log.size
        ended = self._zygote.run(
            f"{__name__}:read_and_die",
            root=str(self.machine.root), snapshot=self._snapshot, address=str(address), step=step,
            name=name,
            leaks=leaks,
        )  # fmt: skip
        reader.join(20)
        assert ended.error == "", ended.error
        for _ in range(2):
            self.machine.settle()
        told = [
            self.machine.reader_log.decoded(index).type
            for index in range(before, self.machine.log.published)
        ]
        shown = self.record.encode() in b"".join(got)
        assert recorded in told or not shown, f"{kind}: no {recorded} after {ended.reports}"
        assert ended.killed or shown, (kind, step, b"".join(got)[:300])
        return ended

    def close(self, beside: Path) -> None:
        """The whole directory is as it must be, whoever died in it."""
        root = self.machine.root
        (root / "log" / "log.vkey").write_text(self.machine.log.vkey + "\n")
        self.machine.close()
        beside.mkdir()
        found = audit(root, beside=beside)
        assert found.types["ledger.ended"] >= self._kills


def _receive(address: Path, request: bytes, enough: bytes | None, got: list[bytes]) -> None:
    """Send a request once somebody listens; what comes back until the end, or ``enough`` of it."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.socket(socket.AF_UNIX) as one:
            try:
                one.connect(str(address))
            except OSError:
                time.sleep(0.005)
                continue
            one.settimeout(20)
            try:
                one.sendall(request)
                while data := one.recv(1 << 20):
                    got.append(data)
                    if enough and enough in b"".join(got):
                        return
            except ConnectionError:
                pass  # it died; what came before counts
            return


@pytest.fixture
def story(tmp_path: Path, zygote: Zygote) -> Iterator[Story]:
    """An installation whose console dies often; audited in the end."""
    (tmp_path / "s").mkdir()
    one = Story(tmp_path / "d", tmp_path / "s", zygote)
    yield one
    one.close(tmp_path / "beside")


def test_killed_around_the_first_byte_what_was_shown_is_on_record(story: Story) -> None:
    """Before the record is durable, and behind the rows; the other reads are in the slow form."""
    assert story.kill("query", 0, "fdatasync").reports == ["fdatasync"]
    assert story.kill("query", 1, "sent").reports == ["sent"]
    assert story.kill("tail", 2, "sent").reports == ["sent"]


@pytest.mark.slow
def test_a_console_that_records_nothing_is_found_out(story: Story) -> None:
    """The test has teeth: without its record, what was shown is missed in the ledger."""
    with pytest.raises(AssertionError, match=r"access\.query"):
        story.kill("query", 1, "sent", leaks=True)


@pytest.mark.slow
def test_killed_before_every_step_what_was_shown_is_on_record(story: Story) -> None:
    """Every step of every kind of read, until a read comes to its end."""
    for kind in READS:
        step, names = 0, []
        while (ended := story.kill(kind, step)).killed:
            names += ended.reports
            step += 1
        print(f"{kind}: {step} kills, before {names}")
        assert {"look", "looked", "pwrite", "fdatasync", "send", "sent"} <= set(names), kind
