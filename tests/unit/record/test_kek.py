"""The files of a key-encryption key: one line each, of which no byte may be another one."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affidavit.durable import Disk
from affidavit.errors import AffidavitError, CheckFailedError, UnavailableError, UsageError
from affidavit.record.kek import KeyFile, Passphrase
from affidavit.record.keys import KeyEncryptionKey, PlainFile

WORDS = b"correct horse battery"
CHEAP = 2
SECRET = bytes(range(32))
SEALED = Passphrase(lambda: WORDS, CHEAP).seal(SECRET)


def _file(path: Path, words: bytes = WORDS) -> KeyFile:
    return KeyFile(path, (PlainFile(), Passphrase(lambda: words, CHEAP)))


def test_what_a_passphrase_sealed_it_opens_and_no_other_does() -> None:
    """A new salt each time; the secret is not in it; another passphrase is told from damage."""
    source = Passphrase(lambda: WORDS, CHEAP)
    again = source.seal(SECRET)
    assert again != SEALED
    assert source.open(SEALED) == source.open(again) == SECRET
    assert SECRET not in SEALED
    with pytest.raises(CheckFailedError, match="does not open") as caught:
        Passphrase(lambda: b"correct horse batteries", CHEAP).open(SEALED)
    assert "lost" in caught.value.hint
    assert "horse" not in f"{caught.value} {source!r}"


def test_a_short_passphrase_seals_nothing_and_opens_what_there_is() -> None:
    """Eleven characters are too few, twelve are enough."""
    with pytest.raises(UsageError, match="12 characters"):
        Passphrase(lambda: b"e" * 11, CHEAP).seal(SECRET)
    twelve = "é".encode() * 12
    assert Passphrase(lambda: twelve, CHEAP).open(
        Passphrase(lambda: twelve, CHEAP).seal(SECRET)
    ) == SECRET  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
def test_any_changed_byte_of_a_sealed_file_is_refused(place: int, change: int) -> None:
    """Mark, parameters, salt, key, line end: nothing is ignored."""
    data = bytearray(SEALED)
    data[place] ^= change
    with pytest.raises(AffidavitError):
        KeyEncryptionKey.parse("kek", bytes(data), (PlainFile(), Passphrase(lambda: WORDS, CHEAP)))


@settings(max_examples=150)
@given(st.integers(0, 200), st.binary(max_size=4), st.integers(0, 200))
def test_nothing_cut_out_or_put_in_is_taken(begin: int, put: bytes, end: int) -> None:
    """Also of a plain file, which has no check of its own but its length and its alphabet."""
    for sealed in (SEALED, PlainFile().seal(SECRET)):
        data = sealed[:begin] + put + sealed[max(begin, end) :]
        if data == sealed or len(data) == len(sealed):
            continue
        with pytest.raises(AffidavitError):
            KeyEncryptionKey.parse("kek", data, (PlainFile(), Passphrase(lambda: WORDS, CHEAP)))


@pytest.mark.parametrize("parameters", ["21 8 1", "0 8 1", "2 17 1", "2 8 5", "02 8 1", "2 8 0"])
def test_no_file_makes_a_start_cost_more_than_it_may(parameters: str) -> None:
    """Parameters out of bounds are refused before the passphrase is asked for."""
    rest = SEALED.decode().split(" ", 4)[4]

    def asked() -> bytes:
        raise AssertionError

    data = f"affidavit-kek-passphrase-1 {parameters} {rest}".encode()
    with pytest.raises(UnavailableError, match="no readable"):
        KeyEncryptionKey.parse("kek", data, (Passphrase(asked, CHEAP),))


def test_the_key_in_force_is_looked_for_in_both_files(tmp_path: Path) -> None:
    """First ``kek``, then ``kek.next``; what does not open is passed over while another does."""
    path, disk = tmp_path / "kek", Disk()
    file = _file(path)
    first = file.create(disk, "passphrase")
    assert file.kind == "passphrase"
    second = file.make_next(disk, "file")
    fresh = _file(path)
    assert [one.id for one in fresh.candidates()] == [first.id, second.id]
    assert fresh.is_next(second)
    assert not fresh.is_next(first)
    assert [one.id for one in _file(path, b"another passphrase").candidates()] == [second.id]
    disk.overwrite(path, 0, bytes(path.stat().st_size))
    assert [one.id for one in _file(path).candidates()] == [second.id]
    file.advance(disk)
    assert (file.kind, file.next.exists()) == ("file", False)
    assert [one.id for one in _file(path).candidates()] == [second.id]
    path.write_bytes(SEALED)
    with pytest.raises(CheckFailedError):
        list(_file(path, b"another passphrase").candidates())


def test_a_passphrase_is_asked_for_once(tmp_path: Path) -> None:
    """However often a file is read, and whoever made it remembers the key."""
    asked = []

    def ask() -> bytes:
        asked.append(1)
        return WORDS

    file = KeyFile(tmp_path / "kek", (Passphrase(ask, CHEAP),))
    made = file.create(Disk(), "passphrase")
    assert next(file.candidates()) is made
    again = KeyFile(tmp_path / "kek", (Passphrase(ask, CHEAP),))
    assert next(again.candidates()) is next(again.candidates())
    assert len(asked) == 2


def test_the_examples_of_the_documentation_are_true() -> None:
    """docs/keys.md: both files of the same key, and what is derived from it."""
    page = (Path(__file__).parents[3] / "docs" / "keys.md").read_text(encoding="utf-8")
    plain, wrapped, *derived = [
        line for block in page.split("```\n")[-4::2] for line in block.splitlines()
    ]
    assert PlainFile().open(f"{plain}\n".encode()) == SECRET
    assert Passphrase(lambda: b"correct horse battery").open(f"{wrapped}\n".encode()) == SECRET
    key = KeyEncryptionKey(SECRET)
    assert [key.derive(name).hex() for name in ("keys.db", "wrap")] == derived
