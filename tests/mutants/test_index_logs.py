"""Each mistake that would let a log of the index grow, or keep somebody waiting, is noticed."""

import importlib
from pathlib import Path

import pytest

from tests.mutants.runner import Makers, Mutant, breed, noticed
from tests.unit.index import test_checkpoints

ASIDE, CHECKPOINTS = "affidavit.index.aside", "affidavit.index.checkpoints"
INDEXER, READER = "affidavit.index.indexer", "affidavit.index.reader"
WRONG = [
    (ASIDE, 'self._held.enter_context(self._disk.locked(self._path, "index"))', "pass"),
    (ASIDE, "        self._held.close()\n", ""),
    (ASIDE, "return isinstance(error, BlockingIOError)", "return False"),
    (CHECKPOINTS, "or closing.wait(LOOK_SECONDS)", "or time.sleep(LOOK_SECONDS)"),
    (CHECKPOINTS, "if time.monotonic() > until or", "if"),
    (CHECKPOINTS, "held.callback(lock.release)", "pass"),
    (INDEXER, "self._wanted.add(emptied)", "pass"),
    (INDEXER, "                            emptied.set()\n", "                            pass\n"),
    (READER, "        stand_aside(own.aside)\n", ""),
    (READER, " or begun > own.ends", ""),
    (READER, '            own.ends = float("inf")\n', ""),
]  # fmt: skip


MAKERS: Makers = {"index": lambda base, _: test_checkpoints._Index(base)}


def _noticed(base: Path) -> bool:
    """Whether any of the tests of logs fails."""
    return noticed(base, MAKERS, test_checkpoints)


@pytest.mark.slow
@pytest.mark.parametrize(("module", "right", "wrong"), WRONG)
def test_a_mistake_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, right: str, wrong: str
) -> None:
    """By the tests of logs."""
    importlib.import_module(module)
    breed(Mutant(module, right, wrong), monkeypatch)
    assert _noticed(tmp_path)


@pytest.mark.slow
def test_what_is_right_passes(tmp_path: Path) -> None:
    """Without a mistake nothing is noticed."""
    assert not _noticed(tmp_path)
