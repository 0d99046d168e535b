"""What erasures add up: record by record, in two attempts, as a plain dictionary would."""

from array import array

from hypothesis import given
from hypothesis import strategies as st

from affidavit.vault.erased import Erased, Tally

_SIZES = st.lists(st.tuples(st.booleans(), st.integers(0, 1 << 40)), max_size=3)
_GOES = st.lists(st.tuples(st.integers(0, 30), _SIZES), max_size=30)

Naive = dict[int, tuple[int, int, int]]


def naive(known: Naive, goes: list[tuple[int, list[tuple[bool, int]]]]) -> Naive:
    """Sections, parts and bytes by leaf; what was counted before is not counted again."""
    found: Naive = {}
    for index, sizes in goes:
        if sizes and index not in known:
            old = found.get(index, (0, 0, 0))
            parts = len([1 for is_part, _ in sizes if is_part])
            size = sum(size for _, size in sizes)
            found[index] = old[0] + len(sizes) - parts, old[1] + parts, old[2] + size
    return found


def check(erased: Erased, wanted: Naive) -> None:
    """Whether it says the same."""
    assert erased.indexes == array("Q", sorted(wanted))
    assert erased.each == array("Q", [n for index in sorted(wanted) for n in wanted[index]])
    every = wanted.values()
    told = erased.sections, erased.parts, erased.bytes
    assert told == tuple(sum(one[place] for one in every) for place in range(3))


@given(_GOES, _GOES, st.sets(st.integers(0, 30)))
def test_two_attempts_add_up(
    goes: list[tuple[int, list[tuple[bool, int]]]],
    later: list[tuple[int, list[tuple[bool, int]]]],
    there: set[int],
) -> None:
    """Leaves in any order, some of them several times; ``there``: did not go the first time."""
    first = Tally(frozenset())
    for index, sizes in goes:
        first.gone(index, sizes)
    known = naive({}, goes)
    before = first.sum("t")
    check(before, known)
    assert (bool(first), first.resumed) == (bool(known), False)

    second = Tally(frozenset(), before)
    assert second.resumed is bool(known)
    for index in there & known.keys():
        assert index in second
        second.stays(index)
        del known[index]
    assert [index in second for index in range(32)] == [index in known for index in range(32)]
    assert second.resumed is bool(known)
    for index, sizes in later:
        second.gone(index, sizes)
    check(second.sum("t"), known | naive(known, later))


def test_keys_are_not_counted_twice() -> None:
    """An attempt that finds fewer of a person's keys than the one before had them destroyed."""
    first = Tally(frozenset())
    assert not first
    first.subject_keys = 2
    assert first
    second = Tally(frozenset(), first.sum("t"))
    second.subject_keys = 1
    assert second.sum("t").subject_keys == 2
