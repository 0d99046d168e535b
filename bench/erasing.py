"""Whole erasures through the real sequencer, with commits beside them (``erase.py --whole``).

A data directory gets so many records of a class that is kept for two days, as many of one person
in another class, and a tenth as many of others beside the person's. Then, five days later, "expire"
takes away the first, and "subject" the second: planned, granted by another person, carried out,
certified. Meanwhile a gateway's journal commits ten records every 20 ms ("commit"), the sequencer
is asked for its status ("status"), and a reader looks when a record that was acknowledged is found
by a question, text included ("visible"). ``oldest`` does the first to a directory that there is.
Times are of the whole job, CPU seconds those of the sequencer's process, which does the work of
what is beside, too: "idle" says how much that is. SIGTERM ends an expiry early: the figures are
those until then.
"""

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
from big.place import LiveClock, Place
from big.sequence import TICKS
from big.traffic import Made, Traffic
from big.write import Watch

from affidavit.app import questions, snapshots, system
from affidavit.app.sequencer import Sequencer
from affidavit.clock import SystemClock, add_seconds
from affidavit.control.identity import Snapshot
from affidavit.control.link import ControlLink
from affidavit.query.tree import Match
from affidavit.record.journal import JournalWriter
from affidavit.record.seal import Recipient

DAYS_LATER = 5
SHORT = "\nretention: {classes: {short: {maximum: 2d}, person: {}}}\n"
MAIL = "alice@example.com"
Job = Callable[[asyncio.Event], Awaitable[int]]
"""Gives how many records it was about, also where it ends early, as the event is set."""
AHEAD = 20_000
"""How many records the journal may be ahead of the ledger while the directory is filled."""


class Journal:
    """A gateway's journal beside a sequencer; ``took`` are the seconds of each commit."""

    def __init__(self, place: Place, link: ControlLink, first: Snapshot) -> None:
        self._link, self._first, self._config = link, first, place.config()
        self._set(first)
        self._following: asyncio.Task[None] | None = None
        self.took: list[float] = []
        self._journal = JournalWriter.open(
            place.disk, place.paths.journal, "gateway", lambda: self._recipient, SystemClock()
        )

    def _set(self, snapshot: Snapshot) -> None:
        self._recipient = Recipient(snapshot.recipient_day, snapshot.recipient_public)

    async def commit(self, group: list[Made]) -> None:
        """Put a group on record; durable on return."""
        began = time.perf_counter()
        await asyncio.gather(*[self._journal.commit(one.record, one.bodies) for one in group])
        self.took.append(time.perf_counter() - began)

    async def follow(self) -> None:
        """Until cancelled: keys of the day as they change, and segments that are to be left."""
        following = asyncio.create_task(snapshots.follow(self._link, self._first, self._set))
        try:
            while True:
                await asyncio.sleep(0.02)
                self._journal.retry()
        finally:
            following.cancel()

    async def close(self) -> None:
        """End it as a worker does."""
        await self._journal.close(system.ended(SystemClock(), self._config, "drained"))


@contextlib.asynccontextmanager
async def sequencing(place: Place, days: int) -> AsyncIterator[tuple[ControlLink, Journal, int]]:
    """A sequencer's process so many days ahead, a link to it, a journal beside it; its pid."""
    words = [sys.executable, __file__, str(place.paths.root), str(days)]
    with subprocess.Popen(words) as process:  # noqa: ASYNC220 - once, and nothing waits for it
        link = ControlLink(place.paths.control_socket)
        try:
            journal = Journal(place, link, await snapshots.first(link))
            following = asyncio.create_task(journal.follow())
            try:
                yield link, journal, process.pid
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
                await journal.close()
        finally:
            await link.close()
            process.send_signal(signal.SIGTERM)
            process.wait(120)


def cpu(pid: int) -> float:
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


async def _size(link: ControlLink) -> int:
    return int((await link.call("status", {}, within=60))["size"])


async def _settled(link: ControlLink) -> int:
    """Wait until the index has all of the ledger; its size."""
    before = -1
    while True:
        await asyncio.sleep(0.3)
        status = await link.call("status", {}, within=60)
        if status["indexed"] == status["size"] == before:
            return before
        before = int(status["size"])


async def _fill(place: Place, records: int) -> dict[str, Any]:
    made: dict[str, Any] = {}
    async with sequencing(place, 0) as (link, journal, _):
        for name, role, more in (
            ("Ann", "compliance", {}), ("Ben", "owner", {}),
            ("Alice Doe", "caller", {"kind": "person", "email": MAIL}),
        ):  # fmt: skip
            asked = {"name": name, "role": role, **more}
            made[name] = (await link.call("keys.create", asked))["identity"]
        alice = made["Alice Doe"]
        mine = {"tenant": alice["tenant"], "actor": alice["actor"], "key": alice["id"]}
        now = SystemClock().now
        expiring = Traffic(0, records, lambda _: now(), retention_class="short")
        person = Traffic(1, records, lambda _: now(), retention_class="person", actor=mine)
        beside = {"tenant": alice["tenant"]}
        others = Traffic(2, records, lambda _: now(), retention_class="person", actor=beside)
        written = 0
        for traffic, count in ((expiring, records), (person, records), (others, records // 10)):
            groups, most = traffic.groups(), traffic.n + count
            while traffic.n < most:
                for group in (next(groups), next(groups)):  # what is asked, and the answers
                    await journal.commit(group)
                    written += len(group)
                while written - await _size(link) > AHEAD:  # noqa: ASYNC110 - of another process
                    await asyncio.sleep(0.05)
        await _settled(link)
    return made


async def _beside(
    place: Place, pid: int, link: ControlLink, journal: Journal, job: Job
) -> dict[str, Any]:
    """Run a job with commits, questions and looks beside it; the figures of all."""
    traffic = Traffic(7, 1_000_000, lambda _: SystemClock().now())
    groups, watch, ends = traffic.groups(), Watch(place.index()), asyncio.Event()
    asked: list[float] = []
    journal.took.clear()

    async def commits() -> None:
        while not ends.is_set():
            asked, answers = next(groups)[:10], next(groups)
            for group in (asked, _answers(asked, answers)):  # no exchange is left open
                await journal.commit(group)
                watch.acknowledged(group[-1].record.id)
                await asyncio.sleep(0.02)

    async def asks() -> None:
        while not ends.is_set():
            began = time.perf_counter()
            await link.call("status", {}, within=60)
            asked.append(time.perf_counter() - began)
            await asyncio.sleep(0.1)

    before, began = cpu(pid), time.perf_counter()
    running = [asyncio.create_task(commits()), asyncio.create_task(asks())]
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    try:
        records = await job(ended)
        seconds, after = time.perf_counter() - began, cpu(pid)
    finally:
        ends.set()
        await asyncio.gather(*running)
        watch.close()
    found = {
        "records": records, "ended_early": ended.is_set(), "seconds": round(seconds, 2),
        "cpu_seconds": round(after - before, 2),
        "us_per_record": round(seconds / max(1, records) * 1e6),
        "commit": _times(journal.took), "status": _times(asked), "visible": _times(watch.took),
    }  # fmt: skip
    print(json.dumps(found), file=sys.stderr, flush=True)  # as the next one may take long
    return found


def _answers(asked: list[Made], answers: list[Made]) -> list[Made]:
    """What these requests were answered, and the tools that were called then."""
    wanted, found, theirs = {one.record.id for one in asked}, list[Made](), False
    for one in answers:
        if one.record.type == "exchange.response":
            theirs = one.record.parent in wanted
        if theirs:
            found.append(one)
    return found


def _times(took: list[float]) -> dict[str, float]:
    ordered = sorted(took) or [0.0]
    return {
        "count": len(took),
        "median_ms": round(ordered[len(ordered) // 2] * 1e3, 1),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1e3, 1),
        "max_ms": round(ordered[-1] * 1e3, 1),
    }


async def _idle(_: asyncio.Event) -> int:
    await asyncio.sleep(5)
    return 0


async def _expire(link: ControlLink, ended: asyncio.Event, days: int = DAYS_LATER) -> int:
    """The clock is ahead of what is believed: with the day said, expiry begins.

    How many records have gone until it is done, or ``ended``.
    """
    today = add_seconds(SystemClock().now(), days * 86_400)[:10]
    found = await link.call("retention.run", {"today": today}, within=60)
    while not ended.is_set():
        if not found["running"] and (found["buckets"] or found["records"]):
            break
        await asyncio.sleep(0.05)
        found = await link.call("retention.run", {}, within=60)
    return int(found["records"])


async def _subject(link: ControlLink, made: dict[str, Any]) -> int:
    tree = msgspec.json.encode(Match("actor", MAIL)).decode()
    asked = await link.call("erasures.ask", {
        **_by(made["Ann"]), "kind": "subject", "target": MAIL, "recorded": "hmac:x", "tree": tree,
        "what": "sections", "basis": "Art. 17(1)(b)", "dry": False, "when_due": False,
    }, within=600)  # fmt: skip
    grant = {"id": asked["asked"], "grant": True, **_by(made["Ben"])}
    await link.call("approvals.decide", grant, within=600)
    while True:
        await asyncio.sleep(0.1)
        found = await link.call("erasures.show", {"id": asked["id"]}, within=60)
        if found["state"] in ("done", "waiting"):
            return int(found["tally"]["records"])


def _by(identity: dict[str, Any]) -> dict[str, Any]:
    who = {name: identity[name] for name in ("tenant", "actor", "role")}
    return {"identity": identity["id"], "by": who}


async def _whole(place: Place, records: int) -> dict[str, Any]:
    began = time.perf_counter()
    made = await _fill(place, records)
    out: dict[str, Any] = {"fill_seconds": round(time.perf_counter() - began, 1)}
    async with sequencing(place, DAYS_LATER) as (link, journal, pid):
        out["idle"] = await _beside(place, pid, link, journal, _idle)
        out["expire"] = await _beside(place, pid, link, journal, lambda ended: _expire(link, ended))
        out["subject"] = await _beside(place, pid, link, journal, lambda _: _subject(link, made))
    return out


def whole(base: Path, records: int) -> dict[str, Any]:
    """Fill a data directory below ``base``, expire and erase; the figures."""
    place = Place(base / "data", records)
    with place.paths.config.open("a", encoding="utf-8") as file:
        file.write(SHORT)
    return asyncio.run(_whole(place, records))


async def _oldest(place: Place) -> dict[str, Any]:
    out: dict[str, Any] = {}
    async with sequencing(place, 0) as (link, journal, pid):
        out["leaves"] = await _settled(link)
        out["idle"] = await _beside(place, pid, link, journal, _idle)
        out["expire"] = await _beside(
            place, pid, link, journal, lambda ended: _expire(link, ended, 0)
        )
    return out


def oldest(data: Path, maximum: int) -> dict[str, Any]:
    """Expire what is older than ``maximum`` days in a directory of ``questions.py fill``."""
    place = Place(data)
    text = place.paths.config.read_text(encoding="utf-8").partition("\nretention:")[0]
    rule = f"\nretention: {{classes: {{default: {{maximum: {maximum}d}}}}}}\n"
    place.paths.config.write_text(text + rule, encoding="utf-8")
    return asyncio.run(_oldest(place))


def main() -> int:
    """The sequencer's process: ``erasing.py DIRECTORY DAYS``."""
    place, days = Place(Path(sys.argv[1])), int(sys.argv[2])
    clock = LiveClock(add_seconds(SystemClock().now(), days * 86_400), time.monotonic())
    with place.disk.locked(place.paths.sequencer_lock, "bench"):
        sequencer = Sequencer(place.paths, place.config(), place.disk, clock)
        return asyncio.run(sequencer.run(questions.handlers(sequencer), lambda: None))


if __name__ == "__main__":
    sys.exit(main())
