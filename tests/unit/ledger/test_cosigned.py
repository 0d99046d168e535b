"""Publication with witnesses: beside the checkpoint, or before it where they are required."""

import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import apsw
import pytest

from affidavit.errors import (
    CheckFailedError,
    CorruptError,
    LockedError,
    NotFoundError,
    UnavailableError,
)
from affidavit.ids import from_b64u
from affidavit.ledger import fsck, note, staging, tiles, timestamp
from affidavit.ledger.agenda import HEADS_SECONDS
from affidavit.ledger.heads import verify_head
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.publish import CHECKPOINT, COSIGNED, INTEGRATED, heads
from affidavit.ledger.state import LedgerState
from affidavit.record.model import Chain
from tests.world.ledger import World, Writer, connect, cosign, newest, signer


def size_of(world: World, name: str) -> int:
    """Leaves under one of the notes on disk, checked under the log's key; 0 without it."""
    path = world.root / name
    if not path.exists():
        return 0
    return note.open_checkpoint(path.read_bytes(), signer().verifier()).size


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[World]:
    """A ledger that publishes nothing that no witness has cosigned."""
    world = World(tmp_path)
    world.open(require=True)
    yield world
    world.drop()


def _grow(world: World, exchanges: int = 1) -> None:
    for _ in range(exchanges):
        world.put(Writer().exchange())
    world.log.publish()


# beside the checkpoint


def test_the_checkpoint_does_not_wait(world: World) -> None:
    """It is published at once; what a witness cosigned stands beside it and may be older."""
    _grow(world)
    data = newest(world.root)
    _grow(world)
    world.log.cosigned(cosign(data))
    assert (size_of(world, COSIGNED), size_of(world, CHECKPOINT), world.log.published) == (3, 5, 5)
    assert (world.root / COSIGNED).read_bytes() == cosign(data)
    assert (world.root / COSIGNED).stat().st_mode & 0o777 == 0o644
    assert not (world.root / INTEGRATED).exists()
    assert world.log.waits_since is None


def test_an_older_note_replaces_no_newer_one(world: World) -> None:
    """Answers may come late; more cosignatures of the same size are taken."""
    old = newest(world.root)
    _grow(world)
    new = newest(world.root)
    world.log.cosigned(cosign(new))
    world.log.cosigned(cosign(old))
    assert (world.root / COSIGNED).read_bytes() == cosign(new)
    other = note.Cosigner("witness.example/w2", note.COSIGNATURE, b"x" * 32)
    world.log.cosigned(cosign(new, other))
    assert (world.root / COSIGNED).read_bytes() == cosign(new, other)


def test_a_note_that_is_not_ours_is_not_published(world: World) -> None:
    """Another key, another origin; the log goes on."""
    stranger = note.Signer("audit.example/log1", b"s" * 32)
    data = note.sign_checkpoint(note.Checkpoint("audit.example/log1", 1, bytes(32)), [stranger])
    with pytest.raises(CheckFailedError):
        world.log.cosigned(data)
    ahead = note.Checkpoint("audit.example/log1", 99, bytes(32))
    world.log.cosigned(note.sign_checkpoint(ahead, [signer()]))  # of no size we have signed
    assert not (world.root / COSIGNED).exists()
    _grow(world)


# where they are required


def test_nothing_is_published_before_it_is_cosigned(strict: World) -> None:
    """Committed and signed, for recovery alone; then checkpoint and cosigned note are one."""
    world = strict
    assert (world.log.published, size_of(world, INTEGRATED)) == (0, 1)
    assert not (world.root / CHECKPOINT).exists()
    since = world.log.waits_since
    assert since == world.clock.now()
    world.clock.advance(2)
    _grow(world)
    assert (world.log.size, world.log.published, world.log.waits_since) == (3, 0, since)
    assert (world.root / INTEGRATED).stat().st_mode & 0o777 == 0o600
    data = newest(world.root, require=True)
    _grow(world)
    world.log.cosigned(cosign(data))
    assert (world.root / CHECKPOINT).read_bytes() == cosign(data)
    assert (world.root / COSIGNED).read_bytes() == cosign(data)
    assert (world.log.published, size_of(world, INTEGRATED)) == (3, 5)
    assert world.log.waits_since == world.clock.now()
    world.log.cosigned(cosign(newest(world.root, require=True)))
    assert world.log.published == 5
    assert not world.log.waits_since
    assert fsck.check(world.root, signer().verifier()).size == 5


def test_staging_does_not_grow_while_witnesses_are_away(strict: World) -> None:
    """What is signed stands in tiles; a restart needs no staging file for it."""
    world = strict
    _grow(world, 60)
    (only,) = staging.files(world.root)
    assert only[1].stat().st_size <= staging.FILE_BYTES
    size = world.log.size
    world.drop()
    only[1].unlink()
    world.open(require=True)
    assert (world.log.size, world.log.published) == (size + 1, 0)  # and the end of the one before
    world.log.cosigned(cosign(newest(world.root, require=True)))
    assert fsck.check(world.root, signer().verifier()).size == size + 1


def test_restarts_while_it_waits(strict: World) -> None:
    """Signed and not published stays so; the end of the sequencer before is signed, too."""
    world = strict
    world.log.cosigned(cosign(newest(world.root, require=True)))
    _grow(world)
    world.drop()
    world.open(require=True)
    assert (world.log.published, world.log.size, size_of(world, INTEGRATED)) == (1, 4, 4)
    assert world.log.waits_since is not None


def test_proofs_are_against_published_heads(strict: World) -> None:
    """While the next ones wait, the last ones serve, as of then; there are no third ones."""
    world = strict
    chain, late = Chain("acme", "model", "gpt-4o"), Chain("acme", "model", "late")

    def published() -> None:
        world.log.cosigned(cosign(newest(world.root, require=True)))

    def turn(model: str) -> int:
        world.put(Writer().exchange(model=model))
        world.clock.advance(HEADS_SECONDS)
        return world.put([]).base

    first = turn("gpt-4o")
    assert world.log.ensure_heads_after(0) is None  # waits, as nothing is published yet
    with pytest.raises(NotFoundError):
        world.log.prove_head(chain)
    published()
    assert world.log.ensure_heads_after(0) == first
    assert [world.log.prove_head(one).n for one in (chain, late)] == [2, 0]
    before = world.log.prove_head(chain)
    second = turn("gpt-4o")
    turned = turn("late")
    assert world.reader().checkpoint().size <= second < turned
    assert world.log.ensure_heads_after(first) is None
    assert world.log.ensure_heads_after(0) == first
    for one, kept in ((chain, before), (late, world.log.prove_head(late))):
        proof = world.log.prove_head(one)
        claim = world.reader().decoded(first).heads
        assert claim is not None
        assert (proof.index, proof.n, proof.last) == (first, kept.n, kept.last)
        verify_head(proof, claim.bits, from_b64u(claim.map))
    signed = LogReader(world.root, None, heads(require=True))
    kinds = [signed.decoded(index).type for index in range(second, world.log.size)]
    assert kinds.count("ledger.heads") == 1
    published()
    assert world.log.ensure_heads_after(first) == second
    assert [world.log.prove_head(one).n for one in (chain, late)] == [4, 0]
    third = world.put(Writer().exchange(model="x")).base  # they are long due
    world.log.publish()
    published()
    assert world.log.ensure_heads_after(second) == third
    proof, claim = world.log.prove_head(late), world.reader().decoded(third).heads
    assert proof.n == 2
    assert claim is not None
    verify_head(proof, claim.bits, from_b64u(claim.map))


def test_after_a_restart_waiting_heads_still_wait(strict: World) -> None:
    """Until they are published there is nothing to prove against."""
    world = strict
    world.log.cosigned(cosign(newest(world.root, require=True)))
    world.put(Writer().exchange(model="gpt-4o"))
    world.clock.advance(HEADS_SECONDS)
    heads_leaf = world.put([]).base
    world.drop()
    world.open(require=True)
    assert world.log.ensure_heads_after(0) is None
    world.log.cosigned(cosign(newest(world.root, require=True)))
    assert world.log.ensure_heads_after(0) == heads_leaf
    assert world.log.prove_head(Chain("acme", "model", "gpt-4o")).n == 2
    world.log.close()
    world.shut()
    world.open(require=True)


def test_a_crash_between_the_two_names_is_made_good(strict: World) -> None:
    """The cosigned note moved and the checkpoint did not: the next start moves it."""
    world = strict
    world.log.cosigned(cosign(newest(world.root, require=True)))
    before = (world.root / CHECKPOINT).read_bytes()
    _grow(world)
    world.log.cosigned(cosign(newest(world.root, require=True)))
    after = (world.root / CHECKPOINT).read_bytes()
    world.drop()
    (world.root / CHECKPOINT).write_bytes(before)
    world.open(require=True)
    assert (world.root / CHECKPOINT).read_bytes() == after
    assert world.log.published == 3


def test_requirement_lifted_and_imposed(world: World) -> None:
    """From the next start on: what waited is published, or what is published is the beginning."""
    _grow(world)
    world.drop()
    world.open(require=True)
    assert (size_of(world, INTEGRATED), world.log.published) == (4, 3)
    _grow(world)
    assert (world.log.size, world.log.published) == (6, 3)
    world.drop()
    world.open()
    assert world.log.published == world.log.size
    world.drop()
    world.open()
    assert not (world.root / INTEGRATED).exists()


def test_partial_tiles_that_only_waiting_notes_refer_to_go_early(strict: World) -> None:
    """Those of the published checkpoint stay until the published one refers to the full tile."""
    world = strict
    writer = Writer()

    def there(number: str) -> bool:
        return (world.root / "tile/0" / f"{number}.p").is_dir()

    world.put([writer.request() for _ in range(99)])
    world.log.publish()
    world.log.cosigned(cosign(newest(world.root, require=True)))
    for _ in range(3):
        world.put([writer.request() for _ in range(200)])
        world.log.publish()
    assert (world.log.published, world.log.size) == (100, 700)
    assert (there("000"), there("001"), there("002")) == (True, False, True)
    shutil.copytree(world.root, world.directory / "copy")
    assert fsck.check(world.directory / "copy", signer().verifier()).size == 100
    world.log.cosigned(cosign(newest(world.root, require=True)))
    assert (there("000"), there("001"), there("002")) == (False, False, True)
    assert all((world.root / path.text()).is_file() for path in tiles.tiles_of(700))


def test_a_waiting_note_ahead_of_state_db_refuses_the_start(strict: World) -> None:
    """As a published one would: state.db was put back."""
    world = strict
    world.drop()
    ahead = note.Checkpoint("audit.example/log1", 9, bytes(32))
    path = world.root / INTEGRATED
    kept = path.read_bytes()
    path.write_bytes(note.sign_checkpoint(ahead, [signer()]))
    with pytest.raises(CorruptError, match=r"waits for witnesses has 9 leaves, state\.db 1"):
        world.open(require=True)
    world.shut()
    path.write_bytes(kept)
    world.open(require=True)


def test_a_waiting_note_of_another_history_refuses_the_start(strict: World) -> None:
    """It has to continue what is published."""
    world = strict
    _grow(world)
    world.drop()
    other = note.Checkpoint("audit.example/log1", 1, bytes(32))
    (world.root / CHECKPOINT).write_bytes(note.sign_checkpoint(other, [signer()]))
    with pytest.raises(CorruptError, match="does not continue"):
        world.open(require=True)
    world.shut()
    (world.root / CHECKPOINT).unlink()
    world.open(require=True)


# fencing


def _fenced(directory: Path, *, require: bool) -> tuple[dict[str, bytes], list[str]]:
    """A sequencer that slept while another took over wakes up: what it changes, what it is told.

    It has committed and not yet published, has a cosigned note in hand, and a timestamp.
    """
    sleeper, other = World(directory), World(directory)
    sleeper.open(require=require)
    sleeper.put(Writer().exchange())
    sleeper.log.publish()
    sleeper.put(Writer().exchange())  # committed, not published
    mine = cosign(newest(sleeper.root, require=require))
    sleeper.log._exit.pop_all()  # keeps its files, loses its lock to nobody
    (sleeper.root / "lock").unlink()
    other.open(require=require)
    _grow(other)
    before = _files(other.root)
    told = []
    for wake in (
        sleeper.log._publish,
        lambda: sleeper.log.cosigned(mine),
        lambda: sleeper.log.stamped(3, mine, b"answer"),
    ):
        sleeper.log._failed = False
        try:
            wake()
        except LockedError as error:
            told.append(error.message)
        except UnavailableError:
            told.append("unavailable")
    after = _files(other.root)
    for world in (sleeper, other):
        world.drop()
    return {name: data for name, data in after.items() if before.get(name) != data}, told


def _files(root: Path) -> dict[str, bytes]:
    """All that anybody could read, less tiles, which are the same whoever writes them."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and "staging" not in path.parts and "tile" not in path.parts
        and "links" not in path.parts
    }  # fmt: skip


@pytest.mark.parametrize("require", [False, True])
def test_a_sequencer_that_slept_signs_and_publishes_nothing(tmp_path: Path, require: bool) -> None:
    """Not a checkpoint, not a waiting note, not a cosigned one, not a timestamp."""
    changed, told = _fenced(tmp_path, require=require)
    assert changed == {}
    assert len(told) == 3
    assert all("Another sequencer" in one for one in told)


@pytest.mark.parametrize("require", [False, True])
def test_mutant_without_looking_at_the_fencing_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, require: bool
) -> None:
    """It would put an older note over a newer one."""
    monkeypatch.setattr(LedgerState, "holding", lambda *_: nullcontext())
    changed, told = _fenced(tmp_path, require=require)
    assert told == []
    assert changed.keys() >= {INTEGRATED if require else CHECKPOINT, "timestamps/3.tsr"}


def test_nobody_takes_over_in_the_middle_of_a_publication(world: World) -> None:
    """Between the look at the fencing epoch and the last write."""
    state = LedgerState(connect(world.directory))
    state._connection.set_busy_timeout(0)
    before = state.committed()
    with (
        world.log._state.holding(world.log._committed.fencing),
        pytest.raises(apsw.BusyError),
    ):
        state.take_over(before, world.log._committed)
    state.take_over(before, world.log._committed)
    state._connection.close()
    with pytest.raises(LockedError):
        _grow(world)


def test_timestamps_are_kept_under_the_log(world: World) -> None:
    """By the one who holds it."""
    data = newest(world.root)
    world.log.stamped(1, data, b"answer")
    (found,) = timestamp.stored(world.root)
    assert (found.size, found.checkpoint.read_bytes()) == (1, data)
