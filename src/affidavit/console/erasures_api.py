"""Erasure requests over HTTP: ``/api/erasures``; and a run of retention.

Rules: what is meant is looked for within the boundary of whoever asks; the sequencer looks, decides
and records. Who oversees a tenant sees its requests, others none. A dry run is a read and is
recorded as one; that of a person searches texts of others for the person's names where who asks
may read them, and these words are recorded as digests. Nothing is destroyed here: another person
grants it (``approvals_api``). Not here: what an erasure does.
"""

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from affidavit.console import resolve
from affidavit.console.access import Access, recorded_expression, recorded_name, who
from affidavit.console.approvals_api import overseen
from affidavit.console.auth import Authenticator, Reader
from affidavit.console.services import ConsoleServices
from affidavit.console.strict_json import StrictRoute
from affidavit.console.writes import IdempotencyKey, Writes
from affidavit.control.identity import check_preserves
from affidavit.errors import NotFoundError, UsageError
from affidavit.query import language
from affidavit.query.tree import Match, Number, Tree

WITHIN = 120.0
"""Seconds in which the sequencer has looked for everything that is meant."""

_LIST = "affidavit erase list"


class ErasureBody(BaseModel):
    """What is to be erased, and on which legal basis.

    ``target``: of a subject an actor's pseudonym, name or e-mail; of a session, record or tenant
    its name; of an expression the words. ``what`` goes of other records than a person's: all
    ``sections``, or ``content`` alone. ``dry_run``: only say what would go. ``when_due``: ask also
    if nothing may go yet.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Literal["subject", "session", "record", "tenant", "expression"]
    target: str = Field(min_length=1, max_length=language.MAX_LENGTH)
    what: Literal["sections", "content"] = "sections"
    basis: str = Field(min_length=1, max_length=500, pattern=r"\S")
    dry_run: bool = False
    when_due: bool = False


def router(services: ConsoleServices, authenticator: Authenticator, access: Access) -> APIRouter:
    """Return the routes of erasures."""
    routes = APIRouter(prefix="/api", route_class=StrictRoute)
    writes = Writes(services, access)

    def _searched(reader: Reader, found: dict[str, Any]) -> dict[str, Any]:
        """What is recorded of the search for texts that name a person: its words as digests."""
        named = found.get("named", {})
        if named.get("records") is None:
            return {}
        tree = language.parse(named["expression"], services.clock.now())
        recorded = recorded_expression(tree, services.snapshot(), reader.identity.tenant)
        return {"searched": recorded, "named": named["records"]}

    async def seen(reader: Reader) -> list[dict[str, Any]]:
        return await overseen(services, reader, "erasures.list", "erasures")

    async def known_of(reader: Reader, erasure: str) -> None:
        every = await seen(reader)
        known = any(one["id"] == erasure for one in every)
        what = {"operation": "erasures.show", "rows": int(known)}
        await access.read("access.query", reader, what)
        if not known:
            of = (one["id"] for one in every if erasure in (one["question"], one["approval"]))
            hint = next((f"That is the approval of the erasure {one}." for one in of), _LIST)
            raise NotFoundError("There is no such erasure.", hint=hint)

    @routes.get("/erasures", tags=["erasures"], summary="Erasure requests")
    async def listing(request: Request) -> dict[str, Any]:
        reader = authenticator.api(request)
        found = await seen(reader)
        what = {"operation": "erasures.list", "rows": len(found)}
        await access.read("access.query", reader, what)
        return {"erasures": resolve.named(found, reader, services.snapshot())}

    @routes.post(
        "/erasures",
        tags=["erasures"],
        status_code=201,
        summary="Ask for an erasure",
        responses={200: {"description": "What would go; nothing was asked for"}},
    )
    async def ask(
        body: ErasureBody,
        request: Request,
        response: Response,
        idempotency_key: IdempotencyKey = None,
    ) -> dict[str, Any]:
        """What would go, and unless ``dry_run``, the question that another person may grant."""
        reader = authenticator.api(request)
        check_preserves(reader.identity)
        of = recorded_name(services.snapshot(), reader.identity.tenant, body.target)
        probe = {"operation": "erasures.plan", "erased": body.kind, "of": of}
        async with access.looking(reader, probe, body.basis):
            wanted = _asked(services, reader, body)

        async def act(once: dict[str, Any]) -> dict[str, Any]:
            async with access.looking(reader, probe, body.basis):
                made: dict[str, Any] = await services.control.call(
                    "erasures.ask", wanted | once, within=WITHIN
                )
            return made

        if body.dry_run:
            found = await act({})
            what = {"operation": "erasures.plan", "erased": body.kind, "of": wanted["recorded"],
                    "rows": found["records"]}  # fmt: skip
            await access.read("access.query", reader, what | _searched(reader, found), body.basis)
            response.status_code = 200  # nothing was made
            return found
        return await writes.passed("erasures.ask", body.model_dump(), reader, idempotency_key, act)

    @routes.get("/erasures/{erasure}", tags=["erasures"], summary="One erasure, what is left of it")
    async def show(erasure: str, request: Request) -> dict[str, Any]:
        reader = authenticator.api(request)
        await known_of(reader, erasure)
        found: dict[str, Any] = await services.control.call(
            "erasures.show", {"id": erasure}, within=WITHIN
        )
        return resolve.named([found], reader, services.snapshot())[0]

    @routes.get(
        "/erasures/{erasure}/certificate",
        tags=["erasures"],
        summary="The certificate of an erasure (a signed note)",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}},
    )
    async def certificate(
        erasure: str, request: Request, run: Annotated[int, Query(ge=0, le=10_000)] = 0
    ) -> Response:
        """The latest one, or that of a ``run``: later ones are of what had to wait.

        ``affidavit-certificates``, a header, says how many there are.
        """
        await known_of(authenticator.api(request), erasure)
        every = await services.control.call("erasures.certificates", {"id": erasure})
        if not every or run > len(every):
            raise NotFoundError(
                "There is no such certificate yet.",
                hint="affidavit erase list", certificates=len(every),
            )  # fmt: skip
        headers = {"affidavit-certificates": str(len(every))}
        return Response(every[(run or len(every)) - 1], media_type="text/plain", headers=headers)

    @routes.post("/retention/run", tags=["erasures"], summary="Have retention run now")
    async def retention_run(
        request: Request, today: Annotated[str, Query(pattern=r"^(\d{4}-\d\d-\d\d)?$")] = ""
    ) -> dict[str, Any]:
        """What is over its maximum goes, as once a day by itself; how it goes is asked by GET.

        ``today`` says that the machine's clock has the day right, where that is in doubt.
        """
        reader = authenticator.api(request)
        check_preserves(reader.identity)
        said = {"today": today} if today else {}
        await access.read("access.query", reader, {"operation": "retention.run", **said})
        found: dict[str, Any] = await services.control.call(
            "retention.run", {"begin": True, **said}
        )
        return found

    @routes.get("/retention/run", tags=["erasures"], summary="How the latest run went")
    async def retention_runs(request: Request) -> dict[str, Any]:
        reader = authenticator.api(request)
        check_preserves(reader.identity)
        await access.often("access.query", reader, {"operation": "retention.status"}, "retention")
        found: dict[str, Any] = await services.control.call("retention.run", {})
        return found

    return routes


def _asked(services: ConsoleServices, reader: Reader, body: ErasureBody) -> dict[str, Any]:
    """A request as the sequencer takes it."""
    snapshot, tenant = services.snapshot(), reader.identity.tenant
    tree = _tree(services, body)
    recorded = recorded_name(snapshot, tenant, body.target)
    if body.kind == "expression":
        recorded = recorded_expression(tree, snapshot, tenant)
    elif body.kind in ("record", "tenant"):
        recorded = body.target
    return {
        "identity": reader.identity.id,
        "by": who(reader, body.basis),
        "kind": body.kind,
        "target": body.target,
        "recorded": recorded,
        "tree": msgspec.json.encode(resolve.widened(tree, reader, snapshot)).decode(),
        "what": body.what,
        "basis": body.basis,
        "dry": body.dry_run,
        "when_due": body.when_due,
    }


def _tree(services: ConsoleServices, body: ErasureBody) -> Tree:
    if body.kind == "expression":
        return language.parse(body.target, services.clock.now())
    if body.kind == "session":
        return Match("session", body.target)
    if body.kind == "tenant":
        return Match("tenant", body.target)
    if body.kind == "subject":
        return Match("actor", body.target)
    number = body.target.removeprefix("#")
    if number.isdecimal():
        if len(number) > 18:
            raise UsageError("No ledger is as long as this index says.")
        return Number("index", "=", int(number))
    return Match("id", body.target)
