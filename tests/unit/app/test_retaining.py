"""What is late is counted beside everything else, and told with its time."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from affidavit.app import retaining
from affidavit.app.retaining import Retaining
from affidavit.config import parse
from affidavit.errors import UnavailableError
from affidavit.vault.segments import Bucket
from tests.unit.vault.test_stocktaking import Keys, entry, write
from tests.world.clock import FakeClock

CONFIG = parse("retention: {classes: {short: {maximum: 10d}}}", {}, "c")


def status(watch: Retaining) -> Any:
    """The newest count, once the one that goes on is over."""

    async def ask() -> Any:
        await watch.status()
        assert watch._counting is not None
        watch._counting.join(10)
        return (await watch.status())["retention"]

    return asyncio.run(ask())


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without rests."""
    monkeypatch.setattr(retaining, "REST_SECONDS", 0.0)


def test_what_is_late_is_counted_again_after_a_while(tmp_path: Path) -> None:
    """Not at each question; what is gone by then is not counted any more."""
    clock, keys = FakeClock(), Keys()  # 2026-11-23
    write(tmp_path, Bucket("acme", "short", "2026-11-01"), 1, [entry(0), entry(1)])
    write(tmp_path, Bucket("acme", "short", "2026-11-12"), 2, [entry(2)])
    write(tmp_path, Bucket("acme", "short", "2026-11-13"), 3, [entry(3)])
    write(tmp_path, Bucket("acme", "other", "2026-11-23"), 4, [entry(4)])
    watch = Retaining(tmp_path, keys, CONFIG, clock)
    found = status(watch)
    assert found == {
        "as_of": clock.now(), "problem": "", "due_buckets": 2, "due_records": 3,
        "overdue_buckets": 1, "overdue_records": 2, "held_records": 0, "unknown_buckets": 1,
        "oldest": "2026-11-12", "damaged_buckets": 0,
    }  # fmt: skip
    keys.destroyed.add(1)
    assert status(watch) == found
    clock.advance(retaining.EVERY_SECONDS)
    assert status(watch)["overdue_records"] == 0


def test_what_cannot_be_counted_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the sentence, and the last count that there was."""
    clock, keys = FakeClock(), Keys()
    write(tmp_path, Bucket("acme", "short", "2026-11-01"), 1, [entry(0)])
    watch = Retaining(tmp_path, keys, CONFIG, clock)
    assert status(watch)["due_records"] == 1

    def fails(_: int) -> bytes:
        raise UnavailableError("keys.db cannot be read.")

    monkeypatch.setattr(keys, "bucket_secret", fails)
    clock.advance(retaining.EVERY_SECONDS)
    found = status(watch)
    assert (found["problem"], found["due_records"]) == ("keys.db cannot be read.", 1)
