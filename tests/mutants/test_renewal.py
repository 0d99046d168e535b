"""Each mistake in a renewal that would lose a key, or keep an old one, is noticed."""

import importlib
from pathlib import Path

import pytest

from tests.mutants.runner import Makers, Mutant, breed, noticed
from tests.unit.vault import test_renewal

RENEWAL, DATABASE = "affidavit.vault.renewal", "affidavit.vault.key_database"
KEK = "affidavit.record.kek"
WRONG = [
    (RENEWAL, "values[place] = kek.wrap(old.unwrap(values[place]))", "pass"),
    (RENEWAL, "if (table, row[0]) not in self._changed", ""),
    (RENEWAL, "db.set_update_hook(lambda _, __, table, row: self._changed.add((table, row)))", ""),
    (RENEWAL, "for table in tables:  # first all that went", "for table in []:  # none"),
    (RENEWAL, "INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", "SELECT ?, ?"),
    (RENEWAL, "            key_database.forward(self._disk, self._path, self._file)\n", ""),
    (RENEWAL, "if len(rows) < SLICE:", "if True:"),
    (DATABASE, "if file.is_next(kek):", "if not file.is_next(kek):"),
    (DATABASE, "    file.advance(disk)\n", "    pass\n"),
    (DATABASE, "    file.drop_next(disk)\n", "    pass\n"),
    (KEK, "if path is self.next and not path.exists():", "if path is self.next:"),
    (KEK, "disk.effects.rename(str(self.next), str(self.path))", "pass"),
]  # fmt: skip


MAKERS: Makers = {
    "place": lambda base, _: test_renewal._Place(base),
    "ring": lambda _, given: given["place"].open(),
}


def _noticed(base: Path) -> bool:
    """Whether any of the tests of a renewal fails."""
    return noticed(base, MAKERS, test_renewal)


@pytest.mark.slow
@pytest.mark.parametrize(("module", "right", "wrong"), WRONG)
def test_a_mistake_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, right: str, wrong: str
) -> None:
    """By the tests of a renewal."""
    importlib.import_module(module)
    breed(Mutant(module, right, wrong), monkeypatch)
    assert _noticed(tmp_path)


@pytest.mark.slow
def test_what_is_right_passes(tmp_path: Path) -> None:
    """Without a mistake nothing is noticed."""
    assert not _noticed(tmp_path)
