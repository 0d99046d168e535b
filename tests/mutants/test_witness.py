"""Each mistake that would let a witness or a monitor vouch for what it should not is noticed."""

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.mutants.runner import Mutant, breed
from tests.unit.ledger import test_witness, test_witness_store

Check = Callable[[Path], None]


def _statuses(_: Path) -> None:
    for name in test_witness.CASES:
        test_witness.test_every_status_has_its_condition(name)


def _story(root: Path) -> None:
    test_witness_store.test_a_story_that_would_go_wrong(root)


STORE, PROTOCOL = "affidavit.ledger.witness_store", "affidavit.ledger.witness"
WRONG: list[tuple[str, str, str, Check]] = [
    (
        STORE,
        "with self._locks[checkpoint.origin]:",
        "with contextlib.nullcontext():",
        test_witness_store.check_interleavings,
    ),
    (
        STORE,
        "self._disk.write_file(self._heads_path / witness.path_name(origin), head.note)",
        "pass",
        test_witness_store.check_interleavings,
    ),
    (
        STORE,
        "return answer if trouble is None else trouble",
        "return answer",
        test_witness_store.check_failing_disk,
    ),
    (
        STORE,
        "            if not is_no_space(error):\n",
        "            if is_no_space(error):\n",
        test_witness_store.check_failing_disk,
    ),
    (
        STORE,
        "if self._vouch is not None and not self._vouch(checkpoint):",
        "if self._vouch is None and checkpoint.size < 0:",
        test_witness_store.check_vouch,
    ),
    (STORE, "self._heads = self._load()", "self._heads: dict[str, Head] = {}", _story),
    (PROTOCOL, "if request.old != size:", "if request.old < size:", _statuses),
    (PROTOCOL, "if request.old != size:", "if request.old > size:", _statuses),
    (PROTOCOL, "        if request.proof:\n", "        if request.old:\n", _statuses),
    (PROTOCOL, "if old > checkpoint.size:", "if old > 1 << 60:", _statuses),
    (PROTOCOL, "        note.open_note(data, verifiers)\n", "", _statuses),
    (PROTOCOL, "MAX_PROOF = 63", "MAX_PROOF = 64", _statuses),
    (PROTOCOL, "or base64.b64encode(data) != line:", "or not line:", _statuses),
    (PROTOCOL, "checkpoint.root != merkle.EMPTY_ROOT", "checkpoint.root == b''", _statuses),
    (
        PROTOCOL,
        "merkle.verify_consistency(size, checkpoint.size, root, checkpoint.root, request.proof)",
        "assert request.proof or size == checkpoint.size",
        _story,
    ),
]
IDS = [f"{module.rpartition('.')[2]}: {right.strip()[:50]} ({check.__name__})"
       for module, right, _, check in WRONG]  # fmt: skip


@pytest.mark.parametrize(("module", "right", "wrong", "check"), WRONG, ids=IDS)
def test_a_mistake_of_a_witness_is_noticed(
    module: str,
    right: str,
    wrong: str,
    check: Check,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With this passage wrong, that check fails; without, it passes."""
    (tmp_path / "right").mkdir()
    check(tmp_path / "right")
    importlib.import_module(module)
    breed(Mutant(module, right, wrong), monkeypatch)
    (tmp_path / "wrong").mkdir()
    with pytest.raises((Exception, pytest.fail.Exception)):
        check(tmp_path / "wrong")
