"""Claims about records of those who were turned away."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from affidavit.capture import refusals as module
from affidavit.capture.refusals import Refusals, Refused
from affidavit.control.identity import Identity
from affidavit.errors import (
    AffidavitError,
    CannotRecordError,
    ParseError,
    TooLargeError,
    UnauthenticatedError,
)
from affidavit.record.model import Chain, Record
from tests.unit.capture.facts import SETTING, opened
from tests.world.clock import FakeClock
from tests.world.gateway import identity


class Journal:
    """Takes records, or refuses them."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.refusing = False

    async def commit(self, record: Record, bodies: Any) -> int:
        """Keep the record."""
        if self.refusing:
            raise CannotRecordError("no room")
        assert bodies == ()
        self.records.append(record)
        return len(self.records)


def refused(error: AffidavitError, who: Identity | None = None) -> Refused:
    """One refusal."""
    return Refused(error, "openai", "POST", "/openai/v1/x?key=secret", "192.0.2.7", who)


def make(journal: Journal) -> Refusals:
    """Refusals into this journal."""
    return Refusals(journal, SETTING, FakeClock())  # type: ignore[arg-type]


def test_a_strangers_refusal_belongs_to_every_answer() -> None:
    """access.denied, outcome denied, no tenant, the chain that is part of every answer."""
    journal = Journal()
    asyncio.run(make(journal).refuse(refused(UnauthenticatedError("who?"))))
    (record,) = journal.records
    sections = opened(record)
    assert (record.type, record.tenant) == ("access.denied", "")
    assert record.chains == (Chain("", "unattributed", ""),)
    assert sections["outcome"]["outcome"] == "denied"
    assert sections["control"]["decision"] == "deny"
    assert sections["what"]["url.path"] == "/openai/v1/x?key=[redacted]"
    assert sections["person"] == {"address": "192.0.2.7"}


def test_a_callers_refusal_is_in_its_chains() -> None:
    """Who is known is named."""
    journal = Journal()
    asyncio.run(make(journal).refuse(refused(TooLargeError("big"), identity())))
    assert [c.dimension for c in journal.records[0].chains] == ["actor", "key"]
    assert opened(journal.records[0])["who"]["credential"] == "key_1"


def test_a_flood_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is recorded at once, the rest as one count at the end of the window, per kind."""
    journal = Journal()

    async def work() -> None:
        over: list[Callable[[], object]] = []
        loop = asyncio.get_running_loop()
        wait = loop.call_later

        def call_later(seconds: float, call: Callable[[], object]) -> asyncio.TimerHandle:
            assert seconds == module.WINDOW_SECONDS
            over.append(call)
            return wait(3600, call)

        monkeypatch.setattr(loop, "call_later", call_later)
        refusals = make(journal)
        for _ in range(100):
            await refusals.refuse(refused(UnauthenticatedError("who?")))
            await refusals.refuse(refused(ParseError("what?")))
        assert (len(journal.records), len(over)) == (2, 1)
        over[0]()
        await asyncio.gather(*refusals._flushing)
        assert [opened(r)["what"]["count"] for r in journal.records] == [1, 1, 99, 99]
        await refusals.refuse(refused(ParseError("what?")))
        await refusals.flush()

    asyncio.run(work())
    assert sum(opened(r)["what"]["count"] for r in journal.records) == 201


def test_a_flood_that_comes_while_the_first_is_written_is_counted() -> None:
    """However slow the disk, a crowd at one time makes one record and one count."""
    journal = Journal()
    real, gate = journal.commit, asyncio.Event()

    async def commit(record: Record, bodies: Any) -> int:
        await gate.wait()
        return await real(record, bodies)

    journal.commit = commit  # type: ignore[method-assign]  # a slow disk

    async def work() -> None:
        refusals = make(journal)
        crowd = [asyncio.ensure_future(refusals.refuse(refused(ParseError("?")))) for _ in "x" * 50]
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(*crowd)
        await refusals.flush()

    asyncio.run(work())
    assert [opened(r)["what"]["count"] for r in journal.records] == [1, 49]


def test_a_count_says_when_it_began_and_counts_one_cause() -> None:
    """Its time is that of the first it counts; an unknown key is not a missing one."""
    journal, clock = Journal(), FakeClock()

    async def work() -> None:
        refusals = Refusals(journal, SETTING, clock)  # type: ignore[arg-type]
        for message in ("no key", "unknown key", "no key", "no key", "unknown key", "no key"):
            await refusals.refuse(refused(UnauthenticatedError(message)))
            clock.advance(1)
        other = refused(UnauthenticatedError("no key"))
        await refusals.refuse(other._replace(target="/openai/v1/y", address="192.0.2.8"))
        await refusals.flush()

    began = clock.now()
    asyncio.run(work())
    told = [
        (r.at, opened(r)["outcome"]["error"]["message"], opened(r)["what"]) for r in journal.records
    ]
    assert [(message, what["count"]) for _, message, what in told] == [
        ("no key", 1), ("unknown key", 1), ("no key", 4), ("unknown key", 1),
    ]  # fmt: skip
    assert "window" not in told[0][2]
    window = told[2][2]["window"]
    assert told[0][0] == began
    assert began < told[2][0] == window["from"] < window["until"] <= clock.now()
    assert (told[2][2]["paths"], told[2][2]["addresses"]) == ("several", "several")
    assert told[2][2]["url.path"] == "/openai/v1/x?key=[redacted]"
    assert "paths" not in told[3][2]


def test_ever_new_causes_do_not_fill_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the kinds that are told apart, causes of one code are counted together."""
    monkeypatch.setattr(module, "MAX_KINDS", 3)
    journal = Journal()

    async def work() -> None:
        refusals = make(journal)
        for number in range(50):
            await refusals.refuse(refused(ParseError(f"cause {number}")))
        await refusals.flush()

    asyncio.run(work())
    assert [opened(r)["what"]["count"] for r in journal.records] == [1, 1, 1, 1, 46]


def test_counts_are_not_lost_while_the_journal_refuses() -> None:
    """What could not be written is written when it can be."""
    journal = Journal()

    async def work() -> None:
        refusals = make(journal)
        for _ in range(3):
            await refusals.refuse(refused(ParseError("what?")))
        journal.refusing = True
        await refusals.flush()
        journal.refusing = False
        await refusals.flush()

    asyncio.run(work())
    assert [opened(r)["what"]["count"] for r in journal.records] == [1, 2]


def test_a_refusal_that_cannot_be_recorded_is_an_error() -> None:
    """The caller of ``refuse`` learns it, and answers 503."""
    journal = Journal()
    journal.refusing = True
    with pytest.raises(CannotRecordError):
        asyncio.run(make(journal).refuse(refused(ParseError("what?"))))
