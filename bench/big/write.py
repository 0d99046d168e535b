"""The writer's process of a run: a journal of its own, as a gateway worker has one.

Filling, it stays so many records ahead of the sequencer and no more; live, it keeps a rate and
looks when a record that was acknowledged is found by a question, text included.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, Self, TextIO

from affidavit.app import snapshots, system
from affidavit.clock import Clock
from affidavit.control.identity import Snapshot
from affidavit.control.link import ControlLink
from affidavit.index.reader import Reader
from affidavit.record.journal import JournalWriter
from affidavit.record.seal import Recipient
from big.place import LAG, FillClock, LiveClock, Place
from big.traffic import Made, Traffic

AHEAD = 10_000
"""How many records the writer may be ahead of the ledger when it fills."""


class Writer:
    """Commits groups of records; ``texts`` gets their words, for the database beside."""

    def __init__(self, place: Place, clock: Clock, texts: TextIO | None) -> None:
        self.place = place
        self.written = 0
        self.stopping = asyncio.Event()
        self.link = ControlLink(place.paths.control_socket)
        self._clock = clock
        self._texts = texts

    async def __aenter__(self) -> Self:
        self._update(await snapshots.first(self.link))
        self._following = asyncio.create_task(
            snapshots.follow(self.link, self._snapshot, self._update)
        )
        self._journal = JournalWriter.open(
            self.place.disk, self.place.paths.journal, "bench", lambda: self._recipient, self._clock
        )
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._following.cancel()
        await asyncio.gather(self._following, return_exceptions=True)
        if self._journal.failure is None:
            await self._journal.close(system.ended(self._clock, self.place.config(), "drained"))
        await self.link.close()
        if self._texts is not None:
            self._texts.close()

    def _update(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._recipient = Recipient(snapshot.recipient_day, snapshot.recipient_public)

    async def commit(self, group: list[Made]) -> None:
        """Put a group on record; durable on return."""
        commit = self._journal.commit
        await asyncio.gather(*[commit(made.record, made.bodies) for made in group])
        self.written += len(group)
        if self._texts is not None:
            lines = [f"{made.record.id},{made.text}\n" for made in group if made.text]
            self._texts.write("".join(lines))

    async def size(self) -> int:
        """Leaves in the ledger."""
        status = await self.link.call("status", within=60)
        return int(status["size"])


def _texts(place: Place) -> TextIO:
    return (place.side / f"texts-{os.getpid()}-{time.time_ns()}.csv").open("w", encoding="ascii")


async def _fill(place: Place) -> dict[str, Any]:
    first = place.size()
    clock = FillClock(place, first, LAG)
    traffic = Traffic(first, place.records, lambda number: place.at(number - LAG))
    async with Writer(place, clock, _texts(place)) as writer:
        size = before = await writer.size()
        groups = traffic.groups()
        while not writer.stopping.is_set() and before + writer.written < place.records:
            for group in (next(groups), next(groups)):
                await writer.commit(group)
            clock.number = traffic.n
            while before + writer.written - size > AHEAD and not writer.stopping.is_set():
                await asyncio.sleep(0.1)
                size = await writer.size()
        while before + writer.written > size and not writer.stopping.is_set():
            await asyncio.sleep(0.2)
            size = await writer.size()
    return {"records": writer.written}


class Watch:
    """Looks, from a thread of its own, for one acknowledged record after the other."""

    def __init__(self, reader: Reader) -> None:
        self.took: list[float] = []
        self._reader = reader
        self._due: tuple[str, float] | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def acknowledged(self, record_id: str) -> None:
        """This record has just been acknowledged; passed over while another is looked for."""
        if self._due is None:
            self._due = (record_id, time.monotonic())

    def close(self) -> None:
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing.wait(0.005):
            if self._due is None:
                continue
            record_id, since = self._due
            found = self._reader.by_id(record_id)
            if found and self._reader.built()[1].size > found[0]:
                self.took.append(time.monotonic() - since)
                self._due = None
            elif time.monotonic() - since > 60:
                self.took.append(60.0)
                self._due = None


async def _live(place: Place, clock: LiveClock, rate: float) -> dict[str, Any]:
    traffic = Traffic(place.size(), place.records, lambda _: clock.now())
    watch = Watch(place.index())
    late = 0.0
    async with Writer(place, clock, None) as writer:
        began = time.monotonic()
        for group in _small(traffic):
            if writer.stopping.is_set():
                break
            await writer.commit(group)
            watch.acknowledged(group[-1].record.id)
            ahead = began + writer.written / rate - time.monotonic()
            late = max(late, -ahead)
            await asyncio.sleep(max(0.0, ahead))
        seconds = time.monotonic() - began
    watch.close()
    took = sorted(watch.took)
    return {
        "records_per_s": round(writer.written / seconds),
        "asked_for_records_per_s": rate,
        "most_behind_s": round(late, 2),
        "visible": {
            "looked_for": len(took),
            "p50_ms": _ms(took, 0.5), "p99_ms": _ms(took, 0.99), "max_ms": _ms(took, 1.0),
        },
    }  # fmt: skip


def _small(traffic: Traffic) -> Iterator[list[Made]]:
    for group in traffic.groups():
        for at in range(0, len(group), 16):
            yield group[at : at + 16]


def _ms(values: list[float], share: float) -> float | None:
    if not values:
        return None
    return round(values[min(len(values) - 1, int(len(values) * share))] * 1e3, 1)


def run(place: Place, *, live: str, began: float, rate: float) -> int:
    """Write until the run is full or SIGTERM; prints what it cost."""
    import uvloop

    with contextlib.suppress(AttributeError):
        sys.setswitchinterval(0.001)
    work = _live(place, LiveClock(live, began), rate) if live else _fill(place)
    result = uvloop.run(work)
    count = max(1, result.get("records", 0))
    if not live:
        result["cpu_us_per_record"] = round(time.process_time() / count * 1e6, 1)
    print(json.dumps(result), flush=True)
    return 0
