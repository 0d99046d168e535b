"""kill -9 of each process and of the whole tree, at random instants, under streams.

Each kill asserts that streams were in flight and that the process died by the signal. In the end
every byte that a client's socket gave is in a record, every request has one outcome, and fsck is
green before and after recovery. ``AFFIDAVIT_KILLS`` (200 in ``scripts/faults``) sets how many,
``AFFIDAVIT_SEED`` repeats a run.
"""

import os
import random
import shutil
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from affidavit.app.paths import Paths
from tests.e2e.machine import Machine
from tests.faults.streams import Clients, Loop, Provider, Received
from tests.world.audit import Audited, assert_deep, audit
from tests.world.intake import UNKNOWN

STREAMS = 32
PER_WORLD = 25
TARGETS = ("gateway", "sequencer", "console", "tree")


def _config(path: Path, port: int) -> Path:
    path.write_text(
        f"providers:\n  scripted: {{dialect: openai, base_url: http://127.0.0.1:{port},"
        " secret: upstream-canary-credential}\n"
    )
    return path


def _wait_for_streams(clients: Clients, least: int) -> int:
    """Wait until so many streams are in flight, and return how many."""
    until = time.monotonic() + 60
    while (count := clients.in_flight()) < least:
        assert time.monotonic() < until, f"only {count} streams came into flight"
        time.sleep(0.005)
    return count


def _kill_child(machine: Machine, name: str) -> None:
    """SIGKILL one child and assert that its supervisor saw it die of that."""
    seen = machine.messages().count("(by SIGKILL)")
    until = time.monotonic() + 20
    while not (pids := [pid for pid, what in machine.children().items() if what == name]):
        assert time.monotonic() < until, f"no {name} process came back"
        time.sleep(0.01)
    os.kill(random.choice(pids), signal.SIGKILL)
    while machine.messages().count("(by SIGKILL)") <= seen:
        assert time.monotonic() < until, f"the {name} process did not die by SIGKILL"
        time.sleep(0.002)


def _world(directory: Path, kills: int, seed: int) -> tuple[Counter[str], list[int]]:
    """One data directory, killed ``kills`` times; returns kills by target and streams at each."""
    chance = random.Random(seed)
    loop = Loop()
    provider = Provider(seed)
    loop.run(provider.start())
    config = _config(directory / "config.yaml", provider.port)
    machine = Machine(directory / "data", config=config, workers=2)
    port = int(machine.gateway.rpartition(":")[2])
    clients = Clients(port, machine.key, STREAMS)
    loop.run(clients.start())
    try:
        log, done, flying = _kills(machine, loop, clients, kills, chance)
        assert machine.stop() == 0, machine.messages()[-3000:]
    finally:
        if machine.process.poll() is None:
            machine.kill()
    _compare(directory, machine, provider, log)
    loop.run(provider.stop())
    loop.close()
    return done, flying


def _kills(
    machine: Machine, loop: Loop, clients: Clients, kills: int, chance: random.Random
) -> tuple[list[Received], Counter[str], list[int]]:
    """Kill so many times; returns what the clients got, kills by target, streams at each."""
    done: Counter[str] = Counter()
    flying: list[int] = []
    log: list[Received] = clients.log
    while sum(done.values()) < kills:
        flying.append(_wait_for_streams(clients, STREAMS // 2))
        time.sleep(chance.uniform(0.0, 0.25))
        target = chance.choice(TARGETS)
        if target == "tree":
            machine.kill()
            assert machine.process.returncode == -signal.SIGKILL
            assert_deep(machine.data)
            loop.run(clients.stop())
            machine.start()
            port = int(machine.gateway.rpartition(":")[2])
            clients = Clients(port, machine.key, STREAMS, first=len(log))
            clients.log = log
            loop.run(clients.start())
        else:
            _kill_child(machine, target)
        done[target] += 1
    loop.run(clients.stop())
    return log, done, flying


def _compare(directory: Path, machine: Machine, provider: Provider, log: list[Received]) -> Audited:
    """Every byte a client got is in the outcome of its record; nothing upstream is unrecorded."""
    beside = directory / "rebuilt"
    found = audit(
        machine.data,
        canaries=[machine.key, "upstream-canary-credential", "prompt-canary-"],
        beside=beside,
        logs=[machine.log],
    )
    prompts = {
        view.parts["request.body"].split(b'"content": "')[1].split(b'"')[0].decode()
        for view in found.requests.values()
    }
    assert set(provider.asked) <= prompts, "a request went upstream without a record"
    whole = 0
    for one in log:
        if one.status != 200:
            continue
        record = one.head["affidavit-record"]
        body = found.outcomes[record].parts.get("response.body", b"")
        assert body.startswith(one.entity), f"bytes of {record} are in no record"
        whole += b"[DONE]" in one.entity
        if b"[DONE]" in one.entity:
            assert found.outcomes[record].sections["outcome"]["outcome"] == "complete"
    assert whole >= STREAMS // 4, "too few streams came through whole for this to show anything"
    return found


def _run(directory: Path, kills: int) -> None:
    seed = int(os.environ.get("AFFIDAVIT_SEED", random.SystemRandom().randrange(10**9)))
    print(f"seed {seed}")
    total: Counter[str] = Counter()
    flying: list[int] = []
    for number in range(-(-kills // PER_WORLD)):
        world = directory / f"world-{number}"
        world.mkdir()
        count = min(PER_WORLD, kills - sum(total.values()))
        done, seen = _world(world, count, seed + number)
        total += done
        flying += seen
    print(f"kills {dict(total)}; streams in flight min {min(flying)}, max {max(flying)}")
    assert sum(total.values()) == kills
    assert min(flying) >= STREAMS // 2


def test_a_few_kills(tmp_path: Path) -> None:
    """Six kills; the same as below, short enough for every test run."""
    _run(tmp_path, 6)


def test_a_tree_that_comes_back_without_its_journals(tmp_path: Path) -> None:
    """Killed under streams that last, all journals removed: each request has its one outcome."""
    loop, provider = Loop(), Provider(1, pieces=3000)
    loop.run(provider.start())
    machine = Machine(tmp_path / "data", config=_config(tmp_path / "config.yaml", provider.port))
    clients = Clients(int(machine.gateway.rpartition(":")[2]), machine.key, 8)
    loop.run(clients.start())
    try:
        _wait_for_streams(clients, 8)
        machine.wait_rows("type:exchange.request", 8)
        machine.kill()
        loop.run(clients.stop())
        for journal in Paths(machine.data).journal.iterdir():
            shutil.rmtree(journal)
        machine.start()
        assert machine.stop() == 0, machine.messages()[-3000:]
    finally:
        if machine.process.poll() is None:
            machine.kill()
    loop.run(provider.stop())
    loop.close()
    found = audit(machine.data, beside=tmp_path / "rebuilt")
    said = [one.sections["outcome"] for one in found.outcomes.values()]
    assert len(said) == 8
    assert all(UNKNOWN in one["error"]["message"] for one in said)
    assert len(found.gaps) >= 2, "the gateway's journal and the sequencer's are missing"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_hundred_kills(tmp_path: Path) -> None:
    """At least 200 kills at random instants."""
    _run(tmp_path, int(os.environ.get("AFFIDAVIT_KILLS", "200")))
