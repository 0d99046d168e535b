"""Second persons and broken glass over HTTP: ``/api/approvals``, ``/api/break-glass``.

Rules: the sequencer decides and records; here is seen to it that whoever answers may know of the
records in question, else the approval is as unknown as one that never was. Who asked sees its own
questions. What a glass opens and shuts is in force here before the answer leaves. Also here: the
owner gives up. Not here: the reveal itself (``reads``).
"""

import asyncio
import contextlib
import functools
from collections.abc import Callable
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from affidavit.console import resolve
from affidavit.console.access import Access, who
from affidavit.console.auth import Authenticator, Reader, require_owner
from affidavit.console.services import ConsoleServices
from affidavit.console.strict_json import StrictRoute
from affidavit.console.writes import IdempotencyKey, Writes
from affidavit.control.identity import APPROVE, is_owned
from affidavit.errors import AffidavitError, NotFoundError, RefusedError
from affidavit.query import boundary
from affidavit.query.search import COUNT_TO
from affidavit.query.tree import Tree

_LOOKS, _PAUSE = 40, 0.05
"""So many looks, so many seconds apart, whether a change has arrived here."""
_MOST_HOLDS = 20
"""Of so many holds is counted what they match."""
_OVERSEE = APPROVE | {"administrator"}
"""Roles that are told whose glass is broken."""


class ReasonBody(BaseModel):
    """Why; it is recorded."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(default="", max_length=500)


class GlassBody(BaseModel):
    """Why the glass is broken; it is recorded before anything is open."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(min_length=1, max_length=500, pattern=r"\S")


def broken(services: ConsoleServices, reader: Reader) -> list[dict[str, Any]]:
    """The broken glasses in force of which the reader may know: its own, or all of its tenant."""
    now, me = services.clock.now(), reader.identity
    every = me.role in _OVERSEE
    found = []
    for glass in services.snapshot().glasses:
        mine = glass.by == me.id or (every and (glass.tenant == me.tenant or me.role == "owner"))
        if mine and now < glass.until:
            told = msgspec.to_builtins(glass)
            if glass.by != me.id:
                del told["reason"]  # which stands in the record, for whoever may read it
            found.append(told)
    return found


def router(services: ConsoleServices, authenticator: Authenticator, access: Access) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(prefix="/api", route_class=StrictRoute)
    writes = Writes(services, access)

    async def mine(reader: Reader) -> list[dict[str, Any]]:
        """The approvals of which the reader may know, each with ``yours``: whether it asked."""
        every = await services.control.call("approvals.list", {})
        asked = [one | {"yours": one["actor"] == reader.identity.actor} for one in every]
        return await services.blocking(
            lambda: [one for one in asked if one["yours"] or _covers(services, reader, one)]
        )

    async def held(reader: Reader, found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """What the holds are on that are to be released, of those whose tenants are overseen."""
        wanted = [one["target"] for one in found
                  if one["kind"] == "release" and _covers(services, reader, one)]  # fmt: skip
        if not wanted:
            return {}
        every = {one["id"]: one for one in await services.control.call("holds.trees", {})}
        known = [every[name] for name in wanted if name in every]

        def told() -> dict[str, dict[str, Any]]:
            counted = [one["id"] for one in known[:_MOST_HOLDS]]
            return {
                one["id"]: {"matter": one["matter"], "expression": one["expression"]}
                | _matched(services, reader, one["tree"] if one["id"] in counted else None)
                for one in known
            }

        return await services.blocking(told)

    async def decide(
        approval: str, reader: Reader, reason: str, once: dict[str, Any], *, grant: bool
    ) -> dict[str, Any]:
        one = next((one for one in await mine(reader) if one["id"] == approval), None)
        if one is None or (grant and reader.identity.role not in APPROVE):
            if reader.identity.role not in APPROVE:
                raise RefusedError(f"The role {reader.identity.role} does not approve.")
            raise NotFoundError("There is no such approval.", hint="affidavit approvals list")
        asked = {"id": approval, "identity": reader.identity.id, "grant": grant}
        answer: dict[str, Any] = await services.control.call(
            "approvals.decide", asked | {"by": who(reader, reason)} | once
        )
        return answer

    @routes.get("/approvals", tags=["approvals"], summary="What waits for a second person")
    async def listing(request: Request) -> dict[str, Any]:
        reader = authenticator.api(request)
        found = await mine(reader)
        what = {"operation": "approvals.list", "rows": len(found)}
        await access.read("access.query", reader, what)
        holds = await held(reader, found)
        told = [one | {"hold": holds.get(one["target"])} for one in found]
        return {"approvals": resolve.named(told, reader, services.snapshot())}

    @routes.post("/approvals/{approval}/grant", tags=["approvals"], summary="Agree to a reveal")
    async def grant(
        approval: str, body: ReasonBody, request: Request, idempotency_key: IdempotencyKey = None
    ) -> dict[str, Any]:
        reader = authenticator.api(request)
        asked = {"id": approval, "reason": body.reason, "grant": True}
        act = functools.partial(decide, approval, reader, body.reason, grant=True)
        return await writes.passed("approvals.decide", asked, reader, idempotency_key, act)

    @routes.post("/approvals/{approval}/deny", tags=["approvals"], summary="Refuse a reveal")
    async def deny(
        approval: str, body: ReasonBody, request: Request, idempotency_key: IdempotencyKey = None
    ) -> dict[str, Any]:
        reader = authenticator.api(request)
        asked = {"id": approval, "reason": body.reason, "grant": False}
        act = functools.partial(decide, approval, reader, body.reason, grant=False)
        return await writes.passed("approvals.decide", asked, reader, idempotency_key, act)

    @routes.post("/break-glass", tags=["approvals"], status_code=201, summary="Widen the boundary")
    async def break_glass(
        body: GlassBody, request: Request, idempotency_key: IdempotencyKey = None
    ) -> dict[str, Any]:
        reader = authenticator.api(request)
        asked = {"identity": reader.identity.id, "reason": body.reason}

        async def act(once: dict[str, Any]) -> dict[str, Any]:
            given = asked | {"by": who(reader, body.reason)} | once
            glass: dict[str, Any] = await services.control.call("glass.break", given)
            await _arrived(lambda: _broken(services, glass["id"]))
            return glass

        return await writes.passed("glass.break", asked, reader, idempotency_key, act)

    @routes.delete("/break-glass", tags=["approvals"], summary="End what was widened")
    async def end_glass(request: Request, idempotency_key: IdempotencyKey = None) -> dict[str, Any]:
        reader = authenticator.api(request)
        asked = {"identity": reader.identity.id}

        async def act(once: dict[str, Any]) -> dict[str, Any]:
            given = asked | {"by": who(reader)} | once
            glass: dict[str, Any] = await services.control.call("glass.end", given)
            await _arrived(lambda: not _broken(services, glass["id"]))
            return glass

        return await writes.passed("glass.end", asked, reader, idempotency_key, act)

    @routes.post("/keys/give-up", tags=["keys"], summary="The owner reads no more, for good")
    async def give_up(body: ReasonBody, request: Request) -> dict[str, Any]:
        reader = authenticator.api(request)
        require_owner(reader)
        asked = {"by": who(reader, body.reason)}
        gone: dict[str, Any] = await services.control.call("keys.give_up", asked)
        await _arrived(lambda: not is_owned(services.snapshot().identities))
        return gone

    return routes


def _matched(services: ConsoleServices, reader: Reader, tree: str | None) -> dict[str, Any]:
    """How many records a hold matches now that the reader may see; null where it is not counted."""
    if tree is not None:
        with contextlib.suppress(AffidavitError):  # the question is shown all the same
            asked = boundary.inject(msgspec.json.decode(tree, type=Tree), reader.boundary, "")
            number, capped = services.searcher.count_of(asked, COUNT_TO)
            return {"records": number, "records_capped": capped}
    return {"records": None, "records_capped": False}


def _covers(services: ConsoleServices, reader: Reader, approval: dict[str, Any]) -> bool:
    """Whether the reader, who may answer, may know of all records of an approval."""
    searcher = services.searcher
    if approval["kind"] != "reveal":
        return oversees(reader, *approval["tenants"])
    return reader.identity.role in APPROVE and all(
        searcher.locate(name, reader.boundary) is not None for name in approval["records"]
    )


def oversees(reader: Reader, *tenants: str) -> bool:
    """Whether the reader may know of the holds and erasures of all these tenants."""
    return boundary.oversees(reader.identity, reader.boundary, *tenants)


async def overseen(
    services: ConsoleServices, reader: Reader, method: str, called: str
) -> list[dict[str, Any]]:
    """What ``method`` of the sequencer lists, of the tenants that the reader oversees.

    ``RefusedError`` for a role that does not see what is ``called`` so.
    """
    if reader.identity.role not in APPROVE:
        raise RefusedError(f"The role {reader.identity.role} does not see {called}.")
    every = await services.control.call(method, {})
    return [one for one in every if oversees(reader, *one.get("tenants", [one["tenant"]]))]


def _broken(services: ConsoleServices, glass: str) -> bool:
    return any(one.id == glass for one in services.snapshot().glasses)


async def _arrived(known: Callable[[], bool]) -> None:
    """Wait, but not for ever, until this process knows of a change."""
    for _ in range(_LOOKS):
        if known():
            return
        await asyncio.sleep(_PAUSE)
