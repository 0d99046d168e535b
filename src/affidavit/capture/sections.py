"""What an exchange's two records say, section by section, and which chains they join.

Rules:

1. What is not known is left out, or written as ``unknown`` where a reader would ask for it.
2. ``who`` and ``what`` hold nothing that identifies a human and no credential; ``person`` holds
   the former, nothing holds the latter.
3. A response joins every chain of its request (the ledger adds ``type``) and its own: the model
   that served it and the tools it called. What is unknown, unparsed or over the limit joins the
   dimension's ``.unattributed`` chain, so no answer by that dimension leaves it out.

Not here: when something is recorded and which outcome it has (``exchange``).
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from affidavit import __version__
from affidavit.config import Config
from affidavit.control.attribution import Attribution
from affidavit.control.identity import Identity
from affidavit.providers.facts import YES, RequestFacts, ResponseFacts
from affidavit.record.model import MAX_VALUES, Chain
from affidavit.wire.credentials import is_credential, recordable, redact_target

_NOT_SERVED_BY_A_MODEL = frozenset({"models", "messages.count_tokens", "responses.input_tokens"})

Headers = Sequence[tuple[bytes, bytes]]


class Setting(NamedTuple):
    """What is the same for all exchanges of a worker; ``context`` is that section, as JSON."""

    context: msgspec.Raw
    config: Config


ALLOWED = msgspec.Raw(b'{"decision":"allow","reasons":[],"policy":"none"}')
"""The section ``control`` of a request that no policy was asked about."""


def setting(host: str, worker: str, config: Config) -> Setting:
    """The setting of this process under the configuration in force."""
    gateway = {
        "version": __version__,
        "config_hash": config.hash(),
        "policy_hash": "none",
        "host": host,
        "worker": worker,
    }
    context = {"gateway": gateway, "workload": "unknown"}
    return Setting(msgspec.Raw(msgspec.json.encode(context)), config)


class Asked(NamedTuple):
    """One request, understood: ``target`` and ``headers`` as they are forwarded."""

    provider: str
    method: str
    target: str
    headers: Headers
    facts: RequestFacts
    identity: Identity
    attribution: Attribution
    address: str
    media_type: str


def who(asked: Asked) -> dict[str, Any]:
    """The section ``who``: pseudonyms, roles, and how sure we are."""
    identity, attribution = asked.identity, asked.attribution
    section: dict[str, Any] = {
        "tenant": identity.tenant,
        "actor": identity.actor,
        "kind": identity.kind,
        "role": identity.role,
        "groups": list(identity.groups),
        "team": identity.team,
        "credential": identity.id,
        "authenticated_by": "key",
        "assurance": "key",
        "session_source": attribution.session_source,
        **identity.marks(),
    }
    if attribution.session is not None:
        section["session"] = attribution.session
    if attribution.purpose is not None:
        section["purpose"] = attribution.purpose
    return section


def person(asked: Asked, headers: list[list[str]]) -> dict[str, Any]:
    """The section ``person``: what identifies a human, or may; ``headers`` from ``shown``."""
    named: dict[str, Any] = {
        "email": asked.identity.email,
        "name": asked.identity.name,
        "end_user": asked.attribution.end_user,
        "session": asked.attribution.session_raw,
        "address": asked.address,
        "user_agent": next((value for name, value in headers if name == "user-agent"), ""),
        "headers": [field for field in headers if field[0] != "user-agent"],
    }
    return {name: value for name, value in named.items() if value}


def request_what(asked: Asked, headers: list[list[str]]) -> dict[str, Any]:
    """The section ``what`` of the request; ``headers`` from ``shown``."""
    attribution = asked.attribution
    section: dict[str, Any] = asked.facts.what()
    section["provider"] = asked.provider
    section["http.request.method"] = asked.method
    section["url.path"] = redact_target(asked.target)
    section["http.request.headers"] = headers
    if attribution.trace_id is not None:
        section["trace_id"] = attribution.trace_id
        section["span_id"] = attribution.span_id
    if attribution.opt_out:
        section["recording_opt_out"] = list(attribution.opt_out)
    return section


def response_what(
    asked: Asked, parent: str, facts: ResponseFacts | None, headers: Headers, made_by: str
) -> dict[str, Any]:
    """The section ``what`` of the response; ``made_by`` is ``provider`` or ``gateway``."""
    section: dict[str, Any] = {"dialect": asked.facts.dialect}
    if facts is not None:
        section.update(facts.what())
    section["provider"] = asked.provider
    section["parent"] = parent
    section["response_made_by"] = made_by
    impersonal, personal = shown(headers)
    section["http.response.headers"] = impersonal + personal
    return section


def request_chains(asked: Asked) -> tuple[Chain, ...]:
    """The chains of a request, without ``type`` and ``.values``."""
    identity, facts, attribution = asked.identity, asked.facts, asked.attribution
    tenant, unread = identity.tenant, facts.parsed != YES
    chains: list[Chain] = []
    if facts.model:
        chains.append(Chain(tenant, "model", facts.model))
    if not facts.model or unread:
        chains.append(Chain(tenant, "model.unattributed", ""))
    chains.append(Chain(tenant, "actor", identity.actor))
    chains.append(Chain(tenant, "key", identity.id))
    if attribution.session is not None:
        chains.append(Chain(tenant, "session", attribution.session))
    elif unread:
        chains.append(Chain(tenant, "session.unattributed", ""))
    return tuple(chains)


def response_chains(
    asked: Asked, request: tuple[Chain, ...], facts: ResponseFacts | None
) -> tuple[Chain, ...]:
    """The chains of a response: those of its request, the served model, the tools called.

    ``facts`` is None when no provider answered; nothing was served then.
    """
    if facts is None:
        return request
    tenant, unread = asked.identity.tenant, facts.parsed != YES
    chains = dict.fromkeys(request)
    if facts.model:
        chains[Chain(tenant, "model", facts.model)] = None
    served = facts.status < 400 and asked.facts.api not in _NOT_SERVED_BY_A_MODEL
    if unread or (served and not facts.model):
        chains[Chain(tenant, "model.unattributed", "")] = None
    tools = facts.tools_called
    for tool in tools[:MAX_VALUES]:
        chains[Chain(tenant, "tool", tool)] = None
    if unread or len(tools) > MAX_VALUES:
        chains[Chain(tenant, "tool.unattributed", "")] = None
    return tuple(chains)


def shown(headers: Headers) -> tuple[list[list[str]], list[list[str]]]:
    """The recordable fields in order: those for ``what``, and those that may name a human."""
    impersonal: list[list[str]] = []
    personal: list[list[str]] = []
    for name, value in headers:
        if _is_secret(name):
            continue
        target = personal if _is_personal(name) else impersonal
        target += (
            _field(name, value) if len(value) <= _CACHED_BYTES else recordable([(name, value)])
        )
    return impersonal, personal


_CACHED_BYTES = 100
"""SDKs send the same short fields with every request; what is known of them is remembered."""


@lru_cache(maxsize=1024)
def _is_secret(name: bytes) -> bool:
    return is_credential(name.decode("latin-1"))


@lru_cache(maxsize=1024)
def _is_personal(name: bytes) -> bool:
    return name in _PERSONAL or name.startswith(_PERSONAL_PREFIXES)


@lru_cache(maxsize=4096)
def _field(name: bytes, value: bytes) -> list[list[str]]:
    return recordable([(name, value)])


_PERSONAL = frozenset({
    b"user-agent", b"from", b"forwarded", b"x-forwarded-for", b"x-real-ip", b"true-client-ip",
    b"cf-connecting-ip", b"helicone-user-id", b"helicone-session-id", b"agent-session-id",
    b"x-bf-session-id", b"mcp-session-id", b"x-litellm-session-id", b"x-litellm-trace-id",
    b"x-litellm-end-user-id", b"x-litellm-customer-id", b"x-openwebui-user-email",
    b"x-openwebui-user-id", b"x-openwebui-user-name", b"referer", b"baggage",
    b"helicone-session-name", b"helicone-session-path", b"x-portkey-metadata",
    b"cf-aig-metadata", b"x-litellm-tags", b"x-litellm-spend-logs-metadata",
    b"litellm-changed-by",
})  # fmt: skip
"""Names of fields, in lower case, whose values may identify a human; they are in ``person``."""

_PERSONAL_PREFIXES = (b"helicone-property-", b"x-llmgateway-")
"""So begin the names of fields whose values are the caller's own, so may identify one, too."""
