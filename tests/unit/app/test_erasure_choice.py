"""What a run of an erasure waits for: answers that can still come."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from affidavit.app.erasure_choice import Choosing
from affidavit.app.erasure_host import Worker
from affidavit.app.selecting import Selecting
from affidavit.config import Config
from affidavit.errors import PrunedError
from affidavit.index.schema import Row
from tests.world.clock import FakeClock


def test_an_answer_is_waited_for_while_its_writer_can_bring_it(tmp_path: Path) -> None:
    """Alive, or with a journal; not if that is lost, nor of a pruned request or one answered.

    Of what an index that is made anew has not come to nobody knows: it is waited for.
    """
    writers = ["alive", "journal", "lost", "alive", "pruned"]
    answered = [None, None, None, 7, None]
    (tmp_path / "journal").mkdir()

    def row(index: int) -> Row:
        kind = "exchange.request"
        return Row(index, str(index), "", "", kind, "observed", answered=answered[index])

    def leaf(index: int) -> Any:
        if writers[index] == "pruned":
            raise PrunedError("Leaf 4 was pruned.")
        return SimpleNamespace(src=(writers[index], 0))

    async def ask(work: Any) -> Any:
        return work()

    host: Any = SimpleNamespace(
        ask=ask, paths=SimpleNamespace(journal=tmp_path),
        log=SimpleNamespace(writers=lambda: {"alive": 9}),
    )  # fmt: skip
    searcher: Any = SimpleNamespace(
        reader=SimpleNamespace(row=row, built=lambda: [SimpleNamespace(size=5)])
    )
    unused: Any = None
    worker = Worker(lambda: Selecting(searcher, unused, Config(), leaf), FakeClock())
    try:
        choosing = Choosing(host, unused, worker, unused)
        assert asyncio.run(choosing.unanswered([9, 4, 3, 2, 1, 0])) == [0, 1, 9]
    finally:
        worker.close()
