"""After a crash before the commit: what was put in vain goes, everything else stays."""

from pathlib import Path

import pytest

from affidavit.durable import Disk
from affidavit.errors import NotFoundError
from affidavit.ledger.leaf import Leaf
from affidavit.record.model import SECTIONS
from affidavit.vault import wraps
from affidavit.vault.keyring import Keyring
from affidavit.vault.reader import VaultReader
from affidavit.vault.vault import Vault
from tests.unit.vault.makers import Leaves, entries, place, record


def test_open_takes_back_what_was_never_committed(tmp_path: Path, keyring: Keyring) -> None:
    """Records beyond the ledger's size lose their keys; those below stay; it may be repeated."""
    root = tmp_path / "vault"
    vault = Vault.open(Disk(), root, keyring, 0, Leaves().leaf)
    early = [place(i, record(tenant="ab"[i % 2])) for i in range(6)]
    late = [place(6 + i, record(tenant="abc"[i % 3])) for i in range(6)]
    vault.put(early)
    vault.put(late)
    vault.close()
    for _ in range(2):
        Vault.open(Disk(), root, keyring, 6, Leaves(early).leaf).close()
        assert entries(root) == [(item.record.id, item.index) for item in early]
    assert not (root / "c" / "default" / "2026-11-23" / f"{8:020d}.seg").exists()


def test_indexes_are_given_anew_after_a_crash(tmp_path: Path, keyring: Keyring) -> None:
    """The place of a record that was taken back goes to another record, in another tenant too."""
    root = tmp_path / "vault"
    first = Vault.open(Disk(), root, keyring, 0, Leaves().leaf)
    kept = place(0, record())
    lost = [record({"request.body": b"lost"}), record({"request.body": b"again"})]
    first.put([kept])
    first.put([place(1, lost[0]), place(2, lost[1])])
    first.close()  # the process dies here, before the ledger's commit
    second = Vault.open(Disk(), root, keyring, 1, Leaves([kept]).leaf)
    now = [place(1, record(tenant="zeta")), place(2, lost[1]), place(3, lost[0])]
    second.put(now)
    leaves = Leaves([kept, *now])
    reader = VaultReader(root, keyring, leaves.leaf)
    assert reader.sections(1)["who"]["tenant"] == "zeta"
    assert reader.parts(2) == {"request.body": b"again"}
    assert reader.parts(3) == {"request.body": b"lost"}
    assert reader.sections(0)["who"]["tenant"] == "acme"
    reader.close()
    second.close()


def test_a_place_taken_by_the_ledger_itself_is_taken_back(tmp_path: Path, keyring: Keyring) -> None:
    """An index that is committed by now, but to a leaf of the ledger's own, keeps nothing."""
    root = tmp_path / "vault"
    first = Vault.open(Disk(), root, keyring, 0, Leaves().leaf)
    first.put([kept := place(0, record())])
    first.put([place(1, record()), place(2, record())])
    first.close()
    own = place(1, record(kind="ledger.ended", without=SECTIONS))
    Vault.open(Disk(), root, keyring, 2, Leaves([kept, own]).leaf).close()
    assert entries(root) == [(kept.record.id, 0)]


def test_a_ledger_that_cannot_be_read_takes_nothing_out(tmp_path: Path, keyring: Keyring) -> None:
    """When a leaf that should be there is not, opening fails and every key stays."""
    root = tmp_path / "vault"
    first = Vault.open(Disk(), root, keyring, 0, Leaves().leaf)
    first.put([place(0, record())])
    first.close()

    def unpublished(index: int) -> Leaf:
        raise NotFoundError(f"Leaf {index} is not published.")

    with pytest.raises(NotFoundError):
        Vault.open(Disk(), root, keyring, 1, unpublished)
    assert [index for _, index in entries(root)] == [0]


def test_leftovers_of_a_crash_are_removed(tmp_path: Path, keyring: Keyring) -> None:
    """A segment without wraps, half a header and a temporary file do not stand in the way."""
    root = tmp_path / "vault"
    directory = root / "acme" / "default" / "2026-11-23"
    directory.mkdir(parents=True)
    (directory / f"{5:020d}.seg").write_bytes(b"AFV")
    (directory / f"{6:020d}.seg").write_bytes(b"AFVAULT1")
    (directory / f"{6:020d}.wraps").write_bytes(b"AFWR")
    (directory / f"{6:020d}.wraps.tmp").write_bytes(b"")
    vault = Vault.open(Disk(), root, keyring, 5, Leaves().leaf)
    assert list(directory.iterdir()) == []
    vault.put([place(5, record()), place(6, record())])
    assert [index for _, index in entries(root)] == [5, 6]
    vault.close()


def test_a_damaged_entry_is_no_reason_to_drop_the_rest(tmp_path: Path, keyring: Keyring) -> None:
    """Damage in a wraps file, first entry or later, leaves the file as it is."""
    root = tmp_path / "vault"
    vault = Vault.open(Disk(), root, keyring, 0, Leaves().leaf)
    batch = [place(i, record()) for i in range(4)]
    vault.put(batch)
    vault.close()
    path = next(root.rglob("*.wraps"))
    whole = path.read_bytes()
    for at in (wraps.HEADER_BYTES + 20, len(whole) // 2, len(whole) - 1):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        path.write_bytes(damaged)
        Vault.open(Disk(), root, keyring, 4, Leaves(batch).leaf).close()
        assert path.read_bytes() == damaged
