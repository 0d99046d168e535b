"""Loss of power at any time: whatever the disk kept, the next start finishes with nothing lost."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from affidavit.durable import AppendFile, Disk
from affidavit.ledger.inbox import Inbox
from affidavit.vault.keyring import Keyring
from affidavit.vault.segments import SegmentWriter
from tests.faults.test_intake_kill import finish, run, write_journals, write_one
from tests.world.crash_states import State, crash_states, materialise
from tests.world.fakedisk import FakeEffects
from tests.world.intake import Journal, Sequencer, make, open_keyring


@pytest.fixture
def keyring(tmp_path: Path) -> Iterator[Keyring]:
    """Keys beside the directories of the test; SQLite keeps what it says it keeps."""
    opened = open_keyring(tmp_path / "keys")
    yield opened
    opened.close()


def _judge(
    states: list[State], scratch: Path, keyring: Keyring, journals: list[Journal]
) -> Iterator[str]:
    for number, state in enumerate(states):
        place = scratch / str(number)
        materialise(state, place)
        for what in finish(place, keyring, journals):
            yield f"state {number} after step {state.after}: {what}"
        shutil.rmtree(place)


def _lose_power(
    tmp_path: Path, keyring: Keyring, write: Callable[[Path], list[Journal]], every: int
) -> Iterator[str]:
    """What is wrong in the states a whole run may leave; ``every`` takes a sample of them."""
    journals = write(tmp_path / "original")
    states = crash_states(run(tmp_path / "original", keyring))
    assert len(states) > 200
    yield from _judge(states[::every], tmp_path / "states", keyring, journals)


def test_after_a_loss_of_power_the_next_start_finishes(tmp_path: Path, keyring: Keyring) -> None:
    """In all states a short life leaves: each record once, with its content, one outcome."""
    assert list(_lose_power(tmp_path, keyring, write_one, 1)) == []


def test_after_a_loss_of_power_with_several_writers(tmp_path: Path, keyring: Keyring) -> None:
    """The same, for a sample of the states that three writers and several segments leave."""
    assert list(_lose_power(tmp_path, keyring, write_journals, 7)) == []


def _vault_not_synced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SegmentWriter, "files", lambda _: ())


def _only_wraps_synced(monkeypatch: pytest.MonkeyPatch) -> None:
    files = SegmentWriter.files

    def half(self: SegmentWriter) -> tuple[AppendFile, ...]:
        return files(self)[1:]

    monkeypatch.setattr(SegmentWriter, "files", half)


@pytest.mark.parametrize("mutant", [_vault_not_synced, _only_wraps_synced])
def test_a_vault_that_is_not_synced_is_noticed(
    tmp_path: Path,
    keyring: Keyring,
    monkeypatch: pytest.MonkeyPatch,
    mutant: Callable[[pytest.MonkeyPatch], None],
) -> None:
    """The same test finds a vault that the ledger's commit does not wait for."""
    mutant(monkeypatch)
    assert any(_lose_power(tmp_path, keyring, write_one, 1))


def _unsynced(tmp_path: Path, keyring: Keyring) -> list[str]:
    """A request is taken in before its writer has synced it; then the power goes."""
    root = tmp_path / "live"
    (root / "journal").mkdir(parents=True)
    effects = FakeEffects(root)
    journal = Journal(root, Disk(effects))
    made = make("exchange.request", {})

    async def written() -> None:
        _, durable = journal.writer._record(made, ())
        durable.cancel()

    journal.writer._syncing = True  # the sync that is running does not come to an end
    journal.loop.run_until_complete(written())
    sequencer = Sequencer(root, keyring, Disk(effects))
    assert sequencer.intake.step() == 1
    sequencer.close()
    last = [state for state in crash_states(effects) if state.after == len(effects.trace)]
    wrong = list(_judge(last, tmp_path / "states", keyring, [journal]))
    journal.die()
    return wrong


def test_the_ledger_knows_nothing_that_a_journal_may_forget(
    tmp_path: Path, keyring: Keyring
) -> None:
    """A record that was read before its writer synced it is synced before it is sequenced."""
    assert _unsynced(tmp_path, keyring) == []


def test_without_that_sync_a_request_stays_open(
    tmp_path: Path, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same test finds an intake that leaves the journal to its writer."""
    monkeypatch.setattr(Inbox, "sync", lambda _: None)
    assert _unsynced(tmp_path, keyring) != []
