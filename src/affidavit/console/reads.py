"""The questions a reader can ask, each recorded before it is answered.

Rules: search first, then the record with the number of rows, then the rows; a search that a
boundary refuses, or whose words are not understood, shows nothing and leaves no ``access.query``
(the refusal is recorded where errors are answered). A name under which nothing is found was asked
for all the same, and so was what matches too much, takes too long or cannot be compared: that is
recorded too, without rows, many of them together. Everything happens within ``reader.boundary``.
Not here: HTTP (``api``, ``page``), proofs and exports (``proofs``).
"""

import base64
import contextlib
import functools
import re
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from affidavit.clock import from_unix_us, to_unix_us
from affidavit.console import erased, resolve
from affidavit.console.access import Access, recorded_expression, recorded_name, who
from affidavit.console.auth import Reader
from affidavit.console.services import ConsoleServices
from affidavit.console.tails import Tail
from affidavit.errors import NotFoundError, RefusedError, UsageError
from affidavit.query import language
from affidavit.query.answers import ExchangePage, Page
from affidavit.query.beyond import beyond
from affidavit.query.boundary import inject
from affidavit.query.scope import KINDS
from affidavit.query.session import Narrative, narrative
from affidavit.query.tree import And, Match, Tree
from affidavit.wire.decode import decode

_OF_ITSELF = re.compile(r"#|(?:ses|act)_|model:|trace:|[0-9a-f]{8}")
"""Names that say the same to every reader."""
_SINCE = "."
"""Stands in a cursor between the searcher's own and when the first page was asked for."""


@dataclass(frozen=True)
class Ask:
    """One question: an expression, how many rows, from where, what for, and in which form.

    ``prove`` is recorded here; ``proofs`` does it. ``count``: no rows are given.
    """

    expression: str
    limit: int = 50
    cursor: str = ""
    purpose: str = ""
    view: Literal["exchanges", "records"] = "exchanges"
    prove: bool = False
    count: bool = False


@dataclass(frozen=True)
class Story:
    """What is to be told: a name, perhaps within a window, what for, which page and how long."""

    name: str
    purpose: str = ""
    since: str = ""
    until: str = ""
    cursor: str = ""
    limit: int = 500


class Reads:
    """Query, show, tail and reveal for any reader."""

    def __init__(self, services: ConsoleServices, access: Access) -> None:
        self._services = services
        self._access = access

    def parse(self, reader: Reader, expression: str, now: str = "") -> Tree:
        """The question as a tree, names resolved; ``ExpressionError`` says where it is wrong.

        ``now`` is what times such as ``90d`` are reckoned from, the present if it is not given.
        """
        tree = language.parse(expression, now or self._services.clock.now())
        return resolve.widened(tree, reader, self._services.snapshot())

    def recorded(self, reader: Reader, tree: Tree) -> dict[str, Any]:
        """What every record of a question says about it."""
        snapshot = self._services.snapshot()
        return {
            "expression": recorded_expression(tree, snapshot, reader.identity.tenant),
            "boundary": reader.boundary.as_json(),
        }

    async def query(self, reader: Reader, ask: Ask) -> dict[str, Any]:
        """One page of records or exchanges, newest first, with the as-of line's facts."""
        began, cursor = _went_on(ask.cursor)
        began = began or self._services.clock.now()
        tree = self.parse(reader, ask.expression, began)
        searcher = self._services.searcher

        def search() -> Page | ExchangePage:
            question = functools.partial(
                searcher.exchanges if ask.view == "exchanges" else searcher.run, tree
            )
            return question(reader.boundary, limit=ask.limit, cursor=cursor, reason=ask.purpose)

        asked = {"operation": "query", **self.recorded(reader, tree)}
        async with self._access.looking(reader, asked, ask.purpose):
            page = await self._services.blocking(search)
            answer = _page(page)
            if reader.boundary.counts and not cursor:
                count = functools.partial(beyond, searcher, tree, reader.boundary)
                answer["beyond"] = await self._services.blocking(count)
        if page.cursor:
            answer["cursor"] = _goes_on(page.cursor, began)
        answer["content_needs"] = reader.boundary.content_needs
        if ask.count:
            answer |= {"rows": [], "cursor": ""}
        what = {
            **asked,
            "view": ask.view,
            "rows": len(answer["rows"]),
            "as_of": answer["as_of"],
            "prove": ask.prove,
            "count": ask.count,
        }
        await self._access.read("access.query", reader, what, ask.purpose)
        return answer

    async def show(self, reader: Reader, asked: Story) -> dict[str, Any]:
        """A page of the narrative of a record, exchange, session, trace, actor or model.

        It is looked for in this order, or as what it says before a colon (``model:``). It may be
        the session id as the caller wrote it, or whoever's name or e-mail, where the reader may
        see ``person``. ``NotFoundError`` if the reader may see nothing of that name;
        ``LimitedError`` if it has enough of these going on; the other errors as ``query.session``.
        """
        began, cursor = _went_on(asked.cursor)
        began = began or self._services.clock.now()
        times = {"since": asked.since, "until": asked.until}
        words = " ".join(f"{name}:{time}" for name, time in times.items() if time)
        window = language.parse(words, began)
        probe = self._probe(reader, "show", asked.name)
        async with self._access.looking(reader, probe, asked.purpose):
            with self._services.limits.expensive(reader.account):
                told = await self._services.blocking(
                    lambda: self._narrative(reader, asked, window, cursor)
                )
            outside = None
            counted = reader.boundary.counts and told.kind in KINDS
            if counted:
                named = resolve.widened(
                    Match(told.kind, told.name), reader, self._services.snapshot()
                )
                tree = And((named, window))
                count = functools.partial(beyond, self._services.searcher, tree, reader.boundary)
                outside = await self._services.blocking(count)
        what = {
            "operation": "show",
            "kind": told.kind,
            "name": self._recorded_name(reader, told),
            "boundary": reader.boundary.as_json(),
            "rows": len(told.lines),
        }
        if words:
            what["window"] = language.unparse(window)
        await self._access.read("access.query", reader, what, asked.purpose)
        answer: dict[str, Any] = msgspec.to_builtins(told)
        await erased.say(self._services, answer["lines"])
        if told.cursor:
            answer["cursor"] = _goes_on(told.cursor, began)
        if counted:
            answer["beyond"] = outside
        return answer

    def _probe(self, reader: Reader, operation: str, name: str) -> dict[str, Any]:
        """What is recorded of a name that led nowhere; who knows what stands in it."""
        name = recorded_name(self._services.snapshot(), reader.identity.tenant, name)
        return {"operation": operation, "name": name, "boundary": reader.boundary.as_json()}

    def _recorded_name(self, reader: Reader, told: Narrative) -> str:
        """The name as it is recorded: what a caller called its session may identify a person."""
        if told.kind not in ("session", "actor"):
            return told.name
        return recorded_name(self._services.snapshot(), reader.identity.tenant, told.name)

    def _narrative(self, reader: Reader, asked: Story, window: Tree, cursor: str) -> Narrative:
        snapshot, searcher = self._services.snapshot(), self._services.searcher
        with searcher.reader.together():
            for meant, tree in resolve.meanings(asked.name, reader, snapshot):
                with contextlib.suppress(NotFoundError):
                    return narrative(
                        searcher, meant, reader.boundary, reason=asked.purpose,
                        window=window, tree=tree, cursor=cursor, limit=asked.limit,
                    )  # fmt: skip
        raise NotFoundError(
            "No record, session, trace, actor or model of this name is within what you may see.",
            hint=_elsewhere(reader, asked),
        )

    async def reveal(self, reader: Reader, name: str, reason: str) -> dict[str, Any]:
        """The content of a record, or of both halves of an exchange, for a stated reason.

        Where two persons have to agree, ``asked`` in the answer says what waits for the second.
        """
        if not reason.strip():
            raise UsageError("A reveal needs a reason.", hint="--reason 'ticket 4711: …'")
        if reader.boundary.content == "never":
            whose = "Your boundary" if reader.boundary.name else f"The role {reader.identity.role}"
            raise RefusedError(f"{whose} does not show content.")
        try:
            rows = await self._services.blocking(lambda: self._halves(reader, name))
        except NotFoundError:
            probe = self._probe(reader, "reveal", name) | {"reason": reason, "records": []}
            await self._access.missed("access.reveal", reader, probe, reason)
            raise
        agreed: dict[str, Any] = {}
        if reader.boundary.persons > 1:
            approval = await self._agreed(reader, [row["id"] for row in rows], reason)
            if approval["state"] != "granted":
                return {"asked": approval, "records": []}
            agreed = {"approval": approval["id"]}
        halves = await self._services.blocking(lambda: self._content(rows))
        shown = [
            {"id": half["id"], "index": half["index"], "parts": [p["name"] for p in half["parts"]]}
            for half in halves
        ]
        what = {
            "operation": "reveal",
            "target": {"kind": "record", "name": halves[0]["id"]},
            "reason": reason,
            "boundary": reader.boundary.as_json(),
            "records": shown,
            "rows": len(shown),
            **agreed,
        }
        record = await self._access.read("access.reveal", reader, what, reason)
        under = await erased.under(self._services, [
            half["index"] for half in halves
            if not half["parts"] or any("missing" in part for part in half["parts"])
        ])  # fmt: skip
        said = [half | {"erased_under": under.get(half["index"], "")} for half in halves]
        return {"records": said, "recorded_as": record}

    async def _agreed(self, reader: Reader, ids: list[str], reason: str) -> dict[str, Any]:
        """The approval that counts for these records; asked for, on record, if there is none."""
        asked = {
            "identity": reader.identity.id,
            "records": ids,
            "reason": reason,
            "boundary": reader.boundary.as_json(),
            "by": who(reader, reason),
        }
        approval: dict[str, Any] = await self._services.control.call("approvals.ask", asked)
        return approval

    def _halves(self, reader: Reader, name: str) -> list[dict[str, Any]]:
        """The rows of a record, or of both halves of an exchange, as far as they may be known."""
        searcher = self._services.searcher
        row = searcher.row(name, reader.boundary)
        halves = [row[key] for key in ("index", "re", "answered") if row[key] is not None]
        return [
            searcher.row(index, reader.boundary)
            for index in searcher.within(halves, reader.boundary)
        ]

    def _content(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        vault = self._services.vault
        found = []
        for row in rows:
            index = row["index"]
            half = {"id": row["id"], "index": index, "type": row["type"]}
            sections = vault.sections(index)
            encodings = _encodings(sections.get("what") or {})
            listed = (sections.get("content") or {}).get("parts", [])
            parts, missing = vault.parts(index), vault.missing(index)
            shown = []
            for part in listed:
                entry = {"name": part["name"], "media_type": part.get("media_type", "")}
                data = parts.get(part["name"])
                if data is None:
                    entry["missing"] = missing.get(part["name"], "Not in the vault.")
                else:
                    entry["base64"] = base64.b64encode(data).decode()
                    entry["text"] = _text(data, encodings.get(part["name"], ""))
                shown.append(entry | {"size": part.get("size"), "digest": part.get("digest")})
            found.append({**half, "parts": shown})
        return found

    async def tail(
        self, reader: Reader, expression: str, after: int | None, purpose: str = ""
    ) -> Tail:
        """Record the beginning, then return the rows as they are indexed, oldest first.

        ``after`` is the index to go on from, ``None`` for "from now". A ``None`` among the rows
        says that nothing came for a while. The end is recorded with the number of rows and why.
        ``LimitedError`` if this reader has enough of them open.
        """
        tree = self.parse(reader, expression)
        inject(tree, reader.boundary, purpose)  # refused here, not in the middle of a stream
        searcher = self._services.searcher
        start = after
        if start is None:
            start = (await self._services.blocking(searcher.as_of)).size
        told = {"operation": "tail", **self.recorded(reader, tree), "after": start}
        began = ""

        async def ended(rows: int, why: str) -> None:
            what = told | {"phase": "ended", "began": began, "rows": rows, "why": why}
            await self._access.read("access.tail", reader, what, purpose)

        tail = Tail(
            self._services, reader, tree, start, purpose, lambda: self._valid(reader), ended
        )
        what = told | {"phase": "begun"}
        try:
            began = await self._access.read("access.tail", reader, what, purpose)
        except BaseException:
            tail.abandon()
            raise
        return tail

    def _valid(self, reader: Reader) -> bool:
        """Whether the reader may still read what it could when it began."""
        snapshot, boundary = self._services.snapshot(), reader.boundary
        if boundary.until and self._services.clock.now() >= boundary.until:
            return False
        if boundary.glass and all(glass.id != boundary.glass for glass in snapshot.glasses):
            return False
        if reader.via == "socket":
            return snapshot.local is not None and snapshot.local.role == reader.identity.role
        known = snapshot.identities
        return any(i == reader.identity for i in known)  # neither revoked nor changed


def _goes_on(own: str, began: str) -> str:
    """The searcher's own cursor with when the first page was asked for."""
    return f"{own}{_SINCE}{to_unix_us(began):x}"


def _went_on(cursor: str) -> tuple[str, str]:
    """When the first page was asked for, and the searcher's own cursor; ``UsageError``.

    "90d ago" means the same on every page, else the cursor would be one of another question.
    """
    own, mark, began = cursor.partition(_SINCE)
    try:
        began = began if own else ""  # a time without a place is no page that was ever given
        return from_unix_us(int(began, 16)) if mark else "", own
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError("This is no cursor.", hint="Ask again from the first page.") from error


def _elsewhere(reader: Reader, asked: Story) -> str:
    """What may be tried where nothing was found; told by what was asked, never by what is there."""
    if asked.since or asked.until:
        return "That is for this window: leave --since and --until out, or widen them."
    named = asked.name.removeprefix("session:").removeprefix("actor:")
    if "person" not in reader.boundary.sections and not _OF_ITSELF.match(named):
        return (
            "A caller's own name for a session, and anybody's name, are within section person: "
            "name the pseudonym (ses_…, act_…)."
        )
    return "Try: affidavit query 'since:24h'"


def _page(page: Page | ExchangePage) -> dict[str, Any]:
    """A page as JSON; an exchange is its row with ``prompt``, ``output`` and ``open`` beside."""
    answer: dict[str, Any] = msgspec.to_builtins(page)
    if "exchanges" in answer:
        found = answer.pop("exchanges")
        answer["rows"] = [exchange.pop("row") | exchange for exchange in found]
    return answer


def _encodings(what: dict[str, Any]) -> dict[str, str]:
    """The content encoding of each body, as its headers stated it."""
    found = {}
    for half in ("request", "response"):
        for name, value in what.get(f"http.{half}.headers") or []:
            if name == "content-encoding":
                found[f"{half}.body"] = value
    return found


def _text(data: bytes, encoding: str) -> str | None:
    """The text of a part with its content encoding undone, ``None`` if it is not text."""
    decoded = decode(data, encoding)
    try:
        return None if decoded.problem else decoded.data.decode()
    except UnicodeDecodeError:
        return None
