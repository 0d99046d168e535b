"""The ledger as its one writer has it: plan a batch, commit it, publish it, prove heads.

Rules: one process holds the lock, and its fencing epoch decides if two ever do. A commit is, in
this order: leaves and links durable in the staging file; compare-and-swap of size and root in
state.db; tiles durable; the committed root signed; the checkpoint published. Publication may lag
a fifth of a second behind the commit, and covers everything committed; where witnesses are
required it waits for them, and nothing else does. Nothing is signed or published by a sequencer
whose fencing epoch is over. Ledger time never goes back; a clock that does is recorded. Any failure
in a commit ends this object: opening again reads what reached the disk (``recover``), which is the
only way to know. Each sequencer's own leaves bear its own incarnation, which its drain, or the next
sequencer, ends. Not here: reading journals (``intake``), content (vault), asking witnesses.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

import apsw

from affidavit.clock import Clock
from affidavit.durable import Disk
from affidavit.errors import CorruptError, UnavailableError, UsageError
from affidavit.ledger import note, staging, timestamp
from affidavit.ledger.agenda import Agenda
from affidavit.ledger.chains import RULES, Epoch, Opening, all_dimensions
from affidavit.ledger.heads import HeadProof
from affidavit.ledger.leaf import Leaf
from affidavit.ledger.opening import Opened, take_over
from affidavit.ledger.own import Own, own_record
from affidavit.ledger.plan import Item, Plan, Submission, apply, read_back, work_out
from affidavit.ledger.recover import epoch_of
from affidavit.ledger.signing import Keys
from affidavit.ledger.state import LedgerState
from affidavit.record.model import DIMENSIONS, Chain, Placed

PUBLISH_SECONDS = 0.2

_WAIT_SECONDS = 2.0


class Log:
    """A ledger that is open for writing; made by ``Log.open``.

    ``writing`` is held from ``prepare`` to ``commit`` by whoever does both while other threads
    may ask for heads. Proofs may be asked for in any thread. ``own`` is the incarnation that the
    ledger's own leaves bear; ``keys`` sign its checkpoints; ``waits_since``: when the first
    checkpoint was signed that waits for witnesses, ``None`` if none does.
    """

    def __init__(
        self,
        disk: Disk,
        root: Path,
        state: LedgerState,
        opened: Opened,
        own: Own,
        epoch_secret: Callable[[int], bytes],
        clock: Clock,
    ) -> None:
        self.writing = threading.RLock()
        self.own = own.incarnation
        self.keys = opened.keys
        self.waits_since: str | None = None
        self._disk = disk
        self._root = root
        self._state = state
        self._committed = opened.committed
        self._tip = opened.tip
        self._prover = opened.prover
        self._publisher = opened.publisher
        self._staging = opened.staging
        self._agenda = Agenda(own, clock, self._tip, self._prover, self.keys)
        self._secret = epoch_secret
        self._clock = clock
        self._exit = contextlib.ExitStack()
        self._placed: list[Placed] = []
        self._failed = False
        self._published_at = clock.monotonic()

    # opening and closing

    @classmethod
    def open(
        cls,
        disk: Disk,
        root: Path,
        connection: apsw.Connection,
        signer: note.Signer,
        epoch_secret: Callable[[int], bytes],
        clock: Clock,
        *,
        dimensions: Sequence[str] = DIMENSIONS,
        rules: int = RULES,
        successor: Callable[[int], note.Signer] | None = None,
        post_quantum: note.Cosigner | None = None,
        require: bool = False,
    ) -> Self:
        """Open the ledger below ``root``, or begin one, and bring what is published up to date.

        ``connection`` is to state.db and used by nobody else; ``epoch_secret`` gives the same 32
        bytes for the same index of an epoch leaf, always; ``signer`` is the log's first key,
        ``successor`` gives those that followed it by number, ``post_quantum`` signs beside them.
        ``require``: a checkpoint is published with the cosignatures of witnesses only.
        ``LockedError`` if another process has it; ``CorruptError`` if disk and state.db do not fit
        together (``recover``), or another key signed.
        """
        state, own = LedgerState(connection), Own(clock)
        terms = (all_dimensions(dimensions), rules)

        def load_keys() -> Keys:
            return Keys(signer, successor, state.keys(), clock, post_quantum)

        with contextlib.ExitStack() as held:
            opened = take_over(
                disk, root, state, load_keys, epoch_secret, terms, own.incarnation, held,
                require=require,
            )  # fmt: skip
            log = cls(disk, root, state, opened, own, epoch_secret, clock)
            log._begin(opened, *terms)
            log._exit = held.pop_all()
        return log

    def _begin(self, opened: Opened, dimensions: tuple[str, ...], rules: int) -> None:
        """Take in what was staged, publish, and write the first leaves of this sequencer."""
        if opened.behind is not None:
            self._take_in(opened.behind)
        self._publish()
        self._disk.remove(*opened.old)
        before, time, first = opened.before, self._agenda.time(), None
        if self._committed.size == 0:
            first = self._agenda.item("ledger.opened", self._tip.epoch.terms())
        elif before is not None and before.own in self.writers():
            src = (before.own, self.next_src(before.own))
            first = Item(src, own_record("ledger.ended", time))
        if first is not None:
            self._commit_own(work_out(self._tip, [first], time))
            self._publish()
        if (self._tip.epoch.dimensions, self._tip.epoch.rules) != (dimensions, rules):
            self._open_epoch(dimensions, rules)

    def _take_in(self, batch: staging.Batch) -> None:
        """Commit a batch that was staged whole before an earlier sequencer died."""
        plan, claim = read_back(self._tip, batch, lambda leaf: epoch_of(leaf, self._secret))
        if claim is not None and self._agenda.claim() != claim:
            raise CorruptError("The staged heads leaf does not claim the chains before it.")
        self._swap(plan)

    def _open_epoch(self, dimensions: tuple[str, ...], rules: int) -> None:
        index = self._tip.tree.size + 1
        previous = self._tip.epoch.index
        epoch = Epoch(index, previous, dimensions, rules, self._secret(index))
        opening = self._agenda.item("ledger.epoch", epoch.terms(), 1)
        items = [self._agenda.heads(), opening]
        self._commit_own(work_out(self._tip, items, self._agenda.time(), epoch))

    def close(self) -> None:
        """Append heads and the sequencer's ``ledger.ended``, publish, and let the lock go.

        After a failure only the lock is let go. Leaves appended here are read back from the log.
        """
        with self.writing, self._exit:
            if self._failed:
                return
            items = [self._agenda.heads(), self._agenda.item("ledger.ended", None, 1)]
            self._commit_own(work_out(self._tip, items, self._agenda.time()))
            self.publish()
            self._failed = True

    # planning

    def prepare(self, submissions: Sequence[Submission]) -> Plan:
        """Work out a batch; nothing is changed until ``commit``, and nothing if that never comes.

        The plan may begin with leaves of the ledger's own. An empty batch is allowed and asks
        for those alone. ``ParseError`` for a record no leaf can hold; ``UsageError`` if a writer's
        counter does not continue (``next_src``).
        """
        self._check()
        items = self._agenda.due()
        items += [Item(*submission) for submission in submissions]
        return work_out(self._tip, items, self._agenda.time())

    # committing

    def commit(self, plan: Plan) -> None:
        """Make a plan true: durable and committed on return; published at once or soon after.

        ``UsageError`` if the ledger has moved since it was prepared. Any other error ends this
        object: whether the plan was committed shows when the ledger is opened again.
        """
        self._check()
        if plan.base != self._tip.tree.size:
            raise UsageError("The ledger has moved on since this plan was prepared.")
        with self._failing():
            if plan.entries:
                self._staging.append(plan.base, plan.entries, plan.links)
                self._swap(plan)
            if self._clock.monotonic() - self._published_at >= PUBLISH_SECONDS:
                self._publish()

    def _commit_own(self, plan: Plan) -> None:
        self.commit(plan)
        self._placed += plan.placed

    def _swap(self, plan: Plan) -> None:
        """Compare and swap, then move the tip; a heads leaf is signed with its plan."""
        after = self._committed._replace(
            size=plan.tree.size, root=plan.tree.root(), time=plan.facts.time
        )
        heads = plan.base if plan.heads else None
        if heads is not None:
            after = after._replace(heads=heads)
        if plan.opening is not None:
            after = after._replace(heads=plan.opening, epoch=plan.opening)
        turn = None if heads is None else self._tip.turn(reset=plan.epoch is not None)
        change = self._agenda.change(plan)
        terms = () if change is None else change.terms
        self._state.swap(self._committed, after, plan.facts.writers, turn, terms)
        self._committed = after
        if change is not None:
            self.keys.adopt(change)
            self.keys.write(self._disk, self._root)
            self._agenda.rotation = None
        with self._prover.turning(heads, closes=plan.epoch is not None):
            if heads is not None:
                self._tip.turned()
                self._agenda.turned()
            apply(self._tip, plan)
        if heads is not None or change is not None:
            self._publish()

    def publish(self) -> None:
        """Sign everything committed now, if it is not; publish it unless witnesses are required."""
        self._check()
        with self._failing():
            self._publish()

    def cosigned(self, data: bytes) -> None:
        """Publish a note that this log signed, with lines that witnesses added, durably.

        The caller has checked the lines. Nothing happens if what is published is as new.
        ``ParseError`` or ``CheckFailedError`` if it is not a checkpoint of this log.
        """
        self._check()
        size = note.open_checkpoint(data, self.keys.verifiers()).size
        with self._failing(), self._state.holding(self._committed.fencing):
            if self._publisher.cosigned(size, data):
                self._prover.published(self.published)
                waits = self._publisher.published < self._publisher.signed
                self.waits_since = self._clock.now() if waits else None

    def stamped(self, size: int, data: bytes, answer: bytes) -> None:
        """Keep an authority's verified timestamp over the published note of ``size``, durably."""
        self._check()
        with self._failing(), self._state.holding(self._committed.fencing):
            timestamp.keep(self._disk, self._root, size, data, answer)

    def rotate(self, *, finish: bool = False) -> None:
        """Ask for the next step of a rotation of the log's key (``signing``).

        The next plan has its record, and its commit makes it true; ``rotation_asked`` until then.
        ``UsageError`` if there is no such step now.
        """
        self._check()
        self.keys.change(self.size, finish=finish)
        self._agenda.rotation = finish

    def _publish(self) -> None:
        """Tiles, then the checkpoint of what state.db has committed, then what is outgrown."""
        size = self._committed.size
        self._published_at = self._clock.monotonic()
        if not self._publisher.behind(size):
            return
        self._publisher.tiles(self._tip.frontier.changed(self._publisher.signed, size))
        with self._state.holding(self._committed.fencing):
            checkpoint = note.Checkpoint(self.origin, size, self._committed.root)
            self._publisher.sign(checkpoint, self.keys.signers())
        self._tip.frontier.drop(size)
        self._staging.published(size)
        self._prover.published(self.published)
        if self.published != size and self.waits_since is None:
            self.waits_since = self._clock.now()

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._failed = True
            raise

    def _check(self) -> None:
        if self._failed:
            raise UnavailableError(
                "The ledger is closed, or a commit failed.",
                hint="Open it again: what reached the disk is kept.",
            )

    # what is there

    @property
    def size(self) -> int:
        """Number of committed leaves."""
        return self._committed.size

    @property
    def root(self) -> bytes:
        """Root over the committed leaves."""
        return self._committed.root

    @property
    def published(self) -> int:
        """Number of leaves that the published checkpoint covers."""
        return self._publisher.published

    @property
    def rotation_asked(self) -> bool:
        """Whether a step of a rotation waits for its record."""
        return self._agenda.rotation is not None

    @property
    def origin(self) -> str:
        """The name of the log."""
        return self.keys.origin

    @property
    def vkey(self) -> str:
        """The log's newest public key as a C2SP verifier key."""
        return self.keys.vkey

    @property
    def epoch(self) -> Epoch:
        """The newest epoch."""
        return self._tip.epoch

    def next_src(self, incarnation: str) -> int:
        """The counter that the next record of a writer must have; 0 for one never seen."""
        return self._tip.writers.get(incarnation, (0, False))[0]

    def ended(self, incarnation: str) -> bool:
        """Whether a writer's ``ledger.ended`` is in the ledger."""
        return self._tip.writers.get(incarnation, (0, False))[1]

    def writers(self) -> dict[str, int]:
        """Writers that have not ended, without the ledger itself: incarnation → next counter."""
        return {
            name: n
            for name, (n, ended) in self._tip.writers.items()
            if not ended and name != self.own
        }

    def open_requests(self) -> dict[str, int]:
        """Requests and calls not answered yet: record id → index."""
        return {name: request.position for name, request in self._tip.open.items()}

    def take_own(self) -> list[Placed]:
        """Leaves that the ledger appended outside ``prepare`` since this was last asked."""
        placed, self._placed = self._placed, []
        return placed

    # proofs

    def ensure_heads_after(self, index: int) -> int | None:
        """The index of a published heads leaf behind leaf ``index``; appends one if needed.

        ``None`` if there is none yet and the last one is less than a second old, or the ledger is
        busy: ask again a little later.
        """
        found = self._proving(index)
        if found is not None or not self._agenda.ask():
            return found
        if self.writing.acquire(timeout=_WAIT_SECONDS):  # else whoever prepares next appends it
            try:
                if self._agenda.asked:
                    self._commit_own(self._agenda.heads_alone())
            finally:
                self.writing.release()
        return self._proving(index)

    def _proving(self, index: int) -> int | None:
        newest = self._prover.newest
        return newest if newest is not None and newest > index else None

    def prove_head(self, chain: Chain, heads: int | None = None) -> HeadProof:
        """Where a chain stands under the newest published heads leaf, or the given one.

        ``heads`` may be the newest or the one that closed an epoch, else ``NotFoundError``.
        ``ParseError`` for a chain that the epoch cannot name.
        """
        return self._prover.head(chain, heads)

    def opening(self, chain: Chain, epoch: int | None = None) -> Opening:
        """What shows the chain's id in the epoch of that epoch leaf, the newest by default."""
        return self._prover.opening(chain, epoch)

    def epochs(self) -> list[Leaf]:
        """The published epoch leaves, oldest first."""
        return self._prover.epochs()
