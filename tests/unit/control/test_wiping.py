"""What was taken from a table of ``state.db`` is on no page of it."""

import random
from collections.abc import Callable
from pathlib import Path

import apsw
import msgspec
import pytest

from affidavit.app.forgetting import leave_none
from affidavit.clock import SystemClock
from affidavit.control.holds import Hold, HoldStore
from affidavit.control.identity import Identity
from affidavit.control.saved import SavedQueries, SavedQuery
from affidavit.control.store import IdentityStore
from affidavit.durable import open_database

NOW = "2026-11-23T12:00:00.000000Z"
ANN = Identity("k", "acme", "act", "person", "caller", "", (), "n", "e", bytes(32), NOW)
HOLD = Hold("i", "acme", "m", "o", "r", "model:m", "x", b"{}", NOW, "k", "a")
Put = Callable[[str, str, str], None]


def _identities(state: apsw.Connection) -> Put:
    store = IdentityStore(state, SystemClock())
    return lambda name, mark, more: store.put(
        msgspec.structs.replace(ANN, id=name, name=mark, groups=(more,))
    )


def _saved(state: apsw.Connection) -> Put:
    store = SavedQueries(state)
    return lambda name, mark, more: store.put(
        SavedQuery("acme", "own", name, "mine", mark + more, "a", NOW)
    )


def _holds(state: apsw.Connection) -> Put:
    store = HoldStore(state)
    return lambda name, mark, more: store.put(
        msgspec.structs.replace(HOLD, id=name, owner=mark, expression=more)
    )


@pytest.mark.parametrize("table", [_identities, _saved, _holds])
def test_no_copy_is_left_of_what_was_taken(
    table: Callable[[apsw.Connection], Put], tmp_path: Path
) -> None:
    """SQLite alone leaves one here and there, where it moved rows; rows stay as they are."""
    for seed in range(100):
        state = open_database(tmp_path / f"{seed}.db", bytes(32))
        stores = IdentityStore(state, SystemClock()), SavedQueries(state), HoldStore(state)
        gone = _changed(state, table(state), random.Random(seed))
        found = _left(state, gone)
        if found:
            before = [store.all() for store in stores]
            leave_none(state, *stores)
            assert _left(state, gone) == []
            assert [store.all() for store in stores] == before
        state.close()
        if found:
            return
    raise AssertionError("nothing had to go")


def _changed(state: apsw.Connection, put: Put, drawn: random.Random) -> list[bytes]:
    """Rows, each of which is then another one; what was in them."""
    names = [f"n{drawn.getrandbits(100):030x}" for _ in range(300)]
    marks = [f"MARK-{step:05}" for step in range(2 * len(names))]
    with state:
        for name, mark in zip([*names, *drawn.sample(names, len(names))], marks, strict=True):
            put(name, mark, "w" * drawn.choice([1, 50, 200, 600]))
    return [mark.encode() for mark in marks[: len(names)]]


def _left(state: apsw.Connection, marks: list[bytes]) -> list[bytes]:
    pages = state.serialize("main")
    return [mark for mark in marks if mark in pages]
