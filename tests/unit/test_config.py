"""The configuration file: defaults, refusals with the nearest name, secrets never shown."""

from pathlib import Path

import pytest

from affidavit.app.first_start import DEFAULT_YAML
from affidavit.config import load, parse, secret_variables
from affidavit.errors import ConfigError

MINIMUM = """
providers:
  openai: {dialect: openai, base_url: https://api.openai.com, secret: "${OPENAI_API_KEY}"}
"""


def test_defaults_need_no_file() -> None:
    """Without a file every key has its documented default."""
    config = load(None, {})
    assert (config.gateway.host, config.gateway.port) == ("127.0.0.1", 8787)
    assert config.console.port == 8788
    assert config.routes["default"].unrecordable == "refuse"


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("https://Audit.Example:443/", "https://audit.example"),
        ("http://audit.example:80", "http://audit.example"),
        ("https://audit.example:8443", "https://audit.example:8443"),
        ("https://[::1]", "https://[::1]"),
    ],
)
def test_the_public_address_is_the_origin_that_browsers_send(written: str, sent: str) -> None:
    """Host in small letters, the usual port left out, no slash at the end."""
    config = parse(f"console: {{public_url: '{written}'}}", {}, "c")
    assert config.console.public_url == sent


def test_routes_are_named_by_provider_or_path() -> None:
    """What is not named is on the default route, which refuses unless it says otherwise."""
    text = MINIMUM + "routes: {openai/v1/embeddings: {unrecordable: serve}}"
    config = parse(text, {"OPENAI_API_KEY": "k"}, "c")
    assert config.routes["openai/v1/embeddings"].unrecordable == "serve"
    assert config.serves_unrecorded
    assert not parse(MINIMUM, {"OPENAI_API_KEY": "k"}, "c").serves_unrecorded


@pytest.mark.parametrize(
    "name", ["/openai", "openai/", "other", "openai//v1", "openai/v1?x", "openai/%76", "openai/ö"]
)
def test_a_route_that_leads_nowhere_is_refused(name: str) -> None:
    """A name that no path begins with would protect nothing."""
    text = MINIMUM + f"routes: {{'{name}': {{unrecordable: serve}}}}"
    with pytest.raises(ConfigError, match="route"):
        parse(text, {"OPENAI_API_KEY": "k"}, "c")


def test_the_file_written_at_first_start_is_valid_and_its_providers_are_off_without_secrets() -> (
    None
):
    """An unset secret switches its provider off and says which variable is missing."""
    config = parse(DEFAULT_YAML, {"OPENAI_API_KEY": "sk-x"}, "config.yaml")
    assert config.providers["openai"].off is None
    assert config.providers["anthropic"].off == "ANTHROPIC_API_KEY is not set"
    assert config.providers["anthropic"].secret is None


def test_secret_is_interpolated_and_never_shown() -> None:
    """The value of a secret is neither in the text form nor in the hash's input."""
    config = parse(MINIMUM, {"OPENAI_API_KEY": "canary-secret"}, "c")
    secret = config.providers["openai"].secret
    assert secret is not None
    assert secret.get_secret_value() == "canary-secret"
    assert "canary-secret" not in repr(config) + config.model_dump_json()
    other = parse(MINIMUM, {"OPENAI_API_KEY": "another"}, "c")
    assert config.hash() == other.hash()


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("gatewy: {port: 1}", "gatewy is not a known key", "gateway"),
        ("gateway: {prt: 1}", "gateway.prt is not a known key", "port"),
        ("providers: {x: {base_ur: 'http://h'}}", "base_ur", ""),
        ("gateway: {port: 70000}", "gateway.port must be less than", ""),
        ("gateway: {port: x}", "gateway.port must be a valid integer", ""),
        ("providers: {x: {dialect: openai}}", "providers.x.base_url is missing", ""),
        ("providers: {x: {dialect: opnai, base_url: 'http://h'}}", "did you mean openai?", ""),
        ("gateway: {port: 1}\ngateway: {port: 2}", "twice", ""),
        ("providers: {receipts: {base_url: 'http://h'}}", "receipts", ""),
        ("providers: {x: {base_url: 'http://u:p@h'}}", "no credentials", ""),
        ("providers: {x: {base_url: 'ftp://h'}}", "http://", ""),
        ("console: {public_url: 'https://h/a'}", "without a path", ""),
        ("console: {public_url: 'audit.example'}", "http://", ""),
        ("console: {public_url: 'https://h:99999'}", "console.public_url", ""),
        ("log: {origin: 'a b'}", "log.origin", ""),
        ("- a", "keys and values", ""),
        ("a: [", "line", ""),
        ("providers: {x: {base_url: 'http://${NOPE}'}}", "NOPE", "export"),
        ("providers: {x: {base_url: 'http://h', proxy: 'socks5://p'}}", "http://host:port", ""),
    ],
)
def test_wrong_configuration_is_refused_by_name(text: str, said: str, hint: str) -> None:
    """Each mistake has its sentence, with the nearest name where a key is misspelt."""
    with pytest.raises(ConfigError) as caught:
        parse(text, {}, "config.yaml")
    assert said in caught.value.message
    assert "Value error" not in caught.value.message
    assert hint in caught.value.hint


def test_a_wrong_value_is_not_repeated_in_the_error() -> None:
    """A value may be a secret in the wrong place, so errors do not show it."""
    with pytest.raises(ConfigError) as caught:
        parse("gateway: {port: canary-value}", {}, "c")
    assert "canary" not in str(caught.value.as_json())


def test_missing_file(tmp_path: Path) -> None:
    """A path that is not there is a sentence, not a traceback."""
    with pytest.raises(ConfigError, match="could not be read"):
        load(tmp_path / "none.yaml", {})


def test_every_process_says_the_same_configuration_whatever_secrets_it_has() -> None:
    """A process without the secrets (the sequencer) and one with them give one hash."""
    text = (
        "providers:\n  a: {base_url: 'http://h', secret: 'Bearer ${A}',"
        " proxy: 'http://p:1', proxy_secret: '${B}'}\n"
    )
    with_secrets = parse(text, {"A": "canary-a", "B": "canary:b"}, "c")
    without = parse(text, {}, "c")
    assert without.providers["a"].off is not None
    assert with_secrets.settings() == without.settings()
    assert with_secrets.hash() == without.hash()
    assert "canary" not in str(with_secrets.settings())


def test_credentials_of_a_proxy_have_a_place_of_their_own() -> None:
    """In the address they would reach the record of the configuration."""
    with pytest.raises(ConfigError, match="proxy_secret"):
        parse("providers: {x: {base_url: 'http://h', proxy: 'http://u:p@h:1'}}", {}, "c")


def test_all_variables_of_secrets_are_found(tmp_path: Path) -> None:
    """Also those inside a longer value, so that no other process gets them."""
    path = tmp_path / "c.yaml"
    path.write_text(
        "providers:\n"
        "  a: {base_url: 'http://h', secret: 'Bearer ${ONE}'}\n"
        "  b:\n    base_url: 'http://${HOST}'\n    proxy_secret: \"${TWO}:${THREE}\"\n"
    )
    assert secret_variables(path) == {"ONE", "TWO", "THREE"}


@pytest.mark.parametrize("secret", ["sk-1\n", "sk-1\r\nx: y", "sk\0"])
def test_a_secret_is_one_line(secret: str) -> None:
    """A line break from a file would end a header field in the middle; the value is not shown."""
    with pytest.raises(ConfigError, match="one line") as caught:
        parse(MINIMUM, {"OPENAI_API_KEY": secret}, "c")
    assert "sk" not in str(caught.value.as_json())


def test_a_callers_key_is_not_taken_for_the_providers() -> None:
    """A shell that was set up for a caller does not send our key to a provider."""
    provider = parse(MINIMUM, {"OPENAI_API_KEY": "aff_x"}, "c").providers["openai"]
    assert provider.secret is None
    assert provider.off == "OPENAI_API_KEY holds a key of ours, not the provider's"


def test_the_largest_body_fits_into_what_a_worker_may_hold() -> None:
    """Otherwise such a body would be told to come again for ever."""
    text = "gateway: {max_body_bytes: 5000, max_inflight_bytes: 4000}"
    with pytest.raises(ConfigError, match="max_inflight_bytes must not be less"):
        parse(text, {}, "f.yaml")
