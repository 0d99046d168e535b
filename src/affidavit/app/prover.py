"""Questions about heads and openings, put to the sequencer from a worker thread of the console."""

import asyncio
from typing import Any, TypeVar

import msgspec

from affidavit.control.link import ControlLink
from affidavit.errors import UnavailableError
from affidavit.ledger.chains import Opening
from affidavit.ledger.heads import HeadProof
from affidavit.record.model import Chain

S = TypeVar("S")
HEADS_TRIES = 8
"""A heads leaf is made at most once a second; after this many half seconds it is given up."""


class LinkProver:
    """Answers ``query.completeness`` from the running sequencer; blocks, so not on the loop."""

    def __init__(self, link: ControlLink, loop: asyncio.AbstractEventLoop) -> None:
        self._link = link
        self._loop = loop

    def _ask(self, method: str, params: dict[str, Any]) -> Any:
        call = self._link.call(method, params, within=30.0)
        return asyncio.run_coroutine_threadsafe(call, self._loop).result()

    def _struct(self, kind: type[S], method: str, params: dict[str, Any]) -> S:
        return msgspec.convert(self._ask(method, params), kind)

    def heads_after(self, index: int) -> int:
        """Index of a published heads leaf later than leaf ``index``; ``UnavailableError``."""
        for _ in range(HEADS_TRIES):
            found = self._ask("heads", {"after": index})
            if found is not None:
                return int(found)
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0.5), self._loop).result()
        raise UnavailableError("The sequencer gave no heads leaf.", hint="affidavit doctor")

    def prove_head(self, chain: Chain, epoch: int | None = None) -> HeadProof:
        """The chain's head, or its absence, under the newest heads leaf of an epoch."""
        return self._struct(HeadProof, "prove.head", _params(chain, epoch))

    def opening(self, chain: Chain, epoch: int | None = None) -> Opening:
        """The chain's id in an epoch, opened."""
        return self._struct(Opening, "prove.opening", _params(chain, epoch))

    def epochs(self) -> list[int]:
        """Indexes of the epoch leaves, oldest first."""
        return list(self._ask("epochs", {}))


def _params(chain: Chain, epoch: int | None) -> dict[str, Any]:
    tenant, dimension, value = chain
    return {"tenant": tenant, "dimension": dimension, "value": value, "epoch": epoch}
