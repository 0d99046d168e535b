"""What a value is: in which fields of which records it occurs, since when, and how to go on.

Rules: the value is asked for in every field that the boundary shows, each as a question of its
own within the boundary, so a count tells no more than the query would. Fields without posting
lists are asked together in one pass, and apart only if that finds something. Counts stop at
``MOST``. A digest (of a part of content, of an export's manifest) stands in sections, not in the
index, so it is looked for in the newest ``LOOKED_AT`` records that have one, and the answer says
so. Not here: names of people and sessions to pseudonyms (``console.resolve``).
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from affidavit.index.schema import Row
from affidavit.query.answers import AsOf
from affidavit.query.boundary import Boundary, inject
from affidavit.query.content import look
from affidavit.query.fields import FIELDS, Field
from affidavit.query.language import unparse
from affidavit.query.search import Searcher
from affidavit.query.tree import Has, Match, Number, Or, Tree

MOST = 10_000
LOOKED_AT = 2_000
DIGEST = re.compile(r"[A-Za-z0-9_-]{43}")
"""b64u of a SHA-256."""
_OURS = re.compile(r"(?:act|ses|key)_[a-z2-7]{26}|#")
"""Names that only this program gives: each has a posting list or is an index."""
_INDEX = re.compile(r"#(\d{1,15})")
_STORY = frozenset({"actor", "model", "session", "trace"})

Widen = Callable[[Tree], Tree]


class Place(msgspec.Struct, frozen=True):
    """One field in which the value occurs: how often (``capped``: at least), first and last.

    ``query`` is the expression that finds these records; ``first`` and ``last`` are indexes.
    """

    field: str
    means: str
    query: str
    count: int
    capped: bool
    first: int
    first_time: str
    last: int
    last_time: str


class Pivot(msgspec.Struct, frozen=True):
    """Where a value occurs, and commands to copy. ``withheld``: fields outside the boundary.

    ``looked_at``: how many records were looked into for a digest, ``None`` where none was.
    """

    value: str
    places: list[Place]
    commands: list[str]
    withheld: list[str]
    looked_at: int | None
    as_of: AsOf


def pivot(searcher: Searcher, value: str, boundary: Boundary, widen: Widen) -> Pivot:
    """Look ``value`` up everywhere; no places if it is nowhere within the boundary.

    ``widen`` adds pseudonyms to a question that names a person or a caller's session.
    """
    usable = [field for name, field in FIELDS.items() if field.kind == "name" and name != "values"]
    shown = [field for field in usable if _shows(boundary, field)]
    trees: dict[str, Tree] = {field.name: widen(Match(field.name, value)) for field in shown}
    listed = [field for field in shown if field.dimension is not None or field.name == "id"]
    scanned = [field for field in shown if field not in listed and not _OURS.match(value)]
    index = _INDEX.fullmatch(value)
    places: list[Place] = []
    looked_at = None
    with searcher.reader.snapshot():
        as_of = searcher.as_of()
        for field in listed:
            places += _places(searcher, field.name, field.help, trees[field.name], boundary)
        places += _scanned(searcher, scanned, trees, boundary)
        if index is not None:
            number = Number("index", "=", float(index[1]))
            at = int(index[1])
            places += _places(searcher, "index", FIELDS["index"].help, number, boundary, at)
    if DIGEST.fullmatch(value) and "content" in boundary.sections:
        found, looked_at = _digests(searcher, value, boundary)
        places += found
    return Pivot(
        value, places, list(_commands(value, places)),
        [field.name for field in usable if field not in shown], looked_at, as_of,
    )  # fmt: skip


def _shows(boundary: Boundary, field: Field) -> bool:
    return field.section == "leaf" or field.section in boundary.sections


def _places(
    searcher: Searcher, name: str, means: str, tree: Tree, boundary: Boundary, at: int | None = None
) -> Iterator[Place]:
    """The field with its count, first and last, if it has the value at all."""
    asked = inject(tree, boundary)
    span = (0, None) if at is None else (at, at + 1)
    first = searcher.rows_of(asked, 1, *span)
    if not first:
        return
    (last,) = searcher.rows_of(asked, 1, *span, newest=True)
    count, capped = (1, False) if at is not None else searcher.count_of(asked, MOST)
    yield Place(
        name, means, unparse(tree), count, capped, first[0].idx, first[0].time, last.idx, last.time
    )  # fmt: skip


def _scanned(
    searcher: Searcher, fields: list[Field], trees: dict[str, Tree], boundary: Boundary
) -> Iterator[Place]:
    """Fields that are found by reading rows: all at once, apart only if one of them has it."""
    left = list(fields)
    while left:
        asked = inject(Or(tuple(trees[field.name] for field in left)), boundary)
        found = searcher.rows_of(asked, 1)
        if not found:
            return
        having = [field for field in left if _has(found[0], field, trees[field.name])]
        for field in having:
            yield from _places(searcher, field.name, field.help, trees[field.name], boundary)
        left = [field for field in left if field not in having] if having else []


def _has(row: Row, field: Field, tree: Tree) -> bool:
    value = tree.value if isinstance(tree, Match) else ""
    columns: Iterable[Any] = (getattr(row, column) for column in field.columns)
    lists = (item for column in field.lists for item in getattr(row, column))
    return value in [str(item) for item in (*columns, *lists) if item is not None]


def _digests(searcher: Searcher, value: str, boundary: Boundary) -> tuple[list[Place], int]:
    """Records whose parts or manifest have this digest, among the newest that have any."""
    exports = Match("type", "access.export")
    asked = inject(Or((Has("content"), exports)), boundary)
    with searcher.reader.snapshot():
        rows = searcher.rows_of(asked, LOOKED_AT, newest=True)
    found = []
    for row in rows:
        sections = look(searcher.contents, row, show=False).sections
        seen = {name: value for name, value in sections.items() if name in boundary.sections}
        name = _digest_in(seen, value)
        if name:
            at = f"index={row.idx}"
            means = "SHA-256 over its salt and its bytes" if name != "manifest" else "of an export"
            found.append(Place(name, means, at, 1, False, row.idx, row.time, row.idx, row.time))
    return found, len(rows)


def _digest_in(sections: dict[str, Any], value: str) -> str:
    """The name of the part, or ``manifest``, that has this digest."""
    content, what = sections.get("content"), sections.get("what")
    parts = content.get("parts") if isinstance(content, dict) else None
    for part in parts if isinstance(parts, list) else []:
        if isinstance(part, dict) and part.get("digest") == value:
            return str(part.get("name"))
    return "manifest" if isinstance(what, dict) and what.get("manifest") == value else ""


def _commands(value: str, places: list[Place]) -> Iterator[str]:
    """Commands to copy, those that tell most first."""
    stories = [place for place in places if place.field in _STORY]
    for place in stories:
        yield f"affidavit show {_quoted(f'{place.field}:{value}')}"
    for place in places:
        if place.count == 1 or place.field in ("id", "index", "parent"):
            yield f"affidavit show {_quoted(f'#{place.last}')}"
    for place in places:
        if place.field not in ("id", "index") and "index=" not in place.query:
            yield f"affidavit query {_quoted(place.query)}"


def _quoted(word: str) -> str:
    """The word as a shell takes it, whatever is in it."""
    return "'" + word.replace("'", "'\"'\"'") + "'"
