"""Claims about running everything on one machine that need no processes."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from affidavit.app.paths import Paths
from affidavit.app.up import Machine


@pytest.mark.parametrize("seconds", [0, 10, 300])
def test_workers_have_the_time_to_drain_that_they_were_given(tmp_path: Path, seconds: int) -> None:
    """No worker is killed while it waits, as configured, for calls to end and be recorded."""
    config = tmp_path / "config.yaml"
    config.write_text(f"gateway: {{drain_seconds: {seconds}}}")
    machine = Machine(Paths(tmp_path), config, "127.0.0.1:0", "127.0.0.1:0", None, demo=False)
    given: list[float] = []

    async def start(**_: Any) -> dict[str, Any]:
        machine.supervisor.stopping.set()
        return {}

    async def drain(groups: Any, last: str, within: float) -> bool:
        assert (groups[-1], last) == (["console"], "sequencer")
        given.append(within)
        return True

    machine._start = start  # type: ignore[method-assign]  # no processes
    machine.supervisor.drain = drain  # type: ignore[method-assign]  # nothing to drain
    assert asyncio.run(machine.run(first=False, as_json=True)) == 0
    machine.gateway_socket.close()
    machine.console_socket.close()
    # What a worker takes at most: the calls, their outcomes (twice), and the last record.
    assert given == [seconds + 15.0]
