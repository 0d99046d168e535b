"""A monitor: replays every leaf and link of a log up to a checkpoint before it is cosigned.

Rules: leaves are checked against the root of the checkpoint first, and then against the monitor's
rules (``rules``) and this machine's clock; what was replayed before must be the beginning of the
checkpoint. A leaf is at most five minutes ahead of the clock, and at most five minutes older than
the moment from which on it was not yet there: when this monitor had cosigned the checkpoint before
the last one. That the log asks to go on from a size shows that it knew the cosignature of that
size, so its next checkpoint was made later, however long a request was under way; leaves that were
there before the monitor came, or while it was away, are held to the order of time alone. A broken
rule is kept on disk and refused from then on, whatever the log shows later. No content is needed
and none is asked for. Not here: fetching (``monitor_tiles``), threads and waiting (``app``).
"""

from collections.abc import Callable

from affidavit.clock import Clock, add_seconds
from affidavit.errors import AffidavitError, CheckFailedError, CorruptError, UnavailableError
from affidavit.ledger import merkle, note, tiles
from affidavit.ledger.leaf import Leaf, decode_at
from affidavit.ledger.monitor_state import MonitorState, Progress
from affidavit.ledger.monitor_tiles import Fetch, View, split_checked
from affidavit.ledger.rules import broken

CLOCK_SECONDS = 300
"""Ledger time and the monitor's clock may be so far apart."""

SAVE_LEAVES = 50_000
SAVE_SECONDS = 10.0


class BrokenRuleError(CorruptError):
    """A leaf of the log breaks a rule; the message names both. It stays so."""


class Monitor:
    """The replay of one log; one thread at a time calls ``replay``, ``cosigned`` and ``close``.

    ``reached``: size and root of the checkpoint last replayed whole.
    """

    def __init__(self, state: MonitorState, fetch: Fetch, clock: Clock) -> None:
        self._state = state
        self._fetch = fetch
        self._clock = clock
        self._replay = state.replay()
        progress = state.progress
        self._tree = merkle.Tree(progress.standing.size, progress.edge)
        self._cosigned, self._since, self._floor = (
            progress.cosigned,
            progress.since,
            progress.floor,
        )
        self._broken = progress.broken
        self._lost = False
        self._saved_at = clock.monotonic()
        self.reached: tuple[int, bytes] = (self._tree.size, self._tree.root())

    @property
    def size(self) -> int:
        """How many leaves have been replayed."""
        return self._tree.size

    def vouches(self, checkpoint: note.Checkpoint) -> bool:
        """Whether exactly this was replayed whole, and no rule was ever broken; any thread."""
        return not self._broken and self.reached == (checkpoint.size, checkpoint.root)

    def replay(self, checkpoint: note.Checkpoint, go_on: Callable[[], bool]) -> None:
        """Replay what is new up to ``checkpoint``, which its log signed; then it is ``reached``.

        ``go_on`` is asked between bundles; when it says no, this returns before the end.
        ``BrokenRuleError`` from the first broken rule on, for ever. ``CheckFailedError`` if what
        was replayed is not the beginning of this checkpoint. ``UnavailableError`` and its kin if
        the log does not serve what is needed, or the progress cannot be saved.
        """
        if self._broken:
            raise BrokenRuleError(self._broken)
        if self._lost:
            raise UnavailableError("The monitor has failed.", hint="Start it again.")
        if self.reached == (checkpoint.size, checkpoint.root):
            return
        before = self._tree.size
        if before > checkpoint.size:
            raise UnavailableError(
                f"{before} leaves are replayed; this checkpoint is an older one."
            )
        view = View(self._fetch, checkpoint)
        if before and view.root(before) != self._tree.root():
            raise CheckFailedError(
                f"The {before} leaves that were replayed are not the beginning of this checkpoint."
            )
        for number in range(before // tiles.WIDTH, -(-checkpoint.size // tiles.WIDTH)):
            if not go_on():
                return
            try:
                self._bundle(view, number)
            except CorruptError as error:
                self._broken = error.message
                self._state.save_broken(error.message)
                raise BrokenRuleError(error.message, **error.detail) from error
            except AffidavitError:
                raise  # between two leaves: what was replayed stands
            except BaseException:
                self._lost = True  # in the middle of a leaf: nobody knows
                raise
            self._save_if_due()
        self.reached = (checkpoint.size, checkpoint.root)

    def _bundle(self, view: View, number: int) -> None:
        now = self._clock.now()
        latest = add_seconds(now, CLOCK_SECONDS)
        first = number * tiles.WIDTH
        for index, (entry, leaf_hash, data) in enumerate(view.leaves(number), first):
            if index < self._tree.size:
                continue
            leaf = decode_at(entry, index)
            links = split_checked(data, leaf.links, index)
            self._on_time(leaf, latest)
            self._replay.feed(leaf, links)
            self._tree.extend([leaf_hash])
            self._state.note(leaf, links)

    def _on_time(self, leaf: Leaf, latest: str) -> None:
        if leaf.time > latest:
            raise broken(leaf.index, "has a time more than 5 minutes ahead of the monitor's clock")
        if leaf.time < self._floor:
            raise broken(
                leaf.index, "has a time more than 5 minutes before it came, by the monitor's clock"
            )

    def cosigned(self, size: int, moment: str) -> None:
        """A checkpoint of ``size`` leaves is cosigned; its log learnt so after ``moment``."""
        if size > self._cosigned:
            self._floor = add_seconds(self._since, -CLOCK_SECONDS) if self._since else ""
            self._cosigned, self._since = size, moment

    def _save_if_due(self) -> None:
        due = self._clock.monotonic() - self._saved_at >= SAVE_SECONDS
        if due or self._state.unsaved >= SAVE_LEAVES:
            self._save()

    def _save(self) -> None:
        progress = Progress(
            self._state.progress.origin,
            self._replay.standing(),
            self._tree.edge(),
            self._cosigned,
            self._since,
            self._floor,
        )
        self._state.save(self._replay, progress)
        self._saved_at = self._clock.monotonic()

    def close(self) -> None:
        """Save and close; after a broken rule or a failure what was saved before stays."""
        try:
            if not self._broken and not self._lost:
                self._save()
        finally:
            self._state.close()
