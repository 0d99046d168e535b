"""The configuration: one YAML file, every key with a default, unknown keys refused.

Rules: ``${NAME}`` is replaced from the environment and never printed; a provider whose secret is
not set is *off*, and says so, instead of failing the start; an unknown key is an error that
names the nearest known one. Not here: command-line options (``cli``) and where state lives
(``app``).
"""

import difflib
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from affidavit import config_trouble, strict_yaml
from affidavit.config_boundaries import BoundaryName, BreakGlass, NamedBoundary
from affidavit.config_keys import Keys
from affidavit.config_retention import Retention
from affidavit.errors import ConfigError
from affidavit.prices import Price, Prices

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")
DIALECTS = (
    "anthropic", "opaque", "openai", "openai-compatible", "azure", "azure-openai", "groq",
    "mistral", "deepseek", "xai", "perplexity", "moonshot", "openrouter", "together", "fireworks",
    "ollama", "vllm", "litellm", "demo",
)  # fmt: skip
"""The dialects that ``providers.registry`` knows."""
OUR_PREFIX = "aff_"
"""What the keys that this program makes begin with; no provider's key does."""
_SECRETS = ("secret", "proxy_secret")
_RESERVED = frozenset({"healthz", "readyz", "receipts", "records", "mcp", "otlp", "kubernetes"})


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


def _plain(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be http://… or https://… with a host")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("must hold no credentials, query or fragment")
    return url


def _origin(url: str) -> str:
    """The origin of a URL without a path, spelt as browsers spell it."""
    parts = urlsplit(_plain(url))
    if parts.path not in ("", "/") or not url.isascii():
        raise ValueError("must be http://HOST or https://HOST, without a path")
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    usual = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + (
        f":{parts.port}" if parts.port not in (None, usual) else ""
    )


class Provider(_Section):
    """One upstream: ``/{name}/…`` on the gateway is ``base_url/…`` there.

    ``credential: inject`` replaces what the caller sends by ``secret``; ``pass`` leaves the
    caller's own and expects our key in ``affidavit-key``. Timeouts are seconds: to connect, to
    the first byte of the response, and between two pieces of it. ``ca_file`` adds a trust
    anchor; ``proxy`` (``http://host:port``) is the only way an egress proxy is used, with
    ``proxy_secret`` (``user:password``) if it asks for one. ``off`` is set by ``load`` when the
    provider cannot be used, and says why.
    """

    dialect: str = "opaque"
    base_url: str
    credential: Literal["inject", "pass"] = "inject"
    secret: SecretStr | None = None
    connect_timeout: float = Field(default=5.0, gt=0)
    first_byte_timeout: float = Field(default=600.0, gt=0)
    idle_timeout: float = Field(default=300.0, gt=0)
    ca_file: Path | None = None
    proxy: str | None = None
    proxy_secret: SecretStr | None = None
    off: str | None = None

    @field_validator("dialect")
    @classmethod
    def _known_dialect(cls, value: str) -> str:
        if value not in DIALECTS:
            near = difflib.get_close_matches(value, DIALECTS, n=1)
            meant = f"did you mean {near[0]}? " if near else ""
            raise ValueError(f"is not a known dialect; {meant}known are {', '.join(DIALECTS)}")
        return value

    @field_validator("base_url")
    @classmethod
    def _plain_origin(cls, value: str) -> str:
        return _plain(value).rstrip("/")

    @field_validator("secret", "proxy_secret")
    @classmethod
    def _one_line(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().isprintable():
            raise ValueError("must be one line, without a line break at its end")
        return value

    @field_validator("proxy")
    @classmethod
    def _plain_proxy(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme != "http" or not parts.port or parts.username or parts.password:
            raise ValueError("must be http://host:port; credentials go into proxy_secret")
        return value


class Route(_Section):
    """What is recorded, and what happens when it cannot be (guarantee G1).

    ``unrecordable``: ``refuse`` the call, or ``serve`` it and put the gap on record afterwards.
    """

    capture: Literal["full"] = "full"
    unrecordable: Literal["refuse", "serve"] = "refuse"


class Gateway(_Section):
    """The listening side for callers. Sizes in bytes, times in seconds."""

    host: str = "127.0.0.1"
    port: int = Field(default=8787, ge=0, le=65535)
    workers: int = Field(default=2, ge=1, le=64)
    max_body_bytes: int = Field(default=64 << 20, ge=1024)
    max_inflight_bytes: int = Field(default=256 << 20, ge=1024)
    max_response_bytes: int = Field(default=256 << 20, ge=1024)
    max_header_bytes: int = Field(default=64 << 10, ge=1024)
    client_write_timeout: float = Field(default=60.0, gt=0)
    client_read_timeout: float = Field(default=60.0, gt=0)
    drain_seconds: float = Field(default=10.0, ge=0)

    @model_validator(mode="after")
    def _one_body_has_room(self) -> Self:
        if self.max_inflight_bytes < self.max_body_bytes:
            raise ValueError("max_inflight_bytes must not be less than max_body_bytes")
        return self


class Limits(_Section):
    """What one reader may ask of the console, and how often one address may err; beyond, 429."""

    reads_per_minute: int = Field(default=1200, ge=1, le=1_000_000)
    expensive_at_once: int = Field(default=2, ge=1, le=64)
    tails_at_once: int = Field(default=10, ge=1, le=1000)
    failed_per_minute: int = Field(default=30, ge=1, le=1_000_000)


class Console(_Section):
    """The listening side for readers.

    ``public_url``: the origin at which browsers reach it, where a proxy stands in front of it.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8788, ge=0, le=65535)
    public_url: str = ""
    limits: Limits = Limits()

    @field_validator("public_url")
    @classmethod
    def _an_origin(cls, value: str) -> str:
        return _origin(value) if value else value


class Log(_Section):
    """The ledger. ``origin`` names it in every checkpoint (C2SP tlog-checkpoint).

    ``""``: the name that the ledger has, or gets at its first start. ``post_quantum``: an ML-DSA-44
    key of the log signs every checkpoint, too.
    """

    origin: str = ""
    post_quantum: bool = False

    @field_validator("origin")
    @classmethod
    def _origin_is_a_key_name(cls, value: str) -> str:
        if any(c.isspace() for c in value) or "+" in value or not value.isprintable():
            raise ValueError("must be a schema-less URL without spaces and +")
        return value


class Witnesses(_Section):
    """Who cosigns checkpoints: those of the ``policy`` file (C2SP tlog-policy), if there is one.

    They are asked ``every`` so many seconds while the log grows. ``require``: a checkpoint is
    published only when the policy's quorum has cosigned it; recording never waits for that.
    """

    policy: Path | None = None
    require: bool = False
    every: float = Field(default=1.0, ge=0.1, le=3600)

    @model_validator(mode="after")
    def _nobody_is_required_without_a_policy(self) -> Self:
        if self.require and self.policy is None:
            raise ValueError("require needs a policy")
        return self


class Timestamps(_Section):
    """The RFC 3161 authority that stamps checkpoints, ``every`` so many seconds while they change.

    ``ca_file``: PEM, the root certificates that its tokens have to lead to; they count as trust
    anchors for TLS with it, too.
    """

    url: str | None = None
    ca_file: Path | None = None
    every: float = Field(default=3600.0, ge=1, le=86_400)

    @field_validator("url")
    @classmethod
    def _plain_url(cls, value: str | None) -> str | None:
        return None if value is None else _plain(value)

    @model_validator(mode="after")
    def _tokens_can_be_checked(self) -> Self:
        if self.url is not None and self.ca_file is None:
            raise ValueError("ca_file is missing, without which no timestamp can be checked")
        return self


class Anchors(_Section):
    """Where copies of checkpoints go: a directory on another disk or machine, which is there."""

    copy_to: Path | None = None


class Config(_Section):
    """Everything that can be configured."""

    providers: dict[str, Provider] = Field(default_factory=dict)
    routes: dict[str, Route] = Field(default_factory=lambda: {"default": Route()})
    gateway: Gateway = Gateway()
    console: Console = Console()
    log: Log = Log()
    witnesses: Witnesses = Witnesses()
    timestamps: Timestamps = Timestamps()
    anchors: Anchors = Anchors()
    keys: Keys = Keys()
    retention: Retention = Retention()
    boundaries: dict[BoundaryName, NamedBoundary] = Field(default_factory=dict)
    prices: Prices = Field(default_factory=dict)

    @field_validator("providers")
    @classmethod
    def _names(cls, value: dict[str, Provider]) -> dict[str, Provider]:
        for name in value:
            if not _NAME.match(name) or name in _RESERVED:
                raise ValueError(f"{name!r} is not usable as a provider name")
        return value

    @model_validator(mode="after")
    def _routes_lead_somewhere(self) -> Self:
        for name in self.routes:
            if name == "default":
                continue
            first, *rest = name.split("/")
            if not all([first, *rest]) or not name.isascii() or set(name) & set("%?#\\ ;"):
                raise ValueError(f"route {name!r}: a route is PROVIDER or PROVIDER/the/begin")
            if first not in self.providers:
                raise ValueError(f"route {name!r}: there is no provider {first!r}")
        return self

    @property
    def serves_unrecorded(self) -> bool:
        """Whether any route serves what cannot be recorded."""
        return any(route.unrecordable == "serve" for route in self.routes.values())

    @property
    def anchored(self) -> bool:
        """Whether anything outside this directory is to vouch for the log."""
        named = (self.witnesses.policy, self.timestamps.url, self.anchors.copy_to)
        return any(one is not None for one in named)

    def named(self, origin: str) -> Self:
        """The same for the ledger of this name."""
        return self.model_copy(update={"log": self.log.model_copy(update={"origin": origin})})

    def settings(self) -> dict[str, Any]:
        """The configuration in force as plain values, for the record.

        Without secrets, and without what depends on which secrets a process was given (``off``),
        so that every process of an installation says the same. The ledger's name is the data's,
        not the configuration's.
        """
        private = {"secret", "proxy_secret", "off"}
        return self.model_dump(
            mode="json",
            by_alias=True,
            exclude={"providers": {"__all__": private}, "log": {"origin"}},
        )

    def hash(self) -> str:
        """Hex SHA-256 of ``settings``; stands in the ``context`` of every exchange."""
        text = json.dumps(self.settings(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def load(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Read the configuration at ``path`` (defaults alone for ``None``).

    ``ConfigError`` names file, key and the nearest known key; values are never part of it.
    """
    if path is None:
        return parse("", environ, "defaults")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} could not be read: {getattr(error, 'strerror', None) or 'not UTF-8'}.",
            hint="Give the path of a YAML file with --config.",
        ) from error
    return parse(text, environ, str(path))


def load_part(path: Path, environ: Mapping[str, str], *sections: str) -> Config:
    """These sections of the file at ``path``, all others at their defaults; errors as ``load``."""
    data = strict_yaml.read(path.read_text(encoding="utf-8"), str(path))
    part = {name: data[name] for name in sections if name in data}
    try:
        return Config.model_validate(strict_yaml.interpolate(part, environ, str(path)))
    except ValidationError as error:
        raise config_trouble.explain(error, str(path), Config, _TABLES) from None


def secret_variables(path: Path) -> set[str]:
    """Names of the environment variables that go into secrets of the file at ``path``."""
    data = strict_yaml.read(path.read_text(encoding="utf-8"), str(path))
    providers = data.get("providers")
    found: set[str] = set()
    for provider in providers.values() if isinstance(providers, dict) else ():
        for key in _SECRETS if isinstance(provider, dict) else ():
            found.update(strict_yaml.VARIABLE.findall(str(provider.get(key, ""))))
    return found


def parse(text: str, environ: Mapping[str, str], name: str) -> Config:
    """Read a configuration from YAML text; ``name`` is what errors call it."""
    data = strict_yaml.read(text, name)
    _switch_off(data, environ)
    data = strict_yaml.interpolate(data, environ, name)
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        raise config_trouble.explain(error, name, Config, _TABLES) from None


def _switch_off(data: dict[str, Any], environ: Mapping[str, str]) -> None:
    """Mark providers whose secrets name an unset variable, and drop those secrets."""
    providers = data.get("providers")
    if not isinstance(providers, dict):
        return
    for provider in providers.values():
        if not isinstance(provider, dict) or "off" in provider:
            continue
        text = " ".join(str(provider.get(key, "")) for key in _SECRETS)
        why = _why_off(strict_yaml.VARIABLE.findall(text), environ)
        if why:
            provider["off"] = why
            for key in _SECRETS:
                provider.pop(key, None)


def _why_off(names: list[str], environ: Mapping[str, str]) -> str:
    """Why secrets made of these variables cannot be used; empty if they can."""
    for name in names:
        if not environ.get(name):
            return f"{name} is not set"
        if environ[name].startswith(OUR_PREFIX):
            return f"{name} holds a key of ours, not the provider's"
    return ""


_TABLES: dict[str, type[BaseModel]] = {
    "providers": Provider, "routes": Route, "prices": Price,
    "boundaries": NamedBoundary, "break_glass": BreakGlass,
}  # fmt: skip
"""What stands under names that people choose, by the key above them."""
