"""Marks of names: found in texts as words of their own, and telling nothing without the key."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from affidavit.app.name_marks import Mark, marks, said
from affidavit.clock import SystemClock
from affidavit.record.keys import KeyEncryptionKey
from affidavit.vault.keyring import Keyring


@pytest.fixture
def keyring(tmp_path: Path) -> Iterator[Keyring]:
    """One without any key."""
    made = Keyring.open(tmp_path / "keys.db", KeyEncryptionKey(bytes(32)), SystemClock())
    yield made
    made.close()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("AL", True), ("by al.", True), ("(al)", True), ("alpha", False), ("normal", False),
        ("al_1", False), ("a l", False), ("", False), ("straße", False),
    ],
)  # fmt: skip
def test_a_short_name_is_found_as_words_of_its_own(
    keyring: Keyring, text: str, found: bool
) -> None:
    """However it is written, and in nothing longer."""
    (mark,) = marks(keyring, ["Al"])
    assert said(keyring, [text], [mark]) == ({mark: "al"} if found else {})


def test_names_of_several_words_and_signs_are_found(keyring: Keyring) -> None:
    """Each by its mark, casefolded; whatever else is said is not told."""
    names = ("Dr. Bob (Jr.)", "a.b+c@x.example", "Straße 1", "nobody")
    every = {name: marks(keyring, [name])[0] for name in names}
    texts = ["to dr. bob (jr.), and a.b+c@x.example!", "STRASSE 1"]
    found = said(keyring, texts, every.values())
    assert found == {every[name]: name.casefold() for name in names[:3]}


def test_marks_are_in_no_order_and_of_this_keyring_alone(keyring: Keyring, tmp_path: Path) -> None:
    """The same name has one mark here, and another one elsewhere."""
    made = marks(keyring, ["Zoë", "abe", "ZOË"])
    assert made == marks(keyring, ["abe", "zoë"]) == tuple(sorted(made))
    assert [one.length for one in made] == [3, 3]
    other = Keyring.open(tmp_path / "other.db", KeyEncryptionKey(bytes(32)), SystemClock())
    assert set(marks(other, ["abe", "zoë"])).isdisjoint(made)
    other.close()
    assert marks(keyring, []) == ()
    assert said(keyring, ["abe"], [Mark(3, bytes(16))]) == {}
