"""What a run of an erasure waits for: answers that can still come."""

import asyncio
from types import SimpleNamespace
from typing import Any

from affidavit.app.erasure_choice import Choosing
from affidavit.app.erasure_host import Worker
from affidavit.app.selecting import Selecting
from affidavit.config import Config
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
        reader=SimpleNamespace(row=row, built=lambda: [SimpleNamespace(size=5)])
    )
    unused: Any = None
    worker = Worker(lambda: Selecting(searcher, unused, Config()), FakeClock())
    try:
        choosing = Choosing(host, unused, worker, unused)
        assert asyncio.run(choosing.unanswered([9, 4, 3, 2, 1, 0])) == [0, 1, 9]
    finally:
        worker.close()
