"""Writers, deaths, restarts and the passing of time in any order, against what was promised."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from affidavit.durable import Disk
from affidavit.ledger.leaf import ASKS
from tests.world.intake import Journal, Sequencer, judge, make, open_keyring

_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
_data = st.binary(max_size=900)
_pick = st.integers(0, 10**6)


class Intake(RuleBasedStateMachine):
    """Several writers beside one sequencer that may be stopped at any time.

    The model is what the writers were told: acknowledged records, pieces written. In the end all
    writers are gone and the sequencer has its time; then everything must be there once. Of a
    journal that was removed, and not brought back, that is what the ledger had by then.
    """

    @initialize(batch=st.integers(1, 6), held=st.sampled_from([0, 500, 1 << 20]))
    def begin(self, batch: int, held: int) -> None:
        """A sequencer with small batches and little memory, or more."""
        self.root = Path(tempfile.mkdtemp(prefix="intake", dir=_MEMORY))
        self.keyring = open_keyring(self.root / "keys")
        self.how = {"batch_records": batch, "held_bytes": held, "batch_bytes": 2000}
        self.sequencer = self._open_sequencer()
        self.living: list[Journal] = []
        self.gone: list[Journal] = []

    @precondition(lambda self: len(self.living) < 3)
    @rule(segment_bytes=st.sampled_from([1500, 4096]))
    def start_writer(self, segment_bytes: int) -> None:
        """Another writer begins."""
        self.living.append(Journal(self.root, segment_bytes=segment_bytes))

    @precondition(lambda self: self.living)
    @rule(which=_pick, body=_data, kind=st.sampled_from(sorted(ASKS)))
    def ask(self, which: int, body: bytes, kind: str) -> None:
        """A request is recorded."""
        self._one(which).request(body, kind)

    @precondition(lambda self: self.living)
    @rule(which=_pick, body=_data)
    def tell(self, which: int, body: bytes) -> None:
        """A record that is no exchange."""
        self._one(which).commit(make("custom", {"p": body}), (body,))

    @precondition(lambda self: any(journal.open for journal in self.living))
    @rule(which=_pick, data=_data)
    def stream(self, which: int, data: bytes) -> None:
        """A piece of some open exchange."""
        journal, request = self._open(which)
        journal.piece(journal.open[request], data)

    @precondition(lambda self: any(journal.open for journal in self.living))
    @rule(which=_pick)
    def answer(self, which: int) -> None:
        """The outcome of some open exchange."""
        journal, request = self._open(which)
        journal.respond(journal.open[request])

    @precondition(lambda self: self.living)
    @rule(which=_pick, drained=st.booleans())
    def stop_writer(self, which: int, drained: bool) -> None:
        """A writer ends itself, or dies; with exchanges open or not."""
        journal = self._one(which)
        self.living.remove(journal)
        self.gone.append(journal)
        if drained:
            journal.end()
        else:
            journal.die()

    @precondition(lambda self: self.gone)
    @rule(which=_pick)
    def lose_journal(self, which: int) -> None:
        """Somebody removes the journal of a writer that is gone, whatever came of it so far."""
        journal = self.gone[which % len(self.gone)]
        place, aside = (self.root / where / journal.name for where in ("journal", "aside"))
        if place.exists():
            shutil.rmtree(aside, ignore_errors=True)
            shutil.copytree(place, aside)
            journal.lose(self.root, self.sequencer.log.leaves)

    @precondition(lambda self: (self.root / "aside").exists())
    @rule(which=_pick)
    def bring_back(self, which: int) -> None:
        """One of those stands there again, as it was when it was removed."""
        lost = [one for one in self.gone if (self.root / "aside" / one.name).exists()]
        journal = lost[which % len(lost)]
        if not (self.root / "journal" / journal.name).exists():
            aside = self.root / "aside" / journal.name
            journal.come_back(self.root, aside, self.sequencer.log.leaves)

    @rule(steps=st.integers(1, 3))
    def sequence(self, steps: int) -> None:
        """The sequencer takes some steps."""
        for _ in range(steps):
            self.sequencer.intake.step()

    @rule(seconds=st.sampled_from([0.3, 1.0, 5.0]))
    def wait(self, seconds: float) -> None:
        """Time passes, so that silent writers are looked at."""
        self.sequencer.clock.advance(seconds)

    @rule()
    def restart(self) -> None:
        """The sequencer's process is replaced."""
        self.sequencer.close()
        self.sequencer = self._open_sequencer()

    def teardown(self) -> None:
        """The end of all writers, and the verdict."""
        if not hasattr(self, "sequencer"):
            return
        for journal in self.living:
            journal.die()
        with contextlib.closing(self.sequencer), contextlib.closing(self.keyring):
            self.sequencer.drain(patience=24)  # longer than damage is waited for
            wrong = judge(self.sequencer, [*self.gone, *self.living])
        shutil.rmtree(self.root)
        assert wrong == []

    def _open_sequencer(self) -> Sequencer:
        return Sequencer(self.root, self.keyring, Disk(), **self.how)

    def _one(self, which: int) -> Journal:
        return self.living[which % len(self.living)]

    def _open(self, which: int) -> tuple[Journal, int]:
        open_ones = [(j, n) for j in self.living for n in range(len(j.open))]
        return open_ones[which % len(open_ones)]


TestIntake = Intake.TestCase
TestIntake.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
