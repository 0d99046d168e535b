"""The vault's read side: the exact bytes, checked, or a reason why not."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from affidavit.clock import SystemClock
from affidavit.durable import Disk, open_database
from affidavit.errors import CorruptError
from affidavit.ids import b64u
from affidavit.record.disclose import commit_part
from affidavit.record.keys import KeyEncryptionKey, wrap_key
from affidavit.record.model import SECTIONS, Placed
from affidavit.record.seal import seal_blob
from affidavit.vault import key_ends, wraps
from affidavit.vault.blobs import Packer, plain_part
from affidavit.vault.directory import Directories, Directory
from affidavit.vault.keyring import Keyring
from affidavit.vault.reader import VaultReader
from affidavit.vault.segments import Bucket, wraps_path
from affidavit.vault.vault import Vault
from tests.unit.vault.makers import Leaves, digest_of, place, record

_BUCKET = Path("acme") / "default" / "2026-11-23"


class _World:
    """A vault, its committed leaves and a reader."""

    def __init__(self, tmp_path: Path, keyring: Keyring) -> None:
        self.root = tmp_path / "vault"
        self.leaves = Leaves()
        self.vault = Vault.open(Disk(), self.root, keyring, 0, Leaves().leaf)
        self.reader = VaultReader(self.root, keyring, self.leaves.leaf)

    def put(self, *placed: Placed) -> None:
        self.vault.put(placed)
        self.leaves.add(placed)

    def segment(self) -> Path:
        return next((self.root / _BUCKET).glob("*.seg"))


@pytest.fixture
def world(tmp_path: Path, keyring: Keyring) -> Iterator[_World]:
    """An open vault with a reader beside it."""
    made = _World(tmp_path, keyring)
    yield made
    made.reader.close()
    made.vault.close()


def _sql(tmp_path: Path, kek: KeyEncryptionKey, statement: str) -> None:
    connection = open_database(tmp_path / "keys.db", kek.derive("keys.db"))
    connection.execute(statement)
    connection.close()


def test_everything_comes_back_exactly(world: _World) -> None:
    """Disclosures to the letter, parts to the byte, with the salts their digests commit to."""
    bodies = {"request.body": b"\x00\xff" * 70_000, "tool.arguments": b"{}", "empty": b""}
    item = place(3, record(bodies, subjects=("sub_2", "sub_1")))
    world.put(item)
    reader = world.reader
    assert reader.disclosures(3) == item.record.sections
    assert reader.sections(3)["what"]["gen_ai.request.model"] == "gpt-4o"
    assert reader.parts(3) == bodies
    assert reader.part_names(3) == tuple(bodies)
    for part, salted in zip(item.record.parts, reader.salted_parts(3), strict=True):
        assert salted == (part.salt, bodies[part.name])
        assert digest_of(part, salted[1]) == part.digest
    assert reader.missing(3) == {}


def test_a_view_is_leaf_and_vault_together(world: _World) -> None:
    """A view carries the leaf's facts, the opened sections and the content."""
    item = place(0, record({"request.body": b"hello"}, without=("control", "outcome")))
    world.put(item)
    view = world.reader.view(0)
    leaf = world.leaves.leaf(0)
    assert (view.index, view.time, view.id, view.type) == (0, leaf.time, leaf.id, leaf.type)
    assert view.digests == leaf.sections
    assert sorted(view.sections) == ["content", "context", "person", "what", "who"]
    assert view.parts == {"request.body": b"hello"}


def test_the_ledgers_own_leaves_are_empty_views(world: _World) -> None:
    """Heads and epoch leaves are never looked for in the vault."""
    bare = place(0, record(kind="ledger.heads", without=SECTIONS))
    world.leaves.add([bare])
    view = world.reader.view(0)
    assert (view.sections, view.parts, world.reader.missing(0)) == ({}, {}, {})


def test_what_was_never_put_is_named(world: _World) -> None:
    """A committed record that the vault does not hold has a reason for each section."""
    world.leaves.add([place(0, record(without=("person",)))])
    assert world.reader.disclosures(0) == (None,) * 7
    missing = world.reader.missing(0)
    assert sorted(missing) == ["content", "context", "control", "outcome", "what", "who"]
    assert set(missing.values()) == {"Not in the vault."}


def test_an_erased_period_is_not_there(
    world: _World, tmp_path: Path, kek: KeyEncryptionKey
) -> None:
    """Without its bucket key nothing of a record is read, and the reason says since when."""
    world.put(place(0, record({"request.body": b"hello"})))
    reader_ring = Keyring.open(tmp_path / "keys.db", kek, SystemClock(), read_only=True)
    reader = VaultReader(world.root, reader_ring, world.leaves.leaf)
    assert reader.parts(0) == {"request.body": b"hello"}
    _sql(tmp_path, kek, "UPDATE bucket_keys SET wrapped = NULL, destroyed = '2026-12-24'")
    assert reader.disclosures(0) == (None,) * 7
    assert reader.parts(0) == {}
    assert reader.salted_parts(0) == (None,)
    assert reader.view(0).digests == world.leaves.leaf(0).sections
    missing = reader.missing(0)
    assert sorted(missing) == sorted([*SECTIONS, "request.body"])
    assert set(missing.values()) == {"The bucket key was destroyed at 2026-12-24."}
    reader.close()
    reader_ring.close()


def test_an_erased_person_takes_person_and_content_along(
    world: _World, tmp_path: Path, kek: KeyEncryptionKey
) -> None:
    """One subject's key gone: person and content go, the rest stays; other records stay whole."""
    world.put(
        place(0, record({"request.body": b"of both"}, subjects=("sub_1", "sub_2"))),
        place(1, record({"request.body": b"of two"}, subjects=("sub_2",))),
        place(2, record({"request.body": b"of none"})),
    )
    _sql(
        tmp_path,
        kek,
        "UPDATE subject_keys SET wrapped = NULL, destroyed = '2026-12-24' WHERE subject = 'sub_1'",
    )
    ring = Keyring.open(tmp_path / "keys.db", kek, SystemClock(), read_only=True)
    reader = VaultReader(world.root, ring, world.leaves.leaf)
    assert sorted(reader.sections(0)) == ["context", "control", "outcome", "what", "who"]
    assert reader.parts(0) == {}
    assert sorted(reader.missing(0)) == ["content", "person", "request.body"]
    assert reader.parts(1) == {"request.body": b"of two"}
    assert reader.parts(2) == {"request.body": b"of none"}
    reader.close()
    ring.close()


def test_a_rewritten_wraps_file_is_noticed(world: _World) -> None:
    """A reader that knew a record stops giving it once its wraps were taken out of the file."""
    world.put(place(0, record()), place(1, record()))
    assert world.reader.sections(1)
    path = wraps_path(world.segment())
    data = path.read_bytes()
    (_, _, end), _ = wraps.scan(data[wraps.HEADER_BYTES :])
    Disk().write_file(path, data[: wraps.HEADER_BYTES + end])
    assert world.reader.sections(0)
    assert world.reader.sections(1) == {}
    assert world.reader.missing(1)["who"] == "Not in the vault."
    Disk().remove(path)
    assert world.reader.sections(0) == {}


def test_a_removed_section_has_a_reason(world: _World) -> None:
    """An entry that lost the wrap of one section says so, and gives the others."""
    item = place(0, record())
    world.put(item)
    path = wraps_path(world.segment())
    data = path.read_bytes()
    entry = wraps.unpack(data[wraps.HEADER_BYTES :])
    last = entry.blobs[:-1]
    short = wraps.Entry(entry.index, entry.offset, entry.id, entry.subjects, last)
    Disk().write_file(path, data[: wraps.HEADER_BYTES] + wraps.pack(short))
    assert world.reader.missing(0) == {"content": "Not in the vault."}
    assert world.reader.disclosures(0)[:6] == item.record.sections[:6]


def test_a_removed_segment_has_a_reason(world: _World, keyring: Keyring) -> None:
    """When the ciphertext is gone and the wraps are not, nothing is read and it is said why."""
    world.put(place(0, record({"request.body": b"hello"})))
    world.segment().unlink()
    assert world.reader.view(0).sections == {}
    assert world.reader.salted_parts(0) == (None,)
    assert set(world.reader.missing(0).values()) == {"Its segment was removed."}
    key_ends.retire_buckets(keyring, [Bucket(*_BUCKET.parts)])
    key_ends.destroy_bucket(keyring, 1)
    (why,) = {one.partition(" was destroyed")[0] for one in world.reader.missing(0).values()}
    assert why == "The bucket key", "it went with its key, whoever removed the segment"


def test_a_part_that_was_never_put_has_a_reason(world: _World) -> None:
    """A part that the content section lists and the vault does not hold is named."""
    made, _ = record({"request.body": b"lost", "other": b"kept"})
    world.put(place(0, (msgspec.structs.replace(made, parts=made.parts[1:]), (b"kept",))))
    assert world.reader.parts(0) == {"other": b"kept"}
    assert world.reader.missing(0) == {"request.body": "Not in the vault."}


def test_every_changed_byte_of_a_segment_is_noticed(world: _World) -> None:
    """No changed byte of the sealed bytes gives an answer other than an error."""
    world.put(place(0, record({"request.body": b"hello"}, without=("context", "control"))))
    path = world.segment()
    whole = path.read_bytes()
    for at in range(8, len(whole), 7):
        changed = bytearray(whole)
        changed[at] ^= 1
        path.write_bytes(changed)
        with pytest.raises(CorruptError):
            world.reader.view(0)
    path.write_bytes(whole)
    assert world.reader.parts(0) == {"request.body": b"hello"}


def test_what_is_not_damaged_is_salvaged(world: _World) -> None:
    """One damaged byte takes one section or the parts from the index, and never a question."""
    world.put(place(0, record({"request.body": b"hello"})))
    view = world.reader.view(0)
    assert world.reader.salvaged(0) == view
    path = world.segment()
    whole = path.read_bytes()
    lost = []
    for at in range(8, len(whole), 40):
        changed = bytearray(whole)
        changed[at] ^= 1
        path.write_bytes(changed)
        with pytest.raises(CorruptError):
            world.reader.view(0)
        left = world.reader.salvaged(0)
        assert left.digests == view.digests
        assert left.sections.items() <= view.sections.items()
        assert left.parts.items() <= view.parts.items()
        lost.append(sorted(view.sections.keys() - left.sections.keys()))
        assert len(lost[-1]) <= 1
        assert lost[-1] or not left.parts
    assert {name for names in lost for name in names} == set(SECTIONS)
    assert [] in lost  # the part


def test_a_damaged_file_is_the_trouble_of_its_own_records(world: _World) -> None:
    """Another tenant's records are read all the same; its own are damaged, not erased."""
    world.put(place(0, record(tenant="acme")), place(1, record(tenant="other")))
    path = wraps_path(world.segment())
    path.write_bytes(b"x" + path.read_bytes()[1:])
    assert world.reader.sections(1)["who"]["tenant"] == "other"
    with pytest.raises(CorruptError):
        world.reader.sections(0)
    left = world.reader.salvaged(0)
    assert (left.id, left.sections, left.parts) == (world.leaves.leaf(0).id, {}, {})


def test_a_section_of_another_record_is_refused(world: _World, keyring: Keyring) -> None:
    """Keys and sealed bytes in order, but not what the leaf commits to: an error."""
    true, false = record(), record()
    swapped = place(0, (false[0], false[1]))
    world.vault.put([swapped])
    claimed = place(0, true)
    world.leaves.add([claimed])
    world.leaves.known[0] = msgspec.structs.replace(world.leaves.known[0], id=false[0].id)
    with pytest.raises(CorruptError, match="Section who of leaf 0"):
        world.reader.disclosures(0)


def test_content_other_than_the_content_section_says_is_refused(world: _World) -> None:
    """A part whose digest differs from the listed one is an error, not content."""
    made, _ = record({"request.body": b"what was said"})
    world.put(place(0, (made, (b"what was not ",))))
    with pytest.raises(CorruptError, match=r"Part request\.body of leaf 0"):
        world.reader.parts(0)
    assert world.reader.sections(0)


@pytest.mark.parametrize("instead", [False, True])
def test_content_that_nobody_committed_to_is_refused(
    world: _World, keyring: Keyring, *, instead: bool
) -> None:
    """Whoever has the keys can seal a part; unless the record lists it, it is no content of it."""
    made, body = record({"response.body": b"what was said"}, without=SECTIONS[:6])
    world.put(place(0, (made, body)))
    forged = b"what was never said"
    key, part = b"k" * 32, commit_part("response.forged", "text/plain", forged)
    (blob,) = Packer().pack([plain_part(part, forged)])
    sealed = seal_blob(key, blob, f"{made.id}response.forged".encode())
    segment = world.segment()
    path = wraps_path(segment)
    data = path.read_bytes()
    entry = wraps.unpack(data[wraps.HEADER_BYTES :])
    bucket = keyring.bucket_secret(wraps.parse_header(data[: wraps.HEADER_BYTES]))
    wrapped = wrap_key(wraps.wrapping_key(bucket, ()), key)
    added = wraps.Blob(wraps.PART, "response.forged", len(sealed), wrapped)
    with segment.open("ab") as file:
        file.write(sealed)
    blobs, offset = (*entry.blobs, added), entry.offset
    if instead:
        blobs, offset = (added,), offset + sum(blob.size for blob in entry.blobs)
    changed = wraps.Entry(entry.index, offset, entry.id, entry.subjects, blobs)
    Disk().write_file(path, data[: wraps.HEADER_BYTES] + wraps.pack(changed))
    with pytest.raises(CorruptError, match=r"Part response\.forged of leaf 0"):
        world.reader.view(0)


def test_an_entry_of_an_uncommitted_record_is_not_taken(world: _World) -> None:
    """At the index of a committed record stands another id: that is not the record."""
    world.vault.put([place(0, record({"request.body": b"uncommitted"}))])
    world.leaves.add([place(0, record({"request.body": b"committed"}))])
    assert world.reader.parts(0) == {}
    assert world.reader.missing(0)["who"] == "Not in the vault."


def test_another_process_reads_while_the_writer_appends(
    world: _World, tmp_path: Path, kek: KeyEncryptionKey
) -> None:
    """A reader in a process of its own, opened before most was put, finds every record."""
    script = tmp_path / "read.py"
    script.write_text(
        "import json, sys\n"
        "from pathlib import Path\n"
        "from affidavit.clock import SystemClock\n"
        "from affidavit.ids import from_b64u\n"
        "from affidavit.record.keys import KeyEncryptionKey\n"
        "from affidavit.vault.keyring import Keyring\n"
        "from affidavit.vault.reader import VaultReader\n"
        "from tests.unit.vault.makers import Leaves\n"
        "import msgspec\n"
        "from affidavit.ledger.leaf import Leaf\n"
        "base = Path(sys.argv[1])\n"
        "ring = Keyring.open(base / 'keys.db', KeyEncryptionKey(bytes(range(32))),\n"
        "    SystemClock(), read_only=True)\n"
        "leaves = Leaves()\n"
        "reader = VaultReader(base / 'vault', ring, leaves.leaf)\n"
        "for line in sys.stdin:\n"
        "    leaf = msgspec.json.decode(line, type=Leaf)\n"
        "    leaves.known[leaf.index] = leaf\n"
        "    print(json.dumps({k: v.decode() for k, v in reader.parts(leaf.index).items()}),\n"
        "        flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": "src:."},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for index in range(30):
            item = place(index, record({"request.body": b"n%d" % index}, tenant="ab"[index % 2]))
            world.put(item)
            process.stdin.write(msgspec.json.encode(world.leaves.leaf(index)).decode() + "\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline()) == {"request.body": f"n{index}"}
        process.stdin.close()
    assert process.returncode == 0


def test_threads_read_while_the_writer_appends(world: _World) -> None:
    """Several threads and one reader: each gets the right record, while more is put."""
    wrong: list[int] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            wrong.extend(
                index
                for index in list(world.leaves.known)
                if world.reader.parts(index) != {"request.body": b"n%d" % index}
            )

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for index in range(60):
        world.put(place(index, record({"request.body": b"n%d" % index}, tenant="abc"[index % 3])))
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    world.reader.close()


def test_the_tenant_says_where_to_look_first(
    world: _World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the right tenant no file of others is read; with another one it is found, too."""
    world.put(place(0, record(tenant="a")), place(1, record(tenant="b")))
    read: list[str] = []
    get = Directories.get

    def noted(self: Directories, path: Path) -> Directory | None:
        read.append(path.parts[-4])
        return get(self, path)

    monkeypatch.setattr(Directories, "get", noted)
    assert world.reader.sections(1, "b")["who"]["tenant"] == "b"
    assert set(read) == {"b"}
    assert world.reader.sections(1, "a")["who"]["tenant"] == "b"


def test_part_digests_are_those_of_the_format(world: _World) -> None:
    """The listed digest is b64u SHA-256(salt ‖ bytes), as salted parts recompute it."""
    item = place(0, record({"request.body": b"hello"}))
    world.put(item)
    listed = world.reader.sections(0)["content"]["parts"][0]["digest"]
    assert listed == b64u(digest_of(item.record.parts[0], b"hello"))
