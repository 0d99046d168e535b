"""Journals that are missing or cannot be read: each of their requests gets its one outcome."""

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from affidavit.errors import CorruptError, NotFoundError, UnavailableError
from affidavit.ledger import sweep
from affidavit.ledger.leaf import Leaf
from affidavit.ledger.lost import Lost
from affidavit.vault.keyring import Keyring
from tests.world.intake import UNKNOWN, Journal, Sequencer, judge, make

ASKED = ["exchange.request", "exchange.request", "tool.call"]
END = ["ledger.gap", "ledger.ended", "ledger.ended"]


@pytest.fixture(autouse=True)
def _no_writer_outlives_its_test() -> Iterator[None]:
    yield
    Journal.let_all_die()


def _types(sequencer: Sequencer) -> list[str]:
    return [leaf.type for leaf in sequencer.log.leaves]


def _asking(sequencer: Sequencer) -> Journal:
    """A writer that dies with three requests in the ledger, and a piece of one answer."""
    journal = Journal(sequencer.root)
    asked = [journal.request(kind=kind) for kind in ASKED]
    journal.piece(asked[0], b"half an answer")
    sequencer.drain()
    journal.die()
    return journal


def _asked_unknown(sequencer: Sequencer, index: int) -> dict[str, Any]:
    """The sections of an outcome that says that nobody knows what was delivered."""
    sections = sequencer.reader.sections(index)
    outcome = sections["outcome"]
    assert (outcome["outcome"], "bytes_delivered" in outcome) == ("interrupted", False)
    assert UNKNOWN in outcome["error"]["message"]
    assert sequencer.reader.parts(index) == {}
    return sections


def test_requests_of_a_missing_journal_are_closed(
    tmp_path: Path, keyring: Keyring, opened: Sequencer
) -> None:
    """Before gap and end, as what they were, under another counter; later runs add nothing."""
    journal = _asking(opened)
    journal.lose(opened.root, opened.log.leaves)
    opened.drain()
    assert _types(opened) == [*ASKED, "exchange.response", "exchange.response", "tool.result", *END]
    assert [leaf.re for leaf in opened.log.leaves[3:6]] == [0, 1, 2]
    instead = sweep.in_place_of(journal.name)
    assert [leaf.src for leaf in opened.log.leaves[3:]] == [
        *((instead, n) for n in range(4)), (journal.name, 3), (instead, 4),
    ]  # fmt: skip
    for index in (3, 4, 5):
        sections = _asked_unknown(opened, index)
        assert sections["who"]["actor"] == "act_1"
        assert sections["what"]["parent"] == opened.log.leaves[index - 3].id
        assert sections["what"]["gen_ai.request.model"] == "demo-1"
        assert opened.reader.bucket(index) == opened.reader.bucket(index - 3)
    gap = opened.reader.sections(6)["what"]
    assert (gap["writer"], gap["reason"]) == (journal.name, "its journal is not there")
    assert judge(opened, [journal]) == []
    opened.close()
    again = Sequencer(tmp_path / "data", keyring)
    again.drain()
    assert len(_types(again)) == 9
    again.close()


def test_a_missing_journal_without_requests_is_ended_with_a_gap(opened: Sequencer) -> None:
    """Somebody removed a writer's directory: the ledger says so, and that the writer is over."""
    journal = Journal(opened.root)
    journal.commit(make("custom", {}))
    journal.respond(journal.request())
    opened.drain()
    journal.die()
    journal.lose(opened.root, opened.log.leaves)
    opened.drain()
    assert _types(opened)[3:] == END
    assert judge(opened, [journal]) == []


def test_other_writers_keep_theirs(tmp_path: Path, keyring: Keyring) -> None:
    """In batches of two: a journal that lives and one that is read answer for themselves."""
    sequencer = Sequencer(tmp_path / "data", keyring, batch_records=2)
    lives, dead = Journal(sequencer.root), Journal(sequencer.root)
    mine, other = lives.request(), dead.request()
    lost = _asking(sequencer)
    dead.die()
    lost.lose(sequencer.root, sequencer.log.leaves)
    sequencer.close()
    again = Sequencer(tmp_path / "data", keyring, batch_records=2)
    steps = []
    while written := again.intake.step():
        steps.append(written)
    assert max(steps[:2]) <= 2
    lives.piece(mine, b"all of it")
    answer = lives.respond(mine)
    again.drain()
    leaves = {leaf.id: leaf for leaf in again.log.leaves}
    assert again.reader.parts(leaves[answer.id].index) == {"response.body": b"all of it"}
    (closed,) = (leaf for leaf in leaves.values() if leaf.re == leaves[other.id].index)
    assert again.reader.sections(closed.index)["outcome"]["bytes_delivered"] == 0
    lives.end()
    again.drain()
    assert judge(again, [lives, dead, lost]) == []
    again.close()


def _damage(opened: Sequencer, journal: Journal, fill: bytes) -> None:
    """Nothing of a journal's first segment can be read any more; with zeros, it looks empty."""
    path = opened.root / "journal" / journal.name / "00000000.seg"
    data = bytearray(path.read_bytes())
    data[200:] = fill * (len(data) - 200)
    path.write_bytes(data)


@pytest.mark.parametrize("fill", [b"x", b"\0"])
def test_a_request_that_cannot_be_read_any_more_is_closed(opened: Sequencer, fill: bytes) -> None:
    """The segment with the requests is damaged: closed before the gap, under the same counter."""
    journal = _asking(opened)
    opened.close()  # what was read is in its memory
    _damage(opened, journal, fill)
    again = Sequencer(opened.root, opened.keyring)
    again.drain()
    assert _types(again)[3:] == [
        "exchange.response", "exchange.response", "tool.result", "ledger.gap", "ledger.ended",
    ]  # fmt: skip
    assert {leaf.src[0] for leaf in again.log.leaves} == {journal.name}
    for index in (3, 4, 5):
        _asked_unknown(again, index)
    journal.gaps = 1
    assert judge(again, [journal]) == [f"left behind: {journal.name}"]
    again.close()


@pytest.mark.parametrize("there", [True, False])
def test_nothing_is_written_behind_an_end(opened: Sequencer, there: bool) -> None:
    """A writer and its continuation are over, and requests open: as a leaf that was repaired is.

    In the journal or not, they are closed under another name, which is ended.
    """
    journal = _asking(opened)
    opened.close()
    last = [(journal.name, 3), (sweep.continuation(journal.name), 0)]
    ends = [
        msgspec.structs.replace(
            opened.log.leaf(0), index=3 + n, id=make("custom", {}).id, type="ledger.ended", src=src
        )
        for n, src in enumerate(last)
    ]
    (opened.root / "log.json").write_bytes(msgspec.json.encode([*opened.log.leaves, *ends]))
    if not there:
        _damage(opened, journal, b"\0")
    again = Sequencer(opened.root, opened.keyring)
    again.drain()
    types = _types(again)
    assert types[5:8] == ["exchange.response", "exchange.response", "tool.result"]
    assert types[8:] == ["ledger.ended"]
    assert {leaf.src[0] for leaf in again.log.leaves[5:]} == {sweep.in_place_of(journal.name)}
    assert (again.log.open_requests(), again.log.writers()) == ({}, {})
    again.close()


def test_what_is_left_of_a_journal_closes_the_rest(opened: Sequencer) -> None:
    """Somebody removed its first segment, and nothing in the others tells: there is a gap."""
    journal = _asking(opened)
    again = Journal(opened.root)
    lost = again.request()
    for _ in range(4):
        again.respond(again.request(b"x" * 2000))
    late = again.request()
    again.piece(late, b"known")
    opened.drain()
    first = opened.root / "journal" / again.name / "00000000.seg"
    again.die()
    opened.close()
    first.unlink()
    more = Sequencer(opened.root, opened.keyring)
    more.drain()
    by_id = {leaf.id: leaf.index for leaf in more.log.leaves}
    (closed,) = (leaf for leaf in more.log.leaves if leaf.re == by_id[lost.id])
    _asked_unknown(more, closed.index)
    (known,) = (leaf for leaf in more.log.leaves if leaf.re == by_id[late.id])
    assert more.reader.parts(known.index) == {"response.body": b"known"}
    again.gaps = 1
    (gap,) = (leaf for leaf in more.log.leaves if leaf.type == "ledger.gap")
    assert "not in it" in more.reader.sections(gap.index)["what"]["reason"]
    assert judge(more, [journal, again]) == [f"left behind: {again.name}"]
    more.close()


def test_a_journal_that_comes_back_is_taken_in_behind(opened: Sequencer) -> None:
    """Nothing acknowledged is lost, no second answer: what answers then has no request."""
    journal = Journal(opened.root)
    asked, open_ = journal.request(), journal.request()
    journal.piece(asked, b"half ")
    opened.drain()
    place, aside = opened.root / "journal" / journal.name, opened.root / "aside"
    journal.piece(asked, b"and half")
    late = journal.respond(asked)
    more = journal.request()
    journal.piece(more, b"more")
    promised = list(journal.acknowledged)
    shutil.copytree(place, aside)
    journal.die()
    shutil.rmtree(place)
    opened.drain()
    assert _types(opened)[2:] == ["exchange.response"] * 2 + END
    size = opened.log.size
    shutil.copytree(aside, place)
    opened.drain()
    assert _types(opened)[size:] == [
        "exchange.response", "exchange.request", "exchange.response", "ledger.ended",
    ]  # fmt: skip
    behind = opened.log.leaves[size:]
    assert {leaf.src[0] for leaf in behind} == {sweep.continuation(journal.name)}
    assert (behind[0].id, behind[0].re) == (late.id, None)
    assert opened.reader.parts(size) == {"response.body": b"half and half"}
    assert (behind[2].re, opened.reader.parts(size + 2)) == (size + 1, {"response.body": b"more"})
    assert [leaf.re for leaf in opened.log.leaves].count(1) == 1, open_
    journal.gaps = 1
    assert judge(opened, [journal], acknowledged=promised) == []


def test_a_damaged_journal_that_comes_back_is_kept(opened: Sequencer) -> None:
    """What can be read of it is taken in; for the rest it is there, over a restart, too."""
    journal = Journal(opened.root)
    journal.request()
    opened.drain()
    place, aside = opened.root / "journal" / journal.name, opened.root / "aside"
    late = [journal.commit(make("custom", {"p": b"x" * 900}), (b"x" * 900,)) for _ in range(7)]
    shutil.copytree(place, aside)
    journal.die()
    shutil.rmtree(place)
    opened.drain()
    size = opened.log.size
    shutil.copytree(aside, place)
    data = bytearray((place / "00000001.seg").read_bytes())
    data[900] ^= 1
    (place / "00000001.seg").write_bytes(data)
    opened.drain()
    behind = opened.log.leaves[size:]
    assert {leaf.src[0] for leaf in behind} == {sweep.continuation(journal.name)}
    there = [leaf.id for leaf in behind[:-1]]
    assert there == [one.id for one in late if one.id in there]
    assert 0 < len(there) < len(late)
    assert late[-1].id in there
    assert behind[-1].type == "ledger.ended"
    assert "Kept" in opened.intake.trouble[journal.name]
    opened.close()
    again = Sequencer(opened.root, opened.keyring)
    again.drain()
    assert again.log.size == size + len(behind)
    assert (place / "00000001.seg").read_bytes() == bytes(data)
    again.close()


def test_a_writer_that_had_ended_is_no_excuse(
    tmp_path: Path, keyring: Keyring, opened: Sequencer
) -> None:
    """Its last word is there, its journal is not, and a request is open: that is closed, once.

    Nothing of it is missing, nor of what is written in its place: there is no gap.
    """
    journal = Journal(opened.root)
    journal.request()
    journal.end()
    opened.intake.step()
    assert _types(opened) == ["exchange.request", "ledger.ended"]
    opened.close()
    journal.lose(opened.root, opened.log.leaves)
    again = Sequencer(tmp_path / "data", keyring)
    again.drain()
    assert _types(again)[2:] == ["exchange.response", "ledger.ended"]
    assert again.log.leaves[2].re == 0
    assert judge(again, [journal]) == []
    again.close()


def test_a_writer_that_had_ended_is_closed_in_batches(
    tmp_path: Path, keyring: Keyring, opened: Sequencer
) -> None:
    """Each batch is over with its own end, so whenever it is killed there is no gap."""
    journal = Journal(opened.root)
    for _ in range(5):
        journal.request()
    journal.end()
    opened.intake.step()
    opened.close()
    journal.lose(opened.root, opened.log.leaves)
    for _ in range(3):
        again = Sequencer(tmp_path / "data", keyring, batch_records=2)
        again.intake.step()
        again.close()
    again = Sequencer(tmp_path / "data", keyring, batch_records=2)
    again.drain()
    answers = ["exchange.response"]
    assert _types(again)[6:] == [*((answers * 2 + ["ledger.ended"]) * 2), *answers, "ledger.ended"]
    assert judge(again, [journal]) == []
    again.close()


def test_what_is_written_in_place_of_a_kept_journal_ends_without_a_gap(
    tmp_path: Path, keyring: Keyring, opened: Sequencer
) -> None:
    """The journal came back damaged before that was ended: the name never had a journal."""
    journal = _asking(opened)
    opened.close()
    place, aside = opened.root / "journal" / journal.name, tmp_path / "aside"
    place.rename(aside)
    again = Sequencer(tmp_path / "data", keyring)
    again.intake.step()
    again.close()
    aside.rename(place)
    (place / "end").write_bytes(b"{")
    back = Sequencer(tmp_path / "data", keyring)
    back.drain()
    assert _types(back)[6:] == ["ledger.ended"]
    assert back.log.leaves[6].src == (sweep.in_place_of(journal.name), 3)
    assert list(back.intake.trouble) == [journal.name]
    back.close()


def test_a_journal_that_waited_for_a_person_is_missing_once_it_is_removed(
    opened: Sequencer,
) -> None:
    """Its requests wait as long as it is there, and are closed when it is not."""
    journal = _asking(opened)
    opened.close()
    (opened.root / "journal" / journal.name / "end").write_bytes(b"{")
    again = Sequencer(opened.root, opened.keyring)
    again.drain()
    assert (len(_types(again)), list(again.intake.trouble)) == (3, [journal.name])
    journal.lose(again.root, again.log.leaves)
    again.drain()
    assert again.intake.trouble == {}
    assert judge(again, [journal]) == []
    again.close()


def test_of_what_is_not_kept_nothing_is_said(opened: Sequencer) -> None:
    """The vault has nothing of the request any more: closed all the same, and of no tenant."""
    journal = _asking(opened)
    journal.lose(opened.root, opened.log.leaves)
    shutil.rmtree(opened.root / "vault" / "acme")
    opened.drain()
    sections = _asked_unknown(opened, 3)
    assert set(sections) == {"what", "outcome"}
    assert sections["what"] == {"parent": opened.log.leaves[0].id}
    assert (opened.reader.bucket(3) or ("acme",))[0] == ""
    assert opened.log.leaves[5].type == "tool.result"


def test_what_is_damaged_is_not_said(opened: Sequencer) -> None:
    """Bytes in the vault that are not what was committed to keep no request open."""
    journal = _asking(opened)
    journal.lose(opened.root, opened.log.leaves)
    (segment,) = (opened.root / "vault" / "acme").rglob("*.seg")
    data = bytearray(segment.read_bytes())
    data[8:] = bytes(len(data) - 8)
    segment.write_bytes(data)
    opened.drain()
    assert _types(opened)[3:6] == ["exchange.response", "exchange.response", "tool.result"]
    assert set(_asked_unknown(opened, 3)) == {"what", "outcome"}
    assert opened.reader.bucket(3) == ("acme", "default", "2026-11-23")


def test_a_disk_that_does_not_give_a_request_stops_nobody(
    opened: Sequencer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is closed all the same, and what others record is taken in at once."""
    journal = _asking(opened)
    journal.lose(opened.root, opened.log.leaves)

    def pread(*_: object) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr("affidavit.vault.reader.os", SimpleNamespace(pread=pread))
        other = Journal(opened.root)
        other.commit(make("custom", {}))
        opened.drain()
    assert _types(opened)[3:] == [
        "custom", "exchange.response", "exchange.response", "tool.result", *END,
    ]  # fmt: skip
    assert set(_asked_unknown(opened, 4)) == {"what", "outcome"}
    assert opened.reader.bucket(4) == ("acme", "default", "2026-11-23")


@pytest.mark.parametrize("fails", ["leaf", "asked"])
def test_keys_that_are_not_to_be_had_are_waited_for(opened: Sequencer, fails: str) -> None:
    """The requests stay open, and their writer without its end, until they are; nobody else."""
    journal = _asking(opened)
    journal.lose(opened.root, opened.log.leaves)

    def away(_: object) -> Any:
        raise UnavailableError("keys.db cannot be read.")

    there = {"leaf": opened.log.leaf, "asked": opened.reader.asked}
    reads: dict[str, Any] = there | {fails: away}
    opened.intake._lost = Lost(opened.log, reads["leaf"], reads["asked"], opened.clock, 500)
    other = Journal(opened.root)
    other.commit(make("custom", {}))
    opened.drain()
    assert _types(opened)[3:] == ["custom"]
    opened.intake._lost = _lost(opened, opened.log.leaf)
    opened.drain()
    assert _types(opened)[4:] == ["exchange.response", "exchange.response", "tool.result", *END]


def _lost(opened: Sequencer, leaf: Any) -> Lost:
    return Lost(opened.log, leaf, opened.reader.asked, opened.clock, 500)


def test_what_is_not_published_is_waited_for(opened: Sequencer) -> None:
    """A request whose leaf cannot be read yet keeps the end of its writer back."""
    journal = _asking(opened)
    journal.lose(opened.root, opened.log.leaves)
    published = [0]

    def leaf(index: int) -> Leaf:
        if index >= published[0]:
            raise NotFoundError("Not published.")
        return opened.log.leaf(index)

    lost = _lost(opened, leaf)
    assert lost.step({}, ()) == []
    published[0] = 2
    assert [one.record.type for one in lost.step({}, ())] == ["exchange.response"] * 2
    published[0] = 3
    assert len(lost.step({}, ())) == 3


@pytest.mark.parametrize("error", [CorruptError("Damaged."), OSError(errno.EIO, "I/O error")])
def test_a_damaged_leaf_stops_nothing_else(opened: Sequencer, error: Exception) -> None:
    """Whose request it is nobody can tell; the others are closed and the writer is ended."""
    journal = _asking(opened)
    journal.lose(opened.root, opened.log.leaves)

    def leaf(index: int) -> Leaf:
        if index == 1:
            raise error
        return opened.log.leaf(index)

    opened.intake._lost = _lost(opened, leaf)
    opened.drain()
    assert _types(opened)[3:] == ["exchange.response", "tool.result", *END]
    assert list(opened.log.open_requests().values()) == [1]
    opened.close()
    repaired = Sequencer(opened.root, opened.keyring)
    repaired.drain()
    assert _types(repaired)[8:] == ["exchange.response", "ledger.ended"]
    assert judge(repaired, [journal]) == []
    repaired.close()


def test_what_nobody_closes_is_named(opened: Sequencer) -> None:
    """A leaf that is damaged, and a writer whose journal is not read; what is else waits a bit."""
    journal = _asking(opened)

    def leaf(index: int) -> Leaf:
        if index == 3:
            raise NotFoundError("Not published.")
        if index == 1:
            raise CorruptError("Damaged.")
        return opened.log.leaf(index)

    lost = _lost(opened, leaf)
    assert lost.stuck(range(4), ()) == {1: "leaf 1 of the log"}
    mine = f"journal {journal.name}"
    assert lost.stuck(range(4), {journal.name}) == {0: mine, 1: "leaf 1 of the log", 2: mine}


def test_without_anything_lost_no_leaf_is_read(opened: Sequencer) -> None:
    """However many requests are open in journals that are there, and whoever ends meanwhile."""
    read: list[int] = []

    def leaf(index: int) -> Leaf:
        read.append(index)
        return opened.log.leaf(index)

    opened.intake._lost = _lost(opened, leaf)
    journals = [Journal(opened.root) for _ in range(2)]
    for _ in range(5):
        for journal in journals:
            journal.request()
    opened.drain()
    journals[0].die()
    opened.drain()
    assert read == []
    journals[1].die()
    opened.drain()
    assert judge(opened, journals) == []
