"""The log's keys: one follows another, both sign in between, an ML-DSA key signs beside them."""

from pathlib import Path
from typing import Any

import pytest

from affidavit.errors import CheckFailedError, CorruptError, UnavailableError, UsageError
from affidavit.ledger import fsck, note
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.policy import Policy, parse_policy
from affidavit.ledger.state import LedgerState
from affidavit.record.disclose import open_disclosure
from tests.world.ledger import ORIGIN, World, Writer, leaves, post_quantum, signer, successor

OLD, NEW, NEWER = signer().vkey, successor(1).vkey, successor(2).vkey


@pytest.fixture
def turning(world: World) -> World:
    """A ledger whose key may be followed by others."""
    world.drop()
    world.open(successor=successor)
    world.put(Writer().exchange())
    return world


def _again(world: World, **terms: Any) -> None:
    world.drop()
    world.open(**{"successor": successor, **terms})


def _signers(world: World) -> set[str]:
    """Whose signatures the published checkpoint bears, among all keys there ever were."""
    known = [note.Verifier.from_vkey(vkey) for vkey in (OLD, NEW, NEWER, post_quantum().vkey)]
    return set(note.open_note((world.root / "checkpoint").read_bytes(), known).signers)


def _policy(world: World) -> Policy:
    return parse_policy("\n".join([*world.log.keys.policy_lines(), "quorum none"]))


def test_one_key_follows_another(turning: World) -> None:
    """A record, both sign, a record, the new one signs; after each step the log is sound."""
    world = turning
    assert world.log.keys.vkeys == (OLD,)
    begun = world.rotate()
    assert (world.log.published, _signers(world)) == (begun + 1, {OLD, NEW})
    assert [key.vkey for key in world.vkeys()] == [NEW, OLD]
    assert (world.log.vkey, world.log.keys.rotating) == (NEW, True)
    world.put(Writer().exchange())
    world.log.publish()
    for key in (OLD, NEW):
        assert fsck.check(world.root, note.Verifier.from_vkey(key)).ok
    finished = world.rotate(finish=True)
    assert (world.log.published, _signers(world)) == (finished + 1, {NEW})
    assert [key.vkey for key in world.vkeys()] == [NEW]
    assert fsck.check(world.root, world.vkeys()).ok
    assert fsck.check(world.root, signer().verifier()).first.startswith("checkpoint: The note is")
    kinds = [leaf.type for leaf in LogReader(world.root, world.vkeys()).epochs(0)]
    assert kinds == ["ledger.opened"]


def test_what_the_records_say(turning: World) -> None:
    """Old key, new key, and the exact size: of the first checkpoint, of the last one."""
    world = turning
    said = []
    for finish in (False, True):
        world.log.rotate(finish=finish)
        (placed,) = world.put([]).placed
        assert (placed.record.type, placed.src[0]) == ("ledger.key", world.log.own)
        text = placed.record.sections[2]
        assert text is not None
        said.append((placed.index, open_disclosure(text, "what")))
    (begun, first), (finished, second) = said
    both = {"purpose": "log", "before": OLD, "after": NEW}
    assert first == {**both, "change": "begun", "size": begun + 1}
    assert second == {**both, "change": "finished", "size": finished}


def test_lines_for_a_policy(turning: World) -> None:
    """Each key with the sizes it counts for, ready for ``policy``."""
    world = turning
    assert [(k.verifier.vkey, k.first, k.last) for k in _policy(world).logs] == [(OLD, 0, None)]
    begun, finished = world.rotate(), world.rotate(finish=True)
    newer = world.rotate()
    assert [(k.verifier.vkey, k.first, k.last) for k in _policy(world).logs] == [
        (OLD, 0, finished),
        (NEW, begun + 1, None),
        (NEWER, newer + 1, None),
    ]
    lines = [*world.log.keys.policy_lines(), "quorum none"]
    assert (world.root / "log.policy").read_text().splitlines() == lines


def test_steps_out_of_turn_are_refused(turning: World) -> None:
    """Two at once, an end without a beginning; and nothing has changed."""
    world = turning
    size = world.log.size
    with pytest.raises(UsageError, match="No rotation"):
        world.log.rotate(finish=True)
    world.rotate()
    with pytest.raises(UsageError, match="under way"):
        world.log.rotate()
    assert world.log.size == size + 1
    assert not world.log.rotation_asked


def test_a_plan_given_up_rotates_nothing(turning: World) -> None:
    """The record and the keys come with the commit, and with the next plan if not with this."""
    world = turning
    world.log.rotate()
    world.log.prepare([])
    assert (world.log.rotation_asked, world.log.keys.vkeys) == (True, (OLD,))
    world.clock.advance(10)  # heads are due, and the record stands behind them
    world.clock.jump(-100)
    plan = world.put(Writer().exchange())
    assert [placed.record.type for placed in plan.placed][:4] == [
        "ledger.heads",
        "ledger.clock",
        "ledger.key",
        "exchange.request",
    ]
    assert _policy(world).logs[1].first == plan.base + 3
    assert not world.log.rotation_asked


def test_restarts_go_on_where_the_rotation_stands(turning: World) -> None:
    """Before, during and after; with the same keys."""
    world = turning
    world.rotate()
    _again(world)
    assert world.log.keys.vkeys == (NEW, OLD)
    assert _signers(world) == {OLD, NEW}
    world.rotate(finish=True)
    _again(world)
    assert _signers(world) == {NEW}
    assert [key.vkey for key in world.vkeys()] == [NEW]
    assert world.log.keys.terms[0].last is not None
    world.drop()
    with pytest.raises(CorruptError, match="Key 1 of the log"):
        world.open(successor=lambda _: successor(9))
    world.shut()
    with pytest.raises(CorruptError, match="Key 1 of the log"):
        world.open()  # nobody who has the later keys
    world.shut()
    world.open(successor=successor)


def test_a_record_whose_commit_was_lost_rotates_nothing(
    turning: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Staged and taken in at the next start: on record, not in force; asked again, it is."""
    world = turning
    world.log.rotate()

    def fail(*_: Any) -> None:
        raise UnavailableError("injected")

    with monkeypatch.context() as patch:
        patch.setattr(LedgerState, "swap", fail)
        with pytest.raises(UnavailableError, match="injected"):
            world.put([])
    _again(world)
    assert [leaf.type for leaf in leaves(world)].count("ledger.key") == 1
    assert world.log.keys.vkeys == (OLD,)
    begun = world.rotate()
    assert _policy(world).logs[1].first == begun + 1
    assert fsck.check(world.root, world.vkeys()).ok


def test_a_key_file_that_lags_or_is_of_another_log(turning: World) -> None:
    """It is brought up to date; one that shares no key with the log refuses the start."""
    world = turning
    path = Path(world.root) / "log.vkey"
    before = path.read_text()
    world.rotate()
    path.write_text(before)
    _again(world)
    assert [key.vkey for key in world.vkeys()] == [NEW, OLD]
    world.drop()
    lines = path.read_text()
    path.write_text(NEWER + "\n")
    with pytest.raises(CorruptError, match="another key"):
        world.open(successor=successor)
    world.shut()
    path.write_text(lines)
    world.open(successor=successor)


# the ML-DSA-44 key


def test_a_second_signature_that_no_quantum_computer_forges(world: World) -> None:
    """Type 06 under the log's own name, with the time; listed last; off again by configuration."""
    _again(world, post_quantum=post_quantum())
    world.put(Writer().exchange())
    world.log.publish()
    assert [(key.name, key.kind) for key in world.vkeys()] == [(ORIGIN, 1), (ORIGIN, 6)]
    opened = note.open_note((world.root / "checkpoint").read_bytes(), world.vkeys())
    assert opened.signers == {OLD: 0, post_quantum().vkey: 1795435200}
    assert fsck.check(world.root, world.vkeys()).ok
    assert fsck.check(world.root, world.vkeys()[1]).ok
    assert _policy(world).logs[-1].verifier.kind == note.ML_DSA_44
    _again(world)
    assert [key.kind for key in world.vkeys()] == [1]
    world.put(Writer().exchange())
    world.log.publish()
    assert _signers(world) == {OLD}


def test_it_stays_while_the_other_key_changes(world: World) -> None:
    """Three signatures during the overlap, two afterwards."""
    _again(world, post_quantum=post_quantum())
    pq = post_quantum().vkey
    world.rotate()
    assert _signers(world) == {OLD, NEW, pq}
    assert [key.vkey for key in world.vkeys()] == [NEW, OLD, pq]
    world.rotate(finish=True)
    assert _signers(world) == {NEW, pq}


# reading


def test_a_reader_that_learns_of_the_new_key(turning: World) -> None:
    """It goes on with the old key as long as both sign, and then needs the new one."""
    world = turning
    reader = LogReader(world.root, signer().verifier())
    begun = world.rotate()
    assert reader.checkpoint().size == begun + 1
    finished = world.rotate(finish=True)
    with pytest.raises(CorruptError, match="not signed by a known key"):
        reader.checkpoint()
    reader.trust(world.vkeys())
    assert reader.checkpoint().size == finished + 1


def test_a_key_of_another_name_is_not_the_logs(world: World) -> None:
    """A checkpoint counts only under keys that bear its origin's name."""
    stranger = note.Signer("elsewhere", bytes(32))
    checkpoint = world.reader().checkpoint()
    data = note.sign_checkpoint(checkpoint, [signer(), stranger])
    assert note.open_checkpoint(data, [signer().verifier()]) == checkpoint
    for keys in ([stranger.verifier()], [signer().verifier(), stranger.verifier()]):
        with pytest.raises(CheckFailedError, match="another log"):
            note.open_checkpoint(data, keys)
