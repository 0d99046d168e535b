"""A log, a monitor as its witness and an auditor with a policy, as docs/operations.md has them.

What is proved here and nowhere else: that real processes, started from the command line with what
each prints, come to a verdict that no longer says *own key only*.
"""

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.machine import Machine, run_cli


def free_port() -> int:
    """A port that nobody listens on, for what has to be found again after a restart."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Outsider:
    """``affidavit witness`` in a process of its own; ``facts`` is the line it prints."""

    def __init__(self, data: Path, *words: str) -> None:
        command = [sys.executable, "-m", "affidavit", "witness", "--json", "--data", str(data)]
        command += ["--listen", "127.0.0.1:0", *words]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the witness did not start"
        self.facts: dict[str, Any] = json.loads(line)

    def stop(self) -> None:
        """SIGTERM; it ends by itself."""
        self.process.terminate()
        assert self.process.wait(20) == 0
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.mark.slow
def test_a_monitor_vouches_for_an_answer(tmp_path: Path) -> None:
    """Under the auditor's policy the verdict names the monitor; by the log's key alone, nobody."""
    machine = Machine(tmp_path / "data", demo=True)
    try:
        judged, alone, status = _story(machine, tmp_path)
    finally:
        if machine.process.poll() is None:
            machine.kill()
    assert "quorum watch.example/monitor met" in judged
    assert "monitor" in judged.partition("Assurance")[2].partition("Coverage")[0]
    assert "own key only" not in judged
    assert "own key only" in alone
    assert "watch.example/monitor" in status


def _story(machine: Machine, tmp_path: Path) -> tuple[str, str, str]:
    """Verdicts under the policy and under the log's key alone, and what doctor says."""
    machine._arguments[machine._arguments.index("--console") + 1] = f"127.0.0.1:{free_port()}"
    assert machine.wait_rows("model:demo-chat", 2)  # the demo's traffic comes at its first start
    assert machine.stop() == 0
    machine.start()
    made = machine.cli("keys", "create", "watcher", "--role", "monitor", "--json")
    token = tmp_path / "monitor.key"
    token.touch(0o600)
    token.write_text(json.loads(made.stdout)["token"])
    monitor = Outsider(
        tmp_path / "monitor", "--name", "watch.example/monitor", "--monitor",
        "--log", f"{machine.vkey}@{machine.console}/log", "--key-file", str(token),
    )  # fmt: skip
    policy = tmp_path / "trust.policy"
    lines = [f"log {machine.vkey}", *monitor.facts["policy"], "quorum watch.example/monitor", ""]
    policy.write_text("\n".join(lines))
    try:
        assert machine.stop() == 0
        with (machine.data / "config.yaml").open("a") as file:
            file.write(f"witnesses: {{policy: {policy}, require: true}}\n")
        machine.start()
        assert machine.wait_rows("model:demo-chat", 2)
        bundle = tmp_path / "evidence.zip"
        machine.cli("export", "model:demo-chat", "-o", str(bundle))
        judged = run_cli("verify", str(bundle), "--policy", str(policy)).stdout
        alone = run_cli("verify", str(bundle), "--key", machine.vkey).stdout
        status = machine.cli("doctor", check=False).stdout
        assert machine.stop() == 0
    finally:
        monitor.stop()
    return judged, alone, status
