"""Claims about carrying one exchange that the tables of conversations do not show."""

import asyncio
import gc
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from affidavit.capture import relay as module
from affidavit.capture.exchange import Exchange
from affidavit.capture.relay import Relay
from affidavit.capture.upstream import Call
from affidavit.record.model import Record
from tests.world.gateway import DONE, KEY, World, chat, chat_event
from tests.world.rawclient import RawClient, request
from tests.world.upstream import LAST_CHUNK, SSE_HEAD, Do, Step, Upstream, chunk

STREAM = request("/openai/v1/chat/completions", chat(stream=True), key=KEY)
EVENT = chat_event("Hello")


def test_a_provider_that_goes_on_behind_the_last_event_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is held behind the last event is bounded; the answer ends there, complete (G11)."""
    monkeypatch.setattr(module, "MAX_HELD", 10_000)
    noise = chunk(b": noise\n\n" * 1000)
    with Upstream([SSE_HEAD + chunk(EVENT + DONE), *[noise] * 50, Do.HOLD]) as provider:
        with World(tmp_path, provider.url) as world, RawClient(world.port) as client:
            client.send(STREAM)
            answer = client.answer()
        _, answered = world.exchange()
    assert answer.clean
    assert answer.body.startswith(EVENT + DONE)
    assert answered.outcome == "complete"
    assert answered.parts["response.body"] == answer.body
    assert len(answer.body) < 500_000


def test_the_last_event_does_not_wait_for_a_silent_provider(tmp_path: Path) -> None:
    """A provider that keeps the connection open after [DONE] delays nobody for long."""
    with (
        Upstream([SSE_HEAD + chunk(EVENT + DONE), Do.HOLD]) as provider,
        World(tmp_path, provider.url) as world,
        RawClient(world.port) as client,
    ):
        began = time.monotonic()
        client.send(STREAM)
        assert client.answer().clean
        assert time.monotonic() - began < 2
    assert world.exchange()[1].outcome == "complete"


def test_the_answer_and_its_record_name_each_other(tmp_path: Path) -> None:
    """The header points to the request record, and the response record to it as parent."""
    with (
        Upstream([SSE_HEAD + chunk(EVENT + DONE) + LAST_CHUNK]) as provider,
        World(tmp_path, provider.url) as world,
        RawClient(world.port) as client,
    ):
        client.send(STREAM)
        answer = client.answer()
    asked, answered = world.exchange()
    assert answer.header("affidavit-record") == asked.record.id
    assert answered.record.parent == asked.record.id
    assert answered.sections["what"]["parent"] == asked.record.id


def test_a_client_that_left_while_its_request_was_recorded_is_not_forwarded(
    tmp_path: Path,
) -> None:
    """Nobody wants the answer any more: client_gone, and the provider is not asked."""

    def prepare(world: World) -> None:
        real = world.journal.commit

        async def commit(record: Record, bodies: Sequence[bytes | None]) -> int:
            number = await real(record, bodies)
            if record.type == "exchange.request":
                client.close()
                await asyncio.sleep(0.1)
            return number

        world.journal.commit = commit  # type: ignore[method-assign]  # what a slow disk would do

    with Upstream() as provider, World(tmp_path, provider.url, prepare=prepare) as world:
        client = RawClient(world.port)
        client.send(STREAM)
        end = time.monotonic() + 5
        while not world.gateway.counters["outcome.client_gone"] and time.monotonic() < end:
            time.sleep(0.01)
    assert world.exchange()[1].outcome == "client_gone"
    assert provider.got == b""


def test_finished_calls_leave_nothing_behind(tmp_path: Path) -> None:
    """After any end of a call its objects are gone, without help of the collector (G11)."""
    scripts: list[list[Step]] = [
        [SSE_HEAD + chunk(EVENT + DONE) + LAST_CHUNK],
        [SSE_HEAD + chunk(EVENT), Do.FIN],
        [Do.FIN],
    ]
    gc.collect()
    gc.disable()
    try:
        with Upstream(*scripts) as provider, World(tmp_path, provider.url) as world:
            for turn in range(30):
                provider.play(scripts[turn % 3])
                with RawClient(world.port) as client:
                    client.send(STREAM)
                    client.answer()
            world.wait_idle()
            kinds = (Relay, Exchange, Call)
            left = [one for one in gc.get_objects() if isinstance(one, kinds)]
            assert len(left) <= len(kinds) * 10
            gc.collect()
            assert not [one for one in gc.get_objects() if isinstance(one, kinds)]
    finally:
        gc.enable()
