"""Erasure requests at rest: parts by bucket, and under which request a leaf went."""

import random
import tracemalloc
from pathlib import Path

import apsw
import msgspec
from hypothesis import given
from hypothesis import strategies as st

from affidavit import durable
from affidavit.app.erasing import forget_lapsed
from affidavit.control.approvals import Approval, ApprovalStore
from affidavit.control.erasures import Erasure, ErasureStore, Portion, packed, unpacked

NOW = "2026-11-23T12:00:00.000000Z"


def _store(tmp_path: Path) -> tuple[apsw.Connection, ErasureStore]:
    state = durable.open_database(tmp_path / "s.db", bytes(32))
    return state, ErasureStore(state)


def _made(name: str, state: str = "asked") -> Erasure:
    made = Erasure(
        name, "t", "session", "ses_x", "sections", "", b"tree", "b", "k", "a", NOW, 1, "d"
    )
    return msgspec.structs.replace(made, state=state)


@given(st.lists(st.integers(0, 2**63 - 1)))
def test_packed_indexes_are_unpacked(indexes: list[int]) -> None:
    """As big-endian numbers of eight bytes."""
    assert unpacked(packed(indexes)) == tuple(indexes)
    assert packed([1]) == bytes(7) + b"\x01"


def test_parts_without_anything_left_go_away(tmp_path: Path) -> None:
    """What goes now and later is kept apart, by bucket."""
    state, store = _store(tmp_path)
    one = Portion("t", "c", "2026-11-23", "2026-11-24", now=(1, 2), later=(3,))
    other = Portion("t", "c", "2026-11-24", "", later=(9,))
    store.put_parts("e", [one, other])
    assert store.parts("e") == [one, other]
    assert store.parts("f") == []
    store.put_parts("e", [msgspec.structs.replace(one, now=(), later=())])
    assert store.parts("e") == [other]
    state.close()


def test_a_leaf_is_found_under_the_latest_request_that_took_of_it(tmp_path: Path) -> None:
    """And under none if nothing did."""
    state, store = _store(tmp_path)
    store.put_gone("e1", 1, [3, 5, 900])
    store.put_gone("e2", 1, [5])
    store.put_gone("e2", 2, [])
    assert store.under([3, 4, 5]) == {3: "e1", 5: "e2"}
    assert store.under([]) == {}
    assert store.under([900, 5, 2, 900, 901]) == {900: "e1", 5: "e2"}
    state.close()


def test_a_long_run_is_not_taken_apart_to_find_a_few_leaves(tmp_path: Path) -> None:
    """Nor is an earlier one looked into for what a later one took, or one that has none between."""
    state, store = _store(tmp_path)
    size = 200_000
    for name in ("e1", "e2"):
        store.put_gone(name, 1, range(0, 2 * size, 2))
    store.put_gone("e3", 1, [1, 999_999])
    state.execute("update erasure_gone set indexes = x'00' where erasure = 'e1'")
    store.put_gone("e4", 1, [21, 23])
    state.execute("update erasure_gone set indexes = x'00' where erasure = 'e4'")
    wanted = [0, 2, 20, 24, 2 * size - 2, 999_999]
    tracemalloc.start()
    found = store.under(wanted)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == dict.fromkeys(wanted[:-1], "e2") | {999_999: "e3"}
    assert peak < 4 * 8 * size, "its bytes and one array of them"
    state.close()


def test_a_request_that_nobody_answered_is_forgotten(tmp_path: Path) -> None:
    """One that waits, or is under way, is not."""
    state, store = _store(tmp_path)
    approvals = ApprovalStore(state)
    for name in ("waits", "lapsed"):
        store.put(_made(name))
    store.put(_made("runs", "running"))
    until = "2026-12-23T12:00:00.000000Z"
    approvals.put(Approval("1", "k", "a", "t", "r", (), NOW, until, kind="erase", target="waits"))
    approvals.put(Approval("2", "k", "a", "t", "r", (), NOW, NOW, kind="erase", target="lapsed"))
    forget_lapsed(approvals, store, NOW)
    assert {one.id for one in store.all()} == {"waits", "runs"}
    state.close()


def test_nothing_that_was_wiped_in_a_request_is_on_any_page(tmp_path: Path) -> None:
    """SQLite alone leaves a copy here, which is checked first; requests stay as they are."""
    state, store = _store(tmp_path)
    drawn = random.Random(139)
    live: dict[str, bytes] = {}
    gone: list[bytes] = []
    for step in range(120):
        name = f"n{drawn.randrange(25):030}"
        mark = f"MARK0139-{step:04}-{drawn.getrandbits(40):010x}".encode()
        if live.get(name):
            gone.append(live[name])
        if name not in live:
            body = (mark + drawn.randbytes(4)) * drawn.choice([1, 5, 20, 60, 150, 400])
            one = Erasure(name, "t", "subject", "x", "person", "", body, "b", "k", "a", "n", 1, "d")
            store.put(msgspec.structs.replace(one, names=(mark.decode(),)))
            live[name] = mark
        elif drawn.random() < 0.5:
            del live[name]
            state.execute("delete from erasures where id = ?", (name,))
            state.execute("delete from erasure_parts where erasure = ?", (name,))
        else:
            text = "c" * drawn.choice([500, 2000, 9000])
            wiped = {"tree": b"", "names": (), "certificates": (text,), "state": "done"}
            store.put(msgspec.structs.replace(store.find(name), **wiped))
            live[name] = b""
    every = store.all()
    assert [mark for mark in gone if mark in state.serialize("main")], "nothing had to go"
    store.leave_none()
    assert [mark for mark in gone if mark in state.serialize("main")] == []
    assert store.all() == every
    state.close()
