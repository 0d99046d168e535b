"""``/api/saved``: expressions with a name, of a reader, its team or its tenant.

Rules: a name leads to the reader's own query first, then to the team's, then to the tenant's. Who
sees all of a tenant may share with it, anybody with the own team; what is shared is changed by its
author or an owner. A change is on record, as questions are (``recorded_expression``), before it is
stored; so is each look at what is saved. A query is evaluated by whoever asks it, as if typed: this
gives its words, and where the reader could not ask them, digests of the terms. Not here: where
queries are stored (``control.saved``).
"""

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from affidavit.console.access import Access, recorded_expression
from affidavit.console.auth import Authenticator, Reader
from affidavit.console.services import ConsoleServices
from affidavit.console.strict_json import StrictRoute
from affidavit.console.writes import IdempotencyKey, Writes
from affidavit.control.saved import NAME, SavedQuery, Scope, holder
from affidavit.errors import ExpressionError, NotFoundError, RefusedError, UsageError
from affidavit.query import language
from affidavit.query.boundary import inject

MAX_QUERIES = 500
"""A person, team or tenant has at most this many."""
Shared = Literal["own", "team", "tenant"]


class SavedBody(BaseModel):
    """An expression, and with whom it is shared."""

    model_config = ConfigDict(extra="forbid")

    expression: str = Field(max_length=language.MAX_LENGTH)
    scope: Shared = "own"


def router(services: ConsoleServices, authenticator: Authenticator, access: Access) -> APIRouter:
    """Return the routes of saved queries."""
    routes = APIRouter(prefix="/api", route_class=StrictRoute)
    saved = Saved(services, access)
    writes = Writes(services, access)

    @routes.get("/saved", tags=["saved"], summary="Saved queries: own, the team's, the tenant's")
    async def listing(request: Request) -> dict[str, Any]:
        reader = authenticator.api(request)
        found = await saved.of(reader)
        what = {"operation": "saved.list", "rows": len(found)}
        await access.often("access.query", reader, what, "saved.list")
        return {"saved": [saved.shown(query, reader) for query in found]}

    @routes.get("/saved/{name}", tags=["saved"], summary="The saved query that a name leads to")
    async def one(name: str, request: Request) -> dict[str, Any]:
        reader = authenticator.api(request)
        return saved.shown(await saved.named(reader, name), reader)

    @routes.put("/saved/{name}", tags=["saved"], summary="Save an expression under a name")
    async def save(
        name: str, body: SavedBody, request: Request, idempotency_key: IdempotencyKey = None
    ) -> dict[str, Any]:
        reader = authenticator.api(request)

        async def act() -> dict[str, Any]:
            return saved.shown(await saved.put(reader, name, body.expression, body.scope), reader)

        asked = body.model_dump() | {"name": name}
        return await writes.once("saved.put", asked, reader, idempotency_key, act)

    @routes.delete("/saved/{name}", tags=["saved"], summary="Forget a saved query")
    async def forget(
        name: str,
        request: Request,
        scope: Annotated[Shared, Query()] = "own",
        idempotency_key: IdempotencyKey = None,
    ) -> dict[str, Any]:
        reader = authenticator.api(request)

        async def act() -> dict[str, Any]:
            return saved.shown(await saved.remove(reader, name, scope), reader)

        asked = {"name": name, "scope": scope}
        return await writes.once("saved.remove", asked, reader, idempotency_key, act)

    return routes


class Saved:
    """Saved queries as one reader sees and changes them."""

    def __init__(self, services: ConsoleServices, access: Access) -> None:
        self._services = services
        self._access = access

    async def of(self, reader: Reader) -> list[SavedQuery]:
        """Those the reader has, its own first."""
        who = reader.identity
        asked = {"tenant": who.tenant, "actor": who.actor, "team": who.team}
        found = await self._services.control.call("saved.list", asked)
        return msgspec.convert(found, list[SavedQuery])

    async def named(self, reader: Reader, name: str) -> SavedQuery:
        """The one that a name leads to, looked at on record; ``NotFoundError`` if there is none."""
        found = next((query for query in await self.of(reader) if query.name == name), None)
        what = {"operation": "saved.get", "rows": int(found is not None)}
        await self._access.often("access.query", reader, what, "saved.get")
        if found is None:
            raise NotFoundError(
                "No saved query of that name is yours or shared with you.",
                hint="affidavit query --saved",
            )
        return found

    async def words(self, reader: Reader, expression: str) -> str:
        """The expression that is meant: the words of a saved query if it is ``@NAME``."""
        mark, name = expression.strip()[:1], expression.strip()[1:]
        if mark != "@" or NAME.fullmatch(name) is None:
            return expression
        return str(self.shown(await self.named(reader, name), reader)["expression"])

    def shown(self, query: SavedQuery, reader: Reader) -> dict[str, Any]:
        """A query as it is shown: its words if the reader may ask them, or wrote them."""
        told = {
            "name": query.name,
            "scope": query.scope,
            "author": query.author,
            "saved": query.saved,
            "expression": query.expression,
            "askable": True,
        }
        try:
            tree = language.parse(query.expression, self._services.clock.now())
            inject(tree, reader.boundary, "a saved query")
        except (RefusedError, ExpressionError):
            told["askable"] = False
            if query.author != reader.identity.actor:
                told["expression"] = self._recorded(query, reader)
        return told

    async def put(self, reader: Reader, name: str, expression: str, scope: Scope) -> SavedQuery:
        """Save; on record first. Errors as ``_may`` and ``language.parse``."""
        before = await self._before(reader, name, scope)
        who = reader.identity
        now = self._services.clock.now()
        language.parse(expression, now)
        query = SavedQuery(
            tenant=who.tenant,
            scope=scope,
            holder=holder(scope, who.actor, who.team),
            name=name,
            expression=expression,
            author=who.actor,
            saved=now,
        )
        await self._record(reader, "saved" if before is None else "changed", before, query)
        await self._services.control.call("saved.put", msgspec.to_builtins(query))
        return query

    async def remove(self, reader: Reader, name: str, scope: Scope) -> SavedQuery:
        """Forget; on record first. ``NotFoundError`` if there is no such query."""
        before = await self._before(reader, name, scope)
        if before is None:
            raise NotFoundError("There is no such saved query.", hint="affidavit query --saved")
        await self._record(reader, "deleted", before, None)
        await self._services.control.call("saved.remove", msgspec.to_builtins(before))
        return before

    async def _before(self, reader: Reader, name: str, scope: Scope) -> SavedQuery | None:
        """What has the name now; ``UsageError`` or ``RefusedError`` if it may not be changed."""
        if not NAME.fullmatch(name):
            raise UsageError(
                "This is no name for a query.", hint="Letters, digits, '.', '_', '-'; at most 64."
            )
        owner = reader.identity.role == "owner"
        if scope == "tenant" and not (owner or reader.boundary.whole_tenants):
            raise RefusedError(
                "Who sees a part of the tenant does not share with all of it.",
                hint="Share it with your team.",
            )
        holder(scope, reader.identity.actor, reader.identity.team)
        found = await self.of(reader)
        held = {query.name: query for query in found if query.scope == scope}
        before = held.get(name)
        if before is None and len(held) >= MAX_QUERIES:
            raise UsageError(f"There are {MAX_QUERIES} saved queries already, which is the most.")
        if before is not None and not owner and before.author != reader.identity.actor:
            raise RefusedError("This query is somebody else's.", hint="Choose another name.")
        return before

    async def _record(
        self, reader: Reader, change: str, before: SavedQuery | None, after: SavedQuery | None
    ) -> None:
        one = after or before
        assert one is not None
        what = {
            "target": {"kind": "query", "name": one.name},
            "change": change,
            "shared": one.scope,
            "before": before and {"expression": self._recorded(before, reader)},
            "after": after and {"expression": self._recorded(after, reader)},
        }
        await self._access.changed("change.config", reader, what)

    def _recorded(self, query: SavedQuery, reader: Reader) -> str:
        """The expression as questions are recorded; times as they were when it was saved."""
        try:
            tree = language.parse(query.expression, query.saved)
        except ExpressionError:  # what a former version understood
            return "(no longer understood)"
        return recorded_expression(tree, self._services.snapshot(), reader.identity.tenant)
