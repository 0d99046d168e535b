"""The sequencer is killed at each step it makes on the disk; the next one finishes, once."""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from affidavit.durable import Disk
from affidavit.errors import AffidavitError
from affidavit.ledger.inbox import Inbox
from affidavit.ledger.plan import Plan
from affidavit.record.model import Placed
from affidavit.vault.keyring import Keyring
from affidavit.vault.vault import Vault
from tests.world.fakedisk import Crash, FakeEffects, Fault, at
from tests.world.intake import Journal, PlainLog, Sequencer, judge, make, open_keyring


@pytest.fixture
def keyring(tmp_path: Path) -> Iterator[Keyring]:
    """Keys beside the directories of the test; they survive every crash."""
    opened = open_keyring(tmp_path / "keys")
    yield opened
    opened.close()


def write_one(root: Path) -> list[Journal]:
    """One writer that died with two streams open."""
    (root / "journal").mkdir(parents=True)
    died = Journal(root, segment_bytes=3000)
    one, two = died.request(), died.request(kind="tool.call")
    died.piece(one, b"half of one")
    died.piece(two, b"half of two")
    died.die()
    return [died]


def write_journals(root: Path) -> list[Journal]:
    """Three writers: one died with streams open, one ended, one died between two segments.

    The last two may serve calls unrecorded, and the third has not said what it did.
    """
    (died,) = write_one(root)
    ended, larger = (Journal(root, segment_bytes=3000, serves=True) for _ in range(2))
    done = ended.request()
    ended.piece(done, b"all of it")
    ended.respond(done)
    ended.end()
    first = larger.request(b"q" * 1500)
    larger.piece(first, b"x" * 2000)
    larger.commit(make("custom", {"p": b"y" * 1000}), (b"y" * 1000,))
    larger.piece(first, b"z")
    second = larger.request()
    larger.respond(first)
    larger.piece(second, b"w" * 10)
    larger.die()
    return [died, ended, larger]


def finish(root: Path, keyring: Keyring, journals: list[Journal]) -> list[str]:
    """Start anew, without faults, until nothing is left to do; what is wrong then."""
    try:
        with contextlib.closing(Sequencer(root, keyring, batch_records=3)) as sequencer:
            sequencer.drain(patience=8)
            return judge(sequencer, journals)
    except (AssertionError, AffidavitError) as error:
        return [str(error)]


def run(root: Path, keyring: Keyring, *faults: Fault, patience: int = 8) -> FakeEffects:
    """One run of a sequencer that ends at a fault, or finishes; what it did."""
    effects = FakeEffects(root, *faults)
    sequencer = None
    try:
        sequencer = Sequencer(root, keyring, Disk(effects), batch_records=3)
        sequencer.drain(patience=patience)
    except Crash:
        pass
    finally:
        if sequencer is not None:
            sequencer.close()
    return effects


def _kill_everywhere(tmp_path: Path, keyring: Keyring, every: int = 1) -> Iterator[str]:
    """Kill behind each step (which is before the next one), twice in a row; what was wrong."""
    journals = write_journals(tmp_path / "original")
    shutil.copytree(tmp_path / "original", tmp_path / "whole")
    steps = run(tmp_path / "whole", keyring).count
    assert steps > 100
    for number in range(0, steps, every):
        root = tmp_path / str(number)
        shutil.copytree(tmp_path / "original", root)
        fault = Fault(at(number), 0, persisted=True)
        try:
            run(root, keyring, fault)
            assert fault.fired == 1
            run(root, keyring, Fault(at(number % 7), 0))
        except AssertionError as error:
            yield f"at {number}: {error}"
        else:
            yield from (f"at {number}: {what}" for what in finish(root, keyring, journals))
        shutil.rmtree(root)


def test_killed_anywhere_the_next_start_finishes(tmp_path: Path, keyring: Keyring) -> None:
    """Behind each effect of a whole run: nothing lost, nothing doubled, one outcome."""
    assert list(_kill_everywhere(tmp_path, keyring)) == []


def _damaged(root: Path) -> list[Journal]:
    """The journals, with a frame in the middle of the largest one that cannot be read."""
    journals = write_journals(root)
    path = root / "journal" / journals[2].name / "00000000.seg"
    data = bytearray(path.read_bytes())
    data[600] ^= 1
    path.write_bytes(data)
    journals[2].gaps += 1
    return journals


def test_killed_anywhere_beside_a_damaged_journal(tmp_path: Path, keyring: Keyring) -> None:
    """What can be read is saved once, the gap is one, and the rest is as without the damage."""
    journals = _damaged(tmp_path / "original")
    shutil.copytree(tmp_path / "original", tmp_path / "whole")
    steps = run(tmp_path / "whole", keyring, patience=25).count
    with contextlib.closing(Sequencer(tmp_path / "whole", keyring)) as whole:
        there = {leaf.id for leaf in whole.log.leaves}
    readable = [one for journal in journals for one in journal.acknowledged if one.id in there]
    assert 0 < len(readable) < sum(len(journal.acknowledged) for journal in journals)
    for number in range(0, steps, 2):
        root = tmp_path / str(number)
        shutil.copytree(tmp_path / "original", root)
        run(root, keyring, Fault(at(number), 0, persisted=True), patience=25)
        with contextlib.closing(Sequencer(root, keyring, batch_records=3)) as sequencer:
            sequencer.drain(patience=25)
            wrong = judge(sequencer, journals, acknowledged=readable)
            types = [leaf.type for leaf in sequencer.log.leaves]
        assert wrong == [f"left behind: {journals[2].name}"]
        assert types.count("ledger.gap") == 2  # and one because that writer may serve unrecorded
        shutil.rmtree(root)


def _lost(root: Path, keyring: Keyring) -> list[Journal]:
    """The journals, two of which are removed when all was taken in and no request was closed."""
    journals = write_journals(root)
    with contextlib.closing(Sequencer(root, keyring)) as sequencer:
        sequencer.intake.step()
        assert len(sequencer.log.open_requests()) == 3
        for journal in (journals[0], journals[2]):
            journal.lose(root, sequencer.log.leaves)
    return journals


def test_killed_anywhere_while_missing_journals_are_closed(
    tmp_path: Path, keyring: Keyring
) -> None:
    """Behind each effect, twice in a row: one outcome for each request, one gap and end each."""
    journals = _lost(tmp_path / "original", keyring)
    shutil.copytree(tmp_path / "original", tmp_path / "whole")
    steps = run(tmp_path / "whole", keyring).count
    assert steps > 20
    wrong = []
    for number in range(steps):
        root = tmp_path / str(number)
        shutil.copytree(tmp_path / "original", root)
        fault = Fault(at(number), 0, persisted=True)
        run(root, keyring, fault)
        assert fault.fired == 1
        run(root, keyring, Fault(at(number % 7), 0))
        wrong += [f"at {number}: {what}" for what in finish(root, keyring, journals)]
        shutil.rmtree(root)
    assert wrong == []


def _removed_before_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments go as soon as they are read."""
    read = Inbox.read

    def reading(self: Inbox, max_bytes: int) -> bool:
        news = read(self, max_bytes)
        pending = list(self.pending)
        self.pending.clear()
        self.shorten()
        self.pending.extend(pending)
        return news

    monkeypatch.setattr(Inbox, "read", reading)


def _stored_after_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The vault gets what the ledger has already."""
    put, commit = Vault.put, PlainLog.commit
    waiting: list[tuple[Vault, Sequence[Placed]]] = []

    def late(self: PlainLog, plan: Plan) -> None:
        commit(self, plan)
        while waiting:
            put(*waiting.pop())

    def put_off(self: Vault, placed: Sequence[Placed]) -> None:
        waiting[:] = [(self, placed)]

    monkeypatch.setattr(Vault, "put", put_off)
    monkeypatch.setattr(PlainLog, "commit", late)


@pytest.mark.parametrize("mutant", [_removed_before_commit, _stored_after_commit])
def test_a_wrong_order_is_noticed(
    tmp_path: Path,
    keyring: Keyring,
    monkeypatch: pytest.MonkeyPatch,
    mutant: Callable[[pytest.MonkeyPatch], None],
) -> None:
    """The same test finds something when the order of effects is another one."""
    mutant(monkeypatch)
    assert any(_kill_everywhere(tmp_path, keyring, every=5))
