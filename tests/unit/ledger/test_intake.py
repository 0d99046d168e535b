"""The intake: journals become ledger and vault, once each, whatever their writers came to."""

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from affidavit.durable import Effects
from affidavit.errors import UnavailableError
from affidavit.ledger import sweep
from affidavit.ledger.inbox import Inbox
from affidavit.vault.keyring import Keyring
from tests.world.intake import AT, Journal, Sequencer, judge, make


@pytest.fixture(autouse=True)
def _no_writer_outlives_its_test() -> Iterator[None]:
    yield
    Journal.let_all_die()


def _types(sequencer: Sequencer) -> list[str]:
    return [leaf.type for leaf in sequencer.log.leaves]


def _outcome(sequencer: Sequencer, index: int) -> object:
    return sequencer.reader.sections(index)["outcome"]["outcome"]


def _segments(sequencer: Sequencer, journal: Journal) -> list[str]:
    directory = sequencer.root / "journal" / journal.name
    return sorted(path.name for path in directory.glob("*.seg"))


def test_what_is_acknowledged_comes_in_with_its_body(opened: Sequencer) -> None:
    """Two writers, mixed: every record is a leaf and in the vault, streamed bodies are joined."""
    one, two = Journal(opened.root), Journal(opened.root)
    asked = one.request(b"question")
    other = two.request(b"other")
    one.piece(asked, b"ans")
    two.piece(other, b"x" * 9000)
    one.piece(asked, b"wer")
    opened.intake.step()
    one.respond(asked)
    two.respond(other)
    opened.drain()
    assert sorted(_types(opened)) == ["exchange.request"] * 2 + ["exchange.response"] * 2
    answer = next(leaf for leaf in opened.log.leaves if leaf.src == (one.name, 1))
    assert opened.reader.parts(answer.index) == {"response.body": b"answer"}
    assert opened.log.leaves[answer.re or 0].id == asked.id
    assert [placed.index for placed in opened.placed] == list(range(4))
    one.end()
    two.end()
    opened.drain()
    assert judge(opened, [one, two]) == []


def test_a_full_step_says_that_it_is_behind(opened: Sequencer) -> None:
    """What a step leaves behind, unread or uncommitted, is for the next one to do at once."""
    journal = Journal(opened.root)
    for _ in range(3):
        journal.respond(journal.request(b"x" * 400_000))
    opened.intake.step()
    told = [opened.intake.behind]
    opened.drain()
    told.append(opened.intake.behind)
    assert told == [True, False]
    assert len(opened.log.leaves) == 6


def test_a_writer_that_lives_is_left_alone(opened: Sequencer) -> None:
    """However long it says nothing: nothing is closed, ended or removed while the lease is held."""
    journal = Journal(opened.root)
    asked = journal.request()
    journal.piece(asked, b"still")
    opened.drain()
    assert _types(opened) == ["exchange.request"]
    journal.piece(asked, b" going")
    journal.respond(asked)
    opened.drain()
    assert opened.reader.parts(1) == {"response.body": b"still going"}
    journal.end()
    opened.drain()
    assert _types(opened) == ["exchange.request", "exchange.response", "ledger.ended"]
    assert judge(opened, [journal]) == []


def test_without_the_lease_a_living_writer_would_be_swept(
    opened: Sequencer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the lease, and nothing else, that keeps the sweep from a silent writer."""
    monkeypatch.setattr(Inbox, "take_lease", lambda _: True)
    journal = Journal(opened.root)
    journal.request()
    opened.drain()
    assert _types(opened) == ["exchange.request", "exchange.response", "ledger.ended"]


def test_a_dead_writer_is_closed_and_ended(opened: Sequencer) -> None:
    """Its open exchanges become interrupted with what was delivered, then it is ended, once."""
    journal = Journal(opened.root)
    asked, silent, called = journal.request(), journal.request(), journal.request(kind="tool.call")
    journal.piece(asked, b"half an ")
    journal.piece(called, b"tool")
    journal.piece(asked, b"answer")
    done = journal.request()
    journal.respond(done)
    journal.die()
    opened.drain()
    assert _types(opened)[5:] == [
        "exchange.response",
        "exchange.response",
        "tool.result",
        "ledger.ended",
    ]
    assert [leaf.re for leaf in opened.log.leaves[5:8]] == [0, 1, 2]
    assert [_outcome(opened, index) for index in (5, 6, 7)] == ["interrupted"] * 3
    assert opened.reader.parts(5) == {"response.body": b"half an answer"}
    assert opened.reader.parts(6) == {}
    assert opened.reader.sections(5)["who"]["team"] == "search"
    assert opened.reader.sections(6)["what"]["parent"] == silent.id
    assert {leaf.src[0] for leaf in opened.log.leaves} == {journal.name}
    assert judge(opened, [journal]) == []


def test_a_writer_that_may_have_served_unrecorded_leaves_a_gap(opened: Sequencer) -> None:
    """From its last record to the sweep, of unknown count; one that drained leaves none."""
    drained, journal = Journal(opened.root, serves=True), Journal(opened.root, serves=True)
    drained.respond(drained.request())
    drained.end()
    journal.respond(journal.request())
    journal.die()
    opened.drain()
    assert judge(opened, [drained, journal]) == []
    gap = next(leaf for leaf in opened.log.leaves if leaf.type == "ledger.gap")
    assert gap.src == (journal.name, 2)
    what = opened.reader.sections(gap.index)["what"]
    assert (what["kind"], what["cause"], what["worker"]) == ("served", "worker died", "w1")
    assert (what["at_least"], what["count"]) == (0, "unknown")
    assert (what["start"], what["end"]) == (AT, gap.at)
    assert "Kept" not in str(opened.intake.trouble)


def test_a_disk_that_takes_no_end_stops_nobody_else(
    opened: Sequencer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer waits to be closed, which is told; the others go on, and so does it later."""
    dead, other = Journal(opened.root), Journal(opened.root)
    dead.request()
    dead.die()
    fix_end, full = Inbox.fix_end, [True]

    def fix(self: Inbox, records: int, reason: str) -> None:
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        fix_end(self, records, reason)

    monkeypatch.setattr(Inbox, "fix_end", fix)
    opened.drain()
    other.respond(other.request())
    opened.drain()
    assert _types(opened) == ["exchange.request", "exchange.request", "exchange.response"]
    assert opened.intake.trouble == {
        dead.name: "Its end cannot be written down: No space left on device."
    }
    full[0] = False
    opened.drain()
    assert _types(opened)[3:] == ["exchange.response", "ledger.ended"]
    other.end()
    opened.drain()
    assert judge(opened, [dead, other]) == []


def test_a_writer_that_said_nothing_is_ended(opened: Sequencer) -> None:
    """A journal with a segment and no record gets its end, and nothing else."""
    journal = Journal(opened.root)
    journal.die()
    opened.drain()
    assert _types(opened) == ["ledger.ended"]
    assert judge(opened, [journal]) == []


def test_a_directory_that_is_only_beginning_is_left_alone(opened: Sequencer) -> None:
    """Without a segment a writer may be just starting, and other names are no journals."""
    (opened.root / "journal" / ("A" * 22)).mkdir()
    (opened.root / "journal" / "notes").mkdir()
    opened.drain()
    assert _types(opened) == []
    assert len(list((opened.root / "journal").iterdir())) == 2


def test_segments_go_when_nothing_in_them_is_needed(opened: Sequencer) -> None:
    """The oldest segments stay for an open exchange and go with it; the key is destroyed first."""
    journal = Journal(opened.root)
    first = journal.request()
    for _ in range(6):
        journal.respond(journal.request(b"x" * 2000))
    opened.drain()
    kept = _segments(opened, journal)
    assert kept[0] == "00000000.seg"
    backlog = opened.intake.backlog
    whole = (opened.root / "journal" / journal.name / "00000000.seg").read_bytes()
    watched = _Watching()
    opened.intake._disk.effects = watched
    journal.respond(first)
    opened.drain()
    left = [name for name in _segments(opened, journal) if name in kept]  # one may be made ahead
    assert left == kept[len(watched.destroyed) :]
    assert len(_segments(opened, journal)) <= 2  # the one in use, and one made ahead
    assert opened.intake.backlog < backlog
    assert watched.destroyed[0][:50] == whole[:50]
    assert watched.destroyed[0][50:130] == bytes(80)  # the wrapped key
    journal.end()
    opened.drain()
    assert judge(opened, [journal]) == []


class _Watching(Effects):
    """Reads each file right before it is unlinked."""

    def __init__(self) -> None:
        self.destroyed: list[bytes] = []

    def unlink(self, path: str) -> None:
        if path.endswith(".seg"):
            self.destroyed.append(Path(path).read_bytes())
        super().unlink(path)


def test_a_restart_goes_on_where_it_was(
    tmp_path: Path, keyring: Keyring, opened: Sequencer
) -> None:
    """A second sequencer over the same files doubles nothing and knows the open exchanges."""
    journal = Journal(opened.root)
    asked = journal.request()
    journal.piece(asked, b"a")
    journal.respond(journal.request())
    opened.drain()
    opened.close()
    again = Sequencer(tmp_path / "data", keyring)
    again.drain()
    assert len(_types(again)) == 3
    journal.piece(asked, b"b")
    journal.respond(asked)
    journal.end()
    again.drain()
    assert again.reader.parts(3) == {"response.body": b"ab"}
    assert judge(again, [journal]) == []
    again.close()


def test_batches_are_bounded(tmp_path: Path, keyring: Keyring) -> None:
    """No commit takes more records or bytes than it may, but for a single record that is larger."""
    sequencer = Sequencer(tmp_path / "data", keyring, batch_records=4, batch_bytes=1000)
    journal = Journal(sequencer.root, segment_bytes=1 << 16)
    for size in (600, 600, 5000, 10, 10, 10, 10, 10, 990):
        journal.commit(make("custom", {"request.body": bytes(size)}), (bytes(size),))
    taken = []
    while step := sequencer.intake.step():
        taken.append(step)
    assert taken == [1, 1, 1, 4, 2]
    journal.end()
    sequencer.drain()
    assert judge(sequencer, [journal]) == []
    sequencer.close()


def test_every_journal_has_its_turn(tmp_path: Path, keyring: Keyring) -> None:
    """A writer with much to say does not keep another one waiting for long."""
    sequencer = Sequencer(tmp_path / "data", keyring, batch_records=5)
    journals = [Journal(sequencer.root, segment_bytes=1 << 16) for _ in range(2)]
    for journal in journals:
        for _ in range(20):
            journal.commit(make("custom", {}))
    sequencer.intake.step()
    sequencer.intake.step()
    assert {leaf.src[0] for leaf in sequencer.log.leaves} == {j.name for j in journals}
    for journal in journals:
        journal.end()
    sequencer.drain()
    assert judge(sequencer, journals) == []
    sequencer.close()


def test_what_several_wrote_stands_in_the_order_in_which_it_was(opened: Sequencer) -> None:
    """By source time; but no writer's records change places, whatever its clock said."""
    times = [f"{AT[:-7]}{n:06d}Z" for n in range(1, 10)]
    journals = [Journal(opened.root) for _ in range(3)]
    for number, at in enumerate(times):
        journals[number % 3].commit(msgspec.structs.replace(make("custom", {}), at=at))
    journals[0].commit(make("custom", {}))  # its clock was set back
    opened.intake.step()
    assert [leaf.at for leaf in opened.log.leaves] == [*times[:7], AT, *times[7:]]
    for journal in journals:
        journal.end()
    opened.drain()
    assert judge(opened, journals) == []


def test_streams_are_held_within_bounds(tmp_path: Path, keyring: Keyring) -> None:
    """Bodies beyond the limit are let go and read again: for outcomes and for the sweep."""
    sequencer = Sequencer(tmp_path / "data", keyring, held_bytes=10_000)
    journal = Journal(sequencer.root)
    asked = [journal.request() for _ in range(4)]
    for round_ in range(30):
        for request in asked:
            journal.piece(request, bytes((round_,)) * 150)
        sequencer.intake.step()
        held = sum(inbox.assembler.held for inbox in sequencer.intake._inboxes.values())
        assert held <= 10_000
    journal.respond(asked[0])
    journal.respond(asked[1])
    sequencer.drain()
    journal.die()
    sequencer.drain()
    assert judge(sequencer, [journal]) == []
    assert sum(_outcome(sequencer, leaf.index) == "interrupted"
               for leaf in sequencer.log.leaves
               if leaf.type == "exchange.response" and leaf.index > 5) == 2  # fmt: skip
    sequencer.close()


def test_an_end_with_open_exchanges_is_continued(opened: Sequencer) -> None:
    """A writer that ended itself too early: outcomes go under its continuation, which is ended."""
    journal = Journal(opened.root)
    asked = journal.request()
    journal.piece(asked, b"cut")
    journal.end()
    opened.drain()
    more = sweep.continuation(journal.name)
    assert [leaf.src for leaf in opened.log.leaves[2:]] == [(more, 0), (more, 1)]
    assert _types(opened)[2:] == ["exchange.response", "ledger.ended"]
    assert opened.reader.parts(2) == {"response.body": b"cut"}
    assert judge(opened, [journal]) == []


def _damage(opened: Sequencer, journal: Journal, segment: int, offset: int) -> None:
    """Change a byte of a journal's segment."""
    path = opened.root / "journal" / journal.name / f"{segment:08d}.seg"
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def test_a_journal_that_cannot_be_read_leaves_a_gap_and_is_kept(
    tmp_path: Path, keyring: Keyring, opened: Sequencer
) -> None:
    """What follows the damage is saved under the continuation; nothing unread is removed."""
    journal = Journal(opened.root)
    first = journal.request()
    kept = [journal.commit(make("custom", {"p": b"x" * 1500}), (b"x" * 1500,)) for _ in range(8)]
    journal.respond(first)
    journal.die()
    _damage(opened, journal, 2, 900)
    while opened.intake.step():
        pass
    assert "segment 2" in opened.intake.trouble[journal.name]
    for _ in range(8):
        opened.intake.step()
        opened.clock.advance(1.0)
    assert "ledger.gap" not in _types(opened)
    opened.drain()
    ids = [leaf.id for leaf in opened.log.leaves]
    lost = [one.id for one in kept if one.id not in ids]
    assert 0 < len(lost) <= 2
    types = _types(opened)
    assert types.count("ledger.gap") == 1
    assert types[-3:] == ["ledger.gap", "ledger.ended", "ledger.ended"]
    answer = next(leaf for leaf in opened.log.leaves if leaf.type == "exchange.response")
    assert answer.src[0] == sweep.continuation(journal.name)
    assert answer.re == 0
    assert "Kept" in opened.intake.trouble[journal.name]
    assert _segments(opened, journal)[0] == "00000000.seg"
    opened.close()
    again = Sequencer(tmp_path / "data", keyring)
    again.drain()
    assert _types(again) == types
    assert "Kept" in again.intake.trouble[journal.name]
    assert again.intake.oldest_day() is None, "nothing more is taken in"
    assert again.intake.closed == {journal.name}
    assert again.intake.closed_days() == [{"2026-11-23"}]
    shutil.rmtree(again.root / "journal" / journal.name)
    again.intake.step()
    assert again.intake.trouble == {}
    assert again.intake.closed == frozenset()
    again.close()


def test_damage_that_passes_is_no_gap(opened: Sequencer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that can be read again within some seconds is taken in as if nothing had been."""
    journal = Journal(opened.root)
    journal.request()
    journal.die()
    path = opened.root / "journal" / journal.name / "00000000.seg"
    path.rename(path.with_suffix(".away"))
    for _ in range(5):
        opened.intake.step()
        opened.clock.advance(1.0)
    path.with_suffix(".away").rename(path)
    opened.drain()
    assert _types(opened) == ["exchange.request", "exchange.response", "ledger.ended"]


def test_a_hole_stops_a_living_writer_and_is_a_gap_later(opened: Sequencer) -> None:
    """A counter that was left out holds the rest back; once the writer is gone it is a gap."""
    journal = Journal(opened.root)
    journal.commit(make("custom", {}))
    journal.writer._next = 2
    late = journal.commit(make("custom", {}))
    opened.drain()
    assert len(_types(opened)) == 1
    assert "record 1 of the writer is missing" in opened.intake.trouble[journal.name]
    journal.die()
    opened.drain()
    found = next(leaf for leaf in opened.log.leaves if leaf.id == late.id)
    assert found.src == (sweep.continuation(journal.name), 0)
    assert _types(opened).count("ledger.gap") == 1


def test_an_outcome_after_interrupted_has_no_request(opened: Sequencer) -> None:
    """A writer that lost its lease goes on: its late outcome is recorded, and answers nothing."""
    journal = Journal(opened.root)
    asked = journal.request()
    journal.piece(asked, b"early")
    opened.drain()
    lease = opened.root / "journal" / journal.name / "lease"
    lease.unlink()  # now anybody may take it
    while not any(leaf.type == "exchange.response" for leaf in opened.log.leaves):
        opened.intake.step()
        opened.clock.advance(0.6)
    journal.piece(asked, b" late")
    late = journal.respond(asked)
    opened.drain()
    found = next(leaf for leaf in opened.log.leaves if leaf.id == late.id)
    assert found.re is None
    assert found.src == (sweep.continuation(journal.name), 0)
    assert opened.reader.sections(1)["outcome"]["outcome"] == "interrupted"


def test_a_record_no_leaf_can_hold_does_not_stop_the_rest(opened: Sequencer) -> None:
    """It is replaced by a gap that names it; records before and behind it come in."""
    journal = Journal(opened.root)
    good = journal.commit(make("custom", {}))
    bad = journal.commit(make("ledger.heads", {}))
    asked = journal.request()
    worse = make("exchange.response", {}, parent=asked.id)
    journal.open.remove(asked)
    journal.commit(msgspec.structs.replace(worse, at="yesterday"))
    after = journal.commit(make("custom", {}))
    opened.drain()
    types = _types(opened)
    assert types == ["custom", "ledger.gap", "exchange.request", "exchange.response", "custom"]
    assert opened.reader.sections(1)["what"]["record"] == bad.id
    assert _outcome(opened, 3) == "interrupted"
    assert opened.log.leaves[3].re == 2
    journal.end()
    opened.drain()
    ids = [leaf.id for leaf in opened.log.leaves]
    assert ids[0] == good.id
    assert ids[4] == after.id


def test_a_damaged_decision_is_left_to_a_person(opened: Sequencer) -> None:
    """A file that says where a journal ends and is not readable: the journal is not touched."""
    journal = Journal(opened.root)
    journal.request()
    journal.die()
    (opened.root / "journal" / journal.name / "end").write_bytes(b"{")
    opened.drain()
    assert _types(opened) == []
    assert "damaged" in opened.intake.trouble[journal.name]
    assert opened.intake.closed == frozenset(), "it may be taken in yet"
    assert opened.intake.oldest_day() == "2026-11-23"


def test_a_failing_disk_has_a_sentence(opened: Sequencer) -> None:
    """An error of the disk below the intake ends it with what to do."""
    Journal(opened.root).request()
    shutil.rmtree(opened.root / "journal")
    with pytest.raises(UnavailableError, match="journals cannot be taken in"):
        opened.intake.step()


def test_the_oldest_day_is_that_of_the_segments(opened: Sequencer) -> None:
    """Segments made ahead do not count; one whose header is damaged answers for any day."""
    assert opened.intake.oldest_day() is None
    journal = Journal(opened.root)
    journal.request()
    assert opened.intake.oldest_day() == "2026-11-23"
    _damage(opened, journal, 0, 3)
    assert opened.intake.oldest_day() == ""
    journal.die()


def test_half_removed_journals_are_removed(
    tmp_path: Path, keyring: Keyring, opened: Sequencer
) -> None:
    """A segment whose key was destroyed and that still stands is no damage, but a leftover."""
    journal = Journal(opened.root)
    for _ in range(6):
        journal.respond(journal.request(b"x" * 2000))
    opened.close()
    again = Sequencer(tmp_path / "data", keyring)
    while again.intake.step():
        pass
    directory = again.root / "journal" / journal.name
    oldest = directory / _segments(again, journal)[0]
    left = directory / f"{int(oldest.stem) - 1:08d}.seg"
    left.write_bytes(oldest.read_bytes()[:50] + bytes(80) + oldest.read_bytes()[130:])
    again.close()
    third = Sequencer(tmp_path / "data", keyring)
    third.drain()
    assert not left.exists()
    assert third.intake.trouble == {}
    journal.end()
    third.drain()
    assert judge(third, [journal]) == []
    third.close()
