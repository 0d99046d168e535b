"""Records that scripts report: what a deploy pipeline changed, when, from what to what, and why.

Rules: the tier is ``reported``, because nobody here saw it happen; who reports is known by key,
who is said to have done it (``by``) is the reporter's word and stands in ``person``. Only the
types of ``REPORTED`` are taken: what this program observes or decides itself (exchanges, reads,
keys, configuration, retention, the ledger) nobody can report. A key of the role owner or caller
reports, for its own tenant. A change joins the chains of what it changed, of every model it names
as depending on it, and of the reporter. The two texts of a prompt are content, as prompts are
anywhere: who may not see content does not see them. Not here: what the records are used for
(``query``).
"""

import hashlib
import json
from typing import Annotated, Any, Literal, get_args

import msgspec
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from affidavit import __version__, ids
from affidavit.clock import add_seconds, is_stored
from affidavit.console.access import Access, who
from affidavit.console.auth import Authenticator, Reader
from affidavit.console.services import ConsoleServices
from affidavit.console.strict_json import StrictRoute
from affidavit.console.writes import IdempotencyKey, Writes
from affidavit.errors import TooLargeError, UsageError
from affidavit.record.classes import class_of
from affidavit.record.disclose import commit_part, content, disclose
from affidavit.record.model import SECTIONS, Chain, Record

Reportable = Literal[
    "change.model", "change.alias", "change.prompt", "change.policy", "change.source",
    "change.deployment",
]  # fmt: skip
REPORTED: tuple[str, ...] = get_args(Reportable)
"""The types that a script may report."""

MAX_SIDES = 128 * 1024
"""Bytes of JSON of ``before`` and ``after`` together."""
MAX_MODELS = 64
AHEAD_SECONDS = 300.0
"""So far may the time of a change lie ahead of ours."""
_CHAINED = {"model": "model", "alias": "model", "prompt": "prompt", "policy": "policy",
            "source": "source"}  # fmt: skip

Name = Annotated[str, StringConstraints(min_length=1, max_length=512)]


class ChangeBody(BaseModel):
    """A change: of what (``target``), from what to what, why, by whom, and which models it touches.

    ``target`` is a name; ``alias:`` and the like before it, as in a question, is taken off.
    ``before`` and ``after`` are any JSON; of an alias, the names of the models. ``at`` is when it
    happened, as stored times are written; now if it is left out.
    """

    model_config = ConfigDict(extra="forbid")

    type: Reportable
    target: Name
    before: Any = None
    after: Any = None
    reason: str = Field(default="", max_length=2_000)
    by: str = Field(default="", max_length=200)
    models: list[Name] = Field(default_factory=list, max_length=MAX_MODELS)
    at: str = Field(
        default="",
        pattern=r"^([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z)?$",
    )


def router(services: ConsoleServices, authenticator: Authenticator, access: Access) -> APIRouter:
    """Return the route of reports."""
    routes = APIRouter(prefix="/api", route_class=StrictRoute)
    writes = Writes(services, access)

    @routes.post("/records", tags=["report"], status_code=201, summary="Report a change")
    async def report(
        body: ChangeBody, request: Request, idempotency_key: IdempotencyKey = None
    ) -> dict[str, Any]:
        reporter = authenticator.reporter(request)
        record, bodies = change(body, reporter, services)

        async def act() -> dict[str, Any]:
            await services.journal.commit(record, bodies)
            return {"id": record.id, "type": record.type, "tier": record.tier, "at": record.at}

        whole = json.dumps(body.model_dump(), sort_keys=True).encode()
        asked = {"body": hashlib.sha256(whole).hexdigest()}
        return await writes.once("records.report", asked, reporter, idempotency_key, act)

    return routes


def change(
    body: ChangeBody, reporter: Reader, services: ConsoleServices
) -> tuple[Record, tuple[bytes, ...]]:
    """The record of a reported change and its content.

    ``UsageError`` for a time that does not exist or is ahead of ours; ``TooLargeError`` if both
    sides are more than ``MAX_SIDES``.
    """
    now = services.clock.now()
    if body.at and not is_stored(body.at):
        raise UsageError(f"There is no time {body.at}, or it is of before 1970.")
    if body.at > add_seconds(now, AHEAD_SECONDS):
        raise UsageError(f"The change is said to be of {body.at}, and it is {now}.")
    kind = body.type.removeprefix("change.")
    name = body.target.removeprefix(f"{kind}:")
    body = body.model_copy(update={"target": name or body.target})
    what: dict[str, Any] = {
        "target": {"kind": kind, "name": body.target}, "models": _models(body),
    }  # fmt: skip
    if kind != "prompt":
        what |= {"before": body.before, "after": body.after}
    if body.reason:
        what["reason"] = body.reason
    try:
        size = len(msgspec.json.encode([body.before, body.after]))
    except (UnicodeEncodeError, RecursionError) as error:
        raise UsageError("The change has text or depth that JSON does not know.") from error
    if size > MAX_SIDES:
        raise TooLargeError(f"Before and after have {size} bytes; {MAX_SIDES} are taken.")
    texts = _texts(body) if kind == "prompt" else {}
    parts = tuple(commit_part(f"change.{n}", t, data) for n, (t, data) in texts.items())
    identity = reporter.identity
    person = {"name": body.by or identity.name, "address": reporter.address}
    console = {"version": __version__, "config_hash": services.snapshot().config_hash}
    sections = {
        "who": who(reporter, ""),
        "person": {name: value for name, value in person.items() if value},
        "what": what,
        "context": {"console": console},
        **({"content": content(parts)} if parts else {}),
    }
    chains = _chains(body, kind, reporter)
    record = Record(
        id=ids.record_id(),
        type=body.type,
        at=body.at or now,
        tier="reported",
        tenant=identity.tenant,
        retention_class=class_of(
            services.config, body.type, sections["who"], chains, tier="reported"
        ),
        sections=tuple(
            disclose(name, sections[name]) if name in sections else None for name in SECTIONS
        ),
        chains=chains,
        parts=parts,
    )
    return record, tuple(data for _, data in texts.values())


def _texts(body: ChangeBody) -> dict[str, tuple[str, bytes]]:
    """Media type and bytes of each side: a text as it is, anything else as JSON on lines."""
    found = {}
    for name, value in (("before", body.before), ("after", body.after)):
        if isinstance(value, str):
            found[name] = ("text/plain; charset=utf-8", value.encode())
        elif value is not None:
            whole = msgspec.json.encode(value, order="sorted")
            found[name] = ("application/json", msgspec.json.format(whole, indent=2))
    return found


def _models(body: ChangeBody) -> list[str]:
    """The models that a change touches: those it says, and the two ends of an alias."""
    ends = [body.before, body.after] if body.type == "change.alias" else []
    return list(
        dict.fromkeys([*body.models, *(end for end in ends if isinstance(end, str) and end)])
    )


def _chains(body: ChangeBody, kind: str, reporter: Reader) -> tuple[Chain, ...]:
    identity = reporter.identity
    chains = []
    if kind in _CHAINED:
        chains.append(Chain(identity.tenant, _CHAINED[kind], body.target))
    chains += [Chain(identity.tenant, "model", name) for name in _models(body)]
    chains.append(Chain(identity.tenant, "actor", identity.actor))
    if reporter.via == "key":
        chains.append(Chain(identity.tenant, "key", identity.id))
    return tuple(dict.fromkeys(chains))
