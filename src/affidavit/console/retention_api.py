"""Retention over HTTP: why a record is kept, and what would go when.

Rules: both are reads, recorded before they are answered. Why a record is kept is told to whoever
may see the record; which holds keep it, which the sequencer knows, to who oversees its tenant. The
plan is told to who oversees a tenant, of its buckets alone; it counts what is in the vault now, so
it takes a while. Not here: what a plan is (``vault.retention``), carrying it out.
"""

from collections import Counter
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request

from affidavit.console import erased
from affidavit.console.access import Access, recorded_name
from affidavit.console.approvals_api import oversees
from affidavit.console.auth import Authenticator, Reader
from affidavit.console.services import ConsoleServices
from affidavit.console.strict_json import StrictRoute
from affidavit.control.identity import APPROVE
from affidavit.errors import RefusedError
from affidavit.query import kept
from affidavit.query.kept import Hold, Holding
from affidavit.query.standing import parse_moment
from affidavit.query.tree import Tree
from affidavit.vault import retention
from affidavit.vault.retention import Line

MAX_LINES = 10_000
Purpose = Annotated[str, Query(max_length=500)]
_FIRST = ("overdue", "due", "kept", "minimum")


async def known_holds(services: ConsoleServices, reader: Reader) -> list[Hold] | None:
    """The holds in force of which the reader may know; ``None`` if of none by role."""
    if reader.identity.role not in APPROVE:
        return None
    found = await services.control.call("holds.trees", {})
    return [
        Hold(
            Holding(one["id"], one["matter"], one["owner"], one["placed"]),
            msgspec.json.decode(one["tree"], type=Tree),
        )
        for one in found
        if oversees(reader, *one["tenants"])
    ]


def router(services: ConsoleServices, authenticator: Authenticator, access: Access) -> APIRouter:
    """Return the routes."""
    routes = APIRouter(prefix="/api/retention", route_class=StrictRoute, tags=["retention"])

    @routes.get("/explain/{name:path}", summary="How long a record is kept, and why")
    async def explain(name: str, request: Request, purpose: Purpose = "") -> dict[str, Any]:
        """One record, by its id or index (``#12``).

        ``erased``: its sections that are gone; ``erased_under``: the latest request that erased
        something of it, ``""`` if none did or the sequencer is away. The rest had gone before.
        """
        reader = authenticator.api(request)
        boundary, now = reader.boundary, services.clock.now()
        boundary.demand(purpose)
        known = await known_holds(services, reader)
        what: dict[str, Any] = {"operation": "retention.explain", "boundary": boundary.as_json()}

        def find() -> kept.Kept:
            return kept.explain(
                services.searcher, services.vault, services.config, name, boundary, now, known
            )

        named = recorded_name(services.snapshot(), reader.identity.tenant, name)
        async with access.looking(reader, what | {"name": named}, purpose):
            found = await services.blocking(find)
        what |= {"name": f"#{found.index}", "rows": 1}
        await access.read("access.query", reader, what, purpose)
        under = await erased.under(services, [found.index] if found.erased else ())
        told: dict[str, Any] = msgspec.to_builtins(found)
        return told | {"erased_under": under.get(found.index, "")}

    @routes.get("/plan", summary="What would go when, why, and how much")
    async def plan(
        request: Request, at: Annotated[str, Query(max_length=40)] = "", purpose: Purpose = ""
    ) -> dict[str, Any]:
        """As of now, or of a time (``2027-01-01``; ``90d``, ``2y`` from now). Removes nothing."""
        reader = authenticator.api(request)
        if reader.identity.role not in APPROVE:
            raise RefusedError(f"The role {reader.identity.role} does not see what is kept.")
        reader.boundary.demand(purpose)
        now = services.clock.now()
        moment = parse_moment(at, now) if at else now

        def find() -> list[Line]:
            return list(
                retention.plan(
                    services.vault.stocks,
                    services.config,
                    moment,
                    tenant=lambda tenant: oversees(reader, tenant),
                )
            )

        with services.limits.expensive(reader.account):
            lines = await services.blocking(find)
        what = {"operation": "retention.plan", "at": moment, "rows": len(lines)}
        await access.read("access.query", reader, what, purpose)
        lines.sort(key=lambda line: (_FIRST.index(line.state), line.bucket))
        return {
            "at": moment,
            "lines": [_line(one) for one in lines[:MAX_LINES]],
            "totals": _totals(lines),
            "more": len(lines) > MAX_LINES,
        }

    return routes


def _line(line: Line) -> dict[str, Any]:
    return {
        **line.bucket._asdict(),
        "known": line.known,
        "state": line.state,
        "what": line.what,
        "removable": line.removable,
        "due": line.due,
        "goes": line.goes,
        **line.stock._asdict(),
        "why": line.why,
    }


def _totals(lines: list[Line]) -> dict[str, dict[str, int]]:
    buckets: Counter[str] = Counter()
    records: Counter[str] = Counter()
    size: Counter[str] = Counter()
    for line in lines:
        buckets[line.state] += 1
        records[line.state] += line.stock.left
        size[line.state] += line.stock.bytes
    return {
        state: {"buckets": buckets[state], "records": records[state], "bytes": size[state]}
        for state in _FIRST
        if buckets[state]
    }
