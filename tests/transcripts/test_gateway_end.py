"""How a worker ends, and what becomes of calls that run then (fault plan row 12)."""

import asyncio
import json
import threading
import time
from pathlib import Path

from affidavit.record.model import Written
from tests.world.gateway import DONE, KEY, OTHER_KEY, World, chat, chat_answer, chat_event
from tests.world.rawclient import PATIENCE, RawClient, request
from tests.world.upstream import LAST_CHUNK, SSE_HEAD, Do, Upstream, chunk, whole

PATH = "/openai/v1/chat/completions"
ASK = request(PATH, chat(), key=KEY)
STREAM = request(PATH, chat(stream=True), key=KEY)
EVENT = chat_event("Hello")


def test_an_idle_worker_drains_at_once_and_says_so(tmp_path: Path) -> None:
    """Exit code 0, and the journal's last record is ledger.ended."""
    with World(tmp_path) as world:
        began = time.monotonic()
        world.stop()
        assert time.monotonic() - began < PATIENCE / 2
    assert world.exit_code == 0
    assert [e.record.type for e in world.entries()] == ["ledger.ended"]


def test_a_call_that_ends_in_time_is_complete(tmp_path: Path) -> None:
    """Drain lets running calls end; new connections are not taken."""
    drains = threading.Event()
    limits = {"drain_seconds": PATIENCE}
    with Upstream([SSE_HEAD + chunk(EVENT), drains, chunk(DONE), LAST_CHUNK]) as provider:
        with (
            World(tmp_path, provider.url, gateway=limits) as world,
            RawClient(world.port) as client,
        ):
            client.send(STREAM)
            assert client.wait_for(EVENT)
            world.do(world._stop.set)
            while not world.gateway.draining:
                time.sleep(0.01)
            drains.set()
            answer = client.answer()
            assert (answer.body, answer.clean) == (EVENT + DONE, True)
        assert world.exchange()[1].outcome == "complete"
        assert world.exit_code == 0


def test_a_request_that_becomes_whole_after_the_end_began_is_refused(tmp_path: Path) -> None:
    """It would be cut off in the middle of its work; 503 tells the client to send it again."""
    with (
        Upstream([whole(chat_answer())]) as provider,
        World(tmp_path, provider.url) as world,
        RawClient(world.port) as client,
    ):
        client.send(ASK[:-1])
        client.wait_taken()
        world.do(world._stop.set)
        while not world.gateway.draining:
            time.sleep(0.01)
        client.send(ASK[-1:])
        answer = client.answer()
        assert answer.status == 503
        assert b"stopping" in answer.body
    assert provider.got == b""
    assert world.exchanges() == []
    assert world.exit_code == 0


def test_a_call_that_does_not_end_is_interrupted(tmp_path: Path) -> None:
    """After drain_seconds: outcome interrupted, a broken transfer, the provider cut off."""
    with Upstream([SSE_HEAD + chunk(EVENT), Do.HOLD], [Do.HOLD]) as provider:
        with World(tmp_path, provider.url, gateway={"drain_seconds": 0.2}) as world:
            with RawClient(world.port) as client, RawClient(world.port) as silent:
                client.send(STREAM)
                assert client.wait_for(EVENT)
                silent.send(ASK)
                assert provider.wait_requests(2)
                world.do(world._stop.set)
                answer = client.answer()
                unanswered = silent.answer()
            assert provider.gone.wait(PATIENCE)
        assert (answer.body, answer.clean) == (EVENT, False)
        assert (unanswered.status, unanswered.clean) == (503, True)
        outcomes = [answered.outcome for _, answered in world.exchanges()]
        assert outcomes == ["interrupted", "interrupted"]
        assert world.entries()[-1].record.type == "ledger.ended"
        assert world.exit_code == 0


def test_a_cancelled_task_still_has_its_outcome(tmp_path: Path) -> None:
    """Whoever cancels the request's task, the outcome is written, once."""
    with Upstream([SSE_HEAD + chunk(EVENT), Do.HOLD]) as provider:
        with World(tmp_path, provider.url) as world, RawClient(world.port) as client:
            client.send(STREAM)
            assert client.wait_for(EVENT)

            def cancel() -> None:
                for task in asyncio.all_tasks(world.loop):
                    if "run_asgi" in repr(task.get_coro()):
                        task.cancel()

            world.do(cancel)
            assert provider.gone.wait(PATIENCE)
        _, answered = world.exchange()
        assert answered.outcome == "interrupted"
        assert answered.parts["response.body"] == EVENT


def test_a_fault_of_ours_still_has_its_outcome(tmp_path: Path) -> None:
    """A bug after the request record ends the call as interrupted instead of leaving it open."""

    def prepare(world: World) -> None:
        dialect = world.gateway._endpoints["openai"].dialect

        def stream(*_: object) -> None:
            raise ZeroDivisionError

        dialect.stream = stream  # type: ignore[assignment]

    with Upstream([whole(chat_answer())]) as provider:
        with (
            World(tmp_path, provider.url, prepare=prepare) as world,
            RawClient(world.port) as client,
        ):
            client.send(ASK)
            client.answer()
        assert world.exchange()[1].outcome == "interrupted"


def test_many_callers_at_once_each_have_their_own_exchange(tmp_path: Path) -> None:
    """Concurrency mixes nothing up: bodies, answers and callers belong together."""
    with Upstream([whole(chat_answer())]) as provider:
        with World(tmp_path, provider.url) as world:

            def work(number: int) -> None:
                key = KEY if number % 2 else OTHER_KEY
                with RawClient(world.port) as client:
                    for turn in range(5):
                        client.send(request(PATH, chat(f"m-{number}-{turn}"), key=key))
                        assert client.answer().status == 200

            threads = [threading.Thread(target=work, args=(n,)) for n in range(12)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        pairs = world.exchanges()
        assert len(pairs) == 60
        for asked, answered in pairs:
            model = asked.sections["what"]["gen_ai.request.model"]
            assert json.loads(asked.parts["request.body"])["model"] == model
            number = int(model.split("-")[1])
            credential = "key_1" if number % 2 else "key_2"
            assert asked.sections["who"]["credential"] == credential
            assert answered.sections["who"]["credential"] == credential
        numbers = [f.n for f in world.frames() if isinstance(f, Written)]
        assert numbers == list(range(121))
