"""``affidavit log``: asks the sequencer by its socket, and prints what is for copying."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from affidavit.control.link import ControlServer
from affidavit.errors import UsageError
from affidavit.ledger.policy import parse_policy
from tests.unit.cli.conftest import Command
from tests.world.ledger import ORIGIN, signer, successor

OLD, NEW = signer().vkey, successor(1).vkey


class Played:
    """A sequencer that rotates on paper."""

    def __init__(self, directory: Path) -> None:
        (directory / "run").mkdir()
        self.rotating = False
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._socket = directory / "run" / "control.sock"
        self._ready, self._stop = threading.Event(), asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))
        self._thread.start()
        self._ready.wait(10)

    async def _run(self) -> None:
        handlers = {"log.keys": self._keys, "log.rotate": self._rotate}
        server = ControlServer(self._socket, handlers)
        await server.start()
        self._ready.set()
        await self._stop.wait()
        await server.stop()

    async def _keys(self, params: dict[str, Any]) -> Any:
        self.asked.append(("log.keys", params))
        vkeys = [NEW, OLD] if self.rotating else [NEW]
        policy = [f"log {OLD}", f"#valid {OLD} 0 7", f"log {NEW}", f"#valid {NEW} 5 -"]
        return {"origin": ORIGIN, "vkeys": vkeys, "rotating": self.rotating, "policy": policy}

    async def _rotate(self, params: dict[str, Any]) -> Any:
        if params["finish"] and not self.rotating:
            raise UsageError("No rotation of the log's key is under way.", hint="Begin one.")
        self.rotating = not params["finish"]
        return await self._keys(params)

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
    """Ready to go into a file; what they are for is on stderr."""
    shown = command("log", "keys", "--data", str(tmp_path))
    assert shown.code == 0
    policy = parse_policy(shown.out + "quorum none\n")
    assert [(key.first, key.last) for key in policy.logs] == [(0, 7), (5, None)]
    assert ORIGIN in shown.err


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
    assert "signs alone now" in command("log", "rotate", "--finish", *data).err


def test_without_a_sequencer_it_says_so(command: Command, tmp_path: Path) -> None:
    """As every other verb: exit code 4 and what to do."""
    away = command("log", "rotate", "--data", str(tmp_path / "none"))
    assert away.code == 4
    assert "The sequencer does not answer." in away.err
