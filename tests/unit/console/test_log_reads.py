"""What the record of a monitor's reads says when it reads side by side."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from affidavit.console.access import Access
from affidavit.console.auth import Reader
from affidavit.console.log_reads import SECONDS, LogReads
from affidavit.console.services import ConsoleServices
from affidavit.control.identity import MONITOR
from affidavit.ledger import tiles
from tests.world.clock import FakeClock


def test_of_reads_side_by_side_none_is_forgotten() -> None:
    """All of them stand in the next record, although the first were let in by one that was slow."""
    clock, records = FakeClock(), list[dict[str, Any]]()

    class Slow:
        async def read(self, kind: str, reader: Reader, what: dict[str, Any]) -> None:
            assert kind == "access.query"
            await asyncio.sleep(0)
            records.append(what)

    reader = cast("Reader", SimpleNamespace(identity=SimpleNamespace(role=MONITOR, id="m")))
    reads = LogReads(cast("ConsoleServices", SimpleNamespace(clock=clock)), cast("Access", Slow()))
    paths = [tiles.TilePath(tiles.ENTRIES, number, tiles.WIDTH) for number in (0, 9, 3)]

    async def story() -> None:
        await asyncio.gather(*(reads.record(reader, path) for path in paths))
        clock.advance(SECONDS)
        await reads.record(reader, paths[0])

    asyncio.run(story())
    assert [what["leaves_from"] for what in records] == [0, 0]
    assert records[1]["before"] == {
        "leaves_from": 0,
        "leaves_before": 10 * tiles.WIDTH,
        "files": 3,
    }
