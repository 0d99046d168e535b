"""Routes that serve what cannot be recorded: nothing is silent, what was missed is on record."""

import errno
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from affidavit.capture import gaps as gaps_module
from affidavit.capture import relay as relay_module
from affidavit.capture.gaps import Gaps
from affidavit.capture.relay import Relay
from affidavit.config import Provider
from affidavit.durable import Disk
from affidavit.errors import CannotRecordError
from tests.transcripts.test_gateway_journal import EVENT, STREAM, Failing, ask, health
from tests.world.gateway import DONE, KEY, Entry, World, chat, chat_answer
from tests.world.rawclient import PATIENCE, Answer, RawClient, request
from tests.world.upstream import LAST_CHUNK, SSE_HEAD, Do, Step, Upstream, chunk, whole

SERVE = {"openai": {"unrecordable": "serve"}}
LARGE = request("/openai/v1/chat/completions", chat(user="x" * 90_000), key=KEY)
REFUSING = request("/strict/v1/chat/completions", chat(), key=KEY)
_POINTERS = ("affidavit-record", "affidavit-digest")


@contextmanager
def _world(directory: Path, provider: Upstream, effects: Failing, **more: Any) -> Iterator[World]:
    strict = Provider(dialect="openai", base_url=provider.url)
    with World(
        directory, provider.url, disk=Disk(effects), routes=SERVE, more={"strict": strict}, **more
    ) as world:
        yield world


def _fill(world: World, effects: Failing) -> None:
    """Until the journal takes nothing more: refused on the strict route, not one byte upstream."""
    effects.full = True
    strict = LARGE.replace(b"/openai/", b"/strict/")
    while ask(world, strict).status == 200:
        pass
    while ask(world, REFUSING).status == 200:
        pass


def _until(what: Callable[[], object], within: float = PATIENCE) -> None:
    end = time.monotonic() + within
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


def _green(world: World) -> None:
    _until(lambda: health(world) == 200)


def _gaps(world: World) -> dict[tuple[str, str], dict[str, Any]]:
    """What the records of gaps say, by kind and route."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in world.entries():
        if entry.record.type == "ledger.gap":
            what = entry.sections["what"]
            assert what["start"] <= what["end"] <= entry.record.at
            name = what["kind"], what["route"]
            before = found.get(name, {"at_least": 0})
            found[name] = what | {"at_least": what["at_least"] + before["at_least"]}
    return found


def _unrecorded(answer: Answer) -> bool:
    return answer.clean and not any(answer.header(name) for name in _POINTERS)


def _counted(world: World) -> int:
    """Calls that went upstream without a record, as the gaps say."""
    return sum(gap["at_least"] for (kind, _), gap in _gaps(world).items() if kind == "served")


def _recorded(world: World) -> list[tuple[Entry, Entry]]:
    return world.exchanges()


def test_a_full_disk_is_served_through_and_put_on_record(tmp_path: Path) -> None:
    """Answers without pointers, red health, and then how many there were, from when to when."""
    effects = Failing()
    with Upstream([whole(chat_answer())]) as provider, _world(tmp_path, provider, effects) as world:
        assert ask(world).header("affidavit-record")
        _fill(world, effects)
        before = len(provider.requests)
        for _ in range(7):
            answer = ask(world)
            assert (answer.status, answer.body) == (200, chat_answer())
            assert _unrecorded(answer)
        assert ask(world, REFUSING).status == 503
        assert len(provider.requests) == before + 7
        assert health(world) == health(world, "/readyz") == 503
        assert world.gateway.counters["unrecorded"] == 7
        effects.full = False
        _green(world)
        assert ask(world).header("affidavit-record")
    assert world.exit_code == 0
    found = _gaps(world)
    served = found.pop(("served", "openai"))
    assert (served["at_least"], served["cause"], served["worker"]) == (7, "disk full", "gateway-1")
    assert "At least 7 calls were served without a record" in served["reason"]
    (refused,) = found.values()
    assert (refused["kind"], refused["cause"]) == ("refused", "disk full")
    assert refused["at_least"] >= 2
    gap = next(entry for entry in world.entries() if entry.record.type == "ledger.gap")
    assert (gap.record.tenant, gap.record.chains) == ("", ())
    assert len(provider.requests) == len(_recorded(world)) + 7


def test_a_read_only_disk_is_told_by_its_name(tmp_path: Path) -> None:
    """The cause of a gap is one of a few words."""
    effects = Failing()

    def read_only(fd: int, size: int) -> None:
        raise OSError(errno.EROFS, f"injected {fd} {size}")

    with Upstream([whole(chat_answer())]) as provider, _world(tmp_path, provider, effects) as world:
        _fill(world, effects)
        _until(lambda: not world.gateway.gaps.hopeless)
        effects.allocate = read_only  # type: ignore[method-assign]
        time.sleep(1.1)  # the journal asks the disk once a second
        assert _unrecorded(ask(world))
        del effects.allocate
        effects.full = False
        _green(world)
    assert _gaps(world)["served", "openai"]["cause"] == "read-only"


def test_a_disk_that_hangs_is_waited_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then calls go on at once; what was in the journal after all has one outcome."""
    monkeypatch.setattr(relay_module, "RECORD_SECONDS", 1.0)
    effects = Failing()
    with Upstream([whole(chat_answer())]) as provider, _world(tmp_path, provider, effects) as world:
        effects.slow.clear()
        assert _unrecorded(ask(world))
        _until(lambda: world.gateway.gaps.hopeless)
        began = time.monotonic()
        for _ in range(5):
            assert _unrecorded(ask(world))
        assert time.monotonic() - began < 5 * 0.9
        assert health(world) == 503
        effects.slow.set()
        _green(world)
        assert ask(world).header("affidavit-record")
    gap = _gaps(world)["served", "openai"]
    assert (gap["at_least"], gap["cause"]) == (6, "journal stuck")
    (late, outcome), (_, whole_one) = _recorded(world)
    assert (outcome.outcome, outcome.parts) == ("interrupted", {})
    assert "was served and not recorded" in outcome.sections["outcome"]["error"]["message"]
    assert outcome.record.parent == late.record.id
    assert whole_one.outcome == "complete"


def test_a_stream_goes_on_when_its_pieces_are_not_taken(tmp_path: Path) -> None:
    """The caller gets all of it; the record has what came before, and says that it is not all."""
    effects = Failing()
    gate = threading.Event()
    script: list[Step] = [
        SSE_HEAD + chunk(EVENT),
        gate,
        chunk(EVENT),
        Do.TAKEN,
        chunk(DONE) + LAST_CHUNK,
    ]
    with Upstream(script) as provider, _world(tmp_path, provider, effects) as world:
        with RawClient(world.port) as client:
            client.send(STREAM)
            assert client.wait_for(EVENT)
            _take_no_pieces(world)
            gate.set()
            answer = client.answer()
        assert (answer.clean, answer.body) == (True, EVENT * 2 + DONE)
        assert answer.header("affidavit-record")
        _green(world)
    ((_, outcome),) = _recorded(world)
    assert outcome.outcome == "interrupted"
    assert outcome.parts["response.body"] == EVENT
    said = outcome.sections["outcome"]
    assert said["bytes_received"] == len(EVENT * 2 + DONE)
    assert said["error"]["message"].startswith(f"From byte {len(EVENT)} on")
    assert _counted(world) == 1


def _take_no_pieces(world: World) -> None:
    def piece(request_id: str, data: bytes) -> None:
        raise CannotRecordError(f"injected {request_id} {len(data)}", cause="disk full")

    world.journal.piece = piece  # type: ignore[method-assign]


def test_an_answer_does_not_wait_for_its_outcome(tmp_path: Path) -> None:
    """It is complete for its caller, and its outcome is recorded when there is room."""
    effects = Failing()
    refusing = [True]

    def prepare(world: World) -> None:
        real = world.journal.commit

        async def commit(record: Any, bodies: Any) -> int:
            if record.type == "exchange.response" and refusing[0]:
                raise CannotRecordError("injected", cause="disk full")
            return await real(record, bodies)

        world.journal.commit = commit  # type: ignore[method-assign]

    with (
        Upstream([whole(chat_answer())]) as provider,
        _world(tmp_path, provider, effects, prepare=prepare) as world,
    ):
        answer = ask(world)
        assert (answer.clean, answer.body) == (True, chat_answer())
        refusing[0] = False
    ((_, outcome),) = _recorded(world)
    assert (outcome.outcome, outcome.parts["response.body"]) == ("complete", chat_answer())
    assert outcome.sections["outcome"]["bytes_delivered"] == len(chat_answer())
    assert _counted(world) == 0


def test_an_outcome_that_hangs_keeps_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer ends within the patience for a record; there is one outcome all the same."""
    monkeypatch.setattr(relay_module, "RECORD_SECONDS", 1.0)
    effects = Failing()

    def prepare(world: World) -> None:
        real = world.journal.commit

        async def commit(record: Any, bodies: Any) -> int:
            if record.type == "exchange.response":
                effects.slow.clear()
            return await real(record, bodies)

        world.journal.commit = commit  # type: ignore[method-assign]

    with (
        Upstream([whole(chat_answer())]) as provider,
        _world(tmp_path, provider, effects, prepare=prepare) as world,
    ):
        began = time.monotonic()
        assert ask(world).body == chat_answer()
        assert time.monotonic() - began < PATIENCE / 2
        effects.slow.set()
    ((_, outcome),) = _recorded(world)
    assert outcome.outcome == "complete"


def test_a_provider_that_does_not_answer_is_told_without_a_record(tmp_path: Path) -> None:
    """Its error has the provider's shape and points to nothing."""
    effects = Failing()
    with Upstream([whole(chat_answer())]) as provider, _world(tmp_path, provider, effects) as world:
        _fill(world, effects)
        provider.play([Do.FIN])
        answer = ask(world)
        assert answer.status == 502
        assert _unrecorded(answer)
        effects.full = False
        _green(world)
    assert _counted(world) == 1


def test_what_is_not_on_record_at_the_end_leaves_the_journal_to_the_sweep(tmp_path: Path) -> None:
    """No last record: the sweep then says that calls may have been served unrecorded."""
    effects = Failing()
    with Upstream([whole(chat_answer())]) as provider, _world(tmp_path, provider, effects) as world:
        _fill(world, effects)
        assert _unrecorded(ask(world))
        _take_no_gaps(world)
    assert world.exit_code == 4
    types = [entry.record.type for entry in world.entries()]
    assert not {"ledger.ended", "ledger.gap"} & set(types)


def _take_no_gaps(world: World) -> None:
    real = world.journal.commit

    async def commit(record: Any, bodies: Any) -> int:
        if record.type == "ledger.gap":
            raise CannotRecordError("injected")
        return await real(record, bodies)

    world.journal.commit = commit  # type: ignore[method-assign]


def test_a_gap_that_is_not_taken_is_tried_again(tmp_path: Path) -> None:
    """Its count is kept, and what is missed meanwhile is added."""
    effects = Failing()
    with Upstream([whole(chat_answer())]) as provider, _world(tmp_path, provider, effects) as world:
        _fill(world, effects)
        assert _unrecorded(ask(world))
        real = world.journal.commit
        _take_no_gaps(world)
        effects.full = False
        _until(lambda: world.journal.refusing is None)
        time.sleep(0.3)
        assert health(world) == 503
        world.journal.commit = real  # type: ignore[method-assign]
        _green(world)
    assert _counted(world) == 1
    assert world.exit_code == 0


def _all_is_told(directory: Path) -> None:
    """Each call that reached the provider is recorded, or counted by a gap."""
    effects = Failing()
    with (
        Upstream([whole(chat_answer())]) as provider,
        _world(directory, provider, effects) as world,
    ):
        ask(world)
        _fill(world, effects)
        for _ in range(3):
            ask(world)
        effects.full = False
        _until(lambda: world.journal.refusing is None)
        ask(world)
    assert len(provider.requests) == len(_recorded(world)) + _counted(world)


def test_everything_that_went_upstream_is_told(tmp_path: Path) -> None:
    """The sum: records and what gaps count."""
    _all_is_told(tmp_path)


def test_mutant_forgetting_to_count_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that serves and does not count."""
    monkeypatch.setattr(Gaps, "count", lambda *_: None)
    with pytest.raises(AssertionError):
        _all_is_told(tmp_path)


def test_mutant_forgetting_the_gap_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that counts and throws the count away."""

    async def record(self: Gaps, _: object) -> None:
        self._open.clear()

    monkeypatch.setattr(Gaps, "record", record)
    with pytest.raises(AssertionError):
        _all_is_told(tmp_path)


def test_mutant_losing_a_count_that_was_not_taken_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that keeps nothing of an attempt that failed."""

    async def record(self: Gaps, journal: Any) -> None:
        names, self._open = self._open, {}
        for name, counted in names.items():
            await journal.commit(self._record(name, counted), ())

    monkeypatch.setattr(gaps_module.Gaps, "record", record)
    with pytest.raises(AssertionError):
        test_a_gap_that_is_not_taken_is_tried_again(tmp_path)


def test_mutant_serving_where_it_must_refuse_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relay that goes on on every route sends bytes upstream that must not go (G1)."""
    real = Relay.__init__

    def begin(self: Relay, *args: Any, **more: Any) -> None:
        real(self, *args, **(more | {"lost": lambda _: None}))

    effects = Failing()
    with Upstream([whole(chat_answer())]) as provider, _world(tmp_path, provider, effects) as world:
        _fill(world, effects)
        monkeypatch.setattr(Relay, "__init__", begin)
        before = len(provider.requests)
        ask(world, REFUSING)
        assert len(provider.requests) > before
        effects.full = False
