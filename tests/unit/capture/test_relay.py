"""Claims about carrying one exchange that the tables of conversations do not show."""

import asyncio
import gc
import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.capture import relay as module
from affidavit.capture.exchange import Exchange
from affidavit.capture.relay import Relay
from affidavit.capture.upstream import Call, Request
from affidavit.capture.upstream_http import Ended
from affidavit.record.model import Record
from tests.unit.capture.facts import exchange, opened
from tests.world.gateway import DONE, KEY, World, chat, chat_event
from tests.world.rawclient import PATIENCE, RawClient, request
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
        assert time.monotonic() - began < PATIENCE / 2
    assert world.exchange()[1].outcome == "complete"


def test_the_last_event_does_not_wait_for_one_that_goes_on_slowly(tmp_path: Path) -> None:
    """The limit behind the last event is on all of it, not on each piece."""
    slowly: list[Step] = [0.1, chunk(b": ping\n\n")] * 50
    with (
        Upstream([SSE_HEAD + chunk(EVENT + DONE), *slowly, LAST_CHUNK]) as provider,
        World(tmp_path, provider.url) as world,
        RawClient(world.port) as client,
    ):
        client.send(STREAM)
        answer = client.answer()
    assert answer.clean
    assert answer.body.count(b": ping") < 40
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
        end = time.monotonic() + PATIENCE
        while not world.gateway.counters["outcome.client_gone"] and time.monotonic() < end:
            time.sleep(0.01)
    assert world.exchange()[1].outcome == "client_gone"
    assert provider.got == b""


class Pieces:
    """A call whose body arrives in these pieces; its end comes with the last one, or after it."""

    def __init__(self, kind: bytes, pieces: list[bytes], *, late: bool) -> None:
        self.status, self.headers, self.ready = 200, [(b"content-type", kind)], True
        self._pieces, self._late = list(pieces), late

    @property
    def finished(self) -> bool:
        """Whether the end is known and all is fetched."""
        return not self._pieces and not self._late

    @property
    def ended(self) -> Ended | None:
        """How it ended, once it has."""
        return Ended.CHUNKED if self.finished else None

    async def start(self) -> None:
        """The head is here."""

    async def next(self, within: float | None) -> bytes:
        """The next piece, or the end."""
        if not self._pieces:
            self._late = False
            return b""
        return self._pieces.pop(0)

    def close(self) -> None:
        """Nothing to close."""


class Caller:
    """The caller's connection and the journal: keeps what was sent before each record."""

    def __init__(self) -> None:
        self.sent = b""
        self.ended = False
        self.before_outcome: tuple[bytes, bool] | None = None
        self.said: dict[str, Any] = {}

    async def send(self, message: dict[str, Any]) -> None:
        """Take what the relay sends."""
        self.sent += message.get("body", b"")
        self.ended = message.get("more_body") is False

    def watch(self, gone: Any) -> None:
        """Nobody leaves."""

    def piece(self, request_id: str, data: bytes) -> None:
        """Take a piece."""

    async def commit(self, record: Record, bodies: Any) -> int:
        """Take a record."""
        if record.type == "exchange.response":
            self.before_outcome = (self.sent, self.ended)
            self.said = opened(record)["outcome"]
        return 0


@given(
    body=st.sampled_from([EVENT * 3 + DONE, b'{"a": [1, 2, 3]}', b"{}\n", b"x"]),
    kind=st.sampled_from([b"text/event-stream", b"application/json", b"audio/mpeg", b""]),
    cuts=st.sets(st.integers(1, 600), max_size=12),
    late=st.booleans(),
)
def test_before_the_outcome_is_durable_nobody_has_all_of_it(
    body: bytes, kind: bytes, cuts: set[int], late: bool
) -> None:
    """Whatever the pieces and however late the end: some bytes and the end wait for the record."""
    if kind == b"text/event-stream" and not body.endswith(DONE):
        kind = b"application/json"  # no stream of a protocol that we know
    places = [0, *sorted(cut for cut in cuts if cut < len(body)), len(body)]
    pieces = [body[i:j] for i, j in itertools.pairwise(places)]
    caller, made = Caller(), exchange(chat(stream=True))

    async def carry() -> None:
        call = Pieces(kind, pieces, late=late)
        endpoint: Any = SimpleNamespace(upstream=SimpleNamespace(call=lambda _: call), dialect=None)
        anything: Any = caller
        relay = Relay(made, endpoint, anything, anything, caller.send, max_response=len(body))
        assert await relay.record()
        await relay.carry(Request(b"POST", b"/", [], b""))

    asyncio.run(carry())
    assert caller.before_outcome is not None
    before, ended = caller.before_outcome
    assert body.startswith(before)
    assert len(before) < len(body)
    assert not ended
    assert (caller.sent, caller.ended) == (body, True)
    assert caller.said["bytes_delivered"] == len(before)
    assert caller.said["bytes_held"] == len(body) - len(before)


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
