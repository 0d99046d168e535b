"""Reconstruction: what happened in an exchange, a session, a trace, or to an actor or a model.

Rules: one record, one line, in ledger order, page by page, each once. All pages are of the ledger
as it was for the first one; a cursor is bound to the question and the boundary by a MAC and is
refused with any other. A page ends at so many lines, or with the line that goes beyond so many
characters of content, so memory is bounded however long the story is. Not here: which rows
(``scope``, ``stream``), what a line says (``telling``), who may read what (``boundary``), and
that the reading is recorded.
"""

import hashlib
import hmac

import msgspec

from affidavit.errors import NotFoundError, UsageError
from affidavit.query import cursor as cursors
from affidavit.query import retries
from affidavit.query.answers import AsOf
from affidavit.query.boundary import Boundary, bound
from affidavit.query.lanes import Lanes
from affidavit.query.rows import withheld
from affidavit.query.scope import Scope, find, holds
from affidavit.query.search import Searcher
from affidavit.query.stream import Stream
from affidavit.query.telling import Line, Teller
from affidavit.query.tree import All, Match, Tree

__all__ = ["MAX_CHARACTERS", "MAX_LINES", "Line", "Narrative", "narrative"]

MAX_LINES = 2_000
MAX_CHARACTERS = 1 << 24
"""With the line that goes beyond so many characters of content a page ends."""


class Narrative(msgspec.Struct, frozen=True):
    """A page of lines of one ``kind`` (exchange, record, session, trace, actor, model).

    ``name`` is that of the narrative; ``cursor`` leads to the next page and is ``""`` on the last;
    ``more`` says whether there is one. ``as_of`` is the ledger all pages tell of.
    ``content_needs``: as of ``Boundary``.
    """

    kind: str
    name: str
    lines: list[Line]
    more: bool
    as_of: AsOf
    withheld: tuple[str, ...]
    cursor: str = ""
    content_needs: str = ""


class _At(msgspec.Struct, frozen=True, array_like=True):
    """Where a page begins: the ledger of the story, the next index, exchanges still running."""

    as_of: AsOf
    index: int = 0
    running: dict[int, int] = {}


def narrative(
    searcher: Searcher, name: str, boundary: Boundary, *, reason: str = "",
    window: Tree | None = None, tree: Tree | None = None, cursor: str = "", limit: int = MAX_LINES,
) -> Narrative:  # fmt: skip
    """A page of the narrative of a name (``scope.find``), ``limit`` lines at most.

    ``window`` holds two moments at most (``since``, ``until``). ``NotFoundError`` if there is
    nothing of that name within the boundary, ``UsageError`` for a cursor of another question.
    Prompts and outputs are in it where the boundary shows content, for the stated ``reason`` if it
    asks for one. All that is looked up takes as long as one question may; what there was no time to
    find out about rows beside the story is said there.
    """
    if not 1 <= limit <= MAX_LINES:
        raise UsageError(f"A page has 1 to {MAX_LINES} lines, not {limit}.")
    boundary.demand(reason)
    boundary = boundary._replace(purpose=False)  # stated, for all that is looked up here
    with searcher.reader.together():
        return _told(searcher, name, boundary, reason, window or All(), tree, cursor, limit)


def _told(
    searcher: Searcher, name: str, boundary: Boundary, reason: str, window: Tree,
    tree: Tree | None, cursor: str, limit: int,
) -> Narrative:  # fmt: skip
    with searcher.reader.snapshot():
        scope = find(searcher, name, boundary, window, tree)
        as_of = searcher.as_of()
    if scope is None:
        raise NotFoundError(f"There is nothing named {name} within what you may see.")
    key = _key(searcher, scope, boundary)
    at = msgspec.msgpack.decode(cursors.opened(cursor, key), type=_At) if cursor else _At(as_of)
    size = at.as_of.size
    stream = Stream(searcher, scope, boundary, size)
    page = stream.page(at.index, limit)
    # The vault takes its time, and others wait for the end of a snapshot.
    lanes = Lanes(at.running)
    teller = Teller(searcher, boundary, size, lanes, show=boundary.shows_content(reason))
    _look_back(searcher, scope, stream, teller, at)
    teller.knows(one.row for one in page.found if one.row.type != "ledger.gap")
    lines: list[Line] = []
    shown, going_on = 0, page.next
    for found in page.found:
        line = teller.line(found)
        lines.append(line)
        shown += len(line.prompt or "") + len(line.output or "")
        if shown > MAX_CHARACTERS and len(lines) < len(page.found):
            going_on = line.index + 1
            break
    following = ""
    if going_on is not None:
        ends = msgspec.msgpack.encode(_At(at.as_of, going_on, lanes.running))
        following = cursors.sealed(ends, key)
    return Narrative(
        scope.kind, scope.name, lines, going_on is not None, at.as_of, withheld(boundary),
        following, boundary.content_needs,
    )  # fmt: skip


def _look_back(searcher: Searcher, scope: Scope, stream: Stream, teller: Teller, at: _At) -> None:
    """Tell the teller of what was on earlier pages."""
    if at.index:
        teller.went_before(
            stream.before(at.index, "exchange.request", retries.MOST),
            lambda session: holds(searcher, scope, Match("session", session), at.index),
        )


def _key(searcher: Searcher, scope: Scope, boundary: Boundary) -> bytes:
    """Of this question and boundary alone: what a cursor is authenticated with."""
    fixed = boundary._replace(
        rows=boundary.rows if boundary.standing is None else boundary.standing
    )
    asked = bound(scope.tree, boundary)
    told = [scope.kind, scope.name, asked, list(scope.indexes), fixed.as_json()]
    digest = hashlib.sha256(msgspec.json.encode(told)).digest()
    return hmac.digest(searcher.reader.secret, b"narrative" + digest, "sha256")
