"""The vault against its leaves: what is whole, what was erased, what is damage."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from affidavit.clock import SystemClock
from affidavit.durable import Disk, open_database
from affidavit.errors import CorruptError
from affidavit.ledger.scan import Row, row_of
from affidavit.record.keys import KeyEncryptionKey
from affidavit.record.model import Placed
from affidavit.vault import entries, wraps
from affidavit.vault.check import VaultCheck
from affidavit.vault.keyring import DATABASES, Keyring
from affidavit.vault.segments import segments_in, wraps_path
from affidavit.vault.vault import Vault
from tests.unit.vault.makers import Leaves, leaf_of, place, record

_DAY = "2026-11-23"


def _rows(placed: Sequence[Placed]) -> list[Row]:
    return [row_of(leaf_of(item), ()) for item in placed]


def _fill(root: Path, keyring: Keyring) -> list[Placed]:
    """Six records of two tenants and two classes, in two batches, one without sections."""
    placed = [
        place(3, record({"request.body": b"one"}, subjects=("act_1",))),
        place(4, record({"request.body": b"two" * 40_000}, tenant="beta")),
        place(5, record({}, retention_class="long")),
        place(6, record({"request.body": b"x", "tool.arguments": b"y"}, tenant="beta")),
        place(8, record({"response.body": b"four"}, subjects=("act_1", "act_2"))),
        place(9, record({}, without=("person", "outcome"))),
    ]
    vault = Vault.open(Disk(), root, keyring, 0, Leaves().leaf)
    vault.put(placed[:3])
    vault.put(placed[3:])
    vault.close()
    return placed


def _check(
    root: Path, keyring: Keyring | None, rows: Sequence[Row], begin: int = 0, size: int = 0
) -> VaultCheck:
    made = VaultCheck(root, keyring, begin)
    try:
        for row in rows:
            made.take(row)
        made.finish(size or rows[-1].position + 1)
    finally:
        made.close()
    return made


def _sql(tmp_path: Path, kek: KeyEncryptionKey, statement: str) -> None:
    connection = open_database(tmp_path / "keys.db", kek.derive("keys.db"))
    connection.execute(statement)
    connection.close()


def test_every_record_is_found_and_opened(tmp_path: Path, keyring: Keyring) -> None:
    """From leaf 0, and from any leaf in the middle."""
    rows = _rows(_fill(tmp_path / "vault", keyring))
    counts = _check(tmp_path / "vault", keyring, rows).counts
    assert (counts["records"], counts["blobs"], counts["gone"]) == (6, 6 * 7 - 2 + 5, 0)
    for begin, row in enumerate(rows):
        rest = _check(tmp_path / "vault", keyring, rows[begin:], row.position).counts
        assert rest["records"] == len(rows) - begin
    sealed = _check(tmp_path / "vault", None, rows).counts
    assert (sealed["records"], sealed["sealed"], sealed["blobs"]) == (6, 45, 0)


def test_files_are_read_a_piece_at_a_time(
    tmp_path: Path, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However small the pieces, the entries are the same."""
    rows = _rows(_fill(tmp_path / "vault", keyring))
    for size in (1, 7, 100, 1000):
        monkeypatch.setattr(entries, "_READ_BYTES", size)
        assert _check(tmp_path / "vault", keyring, rows).counts["records"] == 6


def test_a_file_replaced_meanwhile_is_read_under_its_own_key(
    tmp_path: Path, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the file system gave it the number of the one before."""
    root = tmp_path / "vault"
    rows = _rows(_fill(root, keyring))
    monkeypatch.setattr(entries, "_READ_BYTES", 100)
    stream = entries.Entries(root, 0)
    path = wraps_path(segments_in(root / "acme" / "default" / _DAY)[0].path)
    data = path.read_bytes()
    path.write_bytes(wraps.header(77) + data[wraps.HEADER_BYTES :])  # in place: the same number
    found = [
        stored for stored in iter(stream.next, None) if stored.path.parent.parent.name == "default"
    ]
    of_acme = [stored for stored in found if stored.path.parent.parent.parent.name == "acme"]
    assert [stored.position for stored in of_acme] == [rows[0].position, 8, 9]
    assert [stored.bucket for stored in of_acme][-1] == 77


def test_what_is_erased_is_no_damage(
    tmp_path: Path, keyring: Keyring, kek: KeyEncryptionKey
) -> None:
    """A destroyed subject key, a destroyed bucket key, and then no entries at all."""
    root = tmp_path / "vault"
    rows = _rows(_fill(root, keyring))
    destroyed = "SET wrapped = NULL, destroyed = '2026-12-01T00:00:00.000000Z'"
    _sql(tmp_path, kek, f"UPDATE subject_keys {destroyed} WHERE subject = 'act_2'")
    later = Keyring.open(tmp_path / "keys.db", kek, SystemClock(), read_only=True)
    counts = _check(root, later, rows).counts
    assert (counts["records"], counts["erased"]) == (6, 3)  # person, content, one part
    _sql(tmp_path, kek, f"UPDATE bucket_keys {destroyed} WHERE tenant = 'beta'")
    counts = _check(root, later, rows).counts
    assert (counts["records"], counts["erased"]) == (6, 3 + 8 + 9)
    for path in (root / "beta").rglob("*.seg"):
        path.unlink()
    assert _check(root, later, rows).counts["erased"] == 3 + 8 + 9
    for path in (root / "beta").rglob("*.wraps"):
        path.unlink()
    with pytest.raises(CorruptError, match="leaf 4 has sections, and the vault has no entry"):
        _check(root, later, rows)  # a key was destroyed, and nobody says that files went
    _emptied(tmp_path, kek, "acme", rows[0].position, rows[-1].position, 1)
    with pytest.raises(CorruptError, match="leaf 6 has sections, and the vault has no entry"):
        _check(root, later, rows)  # one record of a bucket that lies around it went, not two
    _sql(tmp_path, kek, "DELETE FROM segments_emptied")
    _emptied(tmp_path, kek, "beta", 5, 9, 9)
    with pytest.raises(CorruptError, match="leaf 4 has sections, and the vault has no entry"):
        _check(root, later, rows)  # nor does it explain what lay before it
    _emptied(tmp_path, kek, "beta", 4, 6, 2)
    counts = _check(root, later, rows).counts
    assert (counts["records"], counts["gone"]) == (4, 2)
    later.close()


def _emptied(place: Path, kek: KeyEncryptionKey, tenant: str, *segment: int) -> None:
    """Say that a segment was removed."""
    first, last, records = segment
    which = f"SELECT id, {first}, {last}, {records}, '' FROM bucket_keys WHERE tenant = '{tenant}'"
    _sql(place, kek, f"INSERT INTO segments_emptied {which} LIMIT 1")


def test_without_keys_a_certificate_explains_what_is_missing(
    tmp_path: Path, keyring: Keyring
) -> None:
    """Without one, the first record that has nothing is named."""
    root = tmp_path / "vault"
    placed = _fill(root, keyring)
    for path in (root / "beta").rglob("*.wraps"):
        path.unlink()
    with pytest.raises(CorruptError, match="leaf 4 has sections, and the vault has no entry") as at:
        _check(root, None, _rows(placed))
    assert "/beta/" in str(at.value.detail["object"])
    for kind in ("retention.erased", "retention.expired"):
        certificate = place(10, record({}, kind=kind, without=_ALL))
        counts = _check(root, None, _rows([*placed, certificate])).counts
        assert (counts["gone"], counts["certificates"]) == (2, 1)


_ALL = ("who", "person", "what", "context", "control", "outcome", "content")


def _rewrite(root: Path, change: str) -> None:
    """Another wraps file for the first bucket of tenant acme."""
    path = wraps_path(segments_in(root / "acme" / "default" / _DAY)[0].path)
    data = path.read_bytes()
    head, rest = data[: wraps.HEADER_BYTES], data[wraps.HEADER_BYTES :]
    made = [wraps.unpack(rest[begin:end]) for _, begin, end in wraps.scan(rest)]
    first = made[0]
    if change == "order":
        made.reverse()
    elif change == "twice":
        made.insert(1, wraps.Entry(first.index + 1, *_rest(first)))
    elif change == "again":
        made.append(first)
    elif change == "id":
        made[0] = wraps.Entry(first.index, first.offset, made[1].id, first.subjects, first.blobs)
    elif change == "sections":
        made[0] = wraps.Entry(first.index, *_rest(first)[:3], first.blobs[1:])
    elif change == "overlap":
        made[1] = wraps.Entry(made[1].index, first.offset, *_rest(made[1])[1:])
    elif change == "subjects":
        made[0] = wraps.Entry(first.index, first.offset, first.id, (77,), first.blobs)
    elif change == "bucket":
        head = wraps.header(77)
    elif change == "other":
        head = wraps.header(wraps.parse_header(head) + 1)
    path.write_bytes(head + b"".join(map(wraps.pack, made)))


def _rest(entry: wraps.Entry) -> tuple[int, str, tuple[int, ...], tuple[wraps.Blob, ...]]:
    return entry.offset, entry.id, entry.subjects, entry.blobs


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("order", "leaf 3 has sections, and the vault has no entry of it"),
        ("again", "its entries are not in ascending order"),
        ("twice", "the entry of leaf 4"),
        ("id", "the entry of leaf 3 is of another record"),
        ("sections", "the entry of leaf 3 has other sections than the leaf"),
        ("overlap", "the entry of leaf 8 overlaps the one before it"),
        ("subjects", "is under a key that is not there: The subject key is not in the keyring"),
        ("bucket", "is under bucket key 77, which is another one"),
        ("other", "which is another one"),
    ],
)
def test_what_somebody_rewrote_is_named(
    tmp_path: Path, keyring: Keyring, change: str, words: str
) -> None:
    """Well-formed files that say something else: no checksum helps against those."""
    root = tmp_path / "vault"
    rows = _rows(_fill(root, keyring))
    _rewrite(root, change)
    with pytest.raises(CorruptError, match=words) as at:
        _check(root, keyring, rows)
    assert str(at.value.detail["object"]).startswith("vault/")


def test_content_of_another_record_is_refused(tmp_path: Path, keyring: Keyring) -> None:
    """Sealed rightly, under the right keys, and not what the leaf commits to."""
    root = tmp_path / "vault"
    placed = _fill(root, keyring)
    other = place(3, record({"request.body": b"one"}))
    leaf = leaf_of(placed[0])
    rows = [row_of(leaf_of(other), ())._replace(id=leaf.id), *_rows(placed[1:])]
    with pytest.raises(CorruptError, match="who is not what the leaf commits to"):
        _check(root, keyring, rows)


def test_entries_of_leaves_that_have_nothing_are_refused(tmp_path: Path, keyring: Keyring) -> None:
    """In the middle, and at the end; what lies beyond the checkpoint is no concern."""
    root = tmp_path / "vault"
    rows = _rows(_fill(root, keyring))
    for missing in (1, 5):
        less = [row for at, row in enumerate(rows) if at != missing]
        with pytest.raises(CorruptError, match="stands for a record that has no sections"):
            _check(root, keyring, less, size=10)
    assert _check(root, keyring, rows[:4]).counts["records"] == 4


def test_every_key_of_the_keyring_opens(
    tmp_path: Path, keyring: Keyring, kek: KeyEncryptionKey
) -> None:
    """One that does not is named by its row."""
    _fill(tmp_path / "vault", keyring)
    assert keyring.check() == 3 + 2 + len(DATABASES)
    _sql(tmp_path, kek, "UPDATE subject_keys SET wrapped = zeroblob(40) WHERE subject = 'act_2'")
    with pytest.raises(CorruptError, match=r"keys\.db: row 2 of subject_keys"):
        keyring.check()
