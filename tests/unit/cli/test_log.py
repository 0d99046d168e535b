"""``affidavit log``: asks the sequencer by its socket, and prints what is for copying."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from affidavit.cli import prune
from affidavit.control.link import ControlServer
from affidavit.errors import RefusedError, UsageError
from affidavit.ledger.policy import parse_policy
from tests.unit.cli.conftest import Command, flat
from tests.world.ledger import ORIGIN, signer, successor

OLD, NEW = signer().vkey, successor(1).vkey


class Played:
    """A sequencer that rotates on paper."""

    def __init__(self, directory: Path) -> None:
        (directory / "run").mkdir()
        self.rotating = self.fails = False
        self.looks, self.minimum = 0, 512
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._socket = directory / "run" / "control.sock"
        self._ready, self._stop = threading.Event(), asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))
        self._thread.start()
        self._ready.wait(10)

    async def _run(self) -> None:
        handlers = {
            "log.keys": self._keys,
            "log.rotate": self._rotate,
            "log.prune": self._prune,
        }
        server = ControlServer(self._socket, handlers)
        await server.start()
        self._ready.set()
        await self._stop.wait()
        await server.stop()

    async def _keys(self, params: dict[str, Any]) -> Any:
        self.asked.append(("log.keys", params))
        vkeys = [NEW, OLD] if self.rotating else [NEW]
        policy = [f"log {OLD}", f"#valid {OLD} 0 7", f"log {NEW}", f"#valid {NEW} 5 -"]
        return {
            "origin": ORIGIN,
            "vkeys": vkeys,
            "certificate_vkey": "c",
            "rotating": self.rotating,
            "policy": policy,
        }

    async def _rotate(self, params: dict[str, Any]) -> Any:
        if params["finish"] and not self.rotating:
            raise UsageError("No rotation of the log's key is under way.", hint="Begin one.")
        self.rotating = not params["finish"]
        return await self._keys(params)

    async def _prune(self, params: dict[str, Any]) -> Any:
        self.asked.append(("log.prune", params))
        if params.get("before") == "soon":
            raise RefusedError("Leaf 255 is of today.", hint="--before an earlier time")
        if params.get("before") is not None and not params["really"]:
            until = "2026-01-01T00:00:00.000000Z"
            return {"first": 0, "before": 512, "until": until, "size": 700}
        self.looks += 1
        done = self.looks > 2
        failed = {"code": "unavailable", "message": "The disk is full.", "hint": "Free space."}
        return {
            "minimum": self.minimum if done else 0, "before": 512,
            "stage": "" if done else "checking",
            "done": 256, "of": 512, "error": failed if done and self.fails else None,
        }  # fmt: skip

    def close(self) -> None:
        """Stop."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def played(tmp_path: Path) -> Iterator[Played]:
    """One in this process."""
    made = Played(tmp_path)
    yield made
    made.close()


def test_lines_for_policies_are_on_stdout_alone(
    played: Played, command: Command, tmp_path: Path
) -> None:
    """Ready to go into a file, the key for certificates as a comment; what for is on stderr."""
    shown = command("log", "keys", "--data", str(tmp_path))
    assert shown.code == 0
    policy = parse_policy(shown.out + "quorum none\n")
    assert [(key.first, key.last) for key in policy.logs] == [(0, 7), (5, None)]
    assert f"The log {ORIGIN} signs with 1 key." in shown.err
    assert "#valid: for which sizes of the log" in flat(shown.err)
    assert shown.out.endswith("\n# certificates of erasure: c\n")


def test_a_rotation_says_what_comes_next(played: Played, command: Command, tmp_path: Path) -> None:
    """Begin, then finish; out of turn it is refused with its sentence."""
    data = ("--data", str(tmp_path))
    refused = command("log", "rotate", "--finish", *data)
    assert (refused.code, refused.out) == (2, "")
    assert "No rotation of the log's key is under way." in refused.err
    begun = command("log", "rotate", *data)
    assert begun.code == 0
    assert f"#valid {NEW} 5 -" in begun.out
    assert "affidavit log rotate --finish" in begun.err
    assert played.asked[-1] == ("log.keys", {"finish": False})
    finished = command("log", "rotate", "--finish", *data, "--json")
    assert json.loads(finished.out)["vkeys"] == [NEW]
    assert finished.err == ""
    assert command("log", "rotate", *data).code == 0
    ended = flat(command("log", "rotate", "--finish", *data).err)
    assert "signs alone now" in ended
    assert "gives --policy log/log.policy" in ended


def test_without_a_sequencer_it_says_so(command: Command, tmp_path: Path) -> None:
    """As every other verb: exit code 4, of which directory, and what to do."""
    away = command("log", "rotate", "--data", str(tmp_path / "none"))
    assert away.code == 4
    assert f"nothing runs on {tmp_path / 'none'}" in flat(away.err)
    assert f"affidavit doctor --data {tmp_path / 'none'}" in flat(away.err)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "control.sock").touch()
    assert "does not answer. " in flat(command("log", "keys", "--data", str(tmp_path)).err)


def test_pruning_is_said_first_and_done_with_yes(
    played: Played, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --yes nothing is asked for but what would go; with it, until it is over."""
    monkeypatch.setattr(prune, "PAUSE", 0.0)
    data = ("--data", str(tmp_path))
    said = command("log", "prune", "--before", "600", *data)
    assert (said.code, "Leaves 0 to 511 would go" in said.out) == (0, True)
    assert played.asked == [("log.prune", {"before": "600", "really": False})]
    assert (
        json.loads(command("log", "prune", "--before", "600", *data, "--json").out)["size"] == 700
    )
    done = command("log", "prune", "--before", "600", "--yes", *data)
    assert (done.code, done.out) == (0, "The log begins with leaf 512 now.\n")
    assert played.looks == 3
    assert "affidavit index rebuild" in done.err


def test_a_pruning_that_is_refused_or_fails_says_why(
    played: Played, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the exit code, too."""
    monkeypatch.setattr(prune, "PAUSE", 0.0)
    data = ("--data", str(tmp_path))
    refused = command("log", "prune", "--before", "soon", "--yes", *data)
    assert (refused.code, "Leaf 255 is of today." in refused.err) == (3, True)
    played.fails = True
    partly = command("log", "prune", "--before", "600", "--yes", *data)
    assert (partly.code, "not pruned" in partly.err) == (4, False)
    assert "begins with leaf 512 now, and not all files are gone: The disk is full" in partly.err
    played.minimum = 256
    failed = command("log", "prune", "--before", "600", "--yes", *data, "--json")
    assert failed.code == 4
    assert json.loads(failed.out)["error"]["message"] == "The disk is full."
    assert "was not pruned: The disk is full." in failed.err
