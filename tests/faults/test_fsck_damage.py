"""Damage of any kind, in any file, at any place: a deep check names it, and never a traceback."""

import shutil
import threading
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from affidavit.app.checking import Checking, Result
from affidavit.errors import AffidavitError
from affidavit.ledger.findings import Finding
from affidavit.ledger.policy import parse_policy
from tests.world import ledger, whole
from tests.world.machine import Machine

OPERATIONS = ("flip", "delete", "cut", "insert")
NO_DAMAGE = {("cosigned", "delete")}
"""A log without witnesses has none."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of everything; each test leaves it as it was."""
    with pytest.MonkeyPatch.context() as patch:
        ledger.quick(patch)
        root = tmp_path_factory.mktemp("whole") / "data"
        whole.make(root)
    return root


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with fewer leaves, for many checks."""
    with pytest.MonkeyPatch.context() as patch:
        ledger.quick(patch)
        root = tmp_path_factory.mktemp("small") / "data"
        whole.make(root, 6)
    return root


def _check(root: Path, *, keys: bool = True) -> Result:
    lines = [f"log {ledger.signer().vkey}", f"witness w1 {whole.WITNESS.vkey}", "quorum none"]
    policy = parse_policy("\n".join(lines))
    return Checking(
        root, None, lambda *_: None, deep=True, keys=keys, policy=policy, anew=True
    ).run()


def _found(root: Path, *, keys: bool = True) -> Finding | None:
    """What is named; a file without which nothing can be judged is named by an error."""
    try:
        return _check(root, keys=keys).finding
    except AffidavitError as error:
        return Finding("", error.message, "", error.hint)


def _changed(content: bytes, operation: str, at: int, value: int) -> bytes | None:
    if operation == "delete":
        return None
    if operation == "cut":
        return content[:at]
    if operation == "insert":
        return content[:at] + bytes([value]) * (1 + value % 9) + content[at:]
    return content[:at] + bytes([content[at] ^ (1 << value % 8)]) + content[at + 1 :]


def test_a_sound_directory_passes_and_is_not_touched(data: Path) -> None:
    """Everything was looked at, nothing was changed, no file came or went."""
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    result = _check(data)
    assert result.finding is None, result.finding
    assert result.leaves == result.size > 256
    counts = result.counts
    assert counts["records"] == 2 * 141
    assert counts["blobs"] > 5 * counts["records"]
    assert counts["notes"] == 4
    assert counts["keys"] > 5
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == before
    assert _found(data, keys=False) is None


@given(st.data())
def test_random_damage_is_named(small: Path, draws: st.DataObject) -> None:
    """Any file, any place, a flipped bit, a cut, bytes put in, or gone."""
    _damage_at_random(small, draws)


@pytest.mark.slow
@settings(max_examples=400)
@given(st.data())
def test_random_damage_is_named_at_length(data: Path, draws: st.DataObject) -> None:
    """The same, more often and with more than one level of tiles."""
    _damage_at_random(data, draws)


def _damage_at_random(data: Path, draws: st.DataObject) -> None:
    path = draws.draw(st.sampled_from(whole.claimed(data)))
    content = path.read_bytes()
    at = draws.draw(st.integers(0, len(content) - 1))
    operation = draws.draw(st.sampled_from(OPERATIONS))
    value = draws.draw(st.integers(0, 255))
    assume((path.name, operation) not in NO_DAMAGE)
    with whole.damaged(path, _changed(content, operation, at, value)):
        found = _found(data)
    assert found is not None, f"{operation} at {at} of {path.relative_to(data)}"
    assert found.wrong
    assert found.do


def test_the_first_byte_of_each_file_counts(small: Path) -> None:
    """What says which kind of file it is, is looked at, also by a second look."""
    for path in whole.claimed(small):
        with whole.damaged(path, _changed(path.read_bytes(), "flip", 0, 0)):
            assert _found(small) is not None, path


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_kind_of_file_is_named_by_its_path(small: Path, operation: str) -> None:
    """In each file once in the middle: the finding points at that file."""
    _damage_each(small, whole.claimed(small), operation)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_kind_of_tile_is_named_by_its_path(data: Path, operation: str) -> None:
    """The same where tiles are full, and with a level above them."""
    every = [path for path in whole.claimed(data) if path.relative_to(data).parts[0] == "log"]
    tiles = [path for path in every if path.name == "000" or "tile/1/" in str(path)]
    assert len(tiles) == 4
    _damage_each(data, tiles, operation)


def _damage_each(data: Path, paths: list[Path], operation: str) -> None:
    for path in paths:
        content = path.read_bytes()
        name = path.relative_to(data)
        if (path.name, operation) in NO_DAMAGE:
            continue
        shown = str(name.relative_to("log")) if name.parts[0] == "log" else str(name)
        with whole.damaged(path, _changed(content, operation, len(content) // 2, 77)):
            found = _found(data)
        assert found is not None, f"{operation}: {name}"
        if shown in ("keys/kek", "keys.db", "log.vkey", "log.policy", "checkpoint"):
            continue  # named below: who reads one of them needs another
        beside = (shown.replace(".seg", ".wraps"), shown.replace(".checkpoint", ".tsr"))
        assert found.object in (shown, *beside), (name, found)
        assert found.means, name


def test_what_everything_else_needs(data: Path) -> None:
    """Keys and checkpoint: the sentence names the file, or one that no longer fits."""
    for name, words in (
        ("keys/kek", "keys"),
        ("keys.db", "keys.db"),
        ("log/log.vkey", "key"),
        ("log/log.policy", "log.policy"),
        ("log/checkpoint", "checkpoint"),
    ):
        path = data / name
        content = path.read_bytes()
        for operation in OPERATIONS:
            with whole.damaged(path, _changed(content, operation, len(content) // 2, 77)):
                found = _found(data)
            assert found is not None, name
            assert words in found.wrong, (name, operation, found)


def test_a_timestamp_over_another_note_is_named(data: Path) -> None:
    """Its imprint is that of the note beside it; the rest of the token is not examined."""
    path = next(data.glob("log/timestamps/*.tsr"))
    content = path.read_bytes()
    at = content.index(b"\x04\x20") + 5
    for changed in (_changed(content, "flip", at, 1), b"", content[:at]):
        with whole.damaged(path, changed):
            found = _found(data)
        assert found is not None
        assert found.object == f"timestamps/{path.name}"


def test_an_owners_key_that_is_none_is_named(data: Path) -> None:
    """It may be gone; if it is there, it is the key of an identity."""
    path = data / "keys" / "owner"
    with whole.damaged(path, path.read_bytes()[:-3] + b"x\n"):
        found = _found(data)
    assert found is not None
    assert found.object == "keys/owner"
    with whole.damaged(path, None):
        assert _found(data) is None


def test_without_keys_structure_alone(data: Path) -> None:
    """A cut segment, an entry that is gone and a leaf without one are found; contents are not."""
    segment = max(data.glob("vault/*/*/*/*.seg"), key=lambda path: path.stat().st_size)
    content = segment.read_bytes()
    with whole.damaged(segment, content[:-1]):
        found = _found(data, keys=False)
    assert found is not None
    assert "shorter than its entries say" in found.wrong
    wraps = segment.with_suffix(".wraps")
    content = wraps.read_bytes()
    for changed in (content[:40], None, content[:60] + b"\x00" + content[61:]):
        with whole.damaged(wraps, changed):
            found = _found(data, keys=False)
        assert found is not None
        assert found.object.endswith(wraps.name)
        assert "leaf " in found.wrong


def test_bytes_behind_the_last_entry_are_nobodys_claim(data: Path) -> None:
    """A process that died while it appended leaves them."""
    for suffix in ("seg", "wraps"):
        path = next(data.glob(f"vault/*/*/*/*.{suffix}"))
        with whole.damaged(path, path.read_bytes() + b"\x00\x00\x00\x40half an entry"):
            assert _found(data) is None


def test_a_vault_put_back_from_yesterday_is_named(data: Path, tmp_path: Path) -> None:
    """A whole day's directory is gone: the first leaf without an entry is told."""
    day = max(data.glob("vault/*/*/*"))
    shutil.move(day, tmp_path / "kept")
    try:
        found = _found(data)
    finally:
        shutil.move(tmp_path / "kept", day)
    assert found is not None
    assert found.object == "vault/"
    assert "the vault has no entry of it" in found.wrong


def test_another_installations_files_are_not_taken(data: Path, tmp_path: Path) -> None:
    """A state.db, a keys.db, an index of another directory: each is named."""
    other = tmp_path / "other"
    with pytest.MonkeyPatch.context() as patch:
        ledger.quick(patch)
        whole.make(other, 3)
    for name in ("state.db", "keys.db", "index.db", "text.db"):
        with whole.damaged(data / name, (other / name).read_bytes()):
            found = _found(data)
        assert found is not None, name
        assert name in found.object, found


def test_beside_a_running_system(tmp_path: Path) -> None:
    """While records come in and are published, no check ever finds anything."""
    root = tmp_path / "data"
    root.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        ledger.quick(patch)
        machine = Machine(root)
    results: list[Result] = []
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            results.append(_check(root))

    looking = threading.Thread(target=look)
    looking.start()
    for number in range(60):
        machine.exchange(f"Question {number}?", session=f"s{number % 3}")
        if number % 3 == 0:
            machine.settle()
    over.set()
    looking.join()
    machine.close()
    assert [result.finding for result in results if result.finding is not None] == []
    assert len({result.size for result in results}) > 1, "the log did not grow meanwhile"
