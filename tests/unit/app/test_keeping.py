"""What goes with a hold that is released, and what leaves the files with it."""

import asyncio
from array import array
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from affidavit.app import proving
from affidavit.app.keeping import Keeping
from affidavit.clock import SystemClock
from affidavit.control.holds import Hold, HoldStore
from affidavit.durable import open_database
from affidavit.errors import CorruptError
from affidavit.record.keys import KeyEncryptionKey
from affidavit.vault.erased import Erased
from affidavit.vault.keyring import Keyring

NOW = "2026-11-23T12:00:00.000000Z"
HOLD = Hold("h", "acme", "m", "Ann Doe", "r", "w", "hidden", b"{}", NOW, "k", "act", forgets=True)


@pytest.mark.parametrize("indexes", [(), (7,)])
def test_what_a_hold_alone_had_kept_opens_with_no_older_keys(
    indexes: tuple[int, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys are renewed before it is on record, if something went; words leave all pages."""
    done: list[str] = []

    def does(name: str) -> Callable[..., Any]:
        async def call(*_: Any, **__: Any) -> None:
            done.append(name)

        return call

    async def ask(work: Callable[[], Any]) -> Any:
        return work()

    monkeypatch.setattr(proving, "of_release", lambda *_: None)
    state = open_database(tmp_path / "s.db", bytes(32))
    keyring = Keyring.open(tmp_path / "keys.db", KeyEncryptionKey(bytes(32)), SystemClock())
    holds = HoldStore(state)
    holds.put(HOLD.over(NOW, "q", "act_b"))
    monkeypatch.setattr(HoldStore, "leave_none", lambda _: done.append("anew"))
    gone = Erased(array("Q", indexes), array("Q"), len(indexes), 0, 0, token="t")
    host: Any = SimpleNamespace(
        ask=ask, holds=holds, keyring=keyring, record=does("record"),
        renewing=SimpleNamespace(renew=does("renew")),
    )  # fmt: skip
    engine: Any = SimpleNamespace(release=lambda *_: gone, settle=lambda _: None)
    worker: Any = SimpleNamespace(do=ask)
    purging: Any = SimpleNamespace(index=does("index"), databases=does("databases"))
    assert asyncio.run(Keeping(host, engine, worker, purging).sweep())
    went = ["index", "renew", "record"] if indexes else []
    assert done == [*went, "anew", "databases"]
    assert holds.to_sweep() == []
    keyring.close()
    state.close()


def test_what_is_damaged_of_one_hold_keeps_no_other_one(tmp_path: Path) -> None:
    """Its key stays, and what it keeps; it is told, and tried again."""
    done: list[str] = []

    async def ask(work: Callable[[], Any]) -> Any:
        return work()

    async def databases() -> None:
        done.append("databases")

    def release(name: str, *_: Any) -> Erased:
        if name == "h1" and len(done) < 2:
            raise CorruptError("A file of h1.")
        done.append(name)
        return Erased(array("Q"), array("Q"), 0, 0, 0, token="t")

    state = open_database(tmp_path / "s.db", bytes(32))
    keyring = Keyring.open(tmp_path / "keys.db", KeyEncryptionKey(bytes(32)), SystemClock())
    holds = HoldStore(state)
    for name in ("h1", "h2"):
        holds.put(msgspec.structs.replace(HOLD.over(NOW, "q", "act_b"), id=name))
    host: Any = SimpleNamespace(ask=ask, holds=holds, keyring=keyring)
    engine: Any = SimpleNamespace(release=release, settle=lambda _: None)
    worker: Any = SimpleNamespace(do=ask)
    purging: Any = SimpleNamespace(databases=databases)
    of = Keeping(host, engine, worker, purging)
    assert asyncio.run(of.sweep())
    assert (done, [str(one) for one in of.damaged]) == (["h2", "databases"], ["A file of h1."])
    assert [one.id for one in holds.to_sweep()] == ["h1"]
    assert asyncio.run(of.sweep())
    assert (holds.to_sweep(), of.damaged) == ([], [])
    keyring.close()
    state.close()
