"""Live tails over a real socket: slow readers, reconnects, revocations and restarts."""

import dataclasses
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from affidavit import config
from affidavit.console import tails
from affidavit.control.identity import Identity
from affidavit.errors import UsageError
from affidavit.index.reader import TIME
from affidavit.query import search
from affidavit.query.boundary import owner
from affidavit.query.tree import All
from tests.world.machine import Machine
from tests.world.served import Events, served


def until(true: Callable[[], bool]) -> None:
    """Wait until it is; at most as long as a slow machine takes."""
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ends(machine: Machine, number: int) -> list[tuple[int, str]]:
    """Rows and reason of the last tails that ended."""
    told = [record["what"] for record in machine.records("access.tail")]
    return [(what["rows"], what["why"]) for what in told if what["phase"] == "ended"][-number:]


def matching(machine: Machine, model: str) -> list[int]:
    """The indexes a tail has to give: every record of the model."""
    found: list[int] = []
    page = machine.services().searcher.tail(All(), owner("x"), after=0)
    while page.rows or page.next < page.as_of.size:
        found += [row["index"] for row in page.rows if model in row["models"]]
        page = machine.services().searcher.tail(All(), owner("x"), after=page.next)
    return found


def key_of(machine: Machine, name: str, role: str = "owner") -> tuple[Identity, str]:
    """A key that can be revoked or changed without harm to others."""
    identity, token = machine.identities.draft(tenant="acme", name=name, role=role)
    machine.identities.put(identity)
    return identity, token


def test_nothing_is_lost_and_nothing_comes_twice_over_reconnects(machine: Machine) -> None:
    """While records are indexed all the time, a reader that breaks off anywhere has every row."""
    chance = random.Random(7)
    done = threading.Event()

    def write() -> None:
        for number in range(12):
            machine.exchange(f"Question {number}?", "Yes.", model="demo-live")
            machine.settle()
        done.set()

    with served(machine.services()) as site:
        writing = threading.Thread(target=write)
        writing.start()
        found: list[int] = []
        while not done.is_set() or len(found) < 24:
            by_header = chance.random() < 0.5 and found
            after = found[-1] + 1 if found else 0
            query = "?expression=model:demo-live" + ("" if by_header else f"&after={after}")
            events = Events(
                site.port, machine.keys["owner"], query, found[-1] if by_header else None
            )
            for _, row in zip(range(chance.randrange(1, 5)), events, strict=False):
                found.append(row["index"])
                if len(found) == 24:
                    break
            events.reset() if chance.random() < 0.5 else events.close()
        writing.join()
        until(lambda: machine.services().limits.tails == 0)
    assert found == matching(machine, "demo-live")


def test_a_restart_of_the_console_loses_nothing(machine: Machine) -> None:
    """The tail ends at once, says why and is recorded; the next console goes on by index."""
    query = "?expression=model:demo-restart&after=0"
    machine.exchange("Before?", "Yes.", model="demo-restart")
    machine.settle()
    with served(machine.services()) as site:
        events = Events(site.port, machine.keys["owner"], query)
        rows = iter(events)
        found = [next(rows)["index"], next(rows)["index"]]
        stopping = threading.Thread(target=site.stop)
        stopping.start()
        assert list(rows) == []
        stopping.join()
        assert events.ended == tails.STOPPED
        events.close()
    machine.exchange("Meanwhile?", "Yes.", model="demo-restart")
    machine.settle()
    with served(machine.services()) as site:
        events = Events(site.port, machine.keys["owner"], query, found[-1])
        rows = iter(events)
        found += [next(rows)["index"], next(rows)["index"]]
        events.close()
        until(lambda: site.services.limits.tails == 0)
    assert found == matching(machine, "demo-restart")
    assert ends(machine, 2) == [(2, tails.STOPPED), (2, tails.LEFT)]


def test_a_look_that_is_not_over_goes_on_at_once(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over leaves of which none matches a tail does not wait, and has every row that does."""
    machine.exchange("Far behind?", "Yes.", model="demo-far")
    machine.settle()
    monkeypatch.setattr(search, "TAIL_SPAN", 1)
    monkeypatch.setattr(tails, "POLL_SECONDS", 60.0)
    with served(machine.services()) as site:
        query = "?expression=model:demo-far&after=0"
        events = Events(site.port, machine.keys["owner"], query)
        rows = iter(events)
        assert [next(rows)["index"], next(rows)["index"]] == matching(machine, "demo-far")
        events.reset()


@pytest.mark.parametrize("enough", [1 << 10, 1])
def test_a_look_that_takes_too_long_is_made_over_fewer_leaves(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, enough: int
) -> None:
    """Where that does not help the tail ends, and its reader and its record are told why."""
    model = f"demo-slow-{enough}"
    machine.exchange("Slow?", "Yes.", model=model)
    machine.settle()
    monkeypatch.setattr(tails, "LEAST_SPAN", 1 << 9)
    services = machine.services()
    look = services.searcher.tail

    def slow(*asked: Any, span: int, **more: Any) -> Any:
        if span > enough:
            raise UsageError("The question takes longer than 10 seconds.", reason=TIME)
        return look(*asked, span=span, **more)

    monkeypatch.setattr(services.searcher, "tail", slow)
    with served(services) as site:
        query = f"?expression=model:{model}&after=0"
        events = Events(site.port, machine.keys["owner"], query)
        rows = iter(events)
        if enough > 1:
            assert [next(rows)["index"], next(rows)["index"]] == matching(machine, model)
            events.reset()
        else:
            told = [row["error"]["message"] for row in rows]
            assert told == ["The question takes longer than 10 seconds."]
            events.close()
        until(lambda: site.services.limits.tails == 0)
    ((_, why),) = ends(machine, 1)
    assert why == (
        tails.LEFT if enough > 1 else "failed: The question takes longer than 10 seconds."
    )


@pytest.mark.parametrize("change", ["revoked", "role"])
def test_a_tail_ends_when_its_reader_is_no_longer_who_it_was(machine: Machine, change: str) -> None:
    """Revoked: 401 for the next. Another role: the next one is within the new boundary."""
    identity, token = key_of(machine, "temp", "owner")
    with served(machine.services()) as site:
        model = f"demo-{change}"
        machine.exchange("Before?", "Yes.", model=model)
        machine.settle()
        events = Events(site.port, token, f"?after=0&expression=model:{model}")
        rows = iter(events)
        first = [next(rows) for _ in range(2)]
        assert "address" in first[0]
        if change == "revoked":
            machine.identities.put(machine.identities.revoked(identity.id))
        else:
            machine.identities.put(msgspec.structs.replace(identity, role="auditor"))
        machine.exchange("After that?", "Yes.", model=model)
        machine.settle()
        late = list(rows)
        assert (late, events.ended) == ([], tails.REVOKED)
        events.close()
        again = Events(site.port, token, f"?expression=model:{model}", first[-1]["index"])
        if change == "revoked":
            assert again.status == 401
        else:
            row = next(iter(again))
            assert row["index"] > first[-1]["index"]
            assert "address" not in row
        again.close()
    assert (2, tails.REVOKED) in ends(machine, 2)


def test_a_slow_reader_costs_little_and_holds_up_nobody(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes nothing: a bounded number of rows was looked up, and others have theirs at once."""
    looked = []
    services = machine.services()
    row = {"index": 0, "text": "x" * 4000}
    page = services.searcher.tail(All(), owner("x"), after=0)

    def many(*_: object, after: int, limit: int, **__: object) -> Any:
        looked.append(after)
        rows = [row | {"index": after + number} for number in range(limit)]
        return msgspec.structs.replace(page, rows=rows, next=after + limit)

    monkeypatch.setattr(services.searcher, "tail", many)
    with served(services) as site:
        slow = [Events(site.port, machine.keys["owner"], "?after=0", buffer=4096) for _ in range(5)]
        until(lambda: len(looked) >= len(slow))
        before, most = -1, 0
        while len(looked) != before:  # until it has come to rest
            before, most = len(looked), max(looked)
            time.sleep(0.3)
        # What the kernel's and the server's buffers take, and one page each: far from all there is.
        assert most <= 40 * tails.PAGE
        quick = Events(site.port, machine.keys["owner"], "?after=0")
        rows = iter(quick)
        assert [next(rows)["index"] for _ in range(500)] == list(range(500))
        assert all(next(iter(one))["index"] == 0 for one in slow)
        for one in (quick, *slow):
            one.reset()
        until(lambda: site.services.limits.tails == 0)


@pytest.mark.slow
def test_who_takes_nothing_is_let_go(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while, on record; a revoked key is let go at once although its reader is stuck."""
    monkeypatch.setattr(tails, "STALL_SECONDS", 0.5)
    monkeypatch.setattr(tails, "LAST_SECONDS", 0.2)
    services = machine.services()
    page = services.searcher.tail(All(), owner("x"), after=0)
    row = {"index": 0, "text": "x" * 100_000}

    def many(*_: object, after: int, limit: int, **__: object) -> Any:
        rows = [row | {"index": after + number} for number in range(limit)]
        return msgspec.structs.replace(page, rows=rows, next=after + limit)

    monkeypatch.setattr(services.searcher, "tail", many)
    identity, token = key_of(machine, "stuck")
    with served(services) as site:
        one = Events(site.port, machine.keys["owner"], "?after=0", buffer=4096)
        until(lambda: site.services.limits.tails == 0)
        one.reset()
        monkeypatch.setattr(tails, "STALL_SECONDS", 60.0)
        other = Events(site.port, token, "?after=0", buffer=4096)
        until(lambda: site.services.limits.tails == 1)
        time.sleep(0.3)
        machine.identities.put(machine.identities.revoked(identity.id))
        until(lambda: site.services.limits.tails == 0)
        other.reset()
    assert [why for _, why in ends(machine, 2)] == [tails.SLOW, tails.REVOKED]


def test_the_number_of_tails_of_a_reader_is_bounded(machine: Machine) -> None:
    """One more is 429 and leaves no record of a tail; when one ends there is room again."""
    before = len(machine.records("access.tail"))
    narrow = machine.config.console.model_copy(update={"limits": config.Limits(tails_at_once=2)})
    settings = machine.config.model_copy(update={"console": narrow})
    with served(dataclasses.replace(machine.services(), config=settings)) as site:
        open_now = [Events(site.port, machine.keys["owner"]) for _ in range(2)]
        refused = Events(site.port, machine.keys["owner"])
        assert refused.status == 429
        refused.close()
        other = Events(site.port, machine.keys["auditor"])
        assert other.status == 200
        other.close()
        open_now.pop().close()
        until(lambda: site.services.limits.tails == 1)
        again = Events(site.port, machine.keys["owner"])
        assert again.status == 200
        for one in (again, *open_now):
            one.close()
        until(lambda: site.services.limits.tails == 0)
    told = [record["what"]["phase"] for record in machine.records("access.tail")][before:]
    assert (told.count("begun"), told.count("ended")) == (4, 4)
