"""The key-encryption key is renewed under traffic, in real processes, and kept otherwise."""

import json
import re
import shutil
import threading
import urllib.request
from pathlib import Path
from typing import Self

import pytest

from affidavit.app import opening
from affidavit.app.paths import Paths
from affidavit.clock import SystemClock
from affidavit.errors import CheckFailedError, UnavailableError
from tests.e2e.machine import Machine, run_cli
from tests.world.audit import audit

PASSPHRASE = "canary passphrase 5d1e"
MODEL = "demo-chat"


def _ask(machine: Machine, text: str) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": text}]}
    request = urllib.request.Request(
        f"{machine.gateway}/openai/v1/chat/completions",
        json.dumps(body).encode(),
        {"authorization": f"Bearer {machine.key}", "content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        answer.read()


class _Going:
    """Calls and reveals, one after another, until told to stop; what failed."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.failed: list[str] = []
        self.calls = self.reveals = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=work) for work in (self._call, self._reveal)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _call(self) -> None:
        while not self._stop.is_set():
            try:
                _ask(self.machine, f"Question {self.calls}?")
                self.calls += 1
            except OSError as error:
                self.failed.append(repr(error))

    def _reveal(self) -> None:
        while not self._stop.is_set():
            (row, *_) = self.machine.rows(f"model:{MODEL} type:exchange.request", limit=1)
            done = self.machine.cli("reveal", row["id"], "--reason", "a test", check=False)
            if done.returncode or "Question" not in done.stdout:
                self.failed.append(f"{done.returncode}: {done.stdout} {done.stderr}")
            self.reveals += 1


@pytest.mark.slow
def test_traffic_and_reveals_go_on_while_the_key_is_renewed(tmp_path: Path) -> None:
    """Renewals: every call answered, every reveal shown; copies from before open nothing."""
    copy = tmp_path / "copy"
    machine = Machine(tmp_path / "data", demo=True)
    try:
        machine.wait_rows(f"model:{MODEL} type:exchange.request", 1)
        copy.mkdir()
        for path in machine.data.glob("keys.db*"):
            shutil.copy(path, copy)
        with _Going(machine) as going:
            _ask(machine, "Question first?")
            for _ in range(4):
                machine.cli("keys", "rotate", "--reason", "a test")
        assert going.failed == []
        assert min(going.calls, going.reveals) > 0
        assert len(machine.rows("type:change.key", limit=100)) >= 4
        assert machine.stop() == 0, machine.messages()
    finally:
        if machine.process.poll() is None:
            machine.kill()
    shutil.copytree(machine.data / "keys", copy / "keys")
    with pytest.raises(UnavailableError, match="not a database"):
        opening.keyring(Paths(copy), SystemClock())
    audit(machine.data, beside=tmp_path / "beside")


@pytest.mark.slow
def test_a_backup_under_traffic_is_restored_and_goes_on(tmp_path: Path) -> None:
    """Made while calls, reveals and renewals go on; restored it is whole, and takes new calls."""
    machine = Machine(tmp_path / "data", demo=True)
    try:
        machine.wait_rows(f"model:{MODEL} type:exchange.request", 1)
        with _Going(machine) as going:
            _ask(machine, "Question first?")
            machine.cli("keys", "rotate")
            place, keys = str(tmp_path / "b"), str(tmp_path / "keys")
            told = machine.cli("backup", "-o", place, "--with-keys", keys, "--json")
        assert going.failed == []
        assert "destroy it when something was erased" in told.stderr
        leaves = json.loads(told.stdout)["leaves"]
        assert machine.stop() == 0, machine.messages()
    finally:
        if machine.process.poll() is None:
            machine.kill()
    restored = tmp_path / "restored"
    refused = run_cli(
        "restore", place, "--keys", str(machine.data), "--data", str(restored), check=False
    )
    assert (refused.returncode, "fork" in refused.stderr, restored.exists()) == (1, True, False)
    trial = str(tmp_path / "trial")
    run_cli("restore", place, "--keys", str(machine.data), "--drill", "--data", trial)
    assert run_cli("fsck", "--deep", "--data", trial).returncode == 0
    started = run_cli("up", "--demo", "--data", trial, check=False)
    assert (started.returncode, "--drill" in started.stderr) == (4, True)
    done = run_cli("restore", place, "--keys", keys, "--data", str(restored), "--json")
    assert json.loads(done.stdout)["size"] == leaves
    assert run_cli("fsck", "--deep", "--data", str(restored)).returncode == 0
    again = Machine(restored, demo=True)
    try:
        _ask(again, "Question again?")
        assert len(again.wait_rows(f"model:{MODEL} type:exchange.request", 2)) >= 2
        gaps = again.wait_rows("type:ledger.gap", 1)  # of each journal that was not copied
        assert gaps
        assert again.stop() == 0, again.messages()
    finally:
        if again.process.poll() is None:
            again.kill()
    assert run_cli("fsck", "--deep", "--data", str(restored)).returncode == 0


@pytest.mark.slow
def test_a_key_under_a_passphrase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made, rotated, restarted under it; no process shows it to another; a wrong one is told."""
    config = tmp_path / "config.yaml"
    config.write_text("keys: {kind: passphrase}\n")
    environ = {"AFFIDAVIT_PASSPHRASE": PASSPHRASE}
    machine = Machine(tmp_path / "data", config=config, environ=environ)
    try:
        kek = machine.data / "keys" / "kek"
        assert kek.read_text().startswith("affidavit-kek-passphrase-1 17 8 1 ")
        for pid, name in machine.children().items():
            shown = (
                Path(f"/proc/{pid}/environ").read_bytes()
                + Path(f"/proc/{pid}/cmdline").read_bytes()
            )
            assert PASSPHRASE.encode() not in shown, name
            limits = Path(f"/proc/{pid}/limits").read_text()
            assert re.search(r"Max core file size +0 +0 ", limits), name
            assert (b"AFFIDAVIT_PASSPHRASE_FD" in shown) == (name != "gateway")
        before = kek.read_bytes()
        machine.cli("keys", "rotate")
        assert kek.read_bytes() != before
        console = next(pid for pid, name in machine.children().items() if name == "console")
        machine.cli("keys", "create", "bot")
        machine.wait_rows("type:change.key", 2)
        assert machine.children()[console] == "console"
        machine.kill()
        machine.start()
        machine.cli("keys", "rotate", "--to", "file")
        assert kek.read_text().startswith("affidavit-kek-1 ")
        assert (
            "write file there, or affidavit keys rotate" in machine.cli("doctor", "--json").stdout
        )
        machine.cli("keys", "rotate", "--to", "passphrase")
        assert machine.stop() == 0, machine.messages()
    finally:
        if machine.process.poll() is None:
            machine.kill()
    for path in machine.data.rglob("*"):
        assert not (path.is_file() and PASSPHRASE.encode() in path.read_bytes()), path
    assert PASSPHRASE not in machine.messages()
    monkeypatch.setenv("AFFIDAVIT_PASSPHRASE", "some other passphrase")
    wrong = run_cli("up", "--data", str(machine.data), "--config", str(config), check=False)
    assert (wrong.returncode, "does not open" in wrong.stderr) == (CheckFailedError.exit_code, True)
    monkeypatch.delenv("AFFIDAVIT_PASSPHRASE")
    none = run_cli("fsck", "--deep", "--data", str(machine.data), check=False)
    assert (none.returncode, "needs its passphrase" in none.stdout + none.stderr) == (1, True)
    monkeypatch.setenv("AFFIDAVIT_PASSPHRASE", PASSPHRASE)
    audit(machine.data, beside=tmp_path / "beside")
