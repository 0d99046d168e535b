"""state.db as the ledger keeps it: compare-and-swap, fencing, heads and open requests."""

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.errors import LockedError, UnavailableError
from affidavit.ledger import state
from affidavit.ledger.state import Committed, LedgerState, Open, Turn

EMPTY = Committed(1, 0, bytes(32), "", 0, 0, "first")


def fresh() -> tuple[LedgerState, apsw.Connection]:
    """An empty state.db."""
    connection = apsw.Connection(":memory:")
    return LedgerState(connection), connection


def key(number: int) -> bytes:
    """A 17-byte key."""
    return number.to_bytes(17, "big")


def value(number: int) -> bytes:
    """A 57-byte head."""
    return number.to_bytes(57, "big")


def test_the_end_moves_by_compare_and_swap() -> None:
    """From what it was, with the writers' counters; from anything else not at all."""
    ledger, _ = fresh()
    assert ledger.committed() is None
    start = ledger.take_over(None, EMPTY)
    after = start._replace(size=3, root=b"r" * 32, time="t", heads=2)
    ledger.swap(start, after, {"w": (2, False)})
    assert ledger.committed() == after
    assert ledger.writers() == {"w": (2, False)}
    for stale in (
        start,
        after._replace(size=2),
        after._replace(root=bytes(32)),
        after._replace(fencing=9),
    ):
        with pytest.raises(LockedError, match="Another sequencer"):
            ledger.swap(stale, after._replace(size=9), {"w": (9, True)})
    assert ledger.committed() == after
    ledger.swap(after, after._replace(size=4), {"w": (3, True), "v": (1, False)})
    assert ledger.writers() == {"w": (3, True), "v": (1, False)}


def test_taking_over_fences_whoever_had_it() -> None:
    """The one before commits no more; of two that try at once, one wins."""
    ledger, _ = fresh()
    first = ledger.take_over(None, EMPTY)
    second = ledger.take_over(ledger.committed(), EMPTY._replace(own="second"))
    assert (second.fencing, second.own, second.size) == (2, "second", 0)
    with pytest.raises(LockedError):
        ledger.swap(first, first._replace(size=1), {})
    with pytest.raises(LockedError, match="has taken this ledger"):
        ledger.take_over(first, EMPTY)


def test_a_database_that_refuses_is_a_failed_commit() -> None:
    """Nothing of the commit is kept."""
    ledger, connection = fresh()
    start = ledger.take_over(None, EMPTY)
    connection.execute("DROP TABLE ledger_src")
    with pytest.raises(UnavailableError, match="did not take the commit"):
        ledger.swap(start, start._replace(size=1), {"w": (1, False)})
    assert ledger.committed() == start


def test_open_requests_come_and_go_with_heads_leaves() -> None:
    """Opened, answered, oldest first; an epoch leaf empties what they hand on."""
    ledger, _ = fresh()
    at = ledger.take_over(None, EMPTY)
    asked = {"b": Open(5, (key(1), key(2))), "a": Open(2, ())}
    ledger.swap(at, at._replace(size=6), {}, Turn({}, {}, asked))
    assert list(ledger.open()) == [("a", asked["a"]), ("b", asked["b"])]
    at = at._replace(size=6)
    ledger.swap(at, at._replace(size=7), {}, Turn({}, {}, {"a": None, "c": Open(6, (key(3),))}))
    assert list(ledger.open()) == [("b", asked["b"]), ("c", Open(6, (key(3),)))]
    at = at._replace(size=7)
    ledger.swap(at, at._replace(size=9), {}, Turn({}, {}, {}, reset=True))
    assert list(ledger.open()) == [("b", Open(5, ())), ("c", Open(6, ()))]


@given(st.lists(st.dictionaries(st.integers(0, 30), st.integers(0, 99), max_size=8), max_size=25))
def test_heads_are_kept_whatever_is_folded(rounds: list[dict[int, int]]) -> None:
    """Appended at each heads leaf and folded now and then, they read back as they are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state, "_SLACK", 10)
        patch.setattr(state, "_CHUNK", 3)
        ledger, connection = fresh()
        at, every = ledger.take_over(None, EMPTY), {}
        for row in rounds:
            changed = {key(number): value(n) for number, n in row.items()}
            every.update(changed)
            after = at._replace(size=at.size + 1)
            ledger.swap(at, after, {}, Turn(changed, every, {}))
            assert LedgerState(connection).chains() == every  # all are there at every step
            at = after
        stored = connection.execute("SELECT sum(length(data)) FROM ledger_chains").get or 0
        assert stored <= 74 * (4 * len(every) + 30)
        again = LedgerState(connection)
        assert again.chains() == every
        after = at._replace(size=at.size + 1)
        again.swap(at, after, {}, Turn({}, {}, {}, reset=True))
        assert again.chains() == {}
