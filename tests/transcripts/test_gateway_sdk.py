"""The providers' own SDKs through the gateway: one ``base_url`` is all that changes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
import uvicorn
from pydantic import SecretStr

from affidavit.config import Provider
from affidavit.demo.provider import create_app
from tests.unit.demo.serving import served
from tests.world.gateway import KEY, World
from tests.world.upstream import Do, Upstream, whole

HELLO: Any = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A gateway before the demo provider, which speaks as both providers do."""
    config = uvicorn.Config(create_app(pace=0.0), log_level="error", lifespan="off")
    with served(config) as url:
        claude = Provider(dialect="anthropic", base_url=url, secret=SecretStr("sk-ant-1"))
        with World(tmp_path_factory.mktemp("sdk"), url, more={"anthropic": claude}) as world:
            yield world


@pytest.fixture
def gpt(world: World) -> Iterator[openai.OpenAI]:
    """The OpenAI client."""
    with openai.OpenAI(
        base_url=f"http://127.0.0.1:{world.port}/openai/v1", api_key=KEY, max_retries=0
    ) as client:
        yield client


@pytest.fixture
def claude(world: World) -> Iterator[anthropic.Anthropic]:
    """The Anthropic client."""
    with anthropic.Anthropic(
        base_url=f"http://127.0.0.1:{world.port}/anthropic", api_key=KEY, max_retries=0
    ) as client:
        yield client


def last(world: World) -> Any:
    """The newest exchange."""
    world.wait_idle()
    return world.exchanges()[-1]


def test_openai_chat(world: World, gpt: openai.OpenAI) -> None:
    """A whole answer, with the pointer to its record."""
    answer = gpt.chat.completions.with_raw_response.create(model="demo-1", messages=HELLO)
    asked, answered = last(world)
    assert answer.headers["affidavit-record"] == asked.record.id
    text = answer.parse().choices[0].message.content
    assert json.loads(answered.parts["response.body"])["choices"][0]["message"]["content"] == text
    assert asked.sections["what"]["gen_ai.request.model"] == "demo-1"
    assert answered.sections["outcome"]["gen_ai.usage.output_tokens"] > 0


def test_openai_chat_streamed(world: World, gpt: openai.OpenAI) -> None:
    """A streamed answer ends as its protocol says, and is complete."""
    stream = gpt.chat.completions.create(model="demo-1", messages=HELLO, stream=True)
    text = "".join(event.choices[0].delta.content or "" for event in stream if event.choices)
    _, answered = last(world)
    assert text
    assert answered.outcome == "complete"
    assert answered.parts["response.body"].endswith(b"data: [DONE]\n\n")


def test_openai_responses_form_a_session(world: World, gpt: openai.OpenAI) -> None:
    """Responses that refer to one another are one session, inferred."""
    first = gpt.responses.create(model="demo-1", input="Hello")
    second = gpt.responses.create(model="demo-1", input="More", previous_response_id=first.id)
    gpt.responses.create(model="demo-1", input="More", previous_response_id=second.id)
    world.wait_idle()
    sessions = [a.sections["who"].get("session") for a, _ in world.exchanges()[-2:]]
    assert sessions[0] is not None
    assert sessions[0] == sessions[1]
    assert last(world)[0].sections["who"]["session_source"] == "inferred"


def test_openai_models_and_embeddings(world: World, gpt: openai.OpenAI) -> None:
    """Other endpoints are exchanges too."""
    assert list(gpt.models.list())
    assert gpt.embeddings.create(model="demo-embed", input="x").data
    apis = [asked.sections["what"]["api"] for asked, _ in world.exchanges()[-2:]]
    assert apis == ["models", "embeddings"]


def test_anthropic_messages(world: World, claude: anthropic.Anthropic) -> None:
    """A whole and a streamed message, each complete, with tokens."""
    whole_ = claude.messages.create(model="demo-1", max_tokens=50, messages=HELLO)
    assert whole_.content
    with claude.messages.stream(model="demo-1", max_tokens=50, messages=HELLO) as stream:
        assert stream.get_final_text()
    world.wait_idle()
    for asked, answered in world.exchanges()[-2:]:
        assert asked.sections["what"]["dialect"] == "anthropic"
        assert answered.outcome == "complete"
        assert answered.sections["outcome"]["gen_ai.usage.input_tokens"] > 0


def test_errors_of_the_provider_reach_the_sdk(world: World, gpt: openai.OpenAI) -> None:
    """A 429 of the provider is the SDK's own exception and a complete exchange."""
    with pytest.raises(openai.RateLimitError):
        gpt.chat.completions.create(model="demo-error", messages=HELLO)
    _, answered = last(world)
    assert answered.outcome == "complete"
    assert answered.sections["outcome"]["http.response.status_code"] == 429


def test_a_stranger_gets_the_sdks_authentication_error(world: World) -> None:
    """Both SDKs raise what they raise for a wrong key."""
    base = f"http://127.0.0.1:{world.port}"
    with openai.OpenAI(base_url=f"{base}/openai/v1", api_key="wrong", max_retries=0) as one:
        with pytest.raises(openai.AuthenticationError) as refused:
            one.chat.completions.create(model="demo-1", messages=HELLO)
        assert "affidavit keys create" in refused.value.message
    with (
        anthropic.Anthropic(base_url=f"{base}/anthropic", api_key="wrong", max_retries=0) as two,
        pytest.raises(anthropic.AuthenticationError),
    ):
        two.messages.create(model="demo-1", max_tokens=5, messages=HELLO)


@pytest.mark.parametrize("script", [[Do.FIN], [whole(b"abcdef")[:-1], Do.FIN]])
def test_a_provider_that_fails_is_an_error_in_the_sdk(tmp_path: Path, script: Any) -> None:
    """No answer is a 502; a cut answer is a connection error, never a short text."""
    with Upstream(script) as provider, World(tmp_path, provider.url) as world:
        base = f"http://127.0.0.1:{world.port}/openai/v1"
        with (
            openai.OpenAI(base_url=base, api_key=KEY, max_retries=0) as client,
            pytest.raises(openai.APIError) as failed,
        ):
            client.chat.completions.create(model="demo-1", messages=HELLO)
    if script == [Do.FIN]:
        assert isinstance(failed.value, openai.InternalServerError)
        assert failed.value.status_code == 502
        assert failed.value.response.headers["affidavit-record"]
    else:
        assert isinstance(failed.value, openai.APIConnectionError)
