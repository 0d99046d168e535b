"""The HTTP API under ``/api``: query, show, tail, reveal, keys, status.

Rules: JSON in and out; unknown fields are refused; one error shape (``errors.as_json``); each
answer that shows a record was recorded first (``reads``). Not here: exports (``export_api``),
what is public (``public``).
"""

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Header, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from affidavit.console import resolve
from affidavit.console.access import Access
from affidavit.console.approvals_api import broken
from affidavit.console.auth import Authenticator, require_administration
from affidavit.console.key_limits import check_known, known, limited, limits_of
from affidavit.console.proofs import Proofs
from affidavit.console.public import figures
from affidavit.console.reads import Ask, Reads, Story
from affidavit.console.services import ConsoleServices
from affidavit.console.strict_json import StrictRoute
from affidavit.console.tails import TailResponse
from affidavit.console.writes import NOTE, IdempotencyKey, Writes
from affidavit.control.identity import Identity
from affidavit.errors import UsageError
from affidavit.query.session import MAX_LINES

MOMENT = r"^[0-9A-Za-z:.+-]*$"
"""What a time may be made of: one word of an expression."""
MAX_INDEX = 2**63 - 1
"""The largest index that a ledger and its index can hold."""


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class QueryBody(_Body):
    """A question. ``view`` says whether rows are records or exchanges (both halves joined).

    ``count``: no rows, only how many there are, with the proof of it.
    """

    expression: str = Field(default="", max_length=4096)
    limit: int = Field(default=50, ge=1, le=1000)
    cursor: str = Field(default="", max_length=1024)
    purpose: str = Field(default="", max_length=500)
    view: Literal["exchanges", "records"] = "exchanges"
    prove: bool = False
    count: bool = False


class RevealBody(_Body):
    """Content of one record or exchange, and the reason, which is recorded."""

    id: str = Field(min_length=1, max_length=200)
    reason: str = Field(min_length=1, max_length=500)


class KeyBody(_Body):
    """A key to make. The name is the person's or service's; one name keeps one pseudonym.

    ``boundary``: one of the configuration. ``until``: a time, or ``30d`` from now, at which the
    right to read ends. ``labels`` and ``jurisdiction`` are what rules of retention may ask for.
    ``tenant``: another one than that of who makes it; an owner alone names one.
    """

    name: str = Field(min_length=1, max_length=200)
    tenant: str = Field(default="", max_length=200)
    email: str = Field(default="", max_length=200)
    kind: Literal["person", "service", "agent"] = "service"
    role: str = Field(default="caller", max_length=50)
    team: str = Field(default="", max_length=200)
    groups: list[str] = Field(default_factory=list, max_length=50)
    boundary: str = Field(default="", max_length=63)
    until: str = Field(default="", max_length=40)
    labels: list[Annotated[str, Field(min_length=1, max_length=64)]] = Field(
        default_factory=list, max_length=20
    )
    jurisdiction: str = Field(default="", max_length=64)


def router(
    services: ConsoleServices,
    authenticator: Authenticator,
    access: Access,
    reads: Reads,
    proofs: Proofs,
) -> APIRouter:
    """Return the routes of the API."""
    routes = APIRouter(prefix="/api", route_class=StrictRoute)
    writes = Writes(services, access)

    @routes.head("/status", include_in_schema=False)
    @routes.get("/status", tags=["health"], summary="Ledger, journals and this reader's boundary")
    async def status(request: Request) -> dict[str, Any]:
        reader = authenticator.api(request)
        found = await figures(services)
        as_of = await services.blocking(services.searcher.as_of)
        return found | {
            "as_of": msgspec.to_builtins(as_of),
            "break_glass": broken(services, reader),
            "reader": {
                "role": reader.identity.role,
                "tenant": reader.identity.tenant,
                "authenticated_by": reader.via,
                "boundary": reader.boundary.as_json(),
            },
        }

    async def answer_query(asked: QueryBody, request: Request) -> dict[str, Any]:
        reader = authenticator.api(request)
        answer = await reads.query(reader, Ask(**asked.model_dump()))
        actors = [row.get("actor") for row in answer["rows"]]
        answer["names"] = resolve.names(actors, reader, services.snapshot())
        if asked.prove or asked.count:
            answer["proof"] = await proofs.verdict(
                reader, asked.expression, asked.purpose, count=asked.count
            )
        return answer

    @routes.post("/query", tags=["read"], summary="Search, newest first")
    async def query(body: QueryBody, request: Request) -> dict[str, Any]:
        return await answer_query(body, request)

    @routes.get("/query", tags=["read"], summary="The same by GET, for links and scripts")
    async def query_by_get(
        request: Request, asked: Annotated[QueryBody, Query()]
    ) -> dict[str, Any]:
        return await answer_query(asked, request)

    @routes.get("/show/{name:path}", tags=["read"], summary="What happened, in order, by pages")
    async def show(
        name: str,
        request: Request,
        purpose: Annotated[str, Query(max_length=500)] = "",
        since: Annotated[str, Query(max_length=40, pattern=MOMENT)] = "",
        until: Annotated[str, Query(max_length=40, pattern=MOMENT)] = "",
        cursor: Annotated[str, Query(max_length=2048)] = "",
        limit: Annotated[int, Query(ge=1, le=MAX_LINES)] = 500,
    ) -> dict[str, Any]:
        """A record, exchange, session or trace; ``actor:…`` or ``model:…``, also in a window."""
        asked = Story(name[:512], purpose, since, until, cursor, limit)
        return await reads.show(authenticator.api(request), asked)

    @routes.get(
        "/tail",
        tags=["read"],
        summary="Rows as they come (server-sent events)",
    )
    async def tail(
        request: Request,
        expression: Annotated[str, Query(max_length=4096)] = "",
        after: Annotated[int | None, Query(ge=0, le=MAX_INDEX)] = None,
        purpose: Annotated[str, Query(max_length=500)] = "",
        last_event_id: Annotated[str, Header(max_length=20)] = "",
    ) -> TailResponse:
        reader = authenticator.api(request)
        start = int(last_event_id) + 1 if last_event_id.isdecimal() else after
        if start is not None and start > MAX_INDEX:
            raise UsageError("No ledger is as long as Last-Event-ID says.")
        return TailResponse(await reads.tail(reader, expression, start, purpose))

    @routes.post(
        "/reveal",
        tags=["read"],
        summary="Content, for a reason that is recorded",
        responses={202: {"description": "Nothing is shown yet: a second person has to agree"}},
    )
    async def reveal(body: RevealBody, request: Request, response: Response) -> dict[str, Any]:
        answer = await reads.reveal(authenticator.api(request), body.id, body.reason)
        response.status_code = 202 if "asked" in answer else 200
        return answer

    @routes.get("/keys", tags=["keys"], summary="All keys, without the keys themselves")
    async def keys(request: Request) -> dict[str, Any]:
        reader = authenticator.api(request)
        require_administration(reader)
        found = known(reader, services)
        what = {"operation": "keys.list", "rows": len(found)}
        await access.read("access.query", reader, what)
        config = services.config
        return {"keys": [_key(one) | limits_of(one, config) for one in found]}

    @routes.post("/keys", tags=["keys"], status_code=201, summary="Make a key, shown this once")
    async def create_key(
        body: KeyBody, request: Request, idempotency_key: IdempotencyKey = None
    ) -> dict[str, Any]:
        reader = authenticator.api(request)
        require_administration(reader)
        asked = body.model_dump() | limited(body, reader, services)
        made = await writes.call("keys.create", asked, reader, idempotency_key)
        if made.get("replayed"):
            return {**made["identity"], "token": None, "replayed": True, "note": NOTE}
        return {**made["identity"], "token": made["token"]}

    @routes.delete("/keys/{key_id}", tags=["keys"], summary="Make a key worthless from now on")
    async def revoke_key(
        key_id: str, request: Request, idempotency_key: IdempotencyKey = None
    ) -> dict[str, Any]:
        reader = authenticator.api(request)
        require_administration(reader)
        check_known(key_id, reader, services)
        revoked = await writes.call("keys.revoke", {"id": key_id}, reader, idempotency_key)
        replayed = {"replayed": True} if revoked.pop("replayed", False) else {}
        return {"revoked": revoked, **replayed}

    return routes


def _key(identity: Identity) -> dict[str, Any]:
    """A key as it is listed: everything but its hash."""
    return {
        "id": identity.id,
        "tenant": identity.tenant,
        "name": identity.name,
        "email": identity.email,
        "actor": identity.actor,
        "kind": identity.kind,
        "role": identity.role,
        "team": identity.team,
        "groups": list(identity.groups),
        "created": identity.created,
        "revoked": identity.revoked,
        "boundary": identity.boundary,
        "until": identity.until,
        "labels": list(identity.labels),
        "jurisdiction": identity.jurisdiction,
        "made_by": identity.made_by,
    }
