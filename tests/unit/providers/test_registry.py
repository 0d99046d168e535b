"""Configured names: which dialect they mean, and what a wrong one says."""

import pytest

from affidavit import config
from affidavit.errors import ConfigError
from affidavit.providers import registry


@pytest.mark.parametrize("name", registry.NAMES)
def test_every_name_has_a_dialect_that_answers(name: str) -> None:
    """All of the protocol's methods, for a name the configuration may use."""
    dialect = registry.lookup(name)
    assert dialect.name in ("openai", "anthropic", "opaque")
    assert dialect.provider
    request = dialect.request("POST", "/v1/x", [], b"{}")
    response = dialect.response(request, 200, [], b"{}")
    assert request.provider == response.provider == dialect.provider
    assert request.parser == response.parser == f"{dialect.name}/1"
    assert dialect.conversation(request, response) == []


def test_azure_speaks_openai_under_its_own_name() -> None:
    """OpenTelemetry's value for who is behind the address."""
    assert registry.lookup("azure").name == "openai"
    assert registry.lookup("azure").provider == "azure.ai.openai"


def test_an_unknown_name_names_the_nearest() -> None:
    """A typing error in the configuration is answered with what was meant."""
    with pytest.raises(ConfigError) as caught:
        registry.lookup("antropic")
    assert "anthropic" in caught.value.hint
    with pytest.raises(ConfigError) as caught:
        registry.lookup("zzz")
    assert "openai" in caught.value.hint


def test_the_configuration_knows_the_same_dialects() -> None:
    """What the registry can look up may be configured, and nothing else."""
    assert set(config.DIALECTS) == set(registry.NAMES)
