"""A clock that is far ahead takes nothing away until somebody says which day it is."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from affidavit import durable
from affidavit.app import system
from affidavit.app.clock_doubt import ClockDoubt
from affidavit.errors import UnavailableError, UsageError
from tests.unit.app.test_approving import _Host


def _host(tmp_path: Path, stamp: dict[str, Any] | None = None) -> Any:
    state = durable.open_database(tmp_path / "state.db", bytes(32))
    state.execute(system._SCHEMA)
    host: Any = _Host(state, 1000)
    host.clock = SimpleNamespace(now=lambda: "2026-03-01T12:00:00.000000Z")
    host.anchoring = SimpleNamespace(stamping=SimpleNamespace(newest=lambda: stamp))
    return host


def _at(host: Any, now: str) -> None:
    host.clock = SimpleNamespace(now=lambda: f"{now}:00.000000Z")


def test_days_ahead_are_believed_by_a_persons_word_alone(tmp_path: Path) -> None:
    """A day off is nothing; two are refused, at each start, until the right day is said."""
    host = _host(tmp_path)
    doubt = ClockDoubt(host)
    asyncio.run(doubt.refuse())
    _at(host, "2026-03-02T11:59")
    asyncio.run(doubt.refuse())
    _at(host, "2026-03-04T12:00")
    for _ in range(2):
        with pytest.raises(UnavailableError, match="until somebody says which day"):
            asyncio.run(ClockDoubt(host).refuse())
    with pytest.raises(UsageError, match="not 2026-03-03"):
        asyncio.run(doubt.confirm("2026-03-03"))
    with pytest.raises(UnavailableError):
        asyncio.run(doubt.refuse())
    asyncio.run(doubt.confirm("2026-03-04"))
    asyncio.run(doubt.refuse())
    _at(host, "2026-03-01T00:00")
    asyncio.run(doubt.refuse())
    _at(host, "2026-03-05T11:00")
    asyncio.run(doubt.refuse())


@pytest.mark.parametrize(("time", "good"), [("2026-03-08", True), ("2026-03-07", False)])
def test_a_timestamp_vouches_for_a_day(tmp_path: Path, time: str, good: bool) -> None:
    """Of an authority, no older than a day; an older one does not help."""
    host = _host(tmp_path, {"time": f"{time}T13:00:00.000000Z"})
    asyncio.run(ClockDoubt(host).refuse())
    _at(host, "2026-03-09T12:00")
    if good:
        asyncio.run(ClockDoubt(host).refuse())
        return
    with pytest.raises(UnavailableError):
        asyncio.run(ClockDoubt(host).refuse())
