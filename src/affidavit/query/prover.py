"""What a proof needs from the live ledger: heads, absences and openings, all as of one moment.

Rules: everything in ``Proofs`` is under the same published heads leaf (and, for older epochs,
under the heads leaf that closed them), because the log is held still while they are taken. The
process that holds the log answers with ``LogProver``; another one asks it through
``RemoteProver``. Not here: leaves and links, which everybody reads from files.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from affidavit.errors import ParseError, UnavailableError
from affidavit.ledger.chains import Opening
from affidavit.ledger.heads import HeadProof
from affidavit.ledger.log import Log
from affidavit.record.model import Chain

_PATIENCE = 5.0
_PAUSE = 0.05


class EpochProof(msgspec.Struct, frozen=True):
    """One epoch of an answer: its first leaf, and the proofs for each chain in the order asked.

    ``heads``: index of the heads leaf that they are under.
    """

    epoch: int
    heads: int
    openings: tuple[Opening, ...]
    proofs: tuple[HeadProof, ...]


class Proofs(msgspec.Struct, frozen=True):
    """Epochs from the newest back to one that began before the window; or why not.

    ``lacking``: a dimension that an epoch of the window does not have; ``epochs`` is empty then.
    """

    epochs: tuple[EpochProof, ...]
    lacking: str = ""


class Prover(Protocol):
    """Whoever can ask the live ledger."""

    def prove(self, chains: Sequence[Chain], since: str, after: int) -> Proofs:
        """Prove the heads of ``chains`` under a published heads leaf with an index above ``after``.

        Covers every epoch back to the first that began before ``since`` (``""``: all). May take a
        second, as heads are appended at most once a second; ``UnavailableError`` if it does not
        come about.
        """


class LogProver:
    """A prover in the process that holds the log. Blocks: not for an event loop's own thread."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def prove(self, chains: Sequence[Chain], since: str, after: int) -> Proofs:
        """As ``Prover.prove``."""
        limit = time.monotonic() + _PATIENCE
        while self._log.ensure_heads_after(after) is None:
            if time.monotonic() > limit:
                raise UnavailableError("The ledger published no heads in time.")
            time.sleep(_PAUSE)
        with self._log.writing:
            return self._collect(chains, since)

    def _collect(self, chains: Sequence[Chain], since: str) -> Proofs:
        found: list[EpochProof] = []
        heads: int | None = None
        for leaf in reversed(self._log.epochs()):
            terms = leaf.opening
            assert terms is not None
            for chain in chains:
                if chain.dimension not in terms.dimensions:
                    return Proofs((), chain.dimension)
            proofs = tuple(self._log.prove_head(chain, heads) for chain in chains)
            openings = tuple(self._log.opening(chain, leaf.index) for chain in chains)
            found.append(EpochProof(leaf.index, proofs[0].index, openings, proofs))
            if leaf.time < since:
                break
            heads = leaf.index - 1
        return Proofs(tuple(found))


class RemoteProver:
    """A prover in another process; ``call`` carries a dictionary there and one back."""

    def __init__(self, call: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        self._call = call

    def prove(self, chains: Sequence[Chain], since: str, after: int) -> Proofs:
        """As ``Prover.prove``."""
        asked = {"chains": [list(chain) for chain in chains], "since": since, "after": after}
        return msgspec.convert(self._call(asked), Proofs)


def serve(prover: Prover, asked: dict[str, Any]) -> dict[str, Any]:
    """Answer what a ``RemoteProver`` asks; ``ParseError`` if it is not that."""
    try:
        chains, since, after = asked["chains"], asked["since"], asked["after"]
        names = msgspec.convert(chains, tuple[Chain, ...])
        proofs = prover.prove(names, msgspec.convert(since, str), msgspec.convert(after, int))
    except (KeyError, msgspec.ValidationError) as error:
        raise ParseError("This asks for no proof.") from error
    answer: dict[str, Any] = msgspec.to_builtins(proofs, builtin_types=(bytes,))
    return answer
