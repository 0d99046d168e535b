"""A process that starts begins its journal under the key of then, however long starting takes."""

import asyncio
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from affidavit.app import console, gateway, opening, snapshots
from affidavit.app.paths import Paths
from affidavit.config import Config
from affidavit.record.journal import JournalWriter
from affidavit.record.seal import RecipientKey
from tests.world.gateway import snapshot

DAYS = ("2026-11-23", "2026-11-24")


class _BegunError(Exception):
    """The journal would begin now."""


@pytest.mark.parametrize("process", ["console", "gateway"])
def test_the_first_segment_is_under_the_newest_key(
    process: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An erasure has made another key since it was told the first one, which then goes."""
    told = [snapshot(RecipientKey.generate(day), ()) for day in DAYS]
    told = [msgspec.structs.replace(one, log_vkeys=()) for one in told]
    begun: list[str] = []

    async def first(*_: Any) -> Any:
        return told.pop(0)

    def opens(*parts: Any, **_: Any) -> None:
        recipient = next(one for one in parts if callable(one))
        begun.append(recipient().day)
        raise _BegunError

    monkeypatch.setattr(snapshots, "first", first)
    monkeypatch.setattr(JournalWriter, "open", opens)
    monkeypatch.setattr(opening, "keyring", lambda *_: None)
    monkeypatch.setattr(console, "LogReader", lambda *_: SimpleNamespace(trust=lambda _: None))
    with socket.socket() as sock:
        starts: Any = (
            console._serve(Paths(tmp_path), Config(), sock)
            if process == "console"
            else gateway._serve(Paths(tmp_path), Config(), sock, replaces=True)
        )
        with pytest.raises(_BegunError):
            asyncio.run(starts)
    assert begun == [DAYS[1]]
