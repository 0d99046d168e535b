"""Claims about the listening side that only the connection can know."""

from pathlib import Path

from affidavit.capture.server import Bounds, GatewayProtocol, protocol
from tests.world.gateway import KEY, World, chat, chat_answer
from tests.world.rawclient import RawClient, request
from tests.world.upstream import Upstream, whole


def test_bounds_belong_to_the_class_that_was_made_for_them() -> None:
    """Two servers in one process may have different limits."""
    one, two = protocol(Bounds(1000, 1.0)), protocol(Bounds(2000, 2.0))
    assert (one.bounds.max_head_bytes, two.bounds.max_head_bytes) == (1000, 2000)
    assert GatewayProtocol.bounds == Bounds()


def test_a_connection_that_says_nothing_is_closed(tmp_path: Path) -> None:
    """Silence costs a connection only as long as the read limit."""
    with (
        World(tmp_path, gateway={"client_read_timeout": 0.2}) as world,
        RawClient(world.port) as client,
    ):
        assert client.answer().status == 408
        assert client.closed_by_peer()


def test_an_unused_connection_after_an_answer_is_not_cut_by_the_read_limit(tmp_path: Path) -> None:
    """Keep-alive has its own, longer limit."""
    with (
        Upstream([whole(chat_answer())]) as provider,
        World(tmp_path, provider.url, gateway={"client_read_timeout": 0.2}) as world,
        RawClient(world.port) as client,
    ):
        for _ in range(2):
            client.send(request("/openai/v1/chat/completions", chat(), key=KEY))
            assert client.answer().status == 200
            assert not client.closed_by_peer(within=0.4)


def test_the_answers_own_fields_are_no_servers(tmp_path: Path) -> None:
    """Neither ``server`` nor ``date`` is added to what the provider sent."""
    with (
        Upstream([whole(chat_answer())]) as provider,
        World(tmp_path, provider.url) as world,
        RawClient(world.port) as client,
    ):
        client.send(request("/openai/v1/chat/completions", chat(), key=KEY))
        answer = client.answer()
    assert [name for name, _ in answer.headers] == [
        "content-type",
        "content-length",
        "affidavit-record",
        "affidavit-digest",
    ]
