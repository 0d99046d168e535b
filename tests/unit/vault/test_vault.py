"""The vault's writer: durable in few steps, keys once, and clean after a crash."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from affidavit.clock import SystemClock
from affidavit.durable import Disk, Effects
from affidavit.errors import UnavailableError
from affidavit.record.keys import KeyEncryptionKey
from affidavit.record.model import SECTIONS, Placed
from affidavit.vault import segments as segment_files
from affidavit.vault import wraps
from affidavit.vault.keyring import Keyring
from affidavit.vault.reader import VaultReader
from affidavit.vault.segments import segments_in
from affidavit.vault.vault import Vault
from tests.unit.vault.makers import Leaves, entries, place, record


class _Counting(Effects):
    """Counts writes and syncs by file name; fails when told to."""

    def __init__(self) -> None:
        self.writes: list[str] = []
        self.syncs: list[str] = []
        self.fail_sync = False

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        self.writes.append(Path(f"/proc/self/fd/{fd}").readlink().name)
        return super().pwrite(fd, data, offset)

    def fdatasync(self, fd: int) -> None:
        self.syncs.append(Path(f"/proc/self/fd/{fd}").readlink().name)
        if self.fail_sync:
            raise OSError(5, "Input/output error")
        super().fdatasync(fd)


def test_a_batch_is_one_write_and_one_sync_per_file(tmp_path: Path, keyring: Keyring) -> None:
    """A hundred records of one bucket cost two writes and two syncs, segment before wraps."""
    effects = _Counting()
    vault = Vault.open(Disk(effects), tmp_path / "vault", keyring, 0, Leaves().leaf)
    vault.put([place(0, record())])
    effects.writes.clear()
    effects.syncs.clear()
    vault.put([place(1 + i, record({"request.body": b"x" * 50})) for i in range(100)])
    names = [f"{0:020d}.seg", f"{0:020d}.wraps"]
    assert effects.writes == names
    assert effects.syncs == names
    vault.close()


def test_nothing_in_clear(tmp_path: Path, keyring: Keyring) -> None:
    """No body, no value of a section and no key stands in any file of the vault."""
    vault = Vault.open(Disk(), tmp_path / "vault", keyring, 0, Leaves().leaf)
    vault.put([place(0, record({"request.body": b"tell nobody"}, subjects=("sub_1",)))])
    vault.close()
    bucket = keyring.bucket("acme", "default", "2026-11-23").secret
    for path in (tmp_path / "vault").rglob("*.*"):
        data = path.read_bytes()
        for secret in (b"tell nobody", b"ann@example.com", b"sub_1", b"act_1", bucket):
            assert secret not in data


def test_records_without_anything_are_not_kept(tmp_path: Path, keyring: Keyring) -> None:
    """The ledger's own leaves leave no trace in the vault."""
    vault = Vault.open(Disk(), tmp_path / "vault", keyring, 0, Leaves().leaf)
    bare = record(without=SECTIONS)
    vault.put([place(0, bare)])
    vault.put([])
    assert entries(tmp_path / "vault") == []


def test_buckets_are_tenant_class_and_day(tmp_path: Path, keyring: Keyring) -> None:
    """Each (tenant, class, UTC day of ledger time) has a directory and a key of its own."""
    vault = Vault.open(Disk(), tmp_path / "vault", keyring, 0, Leaves().leaf)
    vault.put(
        [
            place(0, record(), "2026-11-23T23:59:59.999999Z"),
            place(1, record(tenant="zeta"), "2026-11-23T23:59:59.999999Z"),
            place(2, record(retention_class="long"), "2026-11-23T23:59:59.999999Z"),
            place(3, record(), "2026-11-24T00:00:00.000000Z"),
        ]
    )
    root = tmp_path / "vault"
    found = sorted(str(path.parent.relative_to(root)) for path in root.rglob("*.wraps"))
    assert found == [
        "acme/default/2026-11-23",
        "acme/default/2026-11-24",
        "acme/long/2026-11-23",
        "zeta/default/2026-11-23",
    ]
    headers = {path.read_bytes()[: wraps.HEADER_BYTES] for path in root.rglob("*.wraps")}
    assert len(headers) == 4
    vault.close()


def test_yesterdays_files_are_closed(tmp_path: Path, keyring: Keyring) -> None:
    """Once ledger time has passed midnight, no file of the day before stays open."""
    vault = Vault.open(Disk(), tmp_path / "vault", keyring, 0, Leaves().leaf)
    for index, day in enumerate(("23", "24", "25")):
        vault.put([place(index, record(), f"2026-11-{day}T00:00:00.000000Z")])
        names = [os.path.realpath(path) for path in Path("/proc/self/fd").iterdir()]
        ours = [name for name in names if name.startswith(str(tmp_path / "vault"))]
        assert len(ours) == 2
        assert all(f"2026-11-{day}" in name for name in ours)
    vault.close()


def test_full_segments_end(
    tmp_path: Path, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A segment that is full by bytes or by records is followed by another; all is found."""
    monkeypatch.setattr(segment_files, "MAX_RECORDS", 10)
    leaves = Leaves()
    vault = Vault.open(Disk(), tmp_path / "vault", keyring, 0, Leaves().leaf)
    for start in range(0, 40, 4):
        batch = [place(start + i, record({"request.body": bytes(9)})) for i in range(4)]
        vault.put(batch)
        leaves.add(batch)
    directory = tmp_path / "vault" / "acme" / "default" / "2026-11-23"
    assert [segment.first for segment in segments_in(directory)] == [0, 12, 24, 36]
    monkeypatch.setattr(segment_files, "MAX_BYTES", 1)
    vault.put([place(40, record())])
    assert [segment.first for segment in segments_in(directory)][-1] == 40
    reader = VaultReader(tmp_path / "vault", keyring, leaves.leaf)
    assert all(reader.parts(i) == {"request.body": bytes(9)} for i in range(40))
    reader.close()
    vault.close()


def test_many_buckets_keep_few_files_open(
    tmp_path: Path, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The least recently used segment ends when too many are open; its records stay readable."""
    monkeypatch.setattr("affidavit.vault.vault._OPEN_SEGMENTS", 3)
    leaves = Leaves()
    vault = Vault.open(Disk(), tmp_path / "vault", keyring, 0, Leaves().leaf)
    for index in range(12):
        batch = [place(index, record(tenant=f"t{index % 6}"))]
        vault.put(batch)
        leaves.add(batch)
    assert len(vault._open) == 3
    reader = VaultReader(tmp_path / "vault", keyring, leaves.leaf)
    assert all(reader.sections(i)["who"]["tenant"] == f"t{i % 6}" for i in range(12))
    reader.close()
    vault.close()


def test_a_failed_sync_ends_the_vault(tmp_path: Path, keyring: Keyring) -> None:
    """After one failed fdatasync nothing more is taken, although the disk works again."""
    effects = _Counting()
    vault = Vault.open(Disk(effects), tmp_path / "vault", keyring, 0, Leaves().leaf)
    vault.put([place(0, record())])
    effects.fail_sync = True
    with pytest.raises(UnavailableError, match="vault cannot be written"):
        vault.put([place(1, record())])
    effects.fail_sync = False
    with pytest.raises(UnavailableError):
        vault.put([place(1, record())])
    vault.close()


def test_a_disk_that_refuses_directories_is_named(tmp_path: Path, keyring: Keyring) -> None:
    """A vault that cannot be made at all is an error with a sentence, not a traceback."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UnavailableError, match="vault cannot be written"):
        Vault.open(Disk(), tmp_path / "file" / "vault", keyring, 0, Leaves().leaf)


_step = st.tuples(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=5),  # tenants of a batch
    st.sampled_from(["commit", "commit", "commit", "lost", "restart", "midnight"]),
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(_step, max_size=14))
def test_what_was_committed_is_what_is_there(
    tmp_path_factory: pytest.TempPathFactory, kek: KeyEncryptionKey, steps: list[tuple[str, str]]
) -> None:
    """Whatever is put, lost and begun anew: exactly the committed records are there, each once."""
    base = tmp_path_factory.mktemp("model")
    keyring = Keyring.open(base / "keys.db", kek, SystemClock())
    committed: list[Placed] = []
    leaves = Leaves()
    day = 1
    vault = Vault.open(Disk(), base / "vault", keyring, 0, Leaves().leaf)
    reader = VaultReader(base / "vault", keyring, leaves.leaf)
    for tenants, how in steps:
        batch = [
            place(
                len(committed) + i,
                record({"request.body": tenant.encode() * 9}, tenant=tenant),
                f"2026-11-{day:02d}T00:00:00.000000Z",
            )
            for i, tenant in enumerate(tenants)
        ]
        vault.put(batch)
        if how in ("lost", "restart"):
            vault.close()
        if how == "lost":
            vault = Vault.open(Disk(), base / "vault", keyring, len(committed), leaves.leaf)
            continue
        committed += batch
        leaves.add(batch)
        if how == "restart":
            vault = Vault.open(Disk(), base / "vault", keyring, len(committed), leaves.leaf)
        day += how == "midnight"
        item = committed[len(committed) // 2]
        assert reader.disclosures(item.index) == item.record.sections
    vault.close()
    assert entries(base / "vault") == [(item.record.id, item.index) for item in committed]
    for item in committed:
        assert reader.disclosures(item.index) == item.record.sections
        assert reader.parts(item.index) == {"request.body": item.bodies[0]}
    reader.close()
    keyring.close()
