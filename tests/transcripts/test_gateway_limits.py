"""What one caller or one provider may take of a worker's memory and journal."""

import contextlib
import gc
import gzip
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from affidavit.errors import CannotRecordError
from affidavit.providers.facts import RequestFacts
from affidavit.record.model import Record
from tests.world.gateway import DONE, KEY, Lab, World, chat, chat_answer, chat_event
from tests.world.rawclient import PATIENCE, RawClient, request
from tests.world.upstream import CHUNKED, LAST_CHUNK, SSE_HEAD, Do, Step, chunk, whole

PATH = "/openai/v1/chat/completions"
LIMITS = {
    "max_body_bytes": 2_500_000,
    "max_inflight_bytes": 3_000_000,
    "max_response_bytes": 100_000,
}
EVENT = chat_event("x" * 1000)
WHOLE_HEAD = CHUNKED % b"application/json"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One worker with little room for all cases."""
    directory: Path = tmp_path_factory.mktemp("limits")
    with Lab.open(directory, gateway=LIMITS) as one:
        yield one


def wait_held(lab: Lab, size: int) -> None:
    """Wait until the worker holds exactly so many bytes of bodies."""
    end = time.monotonic() + 5
    while lab.world.gateway._inflight.held != size:
        assert time.monotonic() < end, lab.world.gateway._inflight.held
        time.sleep(0.005)


def test_more_bodies_than_fit_are_told_to_come_again(lab: Lab) -> None:
    """503 in the provider's shape with retry-after, on record; served when there is room again."""
    forwarded, refused = len(lab.provider.requests), lab.world.gateway.counters["refused"]
    large = request(PATH, chat(user="x" * 2_000_000), key=KEY)
    with RawClient(lab.world.port) as holding, RawClient(lab.world.port) as client:
        holding.send(large[:-1])
        held = len(large) - large.index(b"\r\n\r\n") - 4 - 1
        wait_held(lab, held)
        client.send(large)
        answer = client.answer()
        assert (answer.status, answer.header("retry-after")) == (503, "1")
        assert b"unavailable.busy" in answer.body
        assert b'"error"' in answer.body
        assert lab.world.gateway._inflight.held == held
    assert len(lab.provider.requests) == forwarded
    assert lab.world.gateway.counters["refused"] == refused + 1
    (record,) = (e for e in lab.world.entries() if e.record.type == "access.denied")
    assert record.sections["control"]["reasons"] == ["unavailable.busy"]
    assert record.sections["who"]["credential"] == "key_1"
    wait_held(lab, 0)
    answer, asked, answered = lab.run([whole(chat_answer())], large)
    assert (answer.status, answered.outcome) == (200, "complete")
    assert asked.sections["what"]["gen_ai.request.model"] == "gpt-4o"
    wait_held(lab, 0)


def test_a_call_keeps_its_body_but_not_what_was_read_from_it(lab: Lab) -> None:
    """The decoded request, several times as large, is let go before the provider is asked."""
    needle = "needle-" + "in-memory"
    body = chat(user=needle)
    lab.provider.play([Do.HOLD])
    with RawClient(lab.world.port) as client:
        client.send(request(PATH, body, key=KEY))
        wait_held(lab, len(body))
        assert lab.provider.wait_requests(lab.provider._first + 1)
        (relay,) = lab.world.gateway._running._relays
        assert [x for x in gc.get_objects() if type(x) is dict and x.get("user") == needle] == []
        assert relay.exchange._asked.facts.model == "gpt-4o"
    wait_held(lab, 0)


def test_of_bodies_that_grow_one_is_read_at_a_time(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compressed ones too, however small: in a thread, so that others are answered meanwhile."""
    dialect = lab.world.gateway._endpoints["openai"].dialect
    real, running, most, go = dialect.request, [0], [0], threading.Event()

    def read(*asked: Any) -> RequestFacts:
        running[0] += 1
        most[0] = max(most[0], running[0])
        assert go.wait(5)
        running[0] -= 1
        return real(*asked)

    monkeypatch.setattr(dialect, "request", read)
    packed = request(PATH, gzip.compress(chat()), key=KEY, headers=(("content-encoding", "gzip"),))
    lab.provider.play([whole(chat_answer())])
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(RawClient(lab.world.port)) for _ in range(3)]
        for client in clients:
            client.send(packed)
        with RawClient(lab.world.port) as other:
            other.send(request("/healthz", method="GET"))
            assert other.answer().status == 200
        go.set()
        assert [client.answer().status for client in clients] == [200, 200, 200]
    assert most == [1]


@pytest.mark.parametrize(
    "script",
    [
        [SSE_HEAD, *[chunk(EVENT)] * 500, Do.HOLD],
        [WHOLE_HEAD, *[chunk(b"x" * 5000), 0.001] * 500, Do.HOLD],
        [whole(b"y" * 10_000_000), Do.HOLD],
    ],
)
def test_an_answer_without_end_is_cut(lab: Lab, script: list[Step]) -> None:
    """What came within the limit is kept; both transfers break; the outcome says why."""
    lab.provider.gone.clear()
    answer, _, answered = lab.run(script)
    assert lab.provider.gone.wait(PATIENCE)
    assert answered.outcome == "truncated"
    said = answered.sections["outcome"]
    assert said["error"]["message"] == "The response is larger than 100000 bytes."
    assert not answer.clean or answer.status == 502
    if not answer.clean:
        assert said["bytes_received"] <= 100_000
        assert answered.parts["response.body"].startswith(answer.body)
        assert len(answer.body) == said["bytes_delivered"] + said.get("bytes_held", 0)


def test_an_answer_as_large_as_the_limit_is_whole(lab: Lab) -> None:
    """The limit itself is taken, in one piece or in many."""
    answer, _, answered = lab.run([whole(b"z" * 100_000)])
    assert (len(answer.body), answer.clean, answered.outcome) == (100_000, True, "complete")
    many: list[Step] = [chunk(b"z" * 1000)] * 100
    answer, _, answered = lab.run([WHOLE_HEAD, *many, LAST_CHUNK])
    assert (len(answer.body), answer.clean, answered.outcome) == (100_000, True, "complete")
    answer, _, answered = lab.run([SSE_HEAD + chunk(DONE) + LAST_CHUNK])
    assert answered.outcome == "complete"


NO_REQUESTS = {
    "no HTTP": (b"\x16\x03\x01 secret-of-a-stranger\r\n\r\n", 400, "usage.parse"),
    "a head without end": (b"GET / HTTP/1.1\r\nx: " + b"secret-of-a-stranger" * 5000, 431,
                           "usage.head_too_large"),
    "a head that stops": (b"GET / HTTP/1.1\r\nx: secret-of-a-stranger", 408, "usage.too_slow"),
}  # fmt: skip


def test_what_is_no_request_is_counted_and_recorded(tmp_path: Path) -> None:
    """Once each with the address and no content; more of the same only as a count."""
    limits = {"client_read_timeout": 0.2}
    with World(tmp_path, gateway=limits) as world:
        for data, status, _ in NO_REQUESTS.values():
            for _ in range(3):
                with RawClient(world.port) as client:
                    client.send(data)
                    assert client.answer().status == status
        with RawClient(world.port) as silent:
            assert silent.answer().status == 408
        assert world.gateway.counters["refused"] == 9
    denied = [e for e in world.entries() if e.record.type == "access.denied"]
    found = [(e.sections["control"]["reasons"][0], e.sections["what"]["count"]) for e in denied]
    codes = [code for _, _, code in NO_REQUESTS.values()]
    assert sorted(found) == sorted([(c, 1) for c in codes] + [(c, 2) for c in codes])
    statuses = {e.sections["outcome"]["http.response.status_code"] for e in denied}
    assert statuses == {400, 431, 408}
    assert {e.sections["person"]["address"] for e in denied} == {"127.0.0.1"}
    assert "stranger" not in repr(denied)


def test_a_refusal_that_cannot_be_recorded_harms_nobody(tmp_path: Path) -> None:
    """A stranger's garbage gets its 400 whether or not the journal takes the record."""

    def prepare(world: World) -> None:
        async def commit(record: Record, bodies: object) -> int:
            raise CannotRecordError("no room")

        world.journal.commit = commit  # type: ignore[method-assign]  # a full disk

    with World(tmp_path, prepare=prepare) as world:
        for _ in range(3):
            with RawClient(world.port) as client:
                client.send(b"garbage\r\n\r\n")
                assert client.answer().status == 400
        assert world.gateway.counters["refused"] == 3
        del world.journal.commit
