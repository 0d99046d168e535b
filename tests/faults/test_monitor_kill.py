"""``kill -9`` before every fetch and every statement of a monitor: its progress is whole."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from affidavit.ledger import monitor as monitors
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.monitor import Monitor
from tests.world import ledger
from tests.world.clock import FakeClock
from tests.world.ledger import World, Writer, signer
from tests.world.served_log import Served, always, from_files, open_monitor
from tests.world.zygote import Report, Zygote, die


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    """One process that has imported everything."""
    with Zygote(__name__) as process:
        yield process


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of two bundles, two epochs, and requests that are answered much later."""
    with pytest.MonkeyPatch.context() as patch:
        ledger.quick(patch)
        world = World(tmp_path_factory.mktemp("log"))
        world.open()
        writer = Writer()
        for number in range(6):
            waiting = [writer.request(model=f"m{number}") for _ in range(3)]
            world.put(waiting)
            world.put([half for n in range(24) for half in writer.exchange(session=f"s{n}")])
            world.clock.advance(5)
            world.put([writer.response(asked) for asked in waiting[:2]])
            if number == 3:
                world.log.close()
                world.shut()
                world.open(dimensions=("model", "actor", "session", "type"))
        world.log.close()
        world.shut()
    return world.root


def _parts(root: Path, log: Path) -> tuple[Monitor, Served]:
    served = from_files(log)
    return open_monitor(root, served, FakeClock("2026-11-23T12:05:00.000000Z")), served


def watch_and_die(report: Report, directory: str, log: str, step: int) -> None:
    """Replay a log to its end; dies before step number ``step``, of fetches and statements."""
    monitors.SAVE_LEAVES = 100
    done = 0

    def count(*_: Any) -> bool:
        nonlocal done
        if done == step:
            die()
        done += 1
        return True

    monitor, served = _parts(Path(directory), Path(log))
    served.change = lambda _, data: data if count() else None
    monitor._state._connection.exec_trace = count
    monitor.replay(LogReader(Path(log), signer().verifier()).checkpoint(), always)
    monitor._state._connection.exec_trace = None
    report(monitor.size)
    monitor.close()


@pytest.mark.parametrize("stride", [11, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_anywhere_a_monitor_goes_on(
    tmp_path: Path, zygote: Zygote, log: Path, monkeypatch: pytest.MonkeyPatch, stride: int
) -> None:
    """From the last save, to the same end as one that nobody killed."""
    monkeypatch.setattr(monitors, "SAVE_LEAVES", 100)
    checkpoint = LogReader(log, signer().verifier()).checkpoint()
    whole, _ = _parts(tmp_path / "whole", log)
    whole.replay(checkpoint, always)
    expected = (whole._replay.standing(), whole._replay.writers, whole._replay.open)
    rows = set(whole._replay.rows())
    begun = set()
    step = 3
    while True:
        directory = tmp_path / str(step)
        ended = zygote.run(
            f"{__name__}:watch_and_die", directory=str(directory), log=str(log), step=step
        )
        assert ended.error == ""
        again, _ = _parts(directory, log)
        begun.add(again.size)
        again.replay(checkpoint, always)
        assert again.vouches(checkpoint)
        replay = again._replay
        assert (replay.standing(), replay.writers, replay.open) == expected
        assert set(replay.rows()) == rows
        again.close()
        if not ended.killed:
            break
        step += stride
    whole.close()
    assert (ended.status, ended.reports) == (0, [checkpoint.size])
    assert {0, checkpoint.size} < begun | {256} == {0, 256, checkpoint.size}
    assert 256 in begun or stride > 1
    assert step > 20
