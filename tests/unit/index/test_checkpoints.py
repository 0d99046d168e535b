"""Write-ahead logs begin anew, whoever reads meanwhile, if nobody reads for longer than waited."""

import threading
import time
from pathlib import Path

import pytest

from affidavit.index.checkpoints import Checkpointer
from affidavit.index.indexer import Indexer
from affidavit.index.reader import Reader
from affidavit.index.sqlite import INDEX_FILE, TEXT_FILE
from tests.unit.index.made import KEY, World, request

READS = 0.3
"""Seconds of one snapshot."""


@pytest.mark.slow
def test_readers_who_take_turns_are_waited_for(tmp_path: Path) -> None:
    """Some of them read of the log before all of it is moved, and some begin meanwhile."""
    world = World([request(place) for place in range(40)])
    indexer = Indexer(tmp_path, KEY)  # not started: it does no checkpoint by itself
    over = threading.Event()

    def read() -> None:
        reader = Reader(tmp_path, KEY)
        while not over.is_set():
            with reader.snapshot():
                reader.built()
                time.sleep(READS)
        reader.close()

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
        time.sleep(READS / 3)
    files = (tmp_path / INDEX_FILE, tmp_path / TEXT_FILE)
    checkpointer = Checkpointer(files, KEY)
    log = tmp_path / (INDEX_FILE + "-wal")
    try:
        for end in (20, 40):
            indexer.apply(world.records[indexer.built.size : end], end, world.root(end))
            assert log.stat().st_size
            assert checkpointer.truncate(int(READS * 2_000))
            assert not log.stat().st_size
    finally:
        over.set()
        for thread in threads:
            thread.join()
        checkpointer.close()
        indexer.start()
        indexer.close()
