"""What is told of erasure requests: to people, to bundles, and beside what was erased.

Rules: nothing is told here that needs more than the requests, but for what is left of one and why.
What a request knows of a person is told nobody: names, the records that it means, what else it
takes with them. Not here: asking and granting (``erasing``), who may be told (``console``).
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from affidavit.app.erasing import Host, tenants_of
from affidavit.control.approvals import Approval
from affidavit.control.erasures import Erasure
from affidavit.evidence import certificate

MOST = 10_000
"""Leaves of which is asked at once under which request they were erased."""


async def listing(host: Host, _: dict[str, Any]) -> list[dict[str, Any]]:
    """Every request, oldest first, with the question that waits for an answer."""
    now = host.clock.now()

    def read() -> list[dict[str, Any]]:
        asked = {one.target: one.id for one in host.approvals.open(now)
                 if one.kind == "erase" and one.state == "pending"}  # fmt: skip
        every = host.erasures.all()
        known = [one for one in every if one.state != "asked" or one.id in asked]
        return [shown(one) | {"question": asked.get(one.id, "")} for one in known]

    return await host.ask(read)


async def show(host: Host, params: dict[str, Any]) -> dict[str, Any]:
    """One request, with what is left of it and why, and its certificates."""
    found = await host.ask(lambda: host.erasures.find(params["id"]))
    parts = await host.ask(lambda: host.erasures.parts(found.id))
    left = await host.erasing.left(parts, found.open)
    later = [one._asdict() for one in left]
    return shown(found) | {"later": later, "certificates": list(found.certificates)}


async def certificates(host: Host, params: dict[str, Any]) -> list[str]:
    """The certificates of one request, that of its first run first; looks for nothing else."""
    found = await host.ask(lambda: host.erasures.find(params["id"]))
    return list(found.certificates)


async def under(host: Host, params: dict[str, Any]) -> list[list[Any]]:
    """Of leaves that were erased, under which request, and what it took: index, id, ``What``."""
    indexes = [int(one) for one in params["indexes"]][:MOST]

    def read() -> list[list[Any]]:
        found = host.erasures.under(indexes)
        what = {name: host.erasures.find(name).what for name in {*found.values()}}
        return [[index, name, what[name]] for index, name in found.items()]

    return await host.ask(read)


async def about(host: Host, approvals: Sequence[Approval]) -> list[dict[str, Any]]:
    """Of each question, what is to be erased, of whom, and how much: ``{}`` if it is of another."""

    def read() -> list[dict[str, Any]]:
        known = {one.id: one for one in host.erasures.all()}
        found = [known.get(one.target) if one.kind == "erase" else None for one in approvals]
        return [{} if one is None else _about(one) for one in found]

    return await host.ask(read)


def _about(erasure: Erasure) -> dict[str, Any]:
    return {
        "kind": erasure.kind, "of": erasure.target or erasure.expression, "what": erasure.what,
        "records": erasure.planned, "keys": list(erasure.keys),
    }  # fmt: skip


def shown(erasure: Erasure) -> dict[str, Any]:
    """A request as people and scripts see it; ``went``: the records of all its certificates."""
    found: dict[str, Any] = msgspec.to_builtins(erasure)
    for name in ("tree", "who", "names", "certificates", "selected", "open", "late", "each"):
        del found[name]
    texts = erasure.certificates
    certified = {"certified": len(texts), "went": sum(certificate.records(one) for one in texts)}
    return found | certified | {"tenants": tenants_of(erasure)}
