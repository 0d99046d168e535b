"""What a run of an erasure waits for: answers that can still come."""

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec

from affidavit.app.erasure_choice import Choosing
from affidavit.app.erasure_host import Worker
from affidavit.app.selecting import Selecting
from affidavit.config import Config
from affidavit.control.erasures import Erasure, Portion
from affidavit.index.schema import Row
from tests.world.clock import FakeClock


def test_an_answer_is_waited_for_while_the_ledger_waits_for_it() -> None:
    """Not one that the ledger has given up, nor one that the index knows by now.

    Of what an index that is made anew has not come to nobody knows: it is waited for.
    """
    waiting = {"one": 0, "two": 1, "answered since": 3, "beyond": 8}
    answered = [None, None, None, 7, None]

    def row(index: int) -> Row:
        kind = "exchange.request"
        return Row(index, str(index), "", "", kind, "observed", answered=answered[index])

    async def ask(work: Any) -> Any:
        return work()

    host: Any = SimpleNamespace(ask=ask, log=SimpleNamespace(open_requests=lambda: waiting))
    searcher: Any = SimpleNamespace(
        reader=SimpleNamespace(row=row, built=lambda: [SimpleNamespace(size=5)], close=lambda: None)
    )
    unused: Any = None
    vault: Any = SimpleNamespace(close=lambda: None)
    worker = Worker(lambda: Selecting(searcher, vault, Config()), FakeClock())
    try:
        choosing = Choosing(host, unused, worker, unused)
        assert asyncio.run(choosing.unanswered([9, 4, 3, 2, 1, 0])) == [0, 1, 9]
    finally:
        worker.close()


def test_a_late_run_takes_of_what_was_chosen_what_still_opens() -> None:
    """In a restored backup the rest went before; the first run has nothing stored to look at."""
    engine: Any = SimpleNamespace(opened=lambda _, indexes, what: {*indexes} - {4})
    unused: Any = None
    choosing = Choosing(unused, engine, unused, unused)
    stored = [Portion("acme", "c", "2026-11-23", "", (3, 4), (5,)),
              Portion("acme", "c", "2026-11-24", "", (4,))]  # fmt: skip
    whole: Any = Erasure("e", "t", "tenant", "acme", "sections", "", b"", "b", "k", "a", "", 0, "")
    assert choosing._still(whole, stored) == stored
    late = choosing._still(msgspec.structs.replace(whole, late=True), stored)
    assert [(one.now, one.later) for one in late] == [((), (3, 5)), ((), ())]
