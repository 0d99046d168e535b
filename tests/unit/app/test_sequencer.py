"""The sequencer process in this process: keys, proofs, receipts and a clean end."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from affidavit import config as configuration
from affidavit.app import first_start, origin, questions, snapshots
from affidavit.app.checking import Checking
from affidavit.app.paths import Paths
from affidavit.app.rebuild import run as rebuild
from affidavit.app.sequencer import Sequencer
from affidavit.app.sequencing import run as run_sequencer
from affidavit.clock import Clock, SystemClock, add_seconds
from affidavit.control.identity import Directory, Snapshot
from affidavit.control.link import ControlLink
from affidavit.control.saved import SavedQuery
from affidavit.durable import Disk
from affidavit.errors import KeyReusedError, LockedError, NotFoundError, RefusedError, UsageError
from affidavit.ledger import fsck
from affidavit.ledger.leaf import decode
from affidavit.ledger.log_reader import LogReader
from affidavit.query import wording
from affidavit.record.keys import KeyEncryptionKey
from affidavit.vault.keyring import Keyring
from affidavit.vault.reader import VaultReader
from tests.faults import pruning_story
from tests.world.audit import audit


class _Later(SystemClock):
    """So many days ahead."""

    def __init__(self, days: int) -> None:
        self._days = days

    def now(self) -> str:
        """See ``Clock``."""
        return add_seconds(super().now(), self._days * 86_400)


def _sequencer(
    root: Path, story: Callable[[ControlLink], Awaitable[None]], clock: Clock | None = None
) -> int:
    """Run a sequencer on ``root`` while ``story`` talks to it, then stop it by SIGTERM."""
    paths, disk = Paths(root), Disk()
    first_start.prepare(paths, disk, SystemClock(), demo=False, configured=False)
    config = configuration.load(paths.config, {})
    config = config.named(origin.settled(paths, disk, config.log.origin, paths.config))

    async def both() -> int:
        sequencer = Sequencer(paths, config, disk, clock or SystemClock())
        running = asyncio.create_task(sequencer.run(questions.handlers(sequencer), lambda: None))
        link = ControlLink(paths.control_socket)
        try:
            await snapshots.first(link)
            if clock is not None:  # so many days off, and somebody says so
                await link.call("retention.run", {"today": clock.now()[:10]})
            await story(link)
        finally:
            await link.close()
            os.kill(os.getpid(), signal.SIGTERM)
        return await running

    return asyncio.run(both())


def _types(root: Path) -> list[str]:
    reader = LogReader(Paths(root).log)
    size = reader.checkpoint().size
    return [decode(data).type for _, data in reader.leaves(0, size)]


def test_a_write_is_done_once_also_side_by_side_and_after_a_restart(tmp_path: Path) -> None:
    """Ten requests with one idempotency key at a time, and one at a later sequencer: one key."""
    root = tmp_path / "d"
    once = {"account": "key_a", "key": "k1"}
    asked = {"name": "bot", "once": once}
    first: list[str] = []

    async def early(link: ControlLink) -> None:
        made = await asyncio.gather(*(link.call("keys.create", asked) for _ in range(10)))
        assert sum("token" in one for one in made) == 1
        assert sum(one.get("replayed", False) for one in made) == 9
        assert len({one["identity"]["id"] for one in made}) == 1
        first.append(made[0]["identity"]["id"])

    async def late(link: ControlLink) -> None:
        again = await link.call("keys.create", asked)
        assert (again["identity"]["id"], "token" in again) == (first[0], False)
        with pytest.raises(KeyReusedError):
            await link.call("keys.create", asked | {"name": "other"})
        revoke = {"id": first[0], "once": once | {"key": "k2"}}
        revoked = await link.call("keys.revoke", revoke)
        assert await link.call("keys.revoke", revoke) == revoked | {"replayed": True}
        assert len(await link.call("keys.list", {})) == 2

    assert _sequencer(root, early) == 0
    assert _sequencer(root, late) == 0
    assert _types(root).count("change.key") == 2


def test_a_key_is_on_record_before_it_is_in_force(tmp_path: Path) -> None:
    """Creating and revoking keys leaves ``change.key``; watchers learn of it at once."""
    root = tmp_path / "d"

    async def story(link: ControlLink) -> None:
        seen: list[Snapshot] = []
        first = await snapshots.first(link)
        following = asyncio.create_task(snapshots.follow(link, first, seen.append))
        made = await link.call("keys.create", {"name": "bot", "team": "red"})
        assert "key_hash" not in made["identity"]
        for _ in range(3000):
            if seen:
                break
            await asyncio.sleep(0.01)
        found = Directory(seen[-1].identities).find(made["token"])
        assert found.id == made["identity"]["id"]
        assert seen[-1].pseudonym_key("default", "red") != seen[-1].pseudonym_key("default", "")
        asked = {"id": found.id, "by": {"tenant": "default", "actor": "a"}}
        revoked = await link.call("keys.revoke", asked)
        assert await link.call("keys.revoke", asked) == revoked | {"already": True}
        listed = await link.call("keys.list", {})
        assert [i["revoked"] is not None for i in listed] == [False, True]
        with pytest.raises(UsageError):
            await link.call("keys.create", {"name": "x", "role": "root"})
        with pytest.raises(UsageError):
            await link.call("keys.create", {})
        following.cancel()
        query = SavedQuery("default", "team", "red", "x", "model:y", "a", "")
        await link.call("saved.put", msgspec.to_builtins(query))
        whose = {"tenant": "default", "actor": "b", "team": "red"}
        assert msgspec.convert(await link.call("saved.list", whose), list[SavedQuery]) == [query]
        assert await link.call("saved.list", whose | {"team": ""}) == []
        await link.call("saved.remove", msgspec.to_builtins(query))
        assert await link.call("saved.list", whose) == []

    assert _sequencer(root, story) == 0
    types = _types(root)
    assert types.count("change.key") == 2
    assert types.count("ledger.key") == 2
    assert types.count("change.config") == 1
    assert types.count("change.identity") == 1
    assert types[-1] == "ledger.ended"
    assert fsck.check(Paths(root).log, None).ok
    audit(root, beside=tmp_path / "beside")


def test_what_has_not_changed_is_not_told_again(tmp_path: Path) -> None:
    """A second start of the same configuration adds no change records."""
    root = tmp_path / "d"

    async def nothing(link: ControlLink) -> None:
        assert (await link.call("status", {}))["size"] > 0

    assert _sequencer(root, nothing) == 0
    before = _types(root).count("change.config")
    assert _sequencer(root, nothing) == 0
    assert _types(root).count("change.config") == before == 1


def test_a_receipt_for_nothing_is_none(tmp_path: Path) -> None:
    """A record that is not in the ledger yet has no receipt yet."""

    async def story(link: ControlLink) -> None:
        asked = {"id": "0199-not-there", "tenant": "default", "actor": "a"}
        assert await link.call("receipt", asked) is None

    assert _sequencer(tmp_path / "d", story) == 0


def test_the_index_is_not_rebuilt_under_a_running_sequencer(tmp_path: Path) -> None:
    """In place needs the sequencer stopped; beside it may run."""
    root = tmp_path / "d"
    paths = Paths(root)

    async def nothing(_: ControlLink) -> None:
        return

    assert _sequencer(root, nothing) == 0
    with Disk().locked(paths.sequencer_lock, "somebody"), pytest.raises(LockedError):
        rebuild(root, None)
    assert rebuild(root, tmp_path / "beside") == rebuild(root, None) > 0
    assert _sequencer(root, nothing) == 0


def test_a_directory_that_is_none_has_its_sentence(tmp_path: Path) -> None:
    """Neither sequencer nor rebuild begin something there."""
    config = tmp_path / "c.yaml"
    config.write_text("")
    with pytest.raises(NotFoundError):
        run_sequencer(tmp_path / "none", config)
    with pytest.raises(NotFoundError):
        rebuild(tmp_path / "none", None)


def test_a_changed_configuration_says_what_was_before(tmp_path: Path) -> None:
    """``change.config`` of a later start holds the values of the one before it."""
    root = tmp_path / "d"
    paths = Paths(root)

    async def story(link: ControlLink) -> None:
        assert await link.call("status")

    assert _sequencer(root, story) == 0
    paths.config.write_text("gateway: {workers: 7}\n")
    assert _sequencer(root, story) == 0
    keyring = Keyring.open(
        paths.key_database, KeyEncryptionKey.load(paths.key_encryption_key), SystemClock(),
        read_only=True,
    )  # fmt: skip
    reader = LogReader(paths.log)
    vault = VaultReader(paths.vault, keyring, reader.decoded)
    leaves = reader.leaves(0, reader.checkpoint().size)
    told = [
        vault.sections(index)["what"]
        for index, data in leaves
        if decode(data).type == "change.config"
    ]
    vault.close()
    keyring.close()
    assert told[0]["before"] is None
    assert told[1]["before"] == told[0]["after"]
    assert told[1]["after"]["gateway"]["workers"] == 7
    assert wording.changes(told[1])[0] == "gateway.workers: 2 → 7"


def test_a_log_is_pruned_while_its_sequencer_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A month later, if the configuration says so; and it starts again from what is left."""
    pruning_story.small(monkeypatch)
    root = tmp_path / "d"
    asked = {"before": "8", "really": True}

    async def early(link: ControlLink) -> None:
        while (await link.call("log.prune", {}))["stage"]:  # noqa: ASYNC110 - asked by a socket
            await asyncio.sleep(0.02)  # a start looks first for what was begun
        with pytest.raises(RefusedError):
            await link.call("log.prune", asked)
        for name in ("a", "b", "c", "d"):
            await link.call("keys.create", {"name": name})

    async def late(link: ControlLink) -> None:
        assert (await link.call("log.prune", asked | {"really": False}))["before"] == 8
        found = await link.call("log.prune", asked)
        while found["stage"]:
            await asyncio.sleep(0.02)
            found = await link.call("log.prune", {})
        assert (found["error"], found["minimum"]) == (None, 8)

    async def after(link: ControlLink) -> None:
        assert (await link.call("status", {}))["minimum"] == 8
        await link.call("keys.create", {"name": "bot"})

    assert _sequencer(root, early) == 0
    with (root / "config.yaml").open("a") as file:
        file.write("retention: {prune_after_days: 30}\n")
    assert _sequencer(root, late, _Later(40)) == 0
    assert _sequencer(root, after, _Later(41)) == 0
    result = Checking(root, None, lambda *_: None, deep=True).run()
    assert (result.finding, result.leaves) == (None, result.size)
    reader = LogReader(root / "log")
    reader.checkpoint()
    there = [reader.decoded(index) for index in reader.pruned().present(0, result.size)]
    assert "retention.expired" in {leaf.type for leaf in there}
    assert sum(leaf.index < 8 for leaf in there) < 8
