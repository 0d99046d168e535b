"""Pruning in the sequencer: only what the policy lets go, on record first, and to the end."""

import asyncio
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from affidavit.app import opening, rebuild, system
from affidavit.app.checking import Checking
from affidavit.app.paths import Paths
from affidavit.app.pruning import DAY, Pruning
from affidavit.config_retention import Retention
from affidavit.durable import Disk
from affidavit.errors import (
    AffidavitError,
    CannotRecordError,
    CorruptError,
    PrunedError,
    RefusedError,
    UnavailableError,
    UsageError,
)
from affidavit.index import rebuild as index_rebuild
from affidavit.index.check import check_index
from affidavit.index.indexer import Indexer
from affidavit.ledger import prune, tiles
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.note import Checkpoint
from affidavit.ledger.pruned import minimum_of
from affidavit.query.boundary import owner
from affidavit.query.completeness import build
from affidavit.query.content import look
from affidavit.query.language import parse
from affidavit.query.question import Question
from affidavit.query.search import Searcher
from affidavit.record.model import Chain
from affidavit.vault.vault import Vault
from tests.faults import pruning_story
from tests.world.machine import Machine, PatientProver

KEPT_DAYS = 30


class Hosted:
    """What a sequencer does for pruning, by hand on a machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.log_reader = machine.reader_log
        self.recorded: list[tuple[prune.Expired, int]] = []
        self.fails: AffidavitError | None = None
        self.deciding = asyncio.Lock()
        self.holds = machine.played.holds
        self.stays: list[int] = []
        self.asked: Sequence[int] = ()
        self.seen: dict[str, int] = {}
        self._journal = machine.journal("sequencer")

    async def heads_after(self, index: int) -> bool:
        """See ``Host``; the first time there are none yet."""
        self.machine.clock.advance(1.5)
        found = self.machine.log.ensure_heads_after(index)
        self.machine.log.publish()
        return found is not None

    def cosigners(self) -> dict[str, int]:
        """See ``Host``."""
        return self.seen

    async def keeps(self, low: int, high: int, asked: Sequence[int] = ()) -> tuple[int, str] | None:
        """See ``Host``."""
        self.asked = asked
        return next(((index, "kept") for index in self.stays if low <= index < high), None)

    async def expired(self, what: prune.Expired, days: int) -> None:
        """See ``Host``."""
        assert minimum_of(self.machine.root / "log") == what.first
        if self.fails is not None:
            raise self.fails
        self.recorded.append((what, days))
        record = system.expired(self.machine.clock, self.machine.config, what, days)
        await self._journal.commit(record, ())

    def pruning(self, days: int | None = KEPT_DAYS, indexed: int | None = None) -> Pruning:
        """A new process's."""
        return Pruning(
            self.machine.root / "log",
            Retention(prune_after_days=days),
            self,
            lambda: self.machine.indexer.size if indexed is None else indexed,
            Disk(),
            self.machine.clock,
        )

    def close(self) -> None:
        """Let go."""
        self._journal.abandon()


@pytest.fixture
def hosted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hosted]:
    """Exchanges on two days, the first of which may go; tiles of 4."""
    pruning_story.small(monkeypatch)
    machine = Machine(tmp_path)
    for number in range(12):
        machine.exchange(f"Question {number}?", session=f"s{number % 3}", model=f"m{number % 2}")
    machine.settle()
    machine.clock.advance((KEPT_DAYS + 1) * DAY)
    for number in range(4):
        machine.exchange(f"Later question {number}?", session="s9")
    machine.settle()
    made = Hosted(machine)
    yield made
    made.close()
    machine.close()


def run(pruning: Pruning, begin: Callable[[], None] | None = None) -> dict[str, Any]:
    """Begin (or take up what was begun) and wait for the end."""

    async def wait() -> dict[str, Any]:
        (begin or pruning.start)()
        assert pruning._task is not None
        await asyncio.wait_for(pruning._task, 30)
        return pruning.status()

    return asyncio.run(wait())


def test_only_what_the_policy_lets_go_goes(hosted: Hosted) -> None:
    """Without one nothing; then what is old enough, in whole bundles, and what is indexed."""
    with pytest.raises(RefusedError, match="all are kept"):
        hosted.pruning(None).plan("8")
    with pytest.raises(RefusedError, match="kept for 30 days"):
        hosted.pruning().plan("28")
    with pytest.raises(UsageError, match="No bundle of 4"):
        hosted.pruning().plan("3")
    with pytest.raises(UnavailableError, match="index"):
        hosted.pruning(indexed=7).plan("8")
    with pytest.raises(UsageError):
        hosted.pruning().plan("not a time")
    plan = hosted.pruning().plan("11")
    assert (plan["first"], plan["before"]) == (0, 8)
    assert plan["until"] == hosted.log_reader.decoded(7).time
    day = hosted.machine.clock.now()[:10]
    by_time = hosted.pruning().plan(day)
    assert by_time["before"] % tiles.WIDTH == 0
    assert hosted.log_reader.decoded(by_time["before"] - 1).time < day
    assert not (hosted.machine.root / "log" / "kept").exists()


def test_it_is_on_record_and_then_gone(hosted: Hosted) -> None:
    """The record says what went and why it might; afterwards a deep check passes."""
    machine, pruning = hosted.machine, hosted.pruning()
    status = run(pruning, lambda: pruning.begin("16"))
    assert (status["error"], status["minimum"], status["before"]) == (None, 16, 16)
    ((expired, days),) = hosted.recorded
    assert (expired.first, expired.before, days) == (0, 16, KEPT_DAYS)
    (sections,) = machine.records("retention.expired")
    assert sections["what"]["pruned"]["before"] == 16
    assert sections["what"]["policy"] == {"prune_after_days": KEPT_DAYS}
    machine.reader_log.checkpoint()  # within a second it would notice by itself
    pruned = machine.reader_log.pruned()
    gone = next(index for index in range(16) if not pruned.has(index))
    with pytest.raises(PrunedError):
        machine.vault_reader.view(gone)
    machine.indexer.settle()
    result = Checking(machine.root, machine.log.keys.verifiers(), lambda *_: None, deep=True).run()
    assert result.finding is None, result.finding
    assert any("before 16 were pruned" in remark for remark in result.remarks)
    vault = Vault.open(
        machine.disk, machine.root / "vault", machine.keyring, machine.log.size,
        machine.reader_log.decoded,
    )  # fmt: skip
    vault.close()  # the group of the first day ends in leaves that are gone


def test_a_rebuilt_index_holds_what_the_log_holds(hosted: Hosted, tmp_path: Path) -> None:
    """Rows of pruned leaves are gone from it, those of kept ones and of all others are not."""
    machine, pruning = hosted.machine, hosted.pruning()
    everything = _found(machine)
    run(pruning, lambda: pruning.begin("16"))
    assert _found(machine) == everything  # until then searches find what went, and say so
    machine.reader_log.checkpoint()
    pruned = machine.reader_log.pruned()
    gone = [index for index in everything if not pruned.has(index)]
    for index in everything:
        row = machine.index_reader.row(index)
        assert row is not None
        seen = look(machine.vault_reader, row, show=True)
        assert (seen.evidence, seen.content) == (
            ("erased", "erased") if index in gone else ("verified", "shown")
        )
    assert gone
    machine.settle()
    beside = tmp_path / "beside"
    there = list(machine.reader_log.pruned().present(0, machine.log.published))
    assert rebuild.run(machine.root, beside) == len(there)
    key = opening.database_key(Paths(machine.root), "index.db")
    live, rebuilt = (_indexed(place, key) for place in (machine.root, beside))
    assert rebuilt == live & set(there)
    assert rebuilt < live


def test_a_pruning_is_part_of_every_answer_over_its_time(hosted: Hosted) -> None:
    """Whoever asks for anything then learns of it, and by which leaf."""
    machine, pruning = hosted.machine, hosted.pruning()
    since = machine.clock.now()
    run(pruning, lambda: pruning.begin("16"))
    machine.settle()
    machine.clock.advance(5)
    chain = Chain("acme", "model", "m0")
    prover = PatientProver(machine)
    answer = build(machine.reader_log, prover, Question("model:m0", (chain,), since))
    kinds = [machine.reader_log.decoded(index).type for index in answer.unattributed]
    assert (answer.question.not_proved, kinds.count("retention.expired")) == ("", 1)


def test_an_index_from_before_a_pruning_is_called_that(hosted: Hosted, tmp_path: Path) -> None:
    """An old copy was put back: it cannot be told whether it is of this log, nor caught up."""
    machine, pruning = hosted.machine, hosted.pruning()
    reader, view, beside = machine.reader_log, machine.vault_reader.view, tmp_path / "beside"
    copy = tmp_path / "copy"
    shutil.copytree(machine.root / "log", copy)
    pruning_story.pruned_to(copy, 16)
    gone = next(n for n in range(4) if not LogReader(copy).pruned().positions(n))
    size = gone * tiles.WIDTH + 2

    class Earlier:
        """The log when it had fewer leaves."""

        root, pruned = reader.root, reader.pruned

        def checkpoint(self) -> Checkpoint:
            return reader.checkpoint()._replace(size=size)

    beside.mkdir()
    index_rebuild.rebuild(beside, bytes(32), Earlier(), view)
    run(pruning, lambda: pruning.begin("16"))
    reader.checkpoint()
    old = Indexer(beside, bytes(32))
    old.start()
    with pytest.raises(CorruptError, match=f"an old one, of {size} leaves"):
        index_rebuild.catch_up(old, reader, view)
    old.close()
    with pytest.raises(CorruptError, match=f"{size} leaves, and the log was pruned beyond"):
        check_index(beside, bytes(32), reader.root, lambda: None)


def _remarks(machine: Machine, *, deep: bool) -> list[str]:
    machine.settle()
    result = Checking(machine.root, machine.log.keys.verifiers(), lambda *_: None, deep=deep).run()
    assert result.finding is None, result.finding
    return [remark for remark in result.remarks if "what was kept" not in remark]


def test_a_pruning_past_the_record_is_told_by_a_check(hosted: Hosted) -> None:
    """The files are as they should be, and nobody had said that it would be so."""
    pruning_story.pruned_to(hosted.machine.root / "log", 12)
    hosted.log_reader.checkpoint()
    for deep in (False, True):
        (said,) = _remarks(hosted.machine, deep=deep)
        assert said.startswith("That leaves before 12 were pruned is not on record")


@pytest.mark.parametrize("lie", ["before", "snapshot", "policy", "broken", ""])
def test_a_record_that_does_not_fit_a_pruning_is_told(hosted: Hosted, lie: str) -> None:
    """Of another pruning, of other leaves, or of one that came too early by its own words."""
    root = hosted.machine.root / "log"
    told = prune.prepare(Disk(), root, 12, lambda *_: None)
    changes: dict[str, dict[str, Any]] = {"before": {"before": 8}, "snapshot": {"snapshot": "x"}}
    days = {"policy": 3650, "broken": -1}.get(lie, KEPT_DAYS)
    asyncio.run(hosted.expired(told._replace(**changes.get(lie, {})), days))
    prune.commit(Disk(), root, 12)
    list(prune.remove(Disk(), root))
    hosted.log_reader.checkpoint()
    remarks = _remarks(hosted.machine, deep=True)
    assert len(remarks) == (lie != "")
    if lie == "policy":
        assert "leaves are kept for 3650 days" in remarks[0]
    elif lie:
        assert "not on record" in remarks[0]
    assert _remarks(hosted.machine, deep=False) == []


def _indexed(directory: Path, key: bytes) -> set[int]:
    """The leaves of which an index has a row."""
    rows = [line for line in index_rebuild.dump(directory, key) if line.startswith("record ")]
    return {int(row.partition("[")[2].partition(",")[0]) for row in rows}


def _found(machine: Machine) -> list[int]:
    searcher = Searcher(machine.index_reader, machine.vault_reader)
    now = machine.clock.now()
    page = searcher.run(parse("type:exchange.request", now), owner("act_root"), limit=50)
    return [row["index"] for row in page.rows]


def test_what_was_meant_is_finished_by_the_next_one(hosted: Hosted) -> None:
    """No record, no pruning; but it is meant from before the record on."""
    root, pruning = hosted.machine.root / "log", hosted.pruning()
    hosted.fails = CannotRecordError("The disk is full.")
    status = run(pruning, lambda: pruning.begin("8"))
    assert status["error"]["code"] == "unavailable.cannot_record"
    assert (minimum_of(root), prune.meant(root)) == (0, 8)
    hosted.fails, less = None, hosted.pruning()
    assert run(less, lambda: less.begin("4"))["minimum"] == 8  # what may be on record is done
    assert (prune.meant(root), len(hosted.recorded)) == (None, 1)


def test_what_was_meant_is_finished_at_a_start(hosted: Hosted) -> None:
    """With its record, which says how long leaves are kept by then."""
    root, pruning = hosted.machine.root / "log", hosted.pruning()
    hosted.fails = CannotRecordError("The disk is full.")
    run(pruning, lambda: pruning.begin("8"))
    hosted.fails = None
    assert run(hosted.pruning(KEPT_DAYS - 1))["minimum"] == 8
    assert [(what.before, days) for what, days in hosted.recorded] == [(8, KEPT_DAYS - 1)]
    assert prune.meant(root) is None
    assert run(hosted.pruning())["error"] is None  # nothing left to do


@pytest.mark.parametrize("days", [None, KEPT_DAYS + 9])
def test_what_was_meant_stays_if_it_may_not_go_any_more(hosted: Hosted, days: int | None) -> None:
    """The configuration has changed since; whoever made it say so is not too late."""
    root, pruning = hosted.machine.root / "log", hosted.pruning()
    run(pruning, lambda: pruning.begin("4"))
    hosted.fails = CannotRecordError("The disk is full.")
    run(pruning, lambda: pruning.begin("12"))
    hosted.fails = None
    waits = hosted.pruning(days)
    status = run(waits)
    assert (status["minimum"], status["error"]["code"]) == (4, "refused")
    assert status["error"]["message"] == waits.problem
    assert prune.meant(root) == 12
    assert len(hosted.recorded) == 1
    for index in range(4, 12):
        assert hosted.log_reader.decoded(index).index == index
    with pytest.raises(RefusedError):
        hosted.pruning(days).begin("8")
    less = hosted.pruning(KEPT_DAYS)
    assert run(less, lambda: less.begin("8"))["minimum"] == 12


def test_what_has_to_stay_stays(hosted: Hosted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what was meant before it had to, which does not keep less from going; and at the end."""
    root = hosted.machine.root / "log"
    hosted.stays = [9]
    prune.mean(Disk(), root, 12)
    status = run(hosted.pruning())
    assert (status["minimum"], status["error"]["message"]) == (0, "Leaf 9 is kept.")
    assert hosted.recorded == []
    less = hosted.pruning()
    status = run(less, lambda: less.begin("4"))
    assert (status["minimum"], status["before"], status["error"]) == (4, 4, None)
    original = prune.prepare

    def placed(*args: Any) -> Any:
        hosted.stays = [6]  # while it checks what goes
        return original(*args)

    monkeypatch.setattr(prune, "prepare", placed)
    late = hosted.pruning()
    assert run(late, lambda: late.begin("8"))["minimum"] == 4
    assert (len(hosted.recorded), prune.meant(root)) == (1, None)
    assert late.problem == "Leaf 6 is kept."


def test_a_hold_is_placed_while_it_is_looked_what_stays(
    hosted: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who places it does not wait for the look, which can take long; and it counts."""
    looks = 0
    keeps = hosted.keeps

    async def place() -> None:
        async with hosted.deciding, hosted.holds.gate.changing():
            hosted.stays = [6]

    async def slow(low: int, high: int, asked: Sequence[int] = ()) -> tuple[int, str] | None:
        nonlocal looks
        looks += 1
        found = await keeps(low, high, asked)
        if looks == 2:  # the last one before it goes
            await asyncio.wait_for(place(), 10)
        return found

    monkeypatch.setattr(hosted, "keeps", slow)
    pruning = hosted.pruning()
    status = run(pruning, lambda: pruning.begin("8"))
    assert (status["minimum"], status["error"]["message"], looks) == (0, "Leaf 6 is kept.", 3)
    assert (hosted.recorded, prune.meant(hosted.machine.root / "log")) == ([], None)
    hosted.stays = []
    less = hosted.pruning()
    assert run(less, lambda: less.begin("8"))["minimum"] == 8


def test_what_was_meant_waits_for_an_index_that_is_made_anew(hosted: Hosted) -> None:
    """It reads these leaves meanwhile, and would end half-way."""
    root, seen = hosted.machine.root / "log", [0, 4, 8, 28]
    prune.mean(Disk(), root, 8)
    waits = hosted.pruning()
    waits._indexed = lambda: seen.pop(0) if len(seen) > 1 else seen[0]
    assert run(waits)["minimum"] == 8
    assert seen == [28]


def test_what_was_meant_of_another_log_is_in_nobodys_way(hosted: Hosted) -> None:
    """A file put back by hand names leaves that are not there: an error, and no waiting."""
    root = hosted.machine.root / "log"
    prune.mean(Disk(), root, 4000)
    assert "published log has" in run(hosted.pruning())["error"]["message"]
    pruning = hosted.pruning()
    assert run(pruning, lambda: pruning.begin("8"))["minimum"] == 8


def test_a_witness_that_is_behind_keeps_what_it_has_not_seen(hosted: Hosted) -> None:
    """It would get no proof from where it stands, and could never cosign this log again."""
    pruning = hosted.pruning()
    hosted.seen = {"near": 28, "far": 7}
    with pytest.raises(UnavailableError, match="witness far has cosigned 7 leaves"):
        pruning.begin("8")
    assert pruning.plan("7")["before"] == 4
    hosted.seen["far"] = 8
    assert pruning.plan("8")["before"] == 8


def test_whatever_ends_it_is_told(hosted: Hosted, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that nobody foresaw is no success; what was begun is cleared away."""
    root, pruning = hosted.machine.root / "log", hosted.pruning()

    def fails(*_: object) -> None:
        raise KeyError("no")

    monkeypatch.setattr(prune, "mean", fails)
    status = run(pruning, lambda: pruning.begin("8"))
    assert status["error"]["message"] == "It failed: KeyError: 'no'."
    assert (status["minimum"], list((root / "pruned").iterdir())) == (0, [])
    monkeypatch.undo()


def test_one_that_was_begun_before_the_start_goes_on_alone(hosted: Hosted) -> None:
    """The start then begins none, which would clear away what the other has put aside."""
    pruning = hosted.pruning()

    async def early() -> None:
        pruning.begin("8")
        assert pruning.status()["stage"]
        first = pruning._task
        pruning.start()
        assert (pruning._task, first is None) == (first, False)
        await asyncio.wait_for(first, 30) if first else None

    asyncio.run(early())
    assert pruning.status()["minimum"] == 8


def test_a_number_beyond_all_numbers_is_no_time(hosted: Hosted) -> None:
    """It is refused like any other word."""
    with pytest.raises(UsageError):
        hosted.pruning().plan("9" * 5000)


def test_it_stops_with_the_process_and_one_runs_at_a_time(hosted: Hosted) -> None:
    """Stopped while it checks, nothing has gone; the next one may be asked for anew."""
    pruning = hosted.pruning()

    async def begin_and_stop() -> None:
        pruning.begin("16")
        with pytest.raises(UnavailableError, match="being pruned"):
            pruning.begin("8")
        assert pruning.status()["before"] == 16
        await pruning.stop()

    asyncio.run(begin_and_stop())
    assert pruning.status()["error"] is None
    assert (minimum_of(hosted.machine.root / "log"), hosted.recorded) == (0, [])
    other = hosted.pruning()
    assert run(other, lambda: other.begin("8"))["minimum"] == 8


def test_a_disk_that_fails_is_told(hosted: Hosted, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an error of this program, and nothing has gone."""
    pruning = hosted.pruning()

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(prune, "mean", fails)
    status = run(pruning, lambda: pruning.begin("8"))
    assert "No space left" in status["error"]["message"]
    assert minimum_of(hosted.machine.root / "log") == 0
