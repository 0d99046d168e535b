"""G6 on the real thing: an index that lived beside ledger and vault equals one made from them."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from affidavit.index.indexer import Indexer
from affidavit.index.rebuild import catch_up, dump, rebuild
from affidavit.ledger.firsts import with_firsts
from affidavit.ledger.plan import Submission
from affidavit.record.keys import KeyEncryptionKey
from affidavit.record.model import Chain, Placed, Record
from affidavit.vault.keyring import Keyring
from affidavit.vault.reader import VaultReader
from affidavit.vault.vault import Vault
from tests.unit.index.made import KEY, request, response
from tests.world import ledger


def submitted(item: Placed, parent: Record | None = None) -> Submission:
    """A made record as its writer hands it in."""
    old = item.record
    chains = (Chain("acme", "model", "gpt-4o"), Chain("acme", "actor", "act_alice"))
    record = Record(
        old.id, old.type, old.at, old.tier, old.tenant, old.retention_class, old.sections,
        () if parent else chains, old.parts, parent.id if parent else None, old.subjects,
    )  # fmt: skip
    return Submission(item.src, record, item.bodies)


def test_live_equals_rebuilt_from_ledger_and_vault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches as intake makes them, the ledger's own leaves and heads between, one crash."""
    ledger.quick(monkeypatch)
    world = ledger.World(tmp_path)
    log = world.open()
    kek = KeyEncryptionKey(bytes(range(32)))
    keyring = Keyring.open(tmp_path / "keys.db", kek, world.clock)
    reader = world.reader()
    vault = Vault.open(world.disk, tmp_path / "vault", keyring, log.size, reader.decoded)
    vaults = VaultReader(tmp_path / "vault", keyring, reader.decoded)
    view = with_firsts(reader, vaults.view)
    for name in ("live", "rebuilt"):
        (tmp_path / name).mkdir()

    def opened() -> Indexer:
        indexer = Indexer(tmp_path / "live", KEY)
        indexer.start()
        log.publish()
        catch_up(indexer, reader, view)
        return indexer

    indexer = opened()
    writer = ledger.Writer()

    def batch(items: Sequence[Submission], *, index: bool = True) -> None:
        plan = log.prepare([Submission((writer.name, writer.n + i), s.record, s.bodies)
                            for i, s in enumerate(items)])  # fmt: skip
        writer.n += len(items)
        vault.put(plan.placed)
        log.commit(plan)
        if index:
            indexer.apply([*log.take_own(), *plan.placed], log.size, log.root)
        world.clock.advance(1.5)

    for turn in range(6):
        asked = submitted(request(0, f"question {turn} about towers", what={"trace_id": "t"}))
        answered = submitted(response(1, 0, f"answer {turn}"), asked.record)
        if turn == 3:  # committed, and the process dies before the index has it
            batch([asked], index=False)
            indexer.close()
            indexer = opened()
            batch([answered])
        elif turn % 2:
            batch([asked, answered])
        else:
            batch([asked])
            log.ensure_heads_after(log.size - 1)
            indexer.apply(log.take_own(), log.size, log.root)
            batch([answered])
    log.publish()
    assert indexer.built.size == log.size == reader.checkpoint().size
    indexer.close()
    assert rebuild(tmp_path / "rebuilt", KEY, reader, view) == log.size
    live = list(dump(tmp_path / "live", KEY))
    assert live == list(dump(tmp_path / "rebuilt", KEY))
    assert sum(line.startswith("record ") for line in live) == 12
    assert any("towers" in line for line in live)
    assert 'mention ["values","model",1]' in live
    assert sum(line.startswith('mention ["values","session"') for line in live) == 0
    vaults.close()
    vault.close()
    keyring.close()
    world.drop()
