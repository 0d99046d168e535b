"""What a witness has on record: never two heads that contradict each other, whatever happens."""

import errno
import itertools
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affidavit.durable import Disk
from affidavit.errors import CorruptError
from affidavit.ledger import merkle, note, witness
from affidavit.ledger.note import Checkpoint, Cosigner
from affidavit.ledger.witness import Answer
from affidavit.ledger.witness_store import Witness
from tests.world.clock import FakeClock
from tests.world.fakedisk import Crash, FakeEffects, Fault, Step, at, named
from tests.world.witnessing import (
    COSIGNER,
    LOG,
    LOGS,
    ORIGIN,
    Leaves,
    ask,
    checkpoint_of,
    grown,
    open_witness,
    request,
)

TREE = grown("a", 12)
FORK = grown("b", 12, TREE[:3])
FILE = f"heads/{witness.path_name(ORIGIN)}"


def verified(answer: Answer, leaves: Leaves) -> bool:
    """Whether an answer is a good cosignature of the tree of these leaves."""
    text = checkpoint_of(leaves).text()
    data = f"{text}\n{LOG.sign(text)}".encode() + answer.body
    return COSIGNER.vkey in note.open_note(data, [LOG.verifier(), COSIGNER.verifier()]).signers


def test_it_goes_on_from_what_it_cosigned_also_after_a_restart(tmp_path: Path) -> None:
    """Size, root and note stay; the note is served under the hash of the origin."""
    served = open_witness(tmp_path)
    assert served.head(ORIGIN) is None
    assert served.latest(witness.path_name(ORIGIN)) is None
    for old, size in [(0, 3), (3, 3), (3, 7)]:
        answer = ask(served, old, TREE[:size])
        assert (answer.status, answer.media_type) == (200, "text/plain; charset=utf-8")
        assert verified(answer, TREE[:size])
    again = open_witness(tmp_path)
    assert again.head(ORIGIN) == served.head(ORIGIN)
    assert again.latest(witness.path_name(ORIGIN)) == (tmp_path / FILE).read_bytes()
    assert again.latest("0" * 64) is None
    assert ask(again, 3, TREE[:9]).body == b"7\n"
    assert ask(again, 7, FORK[:9]).status == 422
    assert ask(again, 7, TREE[:9]).status == 200
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0


def test_the_note_is_durable_before_the_cosignature_leaves(tmp_path: Path) -> None:
    """The calls in their order; whoever holds the answer finds the note on disk."""
    effects = FakeEffects(tmp_path)
    served = open_witness(tmp_path, Disk(effects))
    before = len(effects.trace)
    ask(served, 0, TREE[:3])
    tmp = f"{FILE}.tmp"
    assert effects.calls(before) == [
        f"open({tmp})", f"pwrite({tmp})", f"fsync({tmp})", f"rename({tmp}, {FILE})",
        "fsync_dir(heads)",
    ]  # fmt: skip


def _effects_of_one(directory: Path) -> int:
    """How many effects a cosignature has."""
    effects = FakeEffects(directory)
    served = open_witness(directory, Disk(effects))
    before = effects.count
    ask(served, 0, TREE[:3])
    return effects.count - before


def check_failing_disk(root: Path) -> None:
    """Nothing leaves that is not on disk, and what is there afterwards is the old or the new."""
    for code, step, persisted in itertools.product(
        (errno.EIO, errno.ENOSPC), range(5), (False, True)
    ):
        directory = root / f"{code}-{step}-{persisted}"
        directory.mkdir()
        effects = FakeEffects(directory)
        served = open_witness(directory, Disk(effects))
        assert ask(served, 0, TREE[:3]).status == 200
        fault = Fault(at(effects.count + step), code, persisted)
        effects.faults.append(fault)
        answer = ask(served, 3, TREE[:7])
        assert fault.fired == 1
        assert (answer.status, answer.retry) == (503, True)
        assert (served.failure is not None) == (code == errno.EIO)
        if code == errno.EIO:
            assert ask(served, 3, TREE[:7]).status == 503
        else:  # somebody made room
            assert ask(served, 3, TREE[:7]).status == 200
        found = open_witness(directory).head(ORIGIN)
        assert found is not None
        assert found.size == 7 if code == errno.ENOSPC else found.size in {3, 7}


def test_a_disk_that_fails_releases_nothing(tmp_path: Path) -> None:
    """For want of space it is asked again; after anything else nobody knows, so it stops."""
    assert _effects_of_one(tmp_path) == 5
    (tmp_path / "one").mkdir()
    check_failing_disk(tmp_path / "one")


class _NoLock:
    def __enter__(self) -> None:
        """Nobody waits."""

    def __exit__(self, *_: object) -> None:
        """Nobody waited."""


class _OpenDisk(FakeEffects):
    """Lets another thread use the disk while one is in the middle of a step."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._lock = _NoLock()  # type: ignore[assignment] # what this is for


def check_interleavings(root: Path) -> None:
    """A second request at every step of the first: one of two forks wins, and nothing goes back."""
    for first, second, step in itertools.product(
        ((3, TREE[:7]), (3, TREE[:5])), ((3, FORK[:7]), (3, TREE[:9])), range(5)
    ):
        directory = Path(tempfile.mkdtemp(dir=root))
        effects = _OpenDisk(directory)
        served = open_witness(directory, Disk(effects))
        assert ask(served, 0, TREE[:3]).status == 200
        answers: list[tuple[Answer, Leaves]] = []
        begin = effects.count + step

        def run(old: int, leaves: Leaves, by: Witness, into: list[tuple[Answer, Leaves]]) -> None:
            into.append((ask(by, old, leaves), leaves))

        other = threading.Thread(target=run, args=(*second, served, answers))

        def before(coming: Step, begin: int = begin, other: threading.Thread = other) -> None:
            if coming.number == begin and not other.is_alive() and other.ident is None:
                other.start()
                other.join(0.02)

        effects.before = before
        run(*first, served, answers)
        other.join()
        released = [(len(leaves), leaves) for answer, leaves in answers if answer.status == 200]
        assert len(released) == 1
        found = open_witness(directory).head(ORIGIN)
        assert found is not None
        assert (found.size, found.root) == checkpoint_of(released[0][1])[1:3]


def test_two_requests_at_once_are_answered_one_after_the_other(tmp_path: Path) -> None:
    """Wherever the first one is when the second one comes."""
    check_interleavings(tmp_path)


def test_two_logs_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """Each has its file and its lock."""
    other = note.Signer("other.example/log", bytes(32))
    logs = {**LOGS, **witness.logs_of([LOGS[ORIGIN][0]._replace(verifier=other.verifier())])}
    effects = _OpenDisk(tmp_path)
    served = Witness(Disk(effects), tmp_path, logs, [COSIGNER], FakeClock())
    text = Checkpoint("other.example/log", 0, merkle.EMPTY_ROOT).text()
    data = f"old 0\n\n{text}\n{other.sign(text)}".encode()
    found = witness.read(data, logs)
    assert isinstance(found, witness.Request)
    asked = found
    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.append(served.cosign(asked).status))

    def before(coming: Step) -> None:
        if coming.name == "rename" and not statuses:
            effects.before = None
            thread.start()
            thread.join()

    # The first request is in the middle of its write when the one of the other log is answered.
    effects.before = before
    assert ask(served, 0, TREE[:3]).status == 200
    assert statuses == [200]
    assert served.head(ORIGIN) is not None
    assert served.head("other.example/log") is not None


def test_what_is_not_vouched_for_is_not_cosigned(tmp_path: Path) -> None:
    """Though it is consistent: told to come again, nothing on record."""
    check_vouch(tmp_path)


def check_vouch(root: Path) -> None:
    """A monitor's witness signs exactly what it has replayed."""
    replayed = checkpoint_of(TREE[:7])
    served = open_witness(root, vouch=lambda checkpoint: checkpoint == replayed)
    assert (ask(served, 0, TREE[:3]).status, served.head(ORIGIN)) == (503, None)
    assert ask(served, 0, TREE[:7]).status == 200


def test_two_trees_of_one_size_are_kept(tmp_path: Path) -> None:
    """The note that the log signed beside the one on record, once."""
    served = open_witness(tmp_path)
    ask(served, 0, TREE[:7])
    assert not (tmp_path / "conflicts").exists()
    for _ in range(2):
        assert ask(served, 7, FORK[:7]).status == 422
    (kept,) = (tmp_path / "conflicts").iterdir()
    assert kept.name == f"{witness.path_name(ORIGIN)}-7"
    both = [note.open_checkpoint(path.read_bytes(), LOG.verifier()) for path in
            (kept, tmp_path / FILE)]  # fmt: skip
    assert [one.size for one in both] == [7, 7]
    assert both[0].root != both[1].root
    ask(served, 7, FORK[:9])
    assert len(list((tmp_path / "conflicts").iterdir())) == 1


def test_a_file_that_is_not_what_was_written_stops_the_start(tmp_path: Path) -> None:
    """Any flipped byte, a cut, another key, another log's note; leftovers of a write do not."""
    served = open_witness(tmp_path)
    ask(served, 0, TREE[:7])
    path = tmp_path / FILE
    good = path.read_bytes()
    (tmp_path / f"{FILE}.tmp").write_bytes(good[:10])
    open_witness(tmp_path)
    for data in (
        b"", good[:-1], good + b"\n", request(0, TREE[:7]).note(),
    ):  # fmt: skip
        path.write_bytes(data)
        with pytest.raises(CorruptError, match=path.name):
            open_witness(tmp_path)
    for i in range(len(good)):  # in a line of the log, the name of a stranger may come out
        path.write_bytes(good[:i] + bytes([good[i] ^ 1]) + good[i + 1 :])
        try:
            found = open_witness(tmp_path).head(ORIGIN)
        except CorruptError:
            continue
        assert found is not None
        assert (found.size, found.root) == checkpoint_of(TREE[:7])[1:3]
        assert i in range(good.index("—".encode()), good.index("— witness".encode()))
    path.write_bytes(good)
    stranger = Cosigner("witness.example/w1", note.COSIGNATURE, b"\x43" * 32)
    with pytest.raises(CorruptError, match="not signed by a known key"):
        Witness(Disk(), tmp_path, {}, [stranger], FakeClock())
    path.rename(path.with_name("0" * 64))
    with pytest.raises(CorruptError, match="another log"):
        open_witness(tmp_path)


# --- any story ------------------------------------------------------------------------------------


class Story:
    """A witness that is asked for anything, dies anywhere, and what it has let out."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.effects = FakeEffects(root)
        self.served = open_witness(root, Disk(self.effects))
        self.released: list[Leaves] = []

    def ask(self, old: int, leaves: Leaves) -> None:
        """Ask, and note a cosignature that leaves."""
        try:
            answer = ask(self.served, old, leaves)
        except Crash:
            self.restart()
            return
        if answer.status == 200:
            assert verified(answer, leaves)
            self.released.append(leaves)

    def restart(self) -> None:
        """What is on disk is all that is left."""
        self.effects = FakeEffects(self.root)
        self.served = open_witness(self.root, Disk(self.effects))

    def contradictions(self) -> list[tuple[int, int]]:
        """Pairs of released heads of which neither begins the other."""
        return [
            (len(a), len(b))
            for a, b in itertools.combinations(self.released, 2)
            if list(a[: len(b)]) != list(b[: len(a)])
        ]


def branches(shape: Iterable[tuple[int, int, int]]) -> list[list[bytes]]:
    """Trees that fork from each other: each from one before, at a size, to a length."""
    made: list[list[bytes]] = [grown("root", 16)]
    for number, (parent, fork, more) in enumerate(shape):
        base = made[parent % len(made)]
        begin = base[: fork % (len(base) + 1)]
        made.append(grown(f"branch{number}-", len(begin) + more, begin))
    return made


ASKS = st.tuples(
    st.integers(0, 9), st.integers(0, 20), st.integers(0, 20), st.integers(-12, 6), st.booleans()
)


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 20), st.integers(1, 8)), max_size=5),
    st.lists(ASKS, min_size=1, max_size=14),
)
def test_no_story_makes_it_contradict_itself(
    shape: list[tuple[int, int, int]], asks: list[tuple[int, int, int, int, bool]]
) -> None:
    """Trees with forks, any old size, any order, deaths at any step with or without effect."""
    with tempfile.TemporaryDirectory() as directory:
        check_story(Path(directory), branches(shape), asks)


def check_story(
    root: Path, trees: list[list[bytes]], asks: Iterable[tuple[int, int, int, int, bool]]
) -> None:
    """Play it; mostly the old size is the right one, as nothing else gets far."""
    story = Story(root)
    for tree, size, old, dies, persisted in asks:
        leaves = trees[tree % len(trees)]
        leaves = leaves[: size % (len(leaves) + 1)]
        head = story.served.head(ORIGIN)
        known = 0 if head is None else head.size
        if dies >= 0:
            story.effects.faults = [Fault(at(story.effects.count + dies), 0, persisted)]
        guess = known if old % 3 else old
        story.ask(min(guess, len(leaves)), leaves)
        if story.effects.dead:
            story.restart()
        story.effects.faults = []
    assert story.contradictions() == []
    head = story.served.head(ORIGIN)
    longest = max(story.released, key=len, default=())
    if head is not None:
        (there,) = {
            tuple(leaves[: head.size])
            for leaves in trees
            if checkpoint_of(leaves[: head.size])[1:3] == (head.size, head.root)
        }
        assert there[: len(longest)] == tuple(longest)
    assert head is not None or not story.released


def test_a_story_that_would_go_wrong(tmp_path: Path) -> None:
    """By hand: grow, die before the answer, ask for the other branch from every size."""
    trees = [TREE, FORK]
    asks = [(0, 5, 1, -1, False)]
    asks += [(0, 9, 1, step, persisted) for step in range(5) for persisted in (False, True)]
    asks += [(1, size, old, -1, False) for size in range(4, 13) for old in range(12)]
    check_story(tmp_path, trees, asks)


def test_a_full_disk_names_no_file_that_is_half_written(tmp_path: Path) -> None:
    """The next start finds the old note, whole."""
    effects = FakeEffects(tmp_path, Fault(named("pwrite"), errno.ENOSPC, short=20, times=9))
    served = open_witness(tmp_path, Disk(effects))
    effects.full = True
    assert ask(served, 0, TREE[:3]).status == 503
    assert open_witness(tmp_path).head(ORIGIN) is None
