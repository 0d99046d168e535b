"""A new index takes the place of the old one under the eyes of readers in other processes."""

import subprocess
import sys
from pathlib import Path

from affidavit.app.rebuild import FILES, put_in_place
from affidavit.durable import Disk, open_database
from affidavit.index.checkpoints import truncated
from affidavit.index.indexer import Indexer
from affidavit.index.reader import BESIDE
from tests.unit.index.made import KEY, World, request

_READER = """
import sys
from pathlib import Path
from affidavit.index.reader import Reader
reader = Reader(Path(sys.argv[1]), bytes.fromhex(sys.argv[2]))
for _ in sys.stdin:
    with reader.snapshot():
        print(*(one.size for one in reader.built()), flush=True)
"""


def test_who_read_it_while_it_was_made_reads_on(tmp_path: Path) -> None:
    """All that comes later is seen, by who had the files open and by who opens them now."""
    beside = tmp_path / BESIDE
    beside.mkdir()
    world = World([request(index) for index in range(30)])
    indexer = Indexer(beside, KEY)
    indexer.start()
    indexer.apply(world.records[:10], 10, world.root(10))
    indexer.settle()
    before = _Other(tmp_path)
    assert before.sizes() == "10 10"
    indexer.close()
    for name in FILES:
        connection = open_database(beside / name, KEY)
        assert truncated(connection)
        connection.close()
    put_in_place(Disk(), beside, tmp_path)
    indexer = Indexer(tmp_path, KEY)
    indexer.start()
    after = _Other(tmp_path)
    for size in (20, 30):
        indexer.apply(world.records[size - 10 : size], size, world.root(size))
        indexer.settle()
        assert (before.sizes(), after.sizes()) == (f"{size} {size}",) * 2
    for other in (before, after):
        other.close()
    indexer.close()


class _Other:
    """A process that reads the index in ``root``."""

    def __init__(self, root: Path) -> None:
        command = [sys.executable, "-c", _READER, str(root), KEY.hex()]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def sizes(self) -> str:
        """What rows and text stand for, as it sees them."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        """Let it end."""
        self._process.communicate()
        assert self._process.returncode == 0
