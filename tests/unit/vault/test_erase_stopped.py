"""An erasure that is stopped between two steps, and asked again with less: a hold was placed."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from affidavit.vault.erase import Step
from affidavit.vault.erased import Erased
from affidavit.vault.segments import Bucket
from tests.unit.vault.test_erase import lived
from tests.world.erasing import Erasable

_DAY = Bucket("acme", "default", "2026-11-23")
_GO: dict[str, tuple[Callable[[Erasable, set[int], Step], Erased], set[int]]] = {
    "records": (lambda one, go, step: one.eraser.records(_DAY, go, "sections", "", step), {1, 3}),
    "a bucket": (
        lambda one, go, step: one.eraser.expire(_DAY, "content", set(range(8)) - go, "", step),
        {0, 1, 2, 3, 4, 5},
    ),
    "a person": (
        lambda one, go, step: one.eraser.subject("acme", "sub_1", ["default"], go, "", step),
        {0, 1, 2, 3, 4},
    ),
}


class _StopError(Exception):
    """The step is refused."""


def _until(steps: int) -> Callable[[], AbstractContextManager[None]]:
    left = itertools.count(steps, -1)

    @contextmanager
    def step() -> Iterator[None]:
        if next(left) <= 0:
            raise _StopError
        yield

    return step


def _live(world: Erasable, table: str) -> set[int]:
    query = f"SELECT id FROM {table} WHERE wrapped IS NOT NULL"
    return {number for (number,) in world.keyring.read(query)}


@pytest.mark.parametrize("name", list(_GO))
@pytest.mark.parametrize("stays", [3, 0, None])
def test_what_stays_after_all_is_whole_and_only_what_went_is_told(
    tmp_path: Path, name: str, stays: int | None
) -> None:
    """Stopped before each step: nothing more went; then one stays, or all that is left."""
    does, meant = _GO[name]
    parts = {"records": 9, "a bucket": 3, "a person": 4}[name]
    for steps in itertools.count():
        world = lived(tmp_path / str(steps))
        world.vault.retire([_DAY])
        world.vault.retire_subject("acme", "sub_1", ["default"])
        before = {table: _live(world, table) for table in ("bucket_keys", "subject_keys")}
        try:
            does(world, meant, _until(steps))
        except _StopError:
            gone = {one for one in meant if not world.reader.parts(one)}
            less = gone if stays is None else meant - {stays} | gone
            erased = does(world, less, _until(99))
            assert set(erased.indexes) == less, steps
            assert erased.blobs == parts * len(less)
            assert {one for one in range(8) if not world.reader.parts(one)} == less
            if less:  # no copy of the old wraps opens with a key of then
                table = "subject_keys" if name == "a person" else "bucket_keys"
                assert 1 in before[table]
                assert 1 not in _live(world, table)
            world.close()
            continue
        world.close()
        break
    assert steps >= 2
