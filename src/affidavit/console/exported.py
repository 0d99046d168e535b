"""Which leaves the record of an export names, so that an erasure can list who was given what."""

from collections.abc import Sequence

MAX_RUNS = 1_000
"""Runs of leaves that the record of an export names."""


def runs(leaves: Sequence[int]) -> list[list[int]]:
    """First and last of each run of leaves; of very many, runs that are near count as one.

    So an erasure can list who was given what; never is a leaf missing.
    """
    gap, found = 1, _runs(leaves, 1)
    while len(found) > MAX_RUNS:
        gap *= 2
        found = _runs(leaves, gap)
    return found


def _runs(leaves: Sequence[int], gap: int) -> list[list[int]]:
    found: list[list[int]] = []
    for index in leaves:
        if found and index - found[-1][1] <= gap:
            found[-1][1] = index
        else:
            found.append([index, index])
    return found
