"""The assembler: frames in, records with whole bodies out, each once, in order."""

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.ledger.assemble import Assembler, Ready
from affidavit.record.journal_reader import Position
from affidavit.record.model import Frame, Opened, Piece, Record, Written
from tests.world.intake import make

_INCARNATION = "A" * 22
Frames = list[tuple[Position, Frame]]


def _asks() -> Record:
    return make("exchange.request", {})


def _answers(request: Record, body: bytes = b"") -> Record:
    return make("exchange.response", {"response.body": body}, parent=request.id)


def _frames(*frames: Frame, per_segment: int = 3) -> Frames:
    """Frames with positions, some to a segment, each segment with its own first frame."""
    found: Frames = []
    for number, frame in enumerate(frames):
        segment, place = divmod(number, per_segment)
        if place == 0:
            opened = Opened(_INCARNATION, segment, "w1", "")
            found.append((Position(segment, 1, 100), opened))
        found.append((Position(segment, place + 2, 100 * (place + 2)), frame))
    return found


def _assembler(
    expected: int = 0, unanswered: Sequence[str] = (), *, over: bool = False, **more: int
) -> Assembler:
    waits = set(unanswered).__contains__
    return Assembler(_INCARNATION, expected, waits, continuation="C" * 22, over=over, **more)


def _story() -> tuple[list[Frame], Record, Record]:
    """Two requests whose pieces come mixed, across segments; the first is answered."""
    one, two = _asks(), _asks()
    return (
        [
            Written(0, one, ()),
            Piece(one.id, b"a"),
            Written(1, two, ()),
            Piece(two.id, b"X"),
            Piece(one.id, b"b"),
            Piece(two.id, b"Y"),
            Piece(one.id, b"c"),
            Written(2, _answers(one, b"abc"), (None,)),
            Piece(two.id, b"Z"),
        ],
        one,
        two,
    )


def test_pieces_become_the_body_of_the_answer() -> None:
    """The outcome's body is its request's pieces in order; others' pieces are not in it."""
    frames, one, two = _story()
    assembler = _assembler()
    ready = list(assembler.feed(_frames(*frames)))
    assert [r.src for r in ready] == [(_INCARNATION, 0), (_INCARNATION, 1), (_INCARNATION, 2)]
    assert ready[2].bodies == (b"abc",)
    assert ready[2].record.parent == one.id
    assert list(assembler.exchanges) == [two.id]
    assert assembler.exchanges[two.id].body() == b"XYZ"
    assert assembler.held == 3


def test_bodies_that_came_with_the_record_are_passed_on() -> None:
    """Only ``None`` stands for pieces."""
    one = _asks()
    frames: list[Frame] = [Written(0, one, (b"q",)), Piece(one.id, b"a")]
    frames.append(Written(1, _answers(one), (b"given", None)))
    ready = list(_assembler().feed(_frames(*frames)))
    assert [r.bodies for r in ready] == [(b"q",), (b"given", b"a")]


@given(st.integers(0, 3), st.lists(st.integers(0, 9), max_size=4))
def test_after_a_restart_only_the_rest_comes_out(done: int, cuts: list[int]) -> None:
    """Fed from the start again, in any portions: exactly the records the ledger does not have."""
    frames, one, two = _story()
    waiting = [[], [one.id], [one.id, two.id], [two.id]][done]
    whole = list(_assembler().feed(_frames(*frames)))
    again = _assembler(done, waiting)
    placed = _frames(*frames)
    bounds = [0, *sorted(min(cut, len(placed)) for cut in cuts), len(placed)]
    ready: list[Ready] = []
    for begin, end in itertools.pairwise(bounds):
        ready += again.feed(placed[begin:end])
    assert [(r.src, r.record.id, r.bodies) for r in ready] == [
        (r.src, r.record.id, r.bodies) for r in whole[done:]
    ]
    assert again.exchanges[two.id].body() == b"XYZ"


def test_a_request_the_ledger_has_answered_is_not_taken_up() -> None:
    """Pieces of an exchange that is closed in the ledger are not kept."""
    one = _asks()
    assembler = _assembler(1)
    assert list(assembler.feed(_frames(Written(0, one, ()), Piece(one.id, b"a")))) == []
    assert assembler.exchanges == {}
    assert assembler.held == 0


def test_a_body_that_was_let_go_is_recalled_from_its_place() -> None:
    """Over the limit the largest body goes; the outcome says between which frames it stands."""
    frames, one, two = _story()
    assembler = _assembler()
    placed = _frames(*frames)
    list(assembler.feed(placed[:9]))  # up to the third piece of the first exchange
    assert assembler.held == 4
    assert assembler.let_go()
    assert assembler.held == 2
    ready = list(assembler.feed(placed[9:]))
    recall = ready[0].recall
    assert recall is not None
    assert ready[0].bodies == (None,)
    assert (recall.request, recall.begin, recall.end) == (one.id, placed[1][0], placed[9][0])
    assert ready[0].size == 3
    assert assembler.exchanges[two.id].body() == b"XYZ"
    assert assembler.let_go()
    assert not assembler.let_go()
    assert assembler.exchanges[two.id].body() is None


def test_the_floor_is_where_something_is_still_needed() -> None:
    """Segments stay as long as an open exchange began in them; a record says how far it reaches."""
    frames, one, two = _story()
    assembler = _assembler()
    ready = list(assembler.feed(_frames(*frames)))
    assert ready[2].record.parent == one.id
    assert ready[2].since == 0
    assert assembler.floor() == 0
    assembler.close(two.id)
    assert assembler.floor() == 2
    assert assembler.held == 0


def test_a_hole_ends_the_feed() -> None:
    """A missing counter stops everything behind it, until somebody deals with it."""
    frames = [Written(0, _asks(), ()), Written(2, _asks(), ()), Written(3, _asks(), ())]
    assembler = _assembler()
    assert [r.src[1] for r in assembler.feed(_frames(*frames))] == [0]
    assert assembler.hole == "record 1 of the writer is missing, 2 is there"
    assert list(assembler.feed(_frames(Written(1, _asks(), ())))) == []


@pytest.mark.parametrize("continued", [0, 1, 2])
def test_behind_a_fixed_end_records_go_under_the_continuation(continued: int) -> None:
    """With the end fixed, later records are counted anew, and done ones skipped."""
    one = _asks()
    late: list[Frame] = [Written(5, one, ()), Piece(one.id, b"a")]
    late.append(Written(6, _answers(one, b"a"), (None,)))
    assembler = _assembler(1, [one.id], records=1, continued=continued)
    ready = list(assembler.feed(_frames(Written(0, _asks(), ()), *late)))
    assert [r.src for r in ready] == [("C" * 22, n) for n in range(continued, 2)]
    if continued < 2:
        assert ready[-1].bodies == (b"a",)


@pytest.mark.parametrize("own_word", [True, False])
def test_what_an_ended_writer_still_has_is_told_from_its_end(own_word: bool) -> None:
    """The last counter that the ledger has is its end, by its own word or by another's.

    Then the record that its journal has in that place was never taken in, nor was what follows.
    """
    there = make("ledger.ended", {}) if own_word else make("custom", {})
    frames = [Written(0, _asks(), ()), Written(1, there, ()), Written(2, make("custom", {}), ())]
    ready = list(_assembler(2, over=True).feed(_frames(*frames)))
    assert [r.src for r in ready] == [("C" * 22, n) for n in range(1 if own_word else 2)]
    assert (ready[0].record is there) != own_word


def test_nothing_is_the_writers_own_behind_its_end() -> None:
    """What stands in a journal behind ``ledger.ended`` goes under the continuation."""
    frames = [Written(0, make("ledger.ended", {}), ()), Written(1, _asks(), ())]
    ready = list(_assembler().feed(_frames(*frames)))
    assert [r.src for r in ready] == [(_INCARNATION, 0), ("C" * 22, 0)]
