"""Claims about where requests go: providers, health, and what is not there."""

import json
from collections.abc import Iterator

import pytest

from affidavit.config import Provider
from tests.world.gateway import KEY, MONITOR_KEY, OTHER_KEY, Lab, World, chat, chat_answer
from tests.world.rawclient import Answer, RawClient, request
from tests.world.upstream import whole


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One gateway with a second provider that is off."""
    off = Provider(base_url="http://127.0.0.1:9", off="MISTRAL_API_KEY is not set")
    claude = off.model_copy(update={"dialect": "anthropic", "off": "CLAUDE_KEY is not set"})
    more = {"mistral": off, "claude": claude}
    with Lab.open(tmp_path_factory.mktemp("lab"), more=more) as lab:
        yield lab


def get(world: World, path: str, *, method: str = "GET", key: str = KEY) -> Answer:
    """One request without a body."""
    with RawClient(world.port) as client:
        client.send(request(path, method=method, key=key))
        return client.answer(head_request=method == "HEAD")


def test_health_and_readiness_need_no_key_and_tell_no_secret(lab: Lab) -> None:
    """200 while recording works; counters, no names, no keys."""
    for path in ("/healthz", "/readyz"):
        answer = get(lab.world, path, key="")
        assert answer.status == 200
        assert json.loads(answer.body)["status"] == "ok"
        assert KEY.encode() not in answer.body
    assert get(lab.world, "/healthz", method="HEAD").body == b""


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/nothing/v1/x", 404, "no provider of that name"),
        ("/", 404, "no provider of that name"),
        ("/healthz/x", 404, "no provider of that name"),
        ("/mistral/v1/x", 503, "mistral is off: MISTRAL_API_KEY is not set"),
    ],
)
def test_what_is_not_there_says_what_is(lab: Lab, path: str, status: int, said: str) -> None:
    """Unknown and switched-off providers have their sentence, and nothing is forwarded."""
    forwarded = len(lab.provider.requests)
    answer = get(lab.world, path)
    assert answer.status == status
    assert said in json.loads(answer.body)["error"]["message"]
    assert len(lab.provider.requests) == forwarded


def test_a_provider_that_is_off_answers_in_its_own_shape(lab: Lab) -> None:
    """An SDK raises its usual exception, and the refusal names the provider."""
    answer = get(lab.world, "/claude/v1/messages", method="POST")
    told = json.loads(answer.body)
    assert (answer.status, told["type"]) == (503, "error")
    assert "CLAUDE_KEY is not set" in told["error"]["message"]
    denied = [e for e in lab.world.entries() if e.record.type == "access.denied"]
    assert "claude" in {e.sections["what"]["provider"] for e in denied}


@pytest.mark.parametrize("path", ["/openai/v1/models", "/receipts/x"])
def test_a_key_of_a_monitor_opens_nothing_here(lab: Lab, path: str) -> None:
    """It reads the log through the console; a call with it is refused and not forwarded."""
    forwarded = len(lab.provider.requests)
    answer = get(lab.world, path, key=MONITOR_KEY)
    assert answer.status == 403
    assert "role monitor" in answer.body.decode()
    assert len(lab.provider.requests) == forwarded


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/openai", b"POST / HTTP/1.1\r\n"),
        ("/openai/", b"POST / HTTP/1.1\r\n"),
        ("/openai?x=1", b"POST /?x=1 HTTP/1.1\r\n"),
        ("/openai/v1/a//b/?", b"POST /v1/a//b/? HTTP/1.1\r\n"),
    ],
)
def test_the_providers_name_is_taken_off_and_nothing_else(lab: Lab, path: str, sent: bytes) -> None:
    """Slashes, empty segments and an empty query stay as they are."""
    lab.run([whole(b"{}")], request(path, b"{}", key=KEY))
    assert lab.provider.requests[-1].startswith(sent)


def test_an_unknown_path_is_recorded_as_opaque_bytes(lab: Lab) -> None:
    """Nothing is dropped because it is not understood."""
    body = b"\x00\xff binary \x80"
    answer, asked, answered = lab.run(
        [whole(b"\xfe\x00", kind="application/x-new")],
        request("/openai/v9/telepathy", body, key=KEY),
    )
    assert answer.body == b"\xfe\x00"
    assert asked.sections["what"]["api"] == "opaque"
    assert asked.parts["request.body"] == body
    assert answered.parts["response.body"] == b"\xfe\x00"


@pytest.mark.parametrize("key", ["", "wrong", KEY[:-1], KEY + "x"])
def test_a_stranger_is_refused_before_its_body_is_read(lab: Lab, key: str) -> None:
    """401 in the provider's shape; nothing forwarded, no exchange on record."""
    before, forwarded = len(lab.world.exchanges()), len(lab.provider.requests)
    with RawClient(lab.world.port) as client:
        client.send(request("/openai/v1/chat/completions", b"x" * 50_000, key=key)[:-40_000])
        answer = client.answer()
    assert answer.status == 401
    assert b"authentication_error" in answer.body
    assert len(lab.world.exchanges()) == before
    assert len(lab.provider.requests) == forwarded


def test_who_asked_is_who_holds_the_key(lab: Lab) -> None:
    """Any of the providers' own key fields identifies; ours wins over them."""
    for fields in (
        (("x-api-key", OTHER_KEY),),
        (("api-key", OTHER_KEY),),
        (("x-goog-api-key", OTHER_KEY),),
        (("authorization", f"Bearer {KEY}"), ("affidavit-key", OTHER_KEY)),
    ):
        message = request("/openai/v1/chat/completions", chat(), headers=fields)
        _, asked, _ = lab.run([whole(chat_answer())], message)
        assert asked.sections["who"]["credential"] == "key_2"
        assert OTHER_KEY.encode() not in lab.provider.requests[-1]


def test_session_trace_and_purpose_come_from_headers(lab: Lab) -> None:
    """They are on record; the session as a pseudonym, the raw id with the person."""
    fields = (
        ("affidavit-session", "s-1"),
        ("affidavit-purpose", "ticket-7"),
        ("traceparent", f"00-{'a' * 32}-{'b' * 16}-01"),
        ("helicone-omit-request", "true"),
    )
    message = request("/openai/v1/chat/completions", chat(), key=KEY, headers=fields)
    _, asked, answered = lab.run([whole(chat_answer())], message)
    who, what = asked.sections["who"], asked.sections["what"]
    assert who["session"].startswith("ses_")
    assert (who["session_source"], who["purpose"]) == ("header", "ticket-7")
    assert (what["trace_id"], what["span_id"]) == ("a" * 32, "b" * 16)
    assert what["recording_opt_out"] == ["helicone-omit-request"]
    assert asked.sections["person"]["session"] == "s-1"
    assert answered.sections["who"] == who
    assert b"traceparent" in lab.provider.requests[-1]


def test_with_pass_the_callers_credential_goes_on_and_ours_does_not(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """credential: pass leaves the provider's field alone; ours is affidavit-key only."""
    directory = tmp_path_factory.mktemp("pass")
    with Lab.open(directory, provider={"credential": "pass"}) as lab:
        fields = (("affidavit-key", KEY), ("authorization", "Bearer sk-callers-own"))
        message = request("/openai/v1/chat/completions", chat(), headers=fields)
        lab.run([whole(chat_answer())], message)
        assert b"authorization: Bearer sk-callers-own\r\n" in lab.provider.requests[-1]
        assert KEY.encode() not in lab.provider.requests[-1]
        assert "sk-callers-own" not in str([e.sections for e in lab.world.entries()])
        stranger = request("/openai/v1/x", headers=(("authorization", f"Bearer {KEY}"),))
        with RawClient(lab.world.port) as client:
            client.send(stranger)
            assert client.answer().status == 401


def test_a_base_url_with_a_path_keeps_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    """``base_url/…`` there is ``/{provider}/…`` here."""
    with Lab.open(tmp_path_factory.mktemp("base")) as lab:
        endpoint = lab.world.gateway._endpoints["openai"]
        endpoint.origin = endpoint.origin._replace(prefix=b"/deep/base")
        _, asked, _ = lab.run([whole(b"{}")], request("/openai/v1/models", method="GET", key=KEY))
        assert lab.provider.requests[-1].startswith(b"GET /deep/base/v1/models HTTP/1.1\r\n")
        assert asked.sections["what"]["url.path"] == "/deep/base/v1/models"
