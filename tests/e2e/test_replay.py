"""Recorded traffic of eleven providers through the running system: nothing changes, all is kept.

Every recorded exchange goes caller → gateway → scripted provider and back, in bytes cut badly.
Compared are what the provider got with what was recorded, what the caller got with what the
provider sent, what ledger and vault hold with both, and the facts in the records with what the
official SDKs read in the same bytes. Normalised, because a recording is not a wire:

* Two artefacts of a recorder go: ``#stream`` behind a path, a method in lower case.
* ``host`` is the gateway's and then the provider's; both are compared with what they must be.
* ``content-length`` of requests is that of the bytes: some recorders indented bodies anew.
* ``connection`` and ``transfer-encoding`` belong to one connection each (RFC 9110 §7.6.1).
* Responses recorded with both framings keep the coding (RFC 9112 §6.3); no valid message has two.
* Credentials are not in the recordings; ours stand in for them and must be where they belong.

``AFFIDAVIT_SEED`` cuts everything elsewhere.
"""

import asyncio
import os
import random
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.e2e.machine import Machine
from tests.e2e.recorded_upstream import REPLAY, RecordedUpstream, chunked, read_message, send
from tests.e2e.replayed import (
    CASES,
    COLUMNS,
    FIRST,
    INJECTED,
    PASSED,
    STALE,
    Case,
    Replayed,
    compare_facts,
    compare_records,
    compare_wires,
    own_credential,
)
from tests.vectors.recordings import Exchange, exchanges
from tests.world.audit import audit

SEED = int(os.environ.get("AFFIDAVIT_SEED", "20"))
AT_ONCE = 6
ALL_RECORDED = 472


def _request(name: str, case: Case, exchange: Exchange, host: str, key: str) -> bytes:
    randomly = random.Random(f"{SEED} up {name}")
    framing = (b"host", b"content-length", b"transfer-encoding")
    given = [field for field in exchange.request_headers if field[0].lower() not in framing]
    headers = [(b"Host", host.encode()), *given, (REPLAY, name.encode())]
    headers.insert(randomly.randint(1, len(headers)), (b"affidavit-key", key.encode()))
    headers.insert(randomly.randint(1, len(headers)), (b"authorization", own_credential(case)))
    body = exchange.request_body
    if body and randomly.random() < 0.3:
        headers.append((b"transfer-encoding", b"chunked"))
        framed = chunked(body, randomly)
    else:
        framed = body
        if body or exchange.method != "GET":
            headers.append((b"content-length", b"%d" % len(body)))
    target = f"/{case.provider}{exchange.path}"
    fields = b"".join(b"%b: %b\r\n" % field for field in headers)
    return f"{exchange.method} {target} HTTP/1.1\r\n".encode() + fields + b"\r\n" + framed


async def _caller(replayed: Replayed, todo: list[str], gateway: str, key: str) -> None:
    """One caller on one connection as long as it lasts."""
    where = urlsplit(gateway)
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    while todo:
        name = todo.pop()
        case, exchange = replayed.case[name], replayed.recordings[name]
        if connection is None:
            connection = await asyncio.open_connection(where.hostname, where.port)
        reader, writer = connection
        wire = _request(name, case, exchange, where.netloc, key)
        await send(writer, wire, random.Random(f"{SEED} wire {name}"))
        try:
            async with asyncio.timeout(30):
                answer = await read_message(reader, response=True)
        except (AssertionError, EOFError, ConnectionError) as error:
            replayed.check(name, "bytes down", repr(error), "a whole answer")
            answer = None
        if answer is not None:
            replayed.answers[name] = answer
        if answer is None or b"close" in answer.value(b"connection"):
            writer.close()
            connection = None
    if connection is not None:
        connection[1].close()


async def _all(replayed: Replayed, upstream: RecordedUpstream, machine: Machine) -> None:
    todo = sorted(replayed.recordings)
    random.Random(SEED).shuffle(todo)
    callers = [_caller(replayed, todo, machine.gateway, machine.key) for _ in range(AT_ONCE)]
    await asyncio.gather(*callers)


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    """All recordings sent once through one installation, then read back from its files."""
    room = tmp_path_factory.mktemp("replay")
    found = Replayed()
    for case in CASES:
        for number, exchange in enumerate(exchanges(case.file)):
            name = f"{case.provider}/{number}"
            found.case[name], found.recordings[name] = case, exchange
    asyncio.run(_run(found, room))
    print(f"\n{found.table()}")
    return found


async def _run(found: Replayed, room: Path) -> None:
    async with RecordedUpstream(found.recordings, seed=SEED) as upstream:
        config = room / "config.yaml"
        config.write_text(_config(upstream.port))
        environ = {"REPLAY_SECRET": INJECTED}
        machine = await asyncio.to_thread(Machine, room / "data", config=config, environ=environ)
        try:
            await _all(found, upstream, machine)
            code = await asyncio.to_thread(machine.stop)
        finally:
            if machine.process.poll() is None:
                machine.kill()
    assert code == 0, machine.messages()
    assert not upstream.strange
    assert "Traceback" not in machine.messages()
    print(f"\nseed {SEED}; responses by framing: {dict(upstream.ways)}")
    compare_wires(found, upstream)
    kept = audit(
        machine.data,
        canaries=(machine.key, INJECTED, PASSED, STALE),
        beside=room / "rebuilt",
        logs=[machine.log],
    )
    compare_records(found, upstream, kept.requests, kept.outcomes)
    assert len(kept.requests) == len(found.recordings)
    compare_facts(found, kept.requests, kept.outcomes)


def _config(port: int) -> str:
    providers = [
        f"  {case.provider}: {{dialect: {case.dialect}, credential: {case.credential}, "
        f'base_url: "http://127.0.0.1:{port}", secret: "${{REPLAY_SECRET}}"}}\n'
        for case in CASES
    ]
    return "providers:\n" + "".join(providers)


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.provider)
def test_every_recording_passes(replayed: Replayed, case: Case, column: str) -> None:
    """Bytes, fields, status, record and facts of each recorded exchange are what they were."""
    problems = replayed.problems[case.provider, column]
    assert not problems, "\n".join(problems.values())
    assert replayed.read_by_sdk[case.provider] >= case.read


def test_all_recordings_of_all_providers_were_replayed(replayed: Replayed) -> None:
    """Each file once in the dialect it speaks: 472 exchanges of eleven providers."""
    assert sum(len(replayed.names(case)) for case in FIRST) >= ALL_RECORDED
    assert len({case.file for case in CASES}) == 11
