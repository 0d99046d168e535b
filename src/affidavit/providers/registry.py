"""Which dialect a configured name means.

A name in the configuration stands for a way of speaking and for who is behind the address:
``azure`` speaks as OpenAI does and is recorded as ``azure.ai.openai``. The values are those of
OpenTelemetry's ``gen_ai.provider.name`` where it has one.
"""

from difflib import get_close_matches

from affidavit.errors import ConfigError
from affidavit.providers.anthropic import Anthropic
from affidavit.providers.dialect import Dialect
from affidavit.providers.opaque import Opaque
from affidavit.providers.openai import OpenAI

_OPENAI_LIKE = {
    "openai": "openai",
    "openai-compatible": "openai-compatible",
    "azure": "azure.ai.openai",
    "azure-openai": "azure.ai.openai",
    "groq": "groq",
    "mistral": "mistral_ai",
    "deepseek": "deepseek",
    "xai": "x_ai",
    "perplexity": "perplexity",
    "moonshot": "moonshot_ai",
    "openrouter": "openrouter",
    "together": "together_ai",
    "fireworks": "fireworks_ai",
    "ollama": "ollama",
    "vllm": "vllm",
    "litellm": "litellm",
    "demo": "demo",
}

NAMES = ("anthropic", "opaque", *_OPENAI_LIKE)
"""Every name a configuration may use."""


def lookup(name: str) -> Dialect:
    """Return the dialect of that name; ConfigError, with the nearest name, if there is none."""
    if name == "anthropic":
        return Anthropic()
    if name == "opaque":
        return Opaque()
    provider = _OPENAI_LIKE.get(name)
    if provider is None:
        near = get_close_matches(name, NAMES, n=1)
        raise ConfigError(
            f"There is no dialect called {name!r}.",
            hint=f"Did you mean {near[0]!r}?" if near else f"Known are: {', '.join(NAMES)}.",
        )
    return OpenAI(provider)
