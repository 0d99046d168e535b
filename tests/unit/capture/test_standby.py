"""Claims about the stand-in for a worker that has nothing to record with."""

import asyncio
import json
import socket

import pytest

from affidavit.capture.endpoint import endpoints
from affidavit.capture.gaps import Gaps
from affidavit.capture.standby import Standby, standing_in
from affidavit.clock import SystemClock
from affidavit.config import Config, Provider
from affidavit.errors import UnavailableError
from tests.world.rawclient import Answer, RawClient, request
from tests.world.upstream import Upstream

WHY = "The sequencer did not answer."


def _asked(provider: Upstream, *messages: bytes, gaps: Gaps | None = None) -> list[Answer]:
    """What a stand-in answers to each message, on a connection of its own."""
    openai = Provider(dialect="openai", base_url=provider.url)
    claude = Provider(dialect="anthropic", base_url=provider.url)
    config = Config(providers={"openai": openai, "anthropic": claude})

    def ask(message: bytes) -> Answer:
        with RawClient(port) as client:
            client.send(message)
            return client.answer()

    async def run() -> list[Answer]:
        standby = Standby(endpoints(config), "gateway-1", gaps or Gaps("gateway-1", SystemClock()))
        standby.error = UnavailableError(WHY)
        async with standing_in(standby, listener, config):
            return [await asyncio.to_thread(ask, message) for message in messages]

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        port = listener.getsockname()[1]
        answers = asyncio.run(run())
        assert listener.fileno() >= 0, "the socket stays open for the worker"
        socket.create_connection(("127.0.0.1", port)).close()
    return answers


def test_calls_are_refused_in_the_providers_shape() -> None:
    """503, the reason, each dialect's error body; the provider is not even connected to."""
    gaps = Gaps("gateway-1", SystemClock())
    with Upstream() as provider:
        chat, message = _asked(
            provider,
            request("/openai/v1/chat/completions", b"{}", key="k"),
            request("/anthropic/v1/messages", b"{}", key="k"),
            gaps=gaps,
        )
        assert provider.connections == 0
    assert (chat.status, chat.clean) == (message.status, message.clean) == (503, True)
    assert json.loads(chat.body)["error"]["code"] == UnavailableError.code
    assert json.loads(message.body)["type"] == "error"
    assert (gaps.due, gaps.lost) == (True, False)
    for answer in (chat, message):
        assert WHY.encode() in answer.body
        assert answer.header("affidavit-record") is None


@pytest.mark.parametrize("page", ["/healthz", "/readyz"])
def test_health_is_red_and_says_why(page: str) -> None:
    """Load balancers look elsewhere; a person reads the reason and which worker it is."""
    with Upstream() as provider:
        (answer,) = _asked(provider, request(page, method="GET"))
    assert answer.status == 503
    facts = json.loads(answer.body)
    assert (facts["status"], facts["worker"]) == ("cannot record", "gateway-1")
    assert facts["error"]["message"] == WHY


def test_a_client_in_the_middle_of_sending_sees_the_refusal() -> None:
    """A large body is taken in and thrown away, so that the answer is not lost to a reset."""
    large = request("/openai/v1/chat/completions", b"x" * (1 << 20), key="k")
    with Upstream() as provider:
        answers = _asked(provider, large, request("/nobody/v1", b"{}"))
    assert [(answer.status, answer.clean) for answer in answers] == [(503, True)] * 2
