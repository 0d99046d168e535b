"""No record, no call: the whole system on disks that are full, read-only or fail (G1).

Real file systems and real processes: a small tmpfs for a full disk, a read-only mount, ext4 that
the kernel has made read-only, and an fdatasync that fails by strace. For each of them: what the
official SDKs raise and how soon, what the provider got, what health says, how it recovers, and
in the end the oracle over what is on disk.
"""

import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.e2e.machine import run_cli
from tests.faults.outage import Site
from tests.paths import not_proven
from tests.world.audit import Audited
from tests.world.disks import Mounts, mounts
from tests.world.gateway import chat_event
from tests.world.rawclient import PATIENCE, RawClient
from tests.world.upstream import SSE_HEAD, Do, Upstream, chunk

EVENT = chat_event("Hello")
LARGE = chat_event("y" * 60_000)
_UP = ("up", "--demo", "--gateway", "127.0.0.1:0", "--console", "127.0.0.1:0")
WHY = {"full": "No space left on device", "read-only": "Read-only file system"}


@contextmanager
def _site(directory: Path, space: Mounts, data: Path) -> Iterator[Site]:
    with Upstream() as upstream:
        site = Site(directory, data, upstream, space)
        try:
            yield site
        finally:
            if site.machine.process.poll() is None:
                site.machine.kill()


@pytest.mark.parametrize("fault", ["full", pytest.param("read-only", marks=pytest.mark.slow)])
def test_a_journal_that_takes_no_segment(tmp_path: Path, fault: str) -> None:
    """503 in both shapes, nothing upstream, health red; the same worker goes on by itself."""
    data, journal = tmp_path / "data", tmp_path / "data" / "journal"
    with mounts(f"a journal on a {fault} disk") as space:
        space.small(journal, 128 << 20)
        with _site(tmp_path, space, data) as site:
            site.both()
            worker = site.pids()
            gate = threading.Event()
            client = site.stream(
                "s-cut", SSE_HEAD + chunk(EVENT), gate, chunk(LARGE), Do.HOLD, until=EVENT
            )
            _begin(space, journal, fault)
            site.fill_segment()
            began = time.monotonic()
            site.red(WHY[fault])
            site.figures["red"] = time.monotonic() - began
            for _ in range(3):
                site.refused("z" * 9000)
            _cut(site, client, gate)
            site.red(WHY[fault])
            began = time.monotonic()
            _end(space, journal, fault)
            site.green(began)
            site.both()
            assert site.pids() == worker
            (row,) = site.machine.wait_rows("session:s-cut type:exchange.response", 1)
            assert row["status"] == "interrupted"
            assert site.machine.stop() == 0, site.machine.messages()
            assert "gateway 1 ended" not in site.machine.messages()
            found = site.audit(tmp_path)
    assert _cut_off(found) == [EVENT]


@pytest.mark.slow
def test_a_worker_that_starts_without_room(tmp_path: Path) -> None:
    """One that replaces a killed worker refuses calls, and serves when space returns."""
    data, journal = tmp_path / "data", tmp_path / "data" / "journal"
    with mounts("a worker that starts on a full disk") as space:
        space.small(journal, 96 << 20)
        with _site(tmp_path, space, data) as site:
            site.both()
            (killed,) = site.pids()
            space.fill(journal)
            began = time.monotonic()
            os.kill(killed, signal.SIGKILL)
            space.fill(journal)
            while site.health().worker in ("", f"gateway-{killed}"):
                assert time.monotonic() < began + 60, site.machine.messages()
                time.sleep(0.02)
            site.figures["replaced"] = time.monotonic() - began
            worker = site.pids()
            time.sleep(1.5)  # several tries to begin a journal
            site.red("unavailable")  # no segment, or no sequencer, which has no room either
            site.refused()
            began = time.monotonic()
            space.drain(journal)
            site.green(began)
            site.both()
            assert site.pids() == worker
            writers = len(list(space.inside(journal).iterdir()))
            assert writers <= 4, "attempts leave something behind"
            assert site.machine.stop() == 0, site.machine.messages()
            site.audit(tmp_path)


def _cut_off(found: Audited) -> list[bytes]:
    """What the interrupted exchanges got from the provider."""
    return [
        view.parts["response.body"]
        for view in found.outcomes.values()
        if view.sections["outcome"]["outcome"] == "interrupted"
        and view.sections["what"].get("response_made_by") != "gateway"
        and view.parts
    ]


def _begin(space: Mounts, journal: Path, fault: str) -> None:
    if fault == "full":
        space.fill(journal)
        return
    # Over the journal lies the same directory, read-only: what is open stays writable.
    space.run("mount", "--bind", str(journal), str(journal))
    space.run("mount", "-o", "remount,bind,ro", str(journal))


def _end(space: Mounts, journal: Path, fault: str) -> None:
    if fault == "full":
        space.drain(journal)
    else:
        space.run("umount", "-l", str(journal))


def _cut(site: Site, client: RawClient, gate: threading.Event) -> None:
    """What is not recorded is not given: the transfer breaks before it."""
    with client:
        gate.set()
        answer = client.answer()
    assert site.upstream.gone.wait(PATIENCE)
    assert answer.body == EVENT
    assert not answer.clean


@contextmanager
def _failing_fdatasync(pid: int, trace: Path) -> Iterator[None]:
    """Every fdatasync of a process fails with EIO inside, in all its threads."""
    if shutil.which("strace") is None:
        not_proven("a failing fdatasync: there is no strace")
    inject = ["-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO"]
    command = ["strace", "-f", "-p", str(pid), *inject, "-o", str(trace)]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    try:
        line = tracer.stderr.readline()
        if "attached" not in line:
            not_proven(f"a failing fdatasync: {line.strip()}")
        until = time.monotonic() + 60
        while _untraced(pid):  # threads come and go meanwhile
            assert time.monotonic() < until, "strace did not attach to every thread"
            time.sleep(0.01)
        yield
    finally:
        tracer.terminate()
        tracer.communicate(timeout=30)
    assert re.search(r"fdatasync\(\d+\)\s+= -1 EIO .*INJECTED", trace.read_text())


def _untraced(pid: int) -> bool:
    """Whether a thread of a process is held by no tracer."""
    for path in Path(f"/proc/{pid}/task").glob("*/status"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it ended
            if "TracerPid:\t0\n" in path.read_text():
                return True
    return False


def test_a_failed_fdatasync(tmp_path: Path) -> None:
    """503 in both shapes, nothing upstream; the worker ends, is replaced and swept."""
    with (
        mounts("a failing fdatasync") as space,
        _site(tmp_path, space, tmp_path / "data") as site,
    ):
        site.both()
        (worker,) = site.pids()
        client = site.stream("s-cut", SSE_HEAD + chunk(EVENT), Do.HOLD, until=EVENT)
        with _failing_fdatasync(worker, tmp_path / "trace"):
            began = time.monotonic()
            site.refused()
            health = site.health()
            assert health.status == 503 or health.worker != f"gateway-{worker}"
            site.keep_asking()
        with client:
            answer = client.answer()
        assert (answer.body, answer.clean) == (EVENT, False)
        green = site.green(began)
        assert [f"gateway-{pid}" for pid in site.pids()] == [green.worker]
        assert green.worker != f"gateway-{worker}"
        site.both()
        (row,) = site.machine.wait_rows("session:s-cut type:exchange.response", 1)
        assert row["status"] == "interrupted"
        assert site.machine.stop() == 0, site.machine.messages()
        assert "gateway 1 ended (exit code 4)" in site.machine.messages()
        found = site.audit(tmp_path)
    swept = [v for v in found.ended if v.sections.get("what", {}).get("swept")]
    assert [v.sections["what"]["worker"] for v in swept] == [f"gateway-{worker}"]
    assert _cut_off(found) == [EVENT]


@pytest.mark.slow
def test_a_failed_fdatasync_of_the_ledger(tmp_path: Path) -> None:
    """Calls go on; the sequencer ends, starts again and has everything once."""
    with (
        mounts("a failing fdatasync") as space,
        _site(tmp_path, space, tmp_path / "data") as site,
    ):
        site.both()
        (sequencer,) = site.pids("sequencer")
        with _failing_fdatasync(sequencer, tmp_path / "trace"):
            began = time.monotonic()
            site.both()
            while site.pids("sequencer") in ([], [sequencer]):
                assert time.monotonic() < began + 60, "the sequencer took no notice"
                time.sleep(0.02)
        assert site.health().status == 200
        site.both()
        site.machine.wait_rows("type:exchange.response status:complete", 6)
        site.figures["caught up"] = time.monotonic() - began
        assert site.machine.stop() == 0, site.machine.messages()
        assert "sequencer ended (exit code 4)" in site.machine.messages()
        site.audit(tmp_path)


def test_a_full_disk_under_everything(tmp_path: Path) -> None:
    """Ledger, vault, index and journals on one full disk: nothing answered is lost."""
    data = tmp_path / "data"
    with mounts("a full disk under everything") as space:
        space.small(data, 160 << 20)
        with _site(tmp_path, space, data) as site:
            site.both()
            worker = site.pids()
            space.fill(data)
            site.fill_segment()
            answered = len(site.recorded)
            site.red(WHY["full"])
            for _ in range(3):
                site.refused("z" * 9000)
            began = time.monotonic()
            while "sequencer ended" not in site.machine.messages():
                assert time.monotonic() < began + 60, "the sequencer took no notice"
                time.sleep(0.05)
            began = time.monotonic()
            space.drain(data)
            site.green(began)
            site.both()
            assert site.pids() == worker
            rows = "type:exchange.response status:complete"
            site.machine.wait_rows(rows, len(site.recorded))
            site.figures["caught up"] = time.monotonic() - began
            assert len(site.recorded) == answered + 2
            assert site.machine.stop() == 0, site.machine.messages()
            assert "gateway 1 ended" not in site.machine.messages()
            site.audit(tmp_path)


@pytest.mark.slow
def test_a_disk_that_the_kernel_made_read_only(tmp_path: Path) -> None:
    """What an ext4 with errors does: 503 as long as it lasts; after a repair nothing is lost."""
    data, image = tmp_path / "data", tmp_path / "image"
    with mounts("ext4 turned read-only") as space:
        space.ext4(data, image, 192 << 20)
        with _site(tmp_path, space, data) as site:
            site.both()
            (worker,) = site.pids()
            space.run("mount", "-o", "remount,abort", str(data))
            began = time.monotonic()
            site.refused()
            while site.health().worker in ("", f"gateway-{worker}"):
                assert time.monotonic() < began + 60, site.machine.messages()
                time.sleep(0.02)
            site.figures["replaced"] = time.monotonic() - began
            site.red("unavailable")
            for _ in range(3):
                site.refused()
            out = site.machine.cli("query", "model:gpt-4o", check=False)
            assert out.returncode == 4
            assert len(out.stderr.splitlines()) <= 3, out.stderr
            assert site.machine.stop() == 4
            assert "Traceback" not in site.machine.messages()
            space.run("umount", str(data))
            space.run("mount", "-o", "loop", str(image), str(data))
            site.machine.start()
            site.both()
            assert site.machine.stop() == 0, site.machine.messages()
            site.audit(tmp_path)


@pytest.mark.parametrize("size", [64 << 10, 1 << 20, 24 << 20, 60 << 20])
def test_a_first_start_without_room(tmp_path: Path, size: int) -> None:
    """One sentence that says how much there is, exit code 4, nothing left running."""
    data = tmp_path / "data"
    with mounts("a first start without room") as space:
        space.small(data, size)
        out = run_cli(*_UP, "--data", str(data), check=False, prefix=space.prefix)
    assert out.returncode == 4
    assert re.search("No space left on device|Only [0-9]+ MiB are free", out.stderr)
    assert "Traceback" not in out.stderr
    assert len(out.stderr.splitlines()) <= 3


def test_a_first_start_on_a_read_only_disk(tmp_path: Path) -> None:
    """One sentence, exit code 4."""
    data = tmp_path / "data"
    with mounts("a first start on a read-only disk") as space:
        space.small(data, 1 << 20)
        space.run("mount", "-o", "remount,ro", str(data))
        out = run_cli(*_UP, "--data", str(data), check=False, prefix=space.prefix)
    assert out.returncode == 4
    assert "Read-only file system" in out.stderr
    assert len(out.stderr.splitlines()) <= 3
