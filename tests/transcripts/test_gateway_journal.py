"""What happens to calls when they cannot be recorded (G1, fault plan rows 4, 5 and 38)."""

import errno
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from affidavit.capture import relay as relay_module
from affidavit.capture.exchange import Exchange
from affidavit.capture.relay import Relay
from affidavit.durable import Disk, Effects
from affidavit.errors import CannotRecordError
from tests.world.gateway import DONE, KEY, World, chat, chat_answer, chat_event
from tests.world.rawclient import PATIENCE, Answer, RawClient, request
from tests.world.upstream import CHUNKED, LAST_CHUNK, SSE_HEAD, Do, Step, Upstream, chunk, whole

ASK = request("/openai/v1/chat/completions", chat(), key=KEY)
STREAM = request("/openai/v1/chat/completions", chat(stream=True), key=KEY)
EVENT = chat_event("Hello")
WHOLE_HEAD = CHUNKED % b"application/json"


class Failing(Effects):
    """A disk that works until told how to fail; ``slow`` holds every sync until released."""

    def __init__(self) -> None:
        self.sync_error = 0
        self.write_error = 0
        self.full = False
        self.slow = threading.Event()
        self.slow.set()

    def fdatasync(self, fd: int) -> None:
        """Sync, unless it is to fail or to wait."""
        self.slow.wait(20)
        if self.sync_error:
            raise OSError(self.sync_error, "injected")
        super().fdatasync(fd)

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        """Write, unless it is to fail."""
        if self.write_error:
            raise OSError(self.write_error, "injected")
        return super().pwrite(fd, data, offset)

    def allocate(self, fd: int, size: int) -> None:
        """Allocate, unless the disk is full."""
        if self.full:
            raise OSError(errno.ENOSPC, "injected")
        super().allocate(fd, size)


def ask(world: World, message: bytes = ASK) -> Answer:
    """One request on a connection of its own."""
    with RawClient(world.port) as client:
        client.send(message)
        return client.answer()


def health(world: World, path: str = "/healthz") -> int:
    """Status of the health page."""
    return ask(world, request(path, method="GET")).status


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("call", ["sync", "write"])
def test_no_record_no_call(tmp_path: Path, number: int, call: str) -> None:
    """503 in the provider's shape, at once; the provider sees not one byte; health red."""
    effects = Failing()
    with Upstream([whole(chat_answer())]) as provider:
        world = World(tmp_path, provider.url, disk=Disk(effects))
        with world:
            assert health(world) == 200
            setattr(effects, f"{call}_error", number)
            began = time.monotonic()
            answer = ask(world)
            assert time.monotonic() - began < relay_module.RECORD_SECONDS - 1
            assert (answer.status, answer.clean) == (503, True)
            assert b'"error"' in answer.body
            assert b"unavailable.cannot_record" in answer.body
            while not world.gateway.counters["unrecordable"]:  # counted behind the answer
                assert time.monotonic() - began < PATIENCE
                time.sleep(0.01)
            assert world.gateway.counters["unrecordable"] == 1
            assert not world.gateway.health()[0]
        assert provider.got == b""


def test_after_a_failed_sync_the_worker_ends_by_itself(tmp_path: Path) -> None:
    """Exit code 4 without being told to, so that a supervisor replaces it; no last record."""
    effects = Failing()
    with Upstream([whole(chat_answer())]) as provider:
        world = World(tmp_path, provider.url, disk=Disk(effects))
        with world:
            effects.sync_error = errno.EIO
            assert ask(world).status == 503
            assert world.wait_stopped(PATIENCE)
        assert world.exit_code == 4
        assert "ledger.ended" not in [e.record.type for e in world.entries()]
        assert provider.got == b""


def wait_green(world: World, within: float = PATIENCE) -> None:
    """Until health is green: recording works, and what was not recorded is on record as a gap."""
    end = time.monotonic() + within
    while health(world) != 200:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_full_disk_is_survived(tmp_path: Path) -> None:
    """While there is no room calls are refused; when there is room again they are served."""
    effects = Failing()
    with (
        Upstream([whole(chat_answer())]) as provider,
        World(tmp_path, provider.url, disk=Disk(effects)) as world,
    ):
        large = request("/openai/v1/chat/completions", chat(user="x" * 400_000), key=KEY)
        effects.full = True
        statuses = [ask(world, large).status for _ in range(12)]
        assert statuses[0] == 200
        assert statuses[-1] == 503
        assert health(world, "/readyz") == 503
        asked = len(provider.requests)
        assert asked == statuses.count(200)
        effects.full = False
        end = time.monotonic() + PATIENCE
        while ask(world, large).status != 200 and time.monotonic() < end:
            time.sleep(0.1)
        assert len(provider.requests) == asked + 1
        wait_green(world)
    refused = len(statuses) - asked
    (gap,) = [entry for entry in world.entries() if entry.record.type == "ledger.gap"]
    assert gap.sections["what"].items() >= {
        "kind": "refused", "route": "default", "cause": "disk full", "worker": "gateway-1",
    }.items()  # fmt: skip
    assert gap.sections["what"]["at_least"] >= refused
    assert [answered.outcome for _, answered in world.exchanges()] == ["complete"] * (asked + 1)
    assert world.exit_code == 0


def test_a_disk_that_hangs_refuses_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that takes too long is a refusal; when it lands late, it has one outcome."""
    monkeypatch.setattr(relay_module, "RECORD_SECONDS", 0.3)
    effects = Failing()
    with (
        Upstream([whole(chat_answer())]) as provider,
        World(tmp_path, provider.url, disk=Disk(effects)) as world,
    ):
        effects.slow.clear()
        began = time.monotonic()
        answer = ask(world)
        assert time.monotonic() - began < PATIENCE / 2
        assert answer.status == 503
        effects.slow.set()
    assert provider.got == b""
    _, answered = world.exchange()
    assert answered.outcome == "interrupted"
    assert answered.parts["response.body"] == answer.body


def hang_on_outcomes(world: World, effects: Failing) -> None:
    """From the first response record on the disk hangs, until it is let go on."""
    real = world.journal.commit

    async def commit(record: Any, bodies: Any) -> int:
        if record.type == "exchange.response":
            effects.slow.clear()
        return await real(record, bodies)

    world.journal.commit = commit  # type: ignore[method-assign]


LATE = [
    (ASK, [whole(chat_answer())], b"", chat_answer()),
    (STREAM, [SSE_HEAD + chunk(EVENT), Do.TAKEN, chunk(DONE) + LAST_CHUNK], EVENT, EVENT + DONE),
]
"""Request, script, what the caller has before the outcome is durable, and what it has then."""


@pytest.mark.parametrize(("message", "script", "before", "body"), LATE)
def test_an_outcome_that_takes_long_is_waited_for(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    message: bytes,
    script: list[Step],
    before: bytes,
    body: bytes,
) -> None:
    """Its record may say complete, so nobody is told 503; the caller gets it all when it lands."""
    monkeypatch.setattr(relay_module, "RECORD_SECONDS", 1.0)
    effects = Failing()
    with (
        Upstream(script) as provider,
        World(tmp_path, provider.url, disk=Disk(effects)) as world,
    ):
        hang_on_outcomes(world, effects)
        threading.Timer(1.6, effects.slow.set).start()
        answer = ask(world, message)
    assert (answer.status, answer.body, answer.clean) == (200, body, True)
    _, answered = world.exchange()
    said = answered.sections["outcome"]
    assert answered.outcome == "complete"
    assert (said["bytes_delivered"], said["bytes_held"]) == (len(before), len(body) - len(before))


@pytest.mark.parametrize(("message", "script", "before", "body"), LATE)
def test_an_outcome_that_takes_too_long_breaks_the_connection(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    message: bytes,
    script: list[Step],
    before: bytes,
    body: bytes,
) -> None:
    """No 503 beside a record that says complete; delivered is no more than what was sent."""
    monkeypatch.setattr(relay_module, "OUTCOME_SECONDS", 0.2)
    effects = Failing()
    with (
        Upstream(script) as provider,
        World(tmp_path, provider.url, disk=Disk(effects)) as world,
    ):
        hang_on_outcomes(world, effects)
        answer = ask(world, message)
        effects.slow.set()
        assert (answer.status, answer.body, answer.clean) == (200 if before else 0, before, False)
        world.wait_idle()
        assert world.gateway.counters["unrecordable"] == 1
        assert world.gateway.counters["outcome.complete"] == 0
    _, answered = world.exchange()
    said = answered.sections["outcome"]
    assert answered.outcome == "complete"
    assert (said["bytes_delivered"], said["bytes_held"]) == (len(before), len(body) - len(before))


@pytest.mark.parametrize("call", ["sync", "write"])
def test_an_outcome_on_a_failing_disk_breaks_the_connection(tmp_path: Path, call: str) -> None:
    """The record may be there or not, so the answer is neither given nor denied."""
    effects = Failing()

    def prepare(world: World) -> None:
        real = world.journal.commit

        async def commit(record: Any, bodies: Any) -> int:
            if record.type == "exchange.response":
                setattr(effects, f"{call}_error", errno.EIO)
            return await real(record, bodies)

        world.journal.commit = commit  # type: ignore[method-assign]

    with (
        Upstream([whole(chat_answer())]) as provider,
        World(tmp_path, provider.url, disk=Disk(effects), prepare=prepare) as world,
    ):
        answer = ask(world)
        assert (answer.status, answer.body, answer.clean) == (0, b"", False)
        assert world.wait_stopped(PATIENCE)


def refuse_pieces(world: World, after: int) -> None:
    """From piece number ``after`` on the journal takes none."""
    real, count = world.journal.piece, 0

    def piece(request_id: str, data: bytes) -> None:
        nonlocal count
        count += 1
        if count > after:
            raise CannotRecordError("no room for a piece")
        real(request_id, data)

    world.journal.piece = piece  # type: ignore[method-assign]


def refuse_outcomes(world: World) -> None:
    """The journal takes no response record."""
    real = world.journal.commit

    async def commit(record: Any, bodies: Any) -> int:
        if record.type == "exchange.response":
            raise CannotRecordError("no room for an outcome")
        return await real(record, bodies)

    world.journal.commit = commit  # type: ignore[method-assign]


def test_a_piece_that_is_not_recorded_is_not_sent(tmp_path: Path) -> None:
    """The transfer breaks before it; outcome interrupted; the provider's connection is closed."""
    with Upstream([SSE_HEAD + chunk(EVENT), Do.TAKEN, chunk(b"data: {}\n\n"), Do.HOLD]) as provider:
        prepare: Callable[[World], None] = lambda world: refuse_pieces(world, 1)  # noqa: E731
        with World(tmp_path, provider.url, prepare=prepare) as world:
            answer = ask(world, STREAM)
            assert provider.gone.wait(PATIENCE)
        assert (answer.body, answer.clean) == (EVENT, False)
        _, answered = world.exchange()
        assert answered.outcome == "interrupted"
        assert answered.parts["response.body"] == EVENT


@pytest.mark.parametrize(
    ("script", "body"),
    [
        ([whole(chat_answer())], b""),
        ([SSE_HEAD + chunk(EVENT), Do.TAKEN, chunk(DONE) + LAST_CHUNK], EVENT),
        ([SSE_HEAD + chunk(EVENT), Do.TAKEN, chunk(DONE), Do.TAKEN, LAST_CHUNK], EVENT),
        ([whole(b"x" * 500)[:-100], Do.TAKEN, b"x" * 100], b""),
        ([whole(b"x" * 500)[:-100], Do.TAKEN, b"x" * 90, Do.TAKEN, b"x" * 10], b"x" * 400),
        ([WHOLE_HEAD + chunk(chat_answer()), Do.TAKEN, LAST_CHUNK], b""),
        ([WHOLE_HEAD + chunk(b"{"), Do.TAKEN, chunk(b"}"), Do.TAKEN, LAST_CHUNK], b"{"),
        ([whole(b"{} ")[:-1], Do.TAKEN, b" "], b""),
        ([b"HTTP/1.1 200 OK\r\n\r\n{}", Do.TAKEN, Do.FIN], b""),
    ],
)
def test_without_an_outcome_record_no_answer_ends(
    tmp_path: Path, script: list[Any], body: bytes
) -> None:
    """The last event, the last bytes and the last chunk wait for the outcome and go with it."""
    with (
        Upstream(script) as provider,
        World(tmp_path, provider.url, prepare=refuse_outcomes) as world,
    ):
        answer = ask(world, STREAM)
    if body or answer.status == 200:
        assert (answer.status, answer.body, answer.clean) == (200, body, False)
    else:
        assert answer.status == 503


@pytest.mark.parametrize(
    ("script", "kept", "delivered", "made_by"),
    [
        ([whole(chat_answer())], chat_answer(), 0, "provider"),
        (
            [SSE_HEAD + chunk(EVENT), Do.TAKEN, chunk(DONE) + LAST_CHUNK],
            EVENT + DONE,
            len(EVENT),
            "",
        ),
        ([Do.RST], None, None, "gateway"),
    ],
)
def test_a_refused_outcome_is_recorded_when_there_is_room(
    tmp_path: Path, script: list[Any], kept: bytes | None, delivered: int | None, made_by: str
) -> None:
    """By the same worker, once, as interrupted, with what came and how much of it was given."""
    with (
        Upstream(script) as provider,
        World(tmp_path, provider.url, prepare=refuse_outcomes) as world,
    ):
        answer = ask(world, STREAM)
        assert [e.record.type for e in world.entries()] == ["exchange.request"]
        del world.journal.commit  # the real one again
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and not world.gateway.counters["settled"]:
            time.sleep(0.02)
    _, answered = world.exchange()
    assert answered.outcome == "interrupted"
    said = answered.sections["outcome"]
    assert said["error"]["code"] == "unavailable.cannot_record"
    if kept is None:
        assert answered.parts["response.body"] == answer.body
        assert said["http.response.status_code"] == answer.status == 503
    else:
        assert answered.parts["response.body"] == kept
        assert said["bytes_delivered"] == delivered
    assert made_by in answered.sections["what"]["response_made_by"]


# --- mutants: the tests above must have teeth -----------------------------------------------------


def test_mutant_forwarding_before_the_record_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relay that forwards first lets bytes reach the provider: the check sees them."""

    async def record(self: Relay, _: object = None) -> bool:
        self.exchange.request()
        return True

    monkeypatch.setattr(Relay, "record", record)
    effects = Failing()
    with (
        Upstream([whole(chat_answer())]) as provider,
        World(tmp_path, provider.url, disk=Disk(effects)) as world,
    ):
        effects.sync_error = errno.EIO
        ask(world)
    assert provider.got != b""


def test_mutant_not_awaiting_the_outcome_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relay that lets go before the outcome is durable ends an unrecorded answer."""

    async def conclude(self: Relay) -> None:
        await self._let_go(None)

    monkeypatch.setattr(Relay, "conclude", conclude)
    with (
        Upstream([whole(chat_answer())]) as provider,
        World(tmp_path, provider.url, prepare=refuse_outcomes) as world,
    ):
        assert ask(world).clean


def test_mutant_not_holding_the_last_event_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relay that sends the last event at once gives away a finished answer."""
    real = Exchange.piece
    monkeypatch.setattr(Exchange, "piece", lambda self, data: real(self, data) and False)
    script: list[Step] = [SSE_HEAD + chunk(EVENT), Do.TAKEN, chunk(DONE), Do.TAKEN, LAST_CHUNK]
    with (
        Upstream(script) as provider,
        World(tmp_path, provider.url, prepare=refuse_outcomes) as world,
    ):
        answer = ask(world, STREAM)
    assert DONE in answer.body
