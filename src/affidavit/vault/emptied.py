"""Leaves without an entry: whether the segments that were removed explain them.

Rules: of each segment that was removed, as nothing of it was left, the keyring knows between which
leaves it lay and how many records it had. Leaves that miss their entries are taken in order, each
for the segment that ends first of those that it can be of; so no more of them are explained than
were removed, also where segments of several tenants and classes lie over each other. Not here:
removing (``overwrite``), what was removed of which only a certificate tells.
"""

import heapq

from affidavit.vault import key_ends
from affidavit.vault.key_ends import Emptied
from affidavit.vault.keyring import Keyring


class Explained:
    """For one pass over a ledger, leaf by leaf in order."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._day = ""
        self._used: dict[Emptied, int] = {}
        self._to_come: list[Emptied] = []
        self._here: list[tuple[int, Emptied]] = []

    def explains(self, index: int, day: str) -> bool:
        """Whether leaf ``index`` of a UTC day, which has no entry, can be of a removed segment."""
        if day != self._day:
            self._day, self._used = day, {}
            self._load()
        if self._take(index):
            return True
        self._load()  # removed meanwhile, perhaps
        return self._take(index)

    def _load(self) -> None:
        found = key_ends.emptied_on(self._keyring, self._day)
        self._to_come = sorted(found, key=lambda one: one.first, reverse=True)
        self._here = []

    def _take(self, index: int) -> bool:
        while self._to_come and self._to_come[-1].first <= index:
            one = self._to_come.pop()
            heapq.heappush(self._here, (one.last, one))
        while self._here:
            last, one = self._here[0]
            used = self._used.get(one, 0)
            if last >= index and used < one.records:
                self._used[one] = used + 1
                return True
            heapq.heappop(self._here)
        return False
