"""``/api/aggregate``, ``/api/facets``, ``/api/histogram``: figures instead of records.

Rules: reads like any other: within the reader's boundary, recorded as ``access.query`` before a
figure leaves, with the expression, the grouping and how many lines there were. They may take long,
so they count as expensive. Prices come from the configuration. Not here: how figures come about
(``query.sums``, ``query.facets``).
"""

from collections.abc import Callable
from typing import Any, Literal, TypeVar

import msgspec
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from affidavit.console import resolve
from affidavit.console.access import Access
from affidavit.console.auth import Authenticator, Reader
from affidavit.console.reads import Reads
from affidavit.console.services import ConsoleServices
from affidavit.console.strict_json import StrictRoute
from affidavit.errors import UsageError
from affidavit.query.answers import Aggregate, Facets, Histogram
from affidavit.query.language import MAX_LENGTH
from affidavit.query.rows import withheld
from affidavit.query.sums import wanted
from affidavit.query.tree import Tree

T = TypeVar("T", Aggregate, Facets, Histogram)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    expression: str = Field(default="", max_length=MAX_LENGTH)
    purpose: str = Field(default="", max_length=500)


class AggregateBody(_Body):
    """Sums of exchanges, grouped. ``latency``: percentiles; ``cost``: reckon by configured prices.

    ``by``: tenant, team, actor, credential (or key), provider, model, status; and hour, day, week
    or month, here or as ``interval``.
    """

    by: list[str] = Field(default_factory=list, max_length=8)
    interval: Literal["", "hour", "day", "week", "month"] = ""
    latency: bool = False
    cost: bool = False


class FacetsBody(_Body):
    """The most frequent values of ``fields``, all that may be seen if none is given.

    ``exact``: of all matching records, not of the newest.
    """

    fields: list[str] = Field(default_factory=list, max_length=20)
    top: int = Field(default=10, ge=1, le=1000)
    exact: bool = False


class HistogramBody(_Body):
    """Matching records in each period; ``exact``: of all, not of the newest."""

    interval: Literal["hour", "day", "week", "month"] = "day"
    exact: bool = False


def router(
    services: ConsoleServices, authenticator: Authenticator, access: Access, reads: Reads
) -> APIRouter:
    """Return the routes of figures."""
    routes = APIRouter(prefix="/api", route_class=StrictRoute)
    searcher = services.searcher

    async def answered(
        reader: Reader, asked: _Body, operation: str, ask: Callable[[Tree], T]
    ) -> dict[str, Any]:
        tree = reads.parse(reader, asked.expression)
        how = asked.model_dump(exclude={"expression", "purpose"}, exclude_defaults=True)
        what: dict[str, Any] = {"operation": operation, **reads.recorded(reader, tree), **how}
        async with access.looking(reader, what, asked.purpose):
            with services.limits.expensive(reader.account):
                found = await services.blocking(lambda: ask(tree))
        answer: dict[str, Any] = msgspec.to_builtins(found)
        lines = answer.get("rows", answer.get("buckets", answer.get("fields")))
        what |= {"rows": len(lines or ()), "as_of": answer["as_of"]}
        await access.read("access.query", reader, what, asked.purpose)
        named = resolve.names(_actors(answer), reader, services.snapshot())
        return answer | {"withheld": list(withheld(reader.boundary)), "names": named}

    @routes.post("/aggregate", tags=["read"], summary="Requests, tokens, cost, latency: sums")
    async def aggregate(body: AggregateBody, request: Request) -> dict[str, Any]:
        reader = authenticator.api(request)
        prices = services.config.prices if body.cost else None
        if body.cost and not prices:
            raise UsageError(
                "No prices are configured, and none is made up.",
                hint="Set prices in the configuration; what providers report is in cost anyway.",
            )
        want = wanted(body.by, body.interval, latency=body.latency, prices=prices)
        return await answered(
            reader,
            body,
            "aggregate",
            lambda tree: searcher.aggregate(tree, reader.boundary, want, body.purpose),
        )

    @routes.post("/facets", tags=["read"], summary="The most frequent values, with counts")
    async def facets(body: FacetsBody, request: Request) -> dict[str, Any]:
        reader = authenticator.api(request)
        return await answered(
            reader,
            body,
            "facets",
            lambda tree: searcher.facets(
                tree, reader.boundary, body.fields, body.purpose, top=body.top, exact=body.exact
            ),
        )

    @routes.post("/histogram", tags=["read"], summary="How many records in each period")
    async def histogram(body: HistogramBody, request: Request) -> dict[str, Any]:
        reader = authenticator.api(request)
        return await answered(
            reader,
            body,
            "histogram",
            lambda tree: searcher.histogram(
                tree, reader.boundary, body.interval, body.purpose, exact=body.exact
            ),
        )

    return routes


def _actors(answer: dict[str, Any]) -> list[str]:
    """The actors of which lines or values of an answer are."""
    rows = [row["actor"] for row in answer.get("rows", ()) if row.get("actor")]
    facet = (answer.get("fields") or {}).get("actor", {"values": ()})
    return [*rows, *(value["value"] for value in facet["values"])]
