"""Legal holds over HTTP: ``/api/holds``.

Rules: a hold is placed within the boundary of whoever places it, names of persons and sessions
resolved as in any question; who oversees a tenant (its whole records, with a role that approves)
sees its holds, others none, as if there were none. How many records it matches now is counted as
any question counts them; that is a read, recorded as one. A release is asked for here and granted
by another person (``approvals_api``). The sequencer decides and records. Not here: what a hold
keeps.
"""

import contextlib
import functools
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from affidavit.console import resolve
from affidavit.console.access import Access, recorded_expression, recorded_name, who
from affidavit.console.approvals_api import overseen
from affidavit.console.auth import Authenticator, Reader
from affidavit.console.services import ConsoleServices
from affidavit.console.strict_json import StrictRoute
from affidavit.console.writes import IdempotencyKey, Writes
from affidavit.control.identity import check_one_person, check_preserves
from affidavit.errors import AffidavitError, NotFoundError, UsageError
from affidavit.query import language
from affidavit.query.boundary import inject
from affidavit.query.search import COUNT_TO
from affidavit.query.tree import Match, Tree, leaves

_UNCOUNTED = {"records": None, "records_capped": False}


class HoldBody(BaseModel):
    """What is held, for which matter, and why; ``owner``: the person who answers for it.

    ``again``: the id of a hold that a restore lost, under which it is placed again. ``dry_run``:
    only say how many records it would match now, and whether anybody could grant its release.
    """

    model_config = ConfigDict(extra="forbid")

    expression: str = Field(max_length=language.MAX_LENGTH)
    matter: str = Field(min_length=1, max_length=200, pattern=r"\S")
    owner: str = Field(default="", max_length=200)
    reason: str = Field(min_length=1, max_length=500, pattern=r"\S")
    again: str = Field(default="", max_length=64)
    dry_run: bool = False


class ReleaseBody(BaseModel):
    """Why it is to be released."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(min_length=1, max_length=500, pattern=r"\S")


def asked(
    services: ConsoleServices, reader: Reader, expression: str, reason: str
) -> dict[str, Any]:
    """An expression as the sequencer takes it, checked against the reader's boundary.

    ``ExpressionError``, ``RefusedError`` as a question; ``UsageError`` for a name of several.
    """
    snapshot = services.snapshot()
    tree = language.parse(expression, services.clock.now())
    inject(tree, reader.boundary, reason)
    for leaf in leaves(tree):
        if isinstance(leaf, Match) and leaf.field == "actor" and not leaf.prefix:
            for actor in resolve.pseudonyms("actor", leaf.value, reader, snapshot):
                hint = f"actor:{actor} holds what is of all of them."
                check_one_person(snapshot.identities, actor, hint)
    widened = resolve.widened(tree, reader, snapshot)
    return {
        "identity": reader.identity.id,
        "by": who(reader, reason),
        "expression": language.unparse(tree),
        "recorded": recorded_expression(tree, snapshot, reader.identity.tenant),
        "tree": msgspec.json.encode(widened).decode(),
        "reason": reason,
    }


def router(services: ConsoleServices, authenticator: Authenticator, access: Access) -> APIRouter:
    """Return the routes of holds."""
    routes = APIRouter(prefix="/api", route_class=StrictRoute)
    writes = Writes(services, access)

    async def seen(reader: Reader) -> list[dict[str, Any]]:
        return await overseen(services, reader, "holds.list", "legal holds")

    async def one_of(reader: Reader, hold: str) -> dict[str, Any]:
        found = next((one for one in await seen(reader) if one["id"] == hold), None)
        what = {"operation": "holds.show", "rows": int(found is not None)}
        await access.read("access.query", reader, what)
        if found is None:
            raise NotFoundError("There is no such hold.", hint="affidavit hold list")
        return resolve.named([found], reader, services.snapshot())[0]

    async def matched(reader: Reader, wanted: dict[str, Any], reason: str) -> dict[str, Any]:
        tree = inject(msgspec.json.decode(wanted["tree"], type=Tree), reader.boundary, reason)
        count = functools.partial(services.searcher.count_of, tree, COUNT_TO)
        what = {"operation": "holds.plan", "expression": wanted["recorded"]}
        async with access.looking(reader, what, reason):
            number, capped = await services.blocking(count)
        await access.read("access.query", reader, what | {"rows": number}, reason)
        return {"records": number, "records_capped": capped}

    @routes.get("/holds", tags=["holds"], summary="Legal holds, released ones included")
    async def listing(request: Request) -> dict[str, Any]:
        reader = authenticator.api(request)
        found = await seen(reader)
        await access.read("access.query", reader, {"operation": "holds.list", "rows": len(found)})
        return {"holds": resolve.named(found, reader, services.snapshot())}

    @routes.post(
        "/holds",
        tags=["holds"],
        status_code=201,
        summary="Place a legal hold",
        responses={200: {"description": "What it would be on; nothing was placed"}},
    )
    async def place(
        body: HoldBody,
        request: Request,
        response: Response,
        idempotency_key: IdempotencyKey = None,
    ) -> dict[str, Any]:
        """``records``: how many it matches now; at least so many if ``records_capped``.

        ``grantable``: whether somebody else has a key now that could grant its release.
        """
        reader = authenticator.api(request)
        check_preserves(reader.identity)
        term = recorded_name(services.snapshot(), reader.identity.tenant, body.expression)
        async with access.looking(reader, {"operation": "holds.plan", "of": term}, body.reason):
            wanted = asked(services, reader, body.expression, body.reason)
        given = {"matter": body.matter, "owner": body.owner, "again": body.again}
        if body.dry_run:
            response.status_code = 200  # nothing was made
            plan = {"expression": wanted["expression"], "matter": body.matter}
            plan |= await services.control.call("holds.place", wanted | given | {"dry": True})
            with contextlib.suppress(UsageError):  # too long to count is not too much to hold
                return plan | await matched(reader, wanted, body.reason)
            return plan | _UNCOUNTED

        async def counted(made: dict[str, Any]) -> dict[str, Any]:
            try:
                return made | await matched(reader, wanted, body.reason)
            except AffidavitError:  # it is placed all the same, and that is the answer
                return made | _UNCOUNTED

        async def act(once: dict[str, Any]) -> dict[str, Any]:
            return await counted(await services.control.call("holds.place", wanted | given | once))

        whole = body.model_dump()
        made = await writes.passed("holds.place", whole, reader, idempotency_key, act)
        return made if "records" in made else await counted(made)  # kept before it was counted

    @routes.get("/holds/{hold}", tags=["holds"], summary="One legal hold")
    async def show(hold: str, request: Request) -> dict[str, Any]:
        return await one_of(authenticator.api(request), hold)

    @routes.post("/holds/{hold}/release", tags=["holds"], summary="Ask for the end of a hold")
    async def release(
        hold: str, body: ReleaseBody, request: Request, idempotency_key: IdempotencyKey = None
    ) -> dict[str, Any]:
        """Nothing is released until another person grants it: ``/api/approvals/{asked}/grant``."""
        reader = authenticator.api(request)
        check_preserves(reader.identity)
        await one_of(reader, hold)
        wanted = {"id": hold, "reason": body.reason}
        asked = wanted | {"identity": reader.identity.id, "by": who(reader, body.reason)}

        async def act(once: dict[str, Any]) -> dict[str, Any]:
            made: dict[str, Any] = await services.control.call("holds.release", asked | once)
            return made

        return await writes.passed("holds.release", wanted, reader, idempotency_key, act)

    return routes
