"""Somebody of whom nothing is kept but name and key is erased, too."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from affidavit.app import erasure_loop, erasure_run
from affidavit.control.link import ControlLink
from affidavit.errors import NotFoundError
from tests.unit.app.test_approving import _by, _key, _root
from tests.unit.app.test_sequencer import _Later, _sequencer, _types
from tests.world.erasures import asked, erased, holds_none

SHORT = "retention: {classes: {default: {maximum: 2d, expires: sections}}}\n"


def test_a_name_goes_though_all_records_have_expired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key is revoked, the name is nowhere, and a second request means nothing."""
    monkeypatch.setattr(erasure_run, "KNOWN_SECONDS", 0.1)
    monkeypatch.setattr(erasure_loop, "PAUSE", 0.2)
    root = _root(tmp_path, SHORT)
    kept: dict[str, Any] = {}

    async def early(link: ControlLink) -> None:
        kept.update(owner=await _key(link, "Own", "owner"), ben=await _key(link, "Ben", "owner"))
        more: dict[str, Any] = {"tenant": "acme", "by": _by(kept["owner"])["by"], "kind": "person"}
        kept["ann"] = await _key(link, "Zanzibara", "caller", email="z@anzibar.example", **more)

    async def later(link: ControlLink) -> None:
        for _ in range(200):
            run = await link.call("retention.run", {})
            if run["records"] and not run["running"]:
                break
            await asyncio.sleep(0.05)
        ann = kept["ann"]["actor"]
        plan = await link.call("erasures.ask", asked("subject", ann, kept["owner"], dry=True))
        assert (plan["records"], plan["keys"]) == (0, [kept["ann"]["id"]])
        made = await link.call("erasures.ask", asked("subject", ann, kept["owner"]))
        await link.call(
            "approvals.decide", {"id": made["asked"], "grant": True, **_by(kept["ben"])}
        )
        done = await erased(link, made["id"])
        assert "records: 0" in done["certificates"][0]
        every = {one["id"]: one for one in await link.call("keys.list", {})}
        assert every[kept["ann"]["id"]]["revoked"] is not None
        with pytest.raises(NotFoundError):
            await link.call("erasures.ask", asked("subject", ann, kept["owner"]))

    assert _sequencer(root, early) == 0
    assert _sequencer(root, later, _Later(4)) == 0
    assert holds_none(root, ["zanzibara", "anzibar.example"])
    assert _types(root).count("retention.erased") == 1
