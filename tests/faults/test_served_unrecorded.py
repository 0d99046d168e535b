"""The whole system where one route serves what cannot be recorded and another refuses it.

Real file systems and real processes: a disk that is full, a worker killed on it and replaced by
one that has no journal, one that drains before there is room. In the end every call that went
upstream is recorded, or counted by a gap, or lies in the interval of a gap of unknown count.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.faults.outage import Site
from tests.world.audit import Audited
from tests.world.disks import Mounts, mounts
from tests.world.gateway import chat_answer
from tests.world.upstream import Upstream, whole

pytestmark = pytest.mark.slow
ROUTES = "{openai: {unrecordable: serve}, openai/v1/strict: {unrecordable: refuse}}"


@contextmanager
def _site(directory: Path, space: Mounts) -> Iterator[Site]:
    data = directory / "data"
    with Upstream() as upstream:
        site = Site(directory, data, upstream, space, ROUTES)
        try:
            yield site
        finally:
            if site.machine.process.poll() is None:
                site.machine.kill()


def _serve(site: Site, times: int) -> None:
    site.upstream.play([whole(chat_answer())])
    for _ in range(times):
        site.unrecorded()


def _full(site: Site, journal: Path) -> None:
    """Fill the disk, and then what the worker has allocated, by calls on the route that refuses."""
    site.mounts.fill(journal)
    site.upstream.play([whole(chat_answer())])
    before = len(site.recorded)
    for size in (2 << 20, 128 << 10, 8 << 10, 100):
        while site.call("x" * size, "/openai/v1/strict/chat/completions") == 200:
            pass
    assert len(site.recorded) > before


def _served(found: Audited) -> dict[str, dict[str, Any]]:
    """The gaps in which calls were served unrecorded, by cause; counts of one cause together."""
    served: dict[str, dict[str, Any]] = {}
    for gap in found.gaps:
        if gap["kind"] == "served":
            known = served.setdefault(gap["cause"], {**gap, "at_least": 0})
            known["at_least"] += gap["at_least"]
            assert gap["start"] <= gap["end"]
    return served


def test_a_full_disk(tmp_path: Path) -> None:
    """Answers without pointers, refusals on the other route, red health, and the exact count."""
    journal = tmp_path / "data" / "journal"
    with mounts("serving on a full disk") as space:
        space.small(journal, 96 << 20)
        with _site(tmp_path, space) as site:
            site.both()
            _full(site, journal)
            _serve(site, 5)
            site.red("disk full")
            with pytest.raises(openai.InternalServerError):
                site.openai_strict()
            began = time.monotonic()
            space.drain(journal)
            site.green(began)
            site.both()
            assert site.machine.stop() == 0, site.machine.messages()
            found = site.audit(tmp_path, unrecorded=5)
    served = _served(found)
    assert served.keys() == {"disk full"}
    assert (served["disk full"]["at_least"], served["disk full"]["route"]) == (5, "openai")
    assert any(gap["kind"] == "refused" for gap in found.gaps)


def test_a_worker_that_dies_and_one_that_has_no_journal(tmp_path: Path) -> None:
    """What the first served lies in a gap of unknown count; the second counts its own."""
    journal = tmp_path / "data" / "journal"
    with mounts("a worker that dies on a full disk") as space:
        space.small(journal, 96 << 20)
        with _site(tmp_path, space) as site:
            site.both()
            _full(site, journal)
            _serve(site, 3)
            (killed,) = site.pids()
            began = time.monotonic()
            os.kill(killed, signal.SIGKILL)
            while site.health().worker in ("", f"gateway-{killed}"):
                assert time.monotonic() < began + 60, site.machine.messages()
                time.sleep(0.02)
            _wait_for_callers(site)
            _serve(site, 4)
            space.drain(journal)
            site.green(began)
            site.both()
            assert site.machine.stop() == 0, site.machine.messages()
            found = site.audit(tmp_path, unrecorded=3 + 4)
    served = _served(found)
    assert served.keys() == {"worker died", "disk full"}
    assert served["disk full"]["at_least"] == 4
    died = served["worker died"]
    assert (died["at_least"], died["count"], died["worker"]) == (0, "unknown", f"gateway-{killed}")
    assert died["end"] >= served["disk full"]["start"], "the gap ends when its worker is swept"


def _wait_for_callers(site: Site, within: float = 60.0) -> None:
    """Until the new worker knows who may call: without the sequencer nobody may."""
    end = time.monotonic() + within
    while "cause" not in str(site.health().facts):
        assert time.monotonic() < end, site.health()
        time.sleep(0.05)


def test_a_stop_before_there_is_room(tmp_path: Path) -> None:
    """The gap is not lost with the worker: it finds room for its count, or the sweep tells."""
    journal = tmp_path / "data" / "journal"
    with mounts("a stop on a full disk") as space:
        space.small(journal, 96 << 20)
        with _site(tmp_path, space) as site:
            site.both()
            _full(site, journal)
            _serve(site, 2)
            told = site.machine.stop() == 0
            space.drain(journal)
            site.machine.start()
            site.both()
            assert site.machine.stop() == 0, site.machine.messages()
            found = site.audit(tmp_path, unrecorded=2)
    served = _served(found)
    assert served.keys() == {"disk full" if told else "worker died"}
    assert served.popitem()[1]["at_least"] == (2 if told else 0)
