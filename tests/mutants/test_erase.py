"""Each mistake that would leave something behind, or take too much along, is noticed."""

import importlib
from pathlib import Path

import pytest

from affidavit.clock import SystemClock
from affidavit.vault.keyring import Keyring
from tests.mutants.runner import Makers, Mutant, breed, noticed
from tests.unit.vault import test_erase, test_key_ends
from tests.world.erasing import KEK

REWRAP, OVERWRITE, ERASE = (
    "affidavit.vault.rewrap",
    "affidavit.vault.overwrite",
    "affidavit.vault.erase",
)
HOLDS, ENDS, READER = "affidavit.vault.holds", "affidavit.vault.key_ends", "affidavit.vault.reader"
CHECK = "affidavit.vault.check"
WRONG = [
    (REWRAP, "append(wraps.Blob(blob.kind, blob.name, blob.size, taken))", "append(blob)"),
    (REWRAP, "    return wraps.Blob(blob.kind, blob.name, blob.size, wrapped)", "    return blob"),
    (
        REWRAP,
        "lost = [entry.blobs[at] for at in gone if at not in kept]",
        "lost = [entry.blobs[at] for at in gone]",
    ),
    (REWRAP, "            tally.held(index)\n", "            pass\n"),
    (REWRAP, "open_still = set(others.get(entry.index, ()))", "open_still: set[int] = set()"),
    (OVERWRITE, "opens = held.get(index, frozenset()).union(", "opens = frozenset().union("),
    (OVERWRITE, "if there.count(0) == len(there):", "if there:"),
    (OVERWRITE, "    if dead and not held:\n", "    if dead:\n"),
    (
        OVERWRITE,
        "key_ends.mark_emptied(keyring, file.key, [index for index, _, _ in file.places])",
        "pass",
    ),
    (ERASE, "key_ends.destroy_buckets(self._keyring, ended)", "pass"),
    (ERASE, "if found.stays} - dying", "if found.stays}"),
    (ERASE, "if seen[segment][1].goes and _may_grow(ends, file.key):", "if False:"),
    (ERASE, "key_ends.destroy_subject(self._keyring, person.subject, person.dying)", "pass"),
    (ERASE, "successors = dict.fromkeys(person.dying, fresh.id)", "successors = {}"),
    (ERASE, "sorted(person.goes | spared)", "sorted(person.goes)"),
    (ERASE, "key_ends.destroy_hold(self._keyring, name)", "pass"),
    (ERASE, "self._unsettled.write(erased)", "pass"),
    (HOLDS, "keys = [known.get(at, one) for at, one in enumerate(keys)]", "pass"),
    (
        HOLDS,
        "{} if old is None else {i: old.data[begin:end] for i, begin, end in old.places}",
        "{}",
    ),
    (ENDS, "    keyring.leave_nothing()\n", "    pass\n"),
    (ENDS, "if End(retired, destroyed).in_use:", "if False:"),
    (READER, "key = held.get(at, key)", "pass"),
    (READER, "return [] if again is None else self._unsealed(again, kinds)", "raise"),
    (CHECK, "self._wrappings.clear()\n            self._ends", "self._ends"),
    (CHECK, "keys.append(held.get(at))", "keys.append(None)"),
]


MAKERS: Makers = {
    "kek": lambda _, __: KEK,
    "index": lambda _, __: 4,
    "world": lambda place, _: test_erase.lived(place),
    "keyring": lambda place, _: Keyring.open(place / "keys.db", KEK, SystemClock()),
}


def _noticed(base: Path) -> bool:
    """Whether any of the tests of erasure and of keys fails."""
    return noticed(base, MAKERS, test_erase, test_key_ends)


@pytest.mark.slow
@pytest.mark.parametrize(("module", "right", "wrong"), WRONG)
def test_a_mistake_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, right: str, wrong: str
) -> None:
    """By the tests of the vault."""
    importlib.import_module(module)
    breed(Mutant(module, right, wrong), monkeypatch)
    assert _noticed(tmp_path)


@pytest.mark.slow
def test_what_is_right_passes(tmp_path: Path) -> None:
    """Without a mistake nothing is noticed."""
    assert not _noticed(tmp_path)
