"""Any sequence of putting, erasing, holding and releasing, beside a plain account of it.

After each step what is owed is read back byte for byte, by another process, too; what is not owed
is not, and its sealed bytes stand in no file of the vault; and fsck agrees.
"""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from affidavit.clock import SystemClock
from affidavit.vault.erase import What
from affidavit.vault.keyring import Keyring
from affidavit.vault.reader import VaultReader
from affidavit.vault.segments import Bucket
from tests.world.erasing import KEK, Erasable

_CLASSES = ("default", "long")
_PEOPLE = ("sub_1", "sub_2")
_HOLDS = ("first", "second", "third")

_class = st.sampled_from(_CLASSES)
_what = st.sampled_from(["content", "sections"])
_few = st.sets(st.integers(0, 11), max_size=4)
_many = st.sets(st.integers(0, 11), max_size=8)
_step = st.one_of(
    st.tuples(
        st.just("put"), st.integers(1, 3), _class, st.sets(st.sampled_from(_PEOPLE), max_size=2)
    ),
    st.tuples(st.just("put"), st.integers(1, 3), _class, st.just(frozenset({"sub_1"}))),
    st.tuples(st.just("midnight")),
    st.tuples(st.just("restart")),
    st.tuples(st.just("expire"), _class, st.integers(0, 1), _what, _few),
    st.tuples(st.just("erase"), _class, st.integers(0, 1), _what, _many),
    st.tuples(st.just("forget"), st.sampled_from(_PEOPLE), st.sets(_class, min_size=1), _few),
    st.tuples(st.just("hold"), st.sampled_from(_HOLDS), _many),
    st.tuples(st.just("release"), st.sampled_from(_HOLDS)),
    st.tuples(st.just("settle")),
)


class _Life:
    """One vault and what was done to it; records are meant by their place among those put."""

    def __init__(self, base: Path) -> None:
        self.world = Erasable(base)
        self.day = 1
        self.released: set[str] = set()
        self.done = 0

    def step(self, step: tuple[object, ...]) -> None:
        """One of the steps above."""
        getattr(self, f"_{step[0]}")(*step[1:])

    def _put(self, count: int, retention_class: str, people: frozenset[str]) -> None:
        bodies = [b"body %d %d" % (len(self.world.records), at) for at in range(count)]
        self.world.put(
            bodies, retention_class=retention_class, day=self._name(0), subjects=tuple(people)
        )

    def _midnight(self) -> None:
        self.day += 1

    def _restart(self) -> None:
        self.world.restart()

    def _expire(self, retention_class: str, ago: int, what: What, spare: set[int]) -> None:
        bucket = Bucket("acme", retention_class, self._name(ago))
        self.world.eraser.settle(self.world.expire(bucket, what, self._there(spare)))

    def _erase(self, retention_class: str, ago: int, what: What, indexes: set[int]) -> None:
        bucket = Bucket("acme", retention_class, self._name(ago))
        self.world.erase(bucket, self._there(indexes), what)

    def _forget(self, subject: str, classes: set[str], spare: set[int]) -> None:
        self.world.forget("acme", subject, classes, self._there(spare))

    def _hold(self, name: str, indexes: set[int]) -> None:
        if name not in self.released:
            self.world.hold(name, self._there(indexes))

    def _release(self, name: str) -> None:
        if name in self.world.holds:
            self.released.add(name)
            self.world.release(name)

    def _settle(self) -> None:
        for path in (self.world.root / ".erasing").glob("*"):
            path.unlink()

    def _there(self, indexes: set[int]) -> set[int]:
        return {index for index in indexes if index < len(self.world.records)}

    def _name(self, ago: int) -> str:
        return f"2026-11-{max(self.day - ago, 1):02d}"


def _lived(base: Path, steps: list[tuple[object, ...]]) -> None:
    life = _Life(base)
    other = Keyring.open(base / "keys.db", KEK, SystemClock(), read_only=True)
    reader = VaultReader(life.world.root, other, life.world.leaves.leaf)
    try:
        for step in steps:
            life.step(step)
            wrong = life.world.wrong()
            assert not wrong, (step, wrong)
            for item in life.world.records:
                texts = life.world.reader.disclosures(item.index)
                assert reader.disclosures(item.index) == texts
                assert reader.parts(item.index) == life.world.reader.parts(item.index)
    finally:
        reader.close()
        other.close()
        life.world.close()


_IMPATIENT = (HealthCheck.too_slow, HealthCheck.function_scoped_fixture)


@settings(max_examples=5, deadline=None, suppress_health_check=_IMPATIENT)
@given(steps=st.lists(_step, min_size=5, max_size=14))
def test_what_is_owed_is_there_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[object, ...]]
) -> None:
    """A few lives."""
    _lived(tmp_path_factory.mktemp("life"), steps)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(max_examples=150, deadline=None, suppress_health_check=_IMPATIENT)
@given(steps=st.lists(_step, min_size=5, max_size=25))
def test_the_same_of_many_lives(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[object, ...]]
) -> None:
    """Longer ones, and more of them."""
    _lived(tmp_path_factory.mktemp("life"), steps)
