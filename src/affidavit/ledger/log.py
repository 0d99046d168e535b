"""The ledger as its one writer has it: plan a batch, commit it, publish it, prove heads.

Rules: one process holds the lock, and its fencing epoch decides if two ever do. A commit is, in
this order: leaves and links durable in the staging file; compare-and-swap of size and root in
state.db; tiles durable; the committed root signed; the checkpoint published. Publication may lag
a fifth of a second behind the commit, and covers everything committed. Ledger time never goes
back; a clock that does is recorded. Any failure in a commit ends this object: opening again reads
what reached the disk (``recover``), which is the only way to know. Each sequencer's own leaves
bear its own incarnation, which its drain, or the next sequencer, ends. Not here: reading journals
(``intake``), content (vault), witnesses.
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
from affidavit.ids import b64u
from affidavit.ledger import note, staging
from affidavit.ledger.chains import RULES, Epoch, Opening, all_dimensions
from affidavit.ledger.heads import HeadProof
from affidavit.ledger.leaf import HEADS, HeadsTerms, Leaf, terms_tail
from affidavit.ledger.merkle import EMPTY_ROOT
from affidavit.ledger.own import Own, own_record
from affidavit.ledger.plan import Item, Plan, Submission, apply, read_back, work_out
from affidavit.ledger.prover import Prover
from affidavit.ledger.publish import Publisher
from affidavit.ledger.recover import epoch_of, recover
from affidavit.ledger.state import Committed, LedgerState
from affidavit.record.model import DIMENSIONS, Chain, Placed

PUBLISH_SECONDS = 0.2
HEADS_SECONDS = 3.0
IDLE_HEADS_SECONDS = 3600.0
ASKED_HEADS_SECONDS = 1.0

_WAIT_SECONDS = 2.0


class Log:
    """A ledger that is open for writing; made by ``Log.open``.

    ``writing`` is held from ``prepare`` to ``commit`` by whoever does both while other threads
    may ask for heads. Proofs may be asked for in any thread. ``own`` is the incarnation that the
    ledger's own leaves bear.
    """

    def __init__(
        self,
        disk: Disk,
        root: Path,
        state: LedgerState,
        signer: note.Signer,
        epoch_secret: Callable[[int], bytes],
        clock: Clock,
    ) -> None:
        self.writing = threading.RLock()
        self._own = Own(clock)
        self.own = self._own.incarnation
        self._disk = disk
        self._root = root
        self._state = state
        self._signer = signer
        self._secret = epoch_secret
        self._clock = clock
        self._publisher = Publisher(disk, root)
        self._exit = contextlib.ExitStack()
        self._placed: list[Placed] = []
        self._failed = False
        self._asked = False
        self._published_at = self._heads_at = clock.monotonic()

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
    ) -> Self:
        """Open the ledger below ``root``, or begin one, and bring what is published up to date.

        ``connection`` is to state.db and used by nobody else; ``epoch_secret`` gives the same 32
        bytes for the same index of an epoch leaf, always. ``LockedError`` if another process has
        it; ``CorruptError`` if disk and state.db do not fit together (``recover``).
        """
        log = cls(disk, root, LedgerState(connection), signer, epoch_secret, clock)
        try:
            log._begin(all_dimensions(dimensions), rules)
        except BaseException:
            log._failed = True
            log._exit.close()
            raise
        return log

    def _begin(self, dimensions: tuple[str, ...], rules: int) -> None:
        self._disk.make_dir(self._root)
        self._exit.enter_context(self._disk.locked(self._root / "lock", "sequencer"))
        self._check_key()
        before = self._state.committed()
        self._committed = self._state.take_over(
            before, Committed(1, 0, EMPTY_ROOT, "", 0, 0, self.own)
        )
        found = recover(
            self._root,
            self._signer.verifier(),
            self._state,
            self._committed,
            lambda: Epoch(0, -1, dimensions, rules, self._secret(0)),
            self._secret,
        )
        self._tip, self._published = found.tip, found.published
        self._prover = Prover(self._root, self._tip, found.heads, found.newest, self._secret)
        old = [path for _, path in staging.files(self._root)]
        self._staging = staging.Staging(
            self._disk, self._root, self._committed.fencing, self._committed.size
        )
        self._exit.callback(self._staging.close)
        if found.behind is not None:
            self._take_in(found.behind)
        self._publish()
        self._disk.remove(*old)
        first: list[Item] = []
        if self._committed.size == 0:
            first.append(self._item("ledger.opened", terms_tail(self._tip.epoch.terms())))
        elif before is not None and before.own in self.writers():
            src = (before.own, self.next_src(before.own))
            first.append(Item(src, own_record("ledger.ended", self._time())))
        if first:
            self._commit_own(work_out(self._tip, first, self._time()))
            self._publish()
        if (self._tip.epoch.dimensions, self._tip.epoch.rules) != (dimensions, rules):
            self._open_epoch(dimensions, rules)

    def _check_key(self) -> None:
        path = self._root / "log.vkey"
        line = self._signer.vkey + "\n"
        if not path.exists():
            self._disk.write_file(path, line.encode(), 0o644)
        elif path.read_text() != line:
            raise CorruptError(
                "This log was signed with another key or under another origin.",
                hint="Is this the keys.db and the configuration that belong to it?",
            )

    def _take_in(self, batch: staging.Batch) -> None:
        """Commit a batch that was staged whole before an earlier sequencer died."""
        plan, claim = read_back(self._tip, batch, lambda leaf: epoch_of(leaf, self._secret))
        if claim is not None and self._next_claim() != claim:
            raise CorruptError("The staged heads leaf does not claim the chains before it.")
        self._swap(plan)

    def _open_epoch(self, dimensions: tuple[str, ...], rules: int) -> None:
        index = self._tip.tree.size + 1
        previous = self._tip.epoch.index
        epoch = Epoch(index, previous, dimensions, rules, self._secret(index))
        items = [self._heads_item(), self._item("ledger.epoch", terms_tail(epoch.terms()), 1)]
        self._commit_own(work_out(self._tip, items, self._time(), epoch))

    def close(self) -> None:
        """Append heads and the sequencer's ``ledger.ended``, publish, and let the lock go.

        After a failure only the lock is let go. Leaves appended here are read back from the log.
        """
        with self.writing, self._exit:
            if self._failed:
                return
            items = [self._heads_item(), self._item("ledger.ended", "", 1)]
            self._commit_own(work_out(self._tip, items, self._time()))
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
        time = self._time()
        items: list[Item] = []
        if self._heads_due():
            items.append(self._heads_item())
        late = self._own.clock_lag(time)
        if late is not None:
            items.append(self._item("ledger.clock", "", len(items), late))
        items += [Item(*submission) for submission in submissions]
        return work_out(self._tip, items, time)

    def _time(self) -> str:
        return max(self._clock.now(), self._tip.time)

    def _item(self, kind: str, tail: str = "", ahead: int = 0, what: str | None = None) -> Item:
        n = self.next_src(self.own) + ahead
        return self._own.item(n, kind, self._time(), tail, what)

    def _heads_item(self) -> Item:
        return self._item(HEADS, terms_tail(self._next_claim()))

    def _heads_due(self) -> bool:
        since = self._clock.monotonic() - self._heads_at
        due = since >= (HEADS_SECONDS if self._tip.changes() else IDLE_HEADS_SECONDS)
        return (due or self._asked) and self._prover.worked_ahead()

    def _next_claim(self) -> HeadsTerms:
        bits, root = self._prover.next_terms()
        return HeadsTerms(self._tip.epoch.index, bits, b64u(root))

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
        """Compare and swap, then move the tip; a heads leaf is published with its plan."""
        after = self._committed._replace(
            size=plan.tree.size, root=plan.tree.root(), time=plan.facts.time
        )
        heads = plan.base if plan.heads else None
        if heads is not None:
            after = after._replace(heads=heads)
        if plan.opening is not None:
            after = after._replace(heads=plan.opening, epoch=plan.opening)
        turn = None if heads is None else self._tip.turn(reset=plan.epoch is not None)
        self._state.swap(self._committed, after, plan.facts.writers, turn)
        self._committed = after
        with self._prover.turning(heads, closes=plan.epoch is not None):
            if heads is not None:
                self._tip.turned()
                self._heads_at, self._asked = self._clock.monotonic(), False
            apply(self._tip, plan)
            if heads is not None:
                self._publish()

    def publish(self) -> None:
        """Publish everything committed now, if it is not published yet."""
        self._check()
        with self._failing():
            self._publish()

    def _publish(self) -> None:
        """Tiles, then the checkpoint of what state.db has committed, then what is outgrown."""
        old, size = self._published, self._committed.size
        self._published_at = self._clock.monotonic()
        if old == size:
            return
        self._publisher.tiles(self._tip.frontier.changed(old, size))
        checkpoint = note.Checkpoint(self.origin, size, self._committed.root)
        self._publisher.checkpoint(checkpoint, [self._signer])
        self._published = size
        self._publisher.clean(old, size)
        self._tip.frontier.drop(size)
        self._staging.published(size)

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
        return self._published

    @property
    def origin(self) -> str:
        """The name of the log."""
        return self._signer.name

    @property
    def vkey(self) -> str:
        """The log's public key as a C2SP verifier key."""
        return self._signer.vkey

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
        if self._prover.newest is not None and self._prover.newest > index:
            return self._prover.newest
        if self._clock.monotonic() - self._heads_at < ASKED_HEADS_SECONDS:
            return None
        self._asked = True  # whoever prepares next appends it, be it another thread
        if self.writing.acquire(timeout=_WAIT_SECONDS):
            try:
                if self._asked:
                    self._commit_own(self.prepare(()))
            finally:
                self.writing.release()
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
