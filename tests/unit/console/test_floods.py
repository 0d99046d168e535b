"""What comes in floods: answered only where it is on record or counted, and every count told."""

import asyncio
from typing import Any

import pytest

from affidavit.console.access import Access
from affidavit.errors import CannotRecordError
from affidavit.record.journal import JournalWriter
from affidavit.record.model import Record
from tests.unit.console.conftest import Client, reader_of
from tests.world.machine import Machine

WHAT = {"operation": "saved.list"}


@pytest.mark.parametrize(
    "path",
    [
        "/api/completion?expression=model:", "/api/saved", "/api/saved/none", "/api/show/ses_none",
    ],
)  # fmt: skip
def test_nothing_is_answered_while_recording_fails(
    client: Client, machine: Machine, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Neither the first nor those after it, and the next one that can be recorded is."""

    async def fail(*_: Any, **__: Any) -> int:
        raise CannotRecordError("The disk is full.")

    machine.clock.advance(61)
    with monkeypatch.context() as patch:
        patch.setattr(JournalWriter, "commit", fail)
        answers = [client("owner").get(path) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503, 503, 503]
    before = len(machine.records("access.query"))
    assert client("owner").get(path).status_code in (200, 404)
    (told,) = machine.records("access.query")[before:]
    assert told["what"]["repeated_before"] == 0


def test_those_alike_wait_until_the_first_is_durable(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two at once: while the record of the one is on its way, the other is not answered."""
    access, reader = Access(machine.services()), reader_of(machine, "owner")
    real = JournalWriter.commit

    async def work() -> None:
        gate = asyncio.Event()

        async def slow(journal: JournalWriter, record: Record, bodies: Any) -> int:
            await gate.wait()
            return await real(journal, record, bodies)

        monkeypatch.setattr(JournalWriter, "commit", slow)
        both = [
            asyncio.ensure_future(access.often("access.query", reader, WHAT, "a")) for _ in range(2)
        ]
        _, waiting = await asyncio.wait(both, timeout=0.05)
        assert len(waiting) == 2
        gate.set()
        await asyncio.gather(*both)

    before = len(machine.records("access.query"))
    asyncio.run(work())
    assert len(machine.records("access.query")) == before + 1


def test_those_that_waited_for_a_record_that_failed_fail_with_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A journal that hangs is tried once for all of them, and again for who comes after that."""
    access, reader = Access(machine.services()), reader_of(machine, "owner")
    tried: list[int] = []

    async def work() -> list[BaseException | None]:
        gate = asyncio.Event()

        async def hang(*_: Any, **__: Any) -> int:
            tried.append(1)
            await gate.wait()
            raise CannotRecordError("The journal hangs.")

        monkeypatch.setattr(JournalWriter, "commit", hang)
        alike = [
            asyncio.ensure_future(access.often("access.query", reader, WHAT, "a")) for _ in range(5)
        ]
        await asyncio.wait(alike, timeout=0.05)
        gate.set()
        failed = await asyncio.gather(*alike, return_exceptions=True)
        assert tried == [1]
        with pytest.raises(CannotRecordError):
            await access.often("access.query", reader, WHAT, "a")
        return failed

    failed = asyncio.run(work())
    assert [str(error) for error in failed] == ["The journal hangs."] * 5
    assert all(isinstance(error, CannotRecordError) for error in failed)
    assert len(tried) == 2


def test_what_was_only_counted_is_written_at_the_end(machine: Machine) -> None:
    """The latest of each kind, with how many were before it; nothing where all is on record."""
    services = machine.services()
    access, reader = Access(services), reader_of(machine, "owner")

    async def work() -> None:
        for alike, times in (("a", 4), ("b", 1)):
            for _ in range(times):
                await access.often("access.query", reader, WHAT | {"alike": alike}, alike)
        await services.floods.flush()
        await services.floods.flush()

    before = len(machine.records("access.query"))
    asyncio.run(work())
    told = [record["what"] for record in machine.records("access.query")[before:]]
    assert [(what["alike"], what["repeated_before"]) for what in told] == [
        ("a", 0), ("b", 0), ("a", 2),
    ]  # fmt: skip
