"""Claims about running everything on one machine that need no processes."""

import asyncio
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from affidavit.app import running
from affidavit.app.first_start import DEMO_YAML
from affidavit.app.paths import Paths
from affidavit.app.up import Machine
from affidavit.durable import Disk


@pytest.mark.parametrize("seconds", [0, 10, 300])
def test_workers_have_the_time_to_drain_that_they_were_given(
    tmp_path: Path, seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No worker is killed while it waits, as configured, for calls to end and be recorded.

    What runs is told meanwhile, with the address of the demo's provider.
    """
    monkeypatch.setenv("AFFIDAVIT_DEMO_URL", "")
    demo = seconds == 0
    config = tmp_path / "config.yaml"
    config.write_text(f"gateway: {{drain_seconds: {seconds}}}")
    Paths(tmp_path).create(Disk())
    machine = Machine(Paths(tmp_path), config, "127.0.0.1:0", "127.0.0.1:0", None, demo=demo)
    given: list[float] = []

    async def start(**_: Any) -> dict[str, Any]:
        machine.supervisor.stopping.set()
        return {}

    async def drain(groups: Any, last: str, within: float) -> bool:
        hashed = machine.config.hash()
        told = running.Running(
            os.getpid(), str(config), {}, hashed, os.environ["AFFIDAVIT_DEMO_URL"]
        )
        assert (running.find(tmp_path), told.demo.startswith("http://127.0.0.1:")) == (told, demo)
        assert (groups[-1], last) == (["console"], "sequencer")
        given.append(within)
        return True

    machine._start = start  # type: ignore[method-assign]  # no processes
    machine.supervisor.drain = drain  # type: ignore[method-assign]  # nothing to drain
    assert asyncio.run(machine.run(first=False, as_json=True)) == 0
    machine.gateway_socket.close()
    machine.console_socket.close()
    if machine._demo_socket is not None:
        machine._demo_socket.close()
    assert running.find(tmp_path) is None
    # What a worker takes at most: the calls, their outcomes (twice), and the last record.
    assert given == [seconds + 15.0]


def test_what_ran_and_was_killed_runs_no_more(tmp_path: Path) -> None:
    """A file that is left over names a process that is gone; one that is broken names nothing."""
    paths, disk = Paths(tmp_path), Disk()
    paths.create(disk)
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    running.write(paths, disk, running.Running(gone.pid, "c", {}, ""))
    assert running.find(tmp_path) is None
    (paths.run / running.FILE).write_text("{")
    assert running.find(tmp_path) is None


def test_the_demo_listens_where_it_did_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another start is no change of the configuration; a port that is taken, or no port, is."""
    paths, config = Paths(tmp_path), tmp_path / "config.yaml"
    paths.create(Disk())
    config.write_text(DEMO_YAML)
    monkeypatch.setenv("AFFIDAVIT_DEMO_URL", "")

    def started() -> tuple[Machine, str]:
        at = "127.0.0.1:0"
        machine = Machine(paths, config, at, at, None, demo=True)
        for sock in (machine.gateway_socket, machine.console_socket):
            sock.close()
        return machine, machine.config.hash()

    first, hashed = started()
    second, other = started()
    assert other != hashed, "the first one still has it"
    assert first._demo_socket is not None
    assert second._demo_socket is not None
    first._demo_socket.close()
    second._demo_socket.close()
    third, again = started()
    assert again == other
    assert third._demo_socket is not None
    third._demo_socket.close()
    for wrong in ("http://127.0.0.1:99999", "x"):
        (paths.run / "demo-url").write_text(wrong)
        fourth, _ = started()
        assert fourth._demo_socket is not None
        fourth._demo_socket.close()
