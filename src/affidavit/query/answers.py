"""The shapes of answers: pages of rows, exchanges for people, sums.

Rules: plain data that turns into JSON as it is; every answer carries through which ledger size and
time it is all there is. Not here: how an answer comes about (``search``), and the keys of a row
(``rows``).
"""

from typing import Any

import msgspec


class AsOf(msgspec.Struct, frozen=True):
    """The ledger an answer covers: its size, the time of its last leaf, its root as b64u."""

    size: int
    time: str
    root: str


class Page(msgspec.Struct, frozen=True):
    """Rows and what must be known about them. ``cursor`` is ``""`` on the last page.

    ``count`` is of the whole answer (first page only, else ``None``); ``count_capped``: at least
    so many. ``next`` is where a ``tail`` goes on. ``gaps`` and ``unattributed`` count records of
    the window that could have belonged to any answer.
    """

    rows: list[dict[str, Any]]
    cursor: str
    as_of: AsOf
    count: int | None
    count_capped: bool
    next: int
    gaps: int
    unattributed: int
    withheld: tuple[str, ...]


class Exchange(msgspec.Struct, frozen=True):
    """Both halves for people: the request's row with the response's outcome laid over it.

    ``row`` has the keys of ``ROW_FIELDS``, and ``response_id``; another record than an exchange
    stands alone. ``prompt`` is the last message that was asked, ``output`` what was answered;
    ``None`` where there is none or it may not be shown; ``content`` says which (as in
    ``content.Look``). ``open``: no response is recorded yet. ``text`` says in a sentence what a
    record that is no exchange says; ``None`` for exchanges.
    """

    row: dict[str, Any]
    prompt: str | None
    output: str | None
    content: str
    open: bool
    text: str | None = None


class ExchangePage(msgspec.Struct, frozen=True):
    """As ``Page``, with exchanges."""

    exchanges: list[Exchange]
    cursor: str
    as_of: AsOf
    count: int | None
    count_capped: bool
    gaps: int
    unattributed: int
    withheld: tuple[str, ...]


class Aggregate(msgspec.Struct, frozen=True):
    """Sums over the asked window from ``since`` (inclusive) to ``until`` (exclusive), exactly.

    Each row has ``time`` (the first instant of its period) if periods were asked for, the keys
    asked for, ``requests``, ``errors`` and tokens of closed exchanges, ``denials``, and ``cost`` as
    reported for ``cost_of`` of them. ``parts`` says what was summed in which part of the window (a
    cube or the rows), to whoever may see all of it.
    """

    rows: list[dict[str, Any]]
    since: str | None
    until: str | None
    parts: tuple[tuple[str, str | None, str | None], ...]
    as_of: AsOf


class Value(msgspec.Struct, frozen=True):
    """A value of a field and how many records have it."""

    value: str
    count: int


class Facet(msgspec.Struct, frozen=True):
    """The most frequent values of a field, and how many different ones there are."""

    values: list[Value]
    distinct: int


class Facets(msgspec.Struct, frozen=True):
    """Values by field, of ``records`` records; ``capped``: of the newest so many, of more."""

    fields: dict[str, Facet]
    records: int
    capped: bool
    as_of: AsOf


class Bucket(msgspec.Struct, frozen=True):
    """A period by its first instant, and how many records fall into it."""

    time: str
    count: int


class Histogram(msgspec.Struct, frozen=True):
    """Periods with a record in them, oldest first, of the window that was asked for.

    ``capped``: only the newest ``records`` were counted, down to the time ``counted_from``.
    """

    buckets: list[Bucket]
    interval: str
    since: str | None
    until: str | None
    records: int
    capped: bool
    counted_from: str | None
    as_of: AsOf
