"""The rows of the index and what follows from a row alone.

Rules: one record is one ``Row`` and, where its ``person`` section is readable, one ``Person``
kept in a table of its own, so that a boundary can leave it out. Posting lists (``postings``,
``person_postings``) and sums (``contribution``, in ``rollup``) are functions of these
two, so whoever has the row can take out again what it put in. Values nobody knows are ``None``;
the text "unknown" of the formats becomes ``None`` here. Times are stored text, compared as
strings. Not here: where the values come from (``project``), SQL (``sqlite``).
"""

import functools
import operator
from collections.abc import Iterable

import msgspec

MAX_TEXT = 512
"""Characters of a value the index keeps; a caller may send a model name of any length."""

Posting = tuple[str, str]
"""A dimension and a value; the index keeps for each the list of rows that have it."""

UNPOSTED = {
    "type": frozenset({"exchange.request", "exchange.response"}),
    "status": frozenset({"complete"}),
    "decision": frozenset({"allow"}),
}
"""Values so common that a posting list would cost more than the scan it saves."""

TEAM_MODEL = "team.model"
"""The dimension of the records of one team that are found under one model (``of_team``)."""

OWN_LEAVES = frozenset({"ledger.opened", "ledger.epoch", "ledger.heads"})
"""Types that carry nothing but the ledger's own bookkeeping; they get no row."""

TENANTLESS = frozenset({"ledger.ended", "ledger.clock", "ledger.key"})
"""Records of the ledger itself: without a tenant, and not of an unknown one."""


class Row(msgspec.Struct, frozen=True):
    """One record as the index knows it. Field order is the column order of table ``record``.

    A response carries what it inherits from its request (who, session, models, parent), as
    its chains do. ``models`` are all names ``model:`` finds it under: requested, resolved and
    served of both halves, or the target of a change and what depends on it; likewise ``actors``
    and ``credentials``: who did it, and whose identity or key a change changed. ``model`` is the
    one it is counted under: served, else resolved, else requested. ``answered`` is the index of
    the response, in a request's row. Tokens are counts, ``first_byte`` and ``duration``
    seconds. ``present`` and ``shown`` are bit sets over the seven sections (bit 0 is ``who``):
    committed to, and readable when this row was made. ``cost`` is what the provider reports, in
    its unit. ``firsts`` are the dimensions in which the record, or the one it answers, brought a
    new value, as the ledger's links say; no erasure changes that.
    """

    idx: int
    id: str
    time: str
    at: str
    type: str
    tier: str
    re: int | None = None
    answered: int | None = None
    present: int = 0
    shown: int = 0
    tenant: str | None = None
    team: str | None = None
    actor: str | None = None
    actors: tuple[str, ...] = ()
    kind: str | None = None
    role: str | None = None
    groups: tuple[str, ...] = ()
    credential: str | None = None
    credentials: tuple[str, ...] = ()
    assurance: str | None = None
    session: str | None = None
    purpose: str | None = None
    provider: str | None = None
    dialect: str | None = None
    api: str | None = None
    operation: str | None = None
    model: str | None = None
    model_requested: str | None = None
    model_resolved: str | None = None
    model_served: str | None = None
    models: tuple[str, ...] = ()
    stream: int | None = None
    tools: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    target: str | None = None
    method: str | None = None
    path: str | None = None
    request_id: str | None = None
    trace: str | None = None
    span: str | None = None
    parent: str | None = None
    parsed: str | None = None
    decision: str | None = None
    reason: str | None = None
    approval: str | None = None
    status: str | None = None
    http: int | None = None
    finish: tuple[str, ...] = ()
    tokens_in: int | None = None
    tokens_out: int | None = None
    tokens_cached: int | None = None
    tokens_reasoning: int | None = None
    first_byte: float | None = None
    duration: float | None = None
    bytes: int | None = None
    cost: float | None = None
    error: str | None = None
    firsts: tuple[str, ...] = ()


class Person(msgspec.Struct, frozen=True):
    """What identifies a human in one record; ``session`` is the caller's own session id."""

    idx: int
    subject: str | None = None
    email: str | None = None
    name: str | None = None
    end_user: str | None = None
    session: str | None = None
    address: str | None = None
    user_agent: str | None = None


PERSON_NAMES = ("subject", "email", "name", "end_user")
"""The fields of ``Person`` that ``actor:`` also looks at, where the reader may see them."""

_FOUND_BY = (*PERSON_NAMES, "session", "address")
_found_by = operator.attrgetter(*_FOUND_BY)


def bounded(value: str) -> str:
    """The first ``MAX_TEXT`` characters; what is stored and what is looked up both pass here."""
    return value if len(value) <= MAX_TEXT else value[:MAX_TEXT]


def folded(value: str) -> str:
    """How names of people are compared: without regard to case."""
    return bounded(value.casefold())


def postings(row: Row) -> tuple[Posting, ...]:
    """All posting lists the row belongs to, each once, in a fixed order."""
    found = model_postings(row, row.models)
    found += [("tool", tool) for tool in row.tools]
    found += [("source", source) for source in row.sources]
    found += [("actor", actor) for actor in row.actors]
    found += [("credential", credential) for credential in row.credentials]
    found += [("values", dimension) for dimension in row.firsts]
    for dimension, value in (
        ("session", row.session),
        ("team", row.team),
        ("purpose", row.purpose),
        ("trace", row.trace),
        ("target", row.target),
        ("decision", row.decision),
        ("type", row.type),
        ("status", row.status),
    ):
        if value is not None and value not in UNPOSTED.get(dimension, ()):
            found.append((dimension, value))
    if row.http is not None and row.http >= 300:
        found.append(("status", str(row.http)))
    if unattributed(row):
        found.append(("unattributed", ""))
    return tuple(dict.fromkeys(found))


def model_postings(row: Row, models: Iterable[str]) -> list[Posting]:
    """The lists of ``models``: of everybody, and of the team, as that is what most may see."""
    found: list[Posting] = []
    for model in models:
        found.append(("model", model))
        if row.tenant is not None and row.team is not None:
            found.append((TEAM_MODEL, of_team(row.tenant, row.team, model)))
    return found


@functools.lru_cache(8_192)
def of_team(tenant: str, team: str, model: str) -> str:
    """The value under which a team's records of a model are listed; no two share one."""
    return msgspec.json.encode((tenant, team, model)).decode()


def unattributed(row: Row) -> bool:
    """Whether the tenant was never known (a ``who`` that was erased was known)."""
    erased = row.present & 1 and not row.shown & 1
    return row.tenant is None and not erased and row.type not in TENANTLESS


def person_postings(person: Person) -> tuple[Posting, ...]:
    """Posting lists of the fields that identify, in dimensions spelt ``person.<field>``."""
    return _posted(*_found_by(person))


@functools.lru_cache(8_192)
def _posted(*values: str | None) -> tuple[Posting, ...]:
    """The same for the values of these fields: who was there before comes again."""
    fields = zip(_FOUND_BY, values, strict=True)
    return tuple(
        dict.fromkeys((f"person.{name}", folded(value)) for name, value in fields if value)
    )
