"""Holds placed or released since the backup that was restored: neither lost nor back."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from affidavit.app import opening
from affidavit.app.backup import Copying, stopped
from affidavit.app.paths import Paths
from affidavit.app.restoring import Restoring
from affidavit.clock import SystemClock
from affidavit.control.link import ControlLink
from affidavit.durable import Disk
from affidavit.errors import RefusedError, UsageError
from affidavit.query import language
from affidavit.query.tree import All
from affidavit.vault import key_ends
from tests.unit.app.test_approving import _by, _key, _root
from tests.unit.app.test_sequencer import _Later, _sequencer, _types
from tests.world.audit import audit
from tests.world.erasures import NOW, Recorder

CLOCK = SystemClock()


def _held(owner: dict[str, Any], **more: str) -> dict[str, Any]:
    tree = msgspec.json.encode(language.parse("session:ses_s1", NOW)).decode()
    return {"expression": "", "recorded": "", "tree": tree, "matter": "Doe", "owner": "o",
            "reason": "r", **_by(owner), **more}  # fmt: skip


async def _problem(link: ControlLink) -> str:
    for _ in range(1500):
        found = (await link.call("status", {}))["erasing_problem"]
        if found:
            return str(found)
        await asyncio.sleep(0.02)
    raise AssertionError("no problem")


def test_a_hold_that_the_backup_does_not_know_stops_all_removal(tmp_path: Path) -> None:
    """Until it is placed again; one that was released since does not come back."""
    root = _root(tmp_path, "retention: {classes: {short: {maximum: 2d}}}\n")
    kept: dict[str, Any] = {}

    async def before(link: ControlLink) -> None:
        owner, bot = await _key(link, "Ann", "owner"), await _key(link, "bot", "caller")
        kept.update(owner=owner, second=await _key(link, "Ben", "owner"))
        kept["eve"] = await _key(link, "Eve", "compliance", tenant="evil")
        kept["con"] = await _key(link, "Con", "compliance")
        recorder = await Recorder.open(root, link)
        kept["x"] = await recorder.exchange(bot, "x", session="s1", retention_class="short")
        await recorder.indexed()
        kept["old"] = await link.call("holds.place", _held(owner))
        await _held_in_vault(link, root, 1)
        await recorder.close()

    async def since(link: ControlLink) -> None:
        placed = _held(kept["owner"], expression="session:ses_s1", recorded="session:ses_s1")
        kept["placed"] = placed
        kept["new"] = await link.call("holds.place", placed)
        theirs = await link.call("holds.place", _held(kept["eve"], recorded="x"))
        kept["theirs"] = theirs["id"]
        await _held_in_vault(link, root, 2)
        for _ in range(1500):  # the one that matches nothing has a key without a file
            if await _known(root) >= {kept["new"]["id"], kept["theirs"]}:
                break
            await asyncio.sleep(0.02)
        ask = {"id": kept["old"]["id"], "reason": "settled", **_by(kept["owner"])}
        asked = (await link.call("holds.release", ask))["asked"]
        grant = {"id": asked, "grant": True, **_by(kept["second"])}
        await link.call("approvals.decide", grant)
        await _held_in_vault(link, root, 1)

    assert _sequencer(root, before) == 0
    paths, disk = Paths(root), Disk()
    cut = stopped(paths, disk, CLOCK, keys=False)
    Copying(paths, cut, tmp_path / "backup", disk, lambda *_: None).run()
    assert _sequencer(root, since) == 0
    keys = tmp_path / "keys"
    (keys / "keys").mkdir(parents=True)
    for path in root.glob("keys.db*"):
        shutil.copy(path, keys / path.name)
    shutil.copy(root / "keys" / "kek", keys / "keys" / "kek")
    # Nobody has a newer one: with it, the restore would be refused.
    shutil.copy(tmp_path / "backup" / "log" / "checkpoint", keys / "checkpoint")
    new = tmp_path / "new"
    Restoring(tmp_path / "backup", new, keys, disk, CLOCK, {}).run()
    lost = kept["new"]["id"]

    async def later(link: ControlLink) -> None:
        assert lost in await _problem(link)
        (old,) = await link.call("holds.list", {})
        assert (old["id"], old["released"] != "") == (kept["old"]["id"], True)
        for wrong in (old["id"], "019abc"):
            with pytest.raises(UsageError, match="is missing here"):
                await link.call("holds.place", _held(kept["owner"], again=wrong))
        same = {name: kept["placed"][name] for name in ("expression", "recorded", "tree")}
        for who in ("eve", "con"):  # of another tenant; of the same one, but the owner saw more
            with pytest.raises(RefusedError, match="do not see all"):
                await link.call("holds.place", _held(kept[who], again=lost) | same)
        with pytest.raises(RefusedError, match="other words"):
            await link.call("holds.place", _held(kept["owner"], again=lost, recorded="session:x"))
        once = _held(kept["owner"], again=lost) | same
        answers = await asyncio.gather(
            *(link.call("holds.place", once) for _ in range(2)), return_exceptions=True
        )
        assert sorted(str(one["id"]) if isinstance(one, dict) else type(one).__name__
                      for one in answers) == [lost, "UsageError"]  # fmt: skip
        # All there is will do for words that nobody has any more; it stays the tenant's own.
        every = {"tree": msgspec.json.encode(All()).decode(), "recorded": ""}
        again = await link.call("holds.place", _held(kept["owner"], again=kept["theirs"]) | every)
        assert (again["id"], again["tenant"]) == (kept["theirs"], "evil")
        await link.call("retention.run", {"begin": True})
        for _ in range(600):
            if not (await link.call("status", {}))["erasing_problem"]:
                break
            await asyncio.sleep(0.05)
        assert (await link.call("status", {}))["erasing_problem"] is None

    assert _sequencer(new, later, _Later(5)) == 0
    assert audit(new, beside=tmp_path / "beside").requests[kept["x"]].parts
    types = _types(new)
    assert (types.count("retention.released"), types.count("retention.expired")) == (1, 0)


async def _known(root: Path) -> set[str]:
    keyring = opening.keyring(Paths(root), CLOCK)
    try:
        return set(key_ends.live_holds(keyring).values())
    finally:
        keyring.close()


async def _held_in_vault(link: ControlLink, root: Path, files: int) -> None:
    """Wait until there are so many files of holds."""
    await link.call("retention.run", {"begin": True})  # which wakes it
    for _ in range(1500):
        if len(list((root / "vault").rglob("*.hold"))) == files:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(sorted((root / "vault").rglob("*.hold")))
