"""What an export gave away: which leaves its record names, and that all of it was still there.

Rules: a bundle leaves only if every section and part that it discloses of its leaves could still be
read once the record of the export was durable. So what an erasure takes of them is either in no
such bundle, or the record of the bundle was there before the first key was destroyed, in a journal
that the erasure waits for; then the certificate lists it. What a bundle says beside its leaves is
not looked at: names and purposes of who read them (custody), what the page of a period reads. Not
here: the list (``app.erasure_choice``), the bundle (``proofs``).
"""

from collections.abc import Sequence

from affidavit.errors import PrunedError, UnavailableError
from affidavit.evidence.bundle import Shown
from affidavit.ledger.log_reader import LogReader
from affidavit.vault import wraps
from affidavit.vault.reader import VaultReader

MAX_RUNS = 1_000
"""Runs of leaves that the record of an export names."""


class Disclosed:
    """What of each leaf a bundle that is being made discloses; on a reading thread.

    Of a bundle that is made anew, as the index contradicts the first one, what either discloses.
    """

    def __init__(self, vault: VaultReader, log: LogReader) -> None:
        self._vault = vault
        self._log = log
        self._ended = vault.ended()
        self._kinds: dict[int, int] = {}

    def add(self, index: int, shown: Shown) -> None:
        """A bundle discloses this of a leaf."""
        kinds = sum(1 << kind for kind, text in enumerate(shown.disclosures) if text is not None)
        kinds |= (1 << wraps.PART) * any(part is not None for part in shown.parts)
        if kinds:
            self._kinds[index] = self._kinds.get(index, 0) | kinds

    def check(self) -> None:
        """``UnavailableError`` if something of it was erased, or pruned, since it was read."""
        ended = self._vault.ended()  # first: what ends from here on is seen the next time
        if ended == self._ended:
            return
        if self._gone():
            raise UnavailableError(
                "Some of these records were erased while the bundle was made.",
                hint="Ask again.",
                kept="nothing of it was handed out; perhaps the record that it was asked for",
            )
        self._ended = ended

    def _gone(self) -> bool:
        try:
            named = {index: self._log.decoded(index).id for index in self._kinds}
        except PrunedError:  # what is pruned has nothing left
            return True
        left = self._vault.left(named)
        return any(kinds & ~left.get(index, kinds) for index, kinds in self._kinds.items())


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
