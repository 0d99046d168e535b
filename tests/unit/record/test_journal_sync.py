"""The sync thread: each job is answered once, on its loop, in order, whatever the disk does."""

import asyncio
import errno
from pathlib import Path

from affidavit.durable import AppendFile, Disk, Effects
from affidavit.record.journal_sync import SyncThread


class _Broken(Effects):
    """A disk on which nothing can be made durable."""

    def fdatasync(self, fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")


def _file(directory: Path, name: str, effects: Effects | None = None) -> AppendFile:
    made = Disk().create_append(directory / name)
    made.write_buffered(b"bytes")
    if effects is not None:
        made._effects = effects
    return made


def test_jobs_are_answered_in_order_on_the_loop(tmp_path: Path) -> None:
    """What was written before is known to be on disk when the answer comes."""
    first, second = _file(tmp_path, "a"), _file(tmp_path, "b")
    heard: list[tuple[int, BaseException | None, int, int]] = []

    async def run() -> None:
        loop, syncs, over = asyncio.get_running_loop(), SyncThread(), asyncio.Event()

        def done(job: int, failed: BaseException | None) -> None:
            assert asyncio.get_running_loop() is loop
            heard.append((job, failed, first.synced, second.synced))
            if job == 1:
                over.set()

        syncs.sync([first], loop, lambda failed: done(0, failed))
        syncs.sync([first, second], loop, lambda failed: done(1, failed))
        await asyncio.wait_for(over.wait(), 5)
        syncs.close()
        syncs.close()

    asyncio.run(run())
    assert [job for job, *_ in heard] == [0, 1]
    assert heard[1][1:] == (None, 5, 5)
    first.close()
    second.close()


def test_a_sync_that_fails_is_answered_and_what_follows_it_is_not_synced(tmp_path: Path) -> None:
    """The error arrives as it was, and the next job is done all the same."""
    bad, behind, later = _file(tmp_path, "a", _Broken()), _file(tmp_path, "b"), _file(tmp_path, "c")

    async def run() -> list[BaseException | None]:
        loop, syncs = asyncio.get_running_loop(), SyncThread()
        answers: list[asyncio.Future[BaseException | None]] = [
            loop.create_future(), loop.create_future(),
        ]  # fmt: skip
        syncs.sync([bad, behind], loop, answers[0].set_result)
        syncs.sync([later], loop, answers[1].set_result)
        heard = await asyncio.wait_for(asyncio.gather(*answers), 5)
        syncs.close()
        return heard

    failed, fine = asyncio.run(run())
    assert isinstance(failed, OSError)
    assert failed.errno == errno.EIO
    assert fine is None
    assert (bad.synced, behind.synced, later.synced) == (0, 0, 5)
    for file in (bad, behind, later):
        file.close()


def test_an_answer_for_a_loop_that_is_gone_is_nobodys(tmp_path: Path) -> None:
    """The thread survives it and goes on."""
    file, later = _file(tmp_path, "a"), _file(tmp_path, "b")
    gone = asyncio.new_event_loop()
    gone.close()
    syncs = SyncThread()
    syncs.sync([file], gone, lambda _: None)
    syncs.sync([later], gone, lambda _: None)
    syncs.close()
    assert (file.synced, later.synced) == (5, 5)
    file.close()
    later.close()
