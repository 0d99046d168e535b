"""Write-ahead logs begin anew, whoever reads: who begins waits, and those of before are through."""

import contextlib
import functools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from affidavit.errors import UsageError
from affidavit.index import aside
from affidavit.index import indexer as indexing
from affidavit.index import reader as reading
from affidavit.index.aside import ASIDE_FILE, Pause, stand_aside
from affidavit.index.checkpoints import Checkpointer
from affidavit.index.indexer import Indexer
from affidavit.index.reader import Reader
from affidavit.index.sqlite import INDEX_FILE, TEXT_FILE
from tests.unit.index.made import KEY, World, request

LONG = 10.0
"""Seconds that nothing here takes."""
SOON = 0.3
"""Seconds after which what is to wait would have begun."""


class _Index:
    """An index with a log; its checkpoints are made by hand."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.world = World([request(place) for place in range(60)])
        self.indexer = Indexer(directory, KEY)  # not started: it does no checkpoint by itself
        self.checkpointer = Checkpointer((directory / INDEX_FILE, directory / TEXT_FILE), KEY)
        self.writing = (threading.Lock(), threading.Lock())
        self.closing = threading.Event()
        self.write(20)

    def write(self, end: int) -> None:
        """Rows up to record ``end``."""
        begin = self.indexer.built.size
        self.indexer.apply(self.world.records[begin:end], end, self.world.root(end))

    def log(self) -> int:
        """Bytes of the log of the rows."""
        return (self.directory / (INDEX_FILE + "-wal")).stat().st_size

    def anew(self, seconds: float = LONG) -> bool:
        """Have the logs begin anew."""
        return self.checkpointer.anew(seconds, self.writing, self.closing)

    def close(self) -> None:
        """All of it."""
        self.checkpointer.close()
        self.indexer.start()
        self.indexer.close()


@pytest.fixture
def index(tmp_path: Path) -> Iterator[_Index]:
    """One with 20 records in its log."""
    made = _Index(tmp_path)
    yield made
    made.close()


class _Doing(threading.Thread):
    """Does something once; ``over`` when it is done."""

    def __init__(self, what: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._what = what
        self.gave: object = None
        self.over = threading.Event()
        self.start()

    def run(self) -> None:
        """Do it."""
        self.gave = self._what()
        self.over.set()


class _Asking(threading.Thread):
    """Asks as of one moment; ``began`` once it has begun, and until ``ends``."""

    def __init__(self, directory: Path) -> None:
        super().__init__(daemon=True)
        self._directory = directory
        self.size = 0
        self.began, self.ends = threading.Event(), threading.Event()
        self.start()

    def run(self) -> None:
        """One question."""
        reader = Reader(self._directory, KEY)
        with reader.snapshot():
            self.size = reader.built()[0].size
            self.began.set()
            self.ends.wait(LONG)
        reader.close()

    def end(self) -> None:
        """Have it end."""
        self.ends.set()
        self.join()


def _asked(directory: Path) -> None:
    """Wait until a pause is asked for."""
    until = time.monotonic() + LONG
    while not aside._asked(str(directory / ASIDE_FILE)):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_who_begins_waits_until_those_of_before_are_through(index: _Index) -> None:
    """And the log is empty then; writing goes on meanwhile, and is in what is read next."""
    before = _Asking(index.directory)
    assert before.began.wait(LONG)
    index.write(30)
    anew = _Doing(index.anew)
    _asked(index.directory)
    after = _Asking(index.directory)
    assert not after.began.wait(SOON)
    index.write(40)
    assert not anew.over.is_set()
    assert index.log()
    before.end()
    assert anew.over.wait(LONG)
    assert anew.gave is True
    assert index.log() == 0
    assert after.began.wait(LONG)
    assert (before.size, after.size) == (20, 40)
    after.end()


def test_who_reads_for_longer_is_left_alone_and_the_others_begin(index: _Index) -> None:
    """So for the time that is given, and not without end; also when all of it is to stop."""
    before = _Asking(index.directory)
    assert before.began.wait(LONG)
    index.write(30)
    for stop in (False, True):
        anew = _Doing(functools.partial(index.anew, LONG if stop else 2 * SOON))
        _asked(index.directory)
        after = _Asking(index.directory)
        assert not after.began.wait(SOON)
        if stop:
            index.closing.set()
        assert anew.over.wait(LONG)
        assert anew.gave is False
        assert after.began.wait(LONG)
        after.end()
    assert index.log()
    before.end()


def test_a_long_transaction_is_not_waited_for_without_end(index: _Index) -> None:
    """While an erasure writes, say; readers would wait for it, too."""
    with index.writing[1]:
        assert not index.anew(SOON)
    assert index.log()
    assert index.anew()
    assert index.log() == 0


@contextlib.contextmanager
def _process(code: str, path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that has done ``code`` with ``path`` and then stands still, till killed."""
    lines = ("import fcntl, os, sys, time", "from pathlib import Path", "path = Path(sys.argv[1])")
    text = "\n".join((*lines, code, "print('done', flush=True)", "time.sleep(600)"))
    with subprocess.Popen([sys.executable, "-c", text, str(path)], stdout=subprocess.PIPE) as made:
        assert made.stdout is not None
        try:
            assert made.stdout.readline() == b"done\n"
            yield made
        finally:
            made.kill()


def test_a_pause_ends_with_the_process_that_asked_for_it(index: _Index) -> None:
    """Killed, it keeps nobody waiting."""
    path = index.directory / ASIDE_FILE
    code = "from affidavit.index.aside import Pause; pause = Pause(path); pause.ask()"
    with _process(code, path):
        waiting = _Doing(lambda: stand_aside(str(path)))
        assert not waiting.over.wait(SOON)
    assert waiting.over.wait(5)


def test_nobody_waits_for_longer_than_the_most(
    index: _Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asked for it may stand still."""
    monkeypatch.setattr(aside, "MOST_SECONDS", SOON)
    path = index.directory / ASIDE_FILE
    with Pause(path):
        began = time.monotonic()
        stand_aside(str(path))
        assert SOON <= time.monotonic() - began < LONG


def test_a_reader_that_stands_still_or_dies_while_it_looks_keeps_nothing(index: _Index) -> None:
    """The logs begin anew, as nobody else is in the way; once it is dead there can be a pause."""
    path = index.directory / ASIDE_FILE
    path.touch(0o400)
    code = "fd = os.open(path, os.O_RDONLY); fcntl.flock(fd, fcntl.LOCK_SH)"
    with _process(code, path) as process:
        os.kill(process.pid, signal.SIGSTOP)
        assert index.anew()
        assert index.log() == 0
    with Pause(path) as pause:
        assert aside._asked(str(path))
    assert not aside._asked(str(path))
    with pause:
        assert aside._asked(str(path))


def test_who_asks_as_of_one_moment_for_too_long_is_told_so(
    index: _Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is not statements that take so long; the next question has its time again."""
    monkeypatch.setattr(reading, "MOST_SECONDS", SOON)
    reader = Reader(index.directory, KEY)
    with reader.snapshot():
        assert reader.row(1)
        time.sleep(SOON)
        with pytest.raises(UsageError, match="longer"):
            reader.row(1)
    assert reader.row(1)
    with reader.snapshot():
        assert reader.row(1)
    reader.close()


class _Crowd:
    """Readers of whom somebody always reads: each begins before the one before has ended."""

    def __init__(self, directory: Path, count: int, seconds: float) -> None:
        self._directory = directory
        self._seconds = seconds
        self._over = threading.Event()
        self.longest = 0.0
        self._threads = [threading.Thread(target=self._read) for _ in range(count)]
        for thread in self._threads:
            thread.start()
            time.sleep(seconds / count)

    def _read(self) -> None:
        reader = Reader(self._directory, KEY)
        while not self._over.is_set():
            began = time.monotonic()
            with reader.snapshot():
                self.longest = max(self.longest, time.monotonic() - began)
                reader.row(1)
                time.sleep(self._seconds)
        reader.close()

    def end(self) -> None:
        """All of them."""
        self._over.set()
        for thread in self._threads:
            thread.join()


def test_what_was_erased_leaves_the_logs_while_somebody_always_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And while batches come between all steps; no step waits for the readers."""
    monkeypatch.setattr(indexing, "_CHECKPOINT_SECONDS", 0.05)
    world = World([request(place) for place in range(1_000)])
    indexer = Indexer(tmp_path, KEY)
    indexer.start()
    indexer.apply(world.records[:20], 20, b"")
    crowd = _Crowd(tmp_path, 4, 0.2)
    try:
        world.erase(3, "request.body", "content")
        indexer.refresh([3], world.view)
        steps, end = indexer.purged(), 20
        while next(steps, steps) is None:
            assert end < world.size
            indexer.apply(world.records[end : end + 1], end + 1, b"")
            end += 1
    finally:
        crowd.end()
        indexer.close()


def test_an_erasure_knows_of_logs_that_were_emptied_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody is in the way whenever it looks itself, as the next ones have begun by then."""
    monkeypatch.setattr(indexing, "_CHECKPOINT_SECONDS", 0.05)
    monkeypatch.setattr(Checkpointer, "truncate", lambda _: False)
    indexer = Indexer(tmp_path, KEY)
    indexer.start()
    until = time.monotonic() + LONG
    for _ in indexer.purged():
        assert time.monotonic() < until
        time.sleep(0.01)
    indexer.close()


_READING = """
from affidavit.index.reader import Reader
reader = Reader(path, bytes(range(32)))
def read():
    while True:
        with reader.snapshot():
            reader.row(1)
            time.sleep({seconds})
import threading
threading.Thread(target=read, daemon=True).start()
"""


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.2, 2.0])
def test_a_log_stays_bounded_while_somebody_always_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    """By what is too long and what comes in two tries, whether questions last as long as one.

    Half of them are asked in other processes. Without a pause all of it stays in the log.
    """
    for name, value in (("LONG_LOG", 64), ("_CHECKPOINT_SECONDS", 0.1)):
        monkeypatch.setattr(indexing, name, value)
    monkeypatch.setattr(indexing, "_ROUNDS", ((0.5, 0.5), (10.0, LONG)))
    world = World([request(place) for place in range(800)])
    indexer = Indexer(tmp_path, KEY)
    indexer.start()
    indexer.apply(world.records[:1], 1, b"")
    log = tmp_path / (INDEX_FILE + "-wal")
    crowd, reading = _Crowd(tmp_path, 2, seconds), _READING.format(seconds=seconds)
    written = longest = before = 0
    try:
        with _process(reading, tmp_path), _process(reading, tmp_path):
            for end in range(2, world.size + 1):
                indexer.apply(world.records[end - 1 : end], end, b"")
                now = log.stat().st_size
                written += now - before if now > before else now
                longest, before = max(longest, now), now
                time.sleep(0.02)
    finally:
        crowd.end()
        indexer.close()
    assert written > 800 * 8 * 4096
    assert longest < written / 2
    assert crowd.longest < 10
