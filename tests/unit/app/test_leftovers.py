"""What lies in ``run/`` with keys and names in it does not outlive an erasure, nor a start."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from affidavit.app import backup, unfinished
from affidavit.app.backup import Copying, Cut
from affidavit.app.paths import Paths
from affidavit.control.link import ControlLink
from affidavit.durable import Disk
from affidavit.errors import NotFoundError, UnavailableError
from tests.unit.app.test_approving import _by, _key, _root
from tests.unit.app.test_sequencer import _sequencer
from tests.world.erasures import asked, erased


def _dead_rebuild(paths: Paths) -> Path:
    """An index that was being made anew when its process was killed."""
    place = paths.run / "tmpdead"
    place.mkdir()
    (place / "index.db").write_bytes(b"names")
    return place


def test_neither_an_erasure_nor_a_start_leaves_copies(tmp_path: Path) -> None:
    """Of a client that died, of an index that was made anew, and of a restore that was killed."""
    root = _root(tmp_path)
    paths = Paths(root)

    async def story(link: ControlLink) -> None:
        me, second = await _key(link, "Ann", "compliance"), await _key(link, "Ben", "auditor")
        mail = "alice@example.com"
        await _key(link, "Alice Doe", "caller", kind="person", email=mail)
        dead = _dead_rebuild(paths)
        answer = await link.call("backup.cut", {"keys": True})
        cut = Cut(**(answer | {"place": Path(answer["place"])}))
        names = {path.name for path in cut.place.iterdir()}
        assert names == {"keys.db", "kek", "state.db", "log"}
        for _ in range(600):  # until what was recorded by now is published
            with contextlib.suppress(NotFoundError):
                ask = asked("subject", mail, me, recorded="hmac:x")
                made = await link.call("erasures.ask", ask)
                break
            await asyncio.sleep(0.05)
        await link.call("approvals.decide", {"id": made["asked"], "grant": True, **_by(second)})
        await erased(link, made["id"])
        assert not cut.place.exists()
        assert not dead.exists()
        with pytest.raises(UnavailableError, match="took the cut back"):
            Copying(paths, cut, tmp_path / "copy", Disk(), lambda *_: None).run()
        await link.call("backup.cut", {"keys": True})

    async def nothing(_: ControlLink) -> None:
        assert not list(paths.run.glob("tmp*"))
        assert not unfinished.place(root).exists()
        assert not (paths.run / "backup").exists()

    assert _sequencer(root, story) == 0
    assert (paths.run / "backup" / "kek").exists()
    _dead_rebuild(paths)
    Paths(unfinished.place(root)).create(Disk())
    assert _sequencer(root, nothing) == 0


def test_a_cut_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When its time is over, if whoever asked for it has not removed it."""
    root = _root(tmp_path)
    monkeypatch.setattr(backup, "LEASE", 0.3)

    async def story(link: ControlLink) -> None:
        place = Path((await link.call("backup.cut", {"keys": True}))["place"])
        assert (place / "kek").exists()
        for _ in range(600):
            await asyncio.sleep(0.05)
            if not list(place.parent.glob("backup")):
                return
        raise AssertionError("still there")

    assert _sequencer(root, story) == 0
