"""What needs a second person, and broken glass, at rest: two tables in ``state.db``.

Rules: an approval is pending until somebody else grants or denies it, or its time is over (of a
reveal a day, of the release of a hold or an erasure thirty). A granted reveal opens the records it
names to the key that asked, for an hour; the others are done once, when they are granted. What
opens, or destroys, is on record before it is stored; what closes is stored first. Owned by the
sequencer process; one thread at a time. Not here: the records of all this and who may do what
(``app.approving``), and holds (``holds``).
"""

import unicodedata
from collections.abc import Collection, Iterator, Sequence
from typing import Literal

import apsw
import msgspec

from affidavit.clock import add_seconds
from affidavit.control.identity import APPROVE, OWNER, Glass, Identity
from affidavit.errors import NotFoundError, RefusedError, UsageError

Kind = Literal["reveal", "release", "erase"]
"""What is asked for: content of records, the end of a hold, an erasure."""

PENDING_SECONDS: dict[Kind, int] = {
    "reveal": 86_400, "release": 30 * 86_400, "erase": 30 * 86_400,
}  # fmt: skip
"""A question that nobody has answered for so long lapses."""

GRANTED_SECONDS = 3_600
"""So long may be revealed what was granted."""

MAX_PENDING = 100
"""So many questions of one kind and one key wait at a time."""

_SCHEMA = """
create table if not exists approvals (
  id text primary key, by text not null, state text not null, asked text not null,
  body blob not null
) strict;
create index if not exists approvals_open on approvals (state, asked);
create table if not exists glasses (
  id text primary key, body blob not null, ended text
) strict;
"""


class Approval(msgspec.Struct, frozen=True):
    """A question whether content of ``records`` (ids) may be revealed, and its answer.

    Or, of another ``kind``, whether the hold or the erasure ``target`` (an id) is to be released or
    carried out. ``id`` is that of the ``approval.requested`` record. ``by``: the key that asked,
    ``actor`` whose it is. ``until``: when the answer, or the question, stops counting.
    ``approver``: the actor who answered, ``who`` the section of the record that says so.
    """

    id: str
    by: str
    actor: str
    tenant: str
    reason: str
    records: tuple[str, ...]
    asked: str
    until: str
    state: Literal["pending", "granted", "denied"] = "pending"
    decided: str = ""
    approver: str = ""
    who: dict[str, object] = {}
    kind: Kind = "reveal"
    target: str = ""

    def decided_by(
        self, identity: Identity, who: dict[str, object], now: str, *, grant: bool
    ) -> "Approval":
        """The same, granted or denied ``now``."""
        return msgspec.structs.replace(
            self,
            state="granted" if grant else "denied",
            decided=now,
            approver=identity.actor,
            who=who,
            until=add_seconds(now, GRANTED_SECONDS) if grant and self.kind == "reveal" else now,
        )


_OTHERS = (
    "Somebody else grants it: neither of the two made the other's key. If there is nobody, take it "
    "back (affidavit approvals deny ID), and somebody asks who made no keys, for a hold or an "
    "erasure with a key of the role compliance; two whose keys one owner made are two persons."
)


def check_second(asker: Identity, second: Identity, asked: str, every: Sequence[Identity]) -> None:
    """``RefusedError`` if both are the same person, as far as names and addresses tell.

    However these are spelt: ``Ada`` is ``ADA``, in another tenant, too. Nor does either key come
    from the other one (``makers``, among ``every`` identity, oldest first), or is the second made
    after the question was ``asked``, as whoever makes keys could be both.
    """
    same_name = _folded(asker.name) == _folded(second.name)
    same_mail = _folded(asker.email) and _folded(asker.email) == _folded(second.email)
    if asker.actor == second.actor or same_name or same_mail:
        raise RefusedError(
            "Whoever asked cannot be the second person, with another key neither.",
            hint="Somebody else has to grant it: affidavit approvals grant ID",
        )
    if asker.actor in makers(second, every):
        raise RefusedError(
            "Whoever asked made this key, so it is not the second person's.", hint=_OTHERS
        )
    if second.actor in makers(asker, every):
        raise RefusedError(
            "You made the key that asked, so you are not the second person.", hint=_OTHERS
        )
    if second.created > asked:
        raise RefusedError(
            "This key was made after the question was asked.",
            hint="Somebody grants it who had a key before; or take it back and ask anew.",
        )


def second_persons(asker: Identity, asked: str, every: Sequence[Identity]) -> Iterator[Identity]:
    """The keys of a role that approves that are a second person's, of whatever tenant.

    Each takes a look at all keys, so whoever needs one alone asks for no others. If there is none
    when it is ``asked``, there never is: later keys are younger than the question.
    """
    for one in every:
        if one.role in APPROVE and one.in_force(asked) and _is_second(asker, one, asked, every):
            yield one


def _is_second(asker: Identity, second: Identity, asked: str, every: Sequence[Identity]) -> bool:
    try:
        check_second(asker, second, asked, every)
    except RefusedError:
        return False
    return True


def makers(identity: Identity, every: Sequence[Identity]) -> frozenset[str]:
    """The actors who made a key, made the key that it was made with, and so on.

    The first owner only where it made this key itself: in the end it made all.
    """
    first = next((one.actor for one in every if one.role == OWNER), "")
    found, new = set[str](), {identity.made_by}
    while new := new - found - {""}:
        found |= new
        new = {one.made_by for one in every if one.actor in new - {first}} - {first}
    return frozenset(found)


def _folded(text: str) -> str:
    """A name without what tells no persons apart: case, width, blanks, what is not seen."""
    seen = unicodedata.normalize("NFKC", text)
    return "".join(c for c in seen if c.isprintable() and not c.isspace()).casefold()


class ApprovalStore:
    """What was asked and answered, and which glass is broken."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._db = connection
        connection.execute(_SCHEMA)

    @property
    def version(self) -> int:
        """Grows with every glass that is broken or ended."""
        return int(self._db.execute("select count(*) + count(ended) from glasses").get)

    def find(self, approval_id: str) -> Approval:
        """The approval of that id; ``NotFoundError`` if there is none."""
        row = self._db.execute("select body from approvals where id = ?", (approval_id,)).fetchone()
        if row is None:
            raise NotFoundError("There is no such approval.", hint="affidavit approvals list")
        return msgspec.msgpack.decode(row[0], type=Approval)

    def pending(self, approval_id: str, now: str) -> Approval:
        """The same; ``UsageError`` if it was answered or has lapsed."""
        found = self.find(approval_id)
        if found.state != "pending" or now >= found.until:
            said = found.state if found.state != "pending" else "over"
            raise UsageError(f"This approval is {said} already.", hint="affidavit approvals list")
        return found

    def open(self, now: str) -> list[Approval]:
        """All that are pending or granted and still count, oldest first."""
        since = add_seconds(now, -max(PENDING_SECONDS.values()) - GRANTED_SECONDS)
        rows = self._db.execute(
            "select body from approvals where state in ('pending', 'granted') and asked >= ? "
            "order by asked, id",
            (since,),
        )
        every = (msgspec.msgpack.decode(row[0], type=Approval) for row in rows)
        return [one for one in every if now < one.until]

    def standing(self, by: str, records: Collection[str], now: str) -> Approval | None:
        """What counts for a key and all of these records: granted before pending."""
        covers = [
            one
            for one in self.open(now)
            if one.by == by and one.kind == "reveal" and set(records) <= {*one.records}
        ]
        return min(covers, key=lambda one: one.state, default=None)

    def waiting(self, by: str, now: str, kind: Kind = "reveal") -> int:
        """How many questions of a kind and a key wait for an answer."""
        return sum(
            one.by == by and one.kind == kind and one.state == "pending" for one in self.open(now)
        )

    def about(self, kind: Kind, target: str, now: str) -> Approval | None:
        """The question about a hold or an erasure that waits for an answer, if there is one."""
        found = (one for one in self.open(now) if (one.kind, one.target) == (kind, target))
        return next((one for one in found if one.state == "pending"), None)

    def denied(self) -> list[Approval]:
        """All that were ever denied."""
        rows = self._db.execute("select body from approvals where state = 'denied' order by id")
        return [msgspec.msgpack.decode(row[0], type=Approval) for row in rows]

    def put(self, approval: Approval) -> None:
        """Store a new or answered approval; durable on return."""
        self._db.execute(
            "insert into approvals values (?1, ?2, ?3, ?4, ?5) on conflict (id) do update set "
            "state = excluded.state, body = excluded.body",
            (approval.id, approval.by, approval.state, approval.asked,
             msgspec.msgpack.encode(approval)),
        )  # fmt: skip

    def glasses(self, *, ended: bool = False) -> tuple[Glass, ...]:
        """Those that are not ended (time may have ended them), or those that are, oldest first."""
        word = "not null" if ended else "null"
        rows = self._db.execute(f"select body from glasses where ended is {word} order by rowid")  # noqa: S608 - one of two words
        return tuple(msgspec.msgpack.decode(row[0], type=Glass) for row in rows)

    def put_glass(self, glass: Glass) -> None:
        """Store a broken glass; durable on return, in force with the next snapshot."""
        body = msgspec.msgpack.encode(glass)
        self._db.execute("insert into glasses values (?, ?, null)", (glass.id, body))

    def end_glass(self, glass: Glass, now: str) -> None:
        """End a glass ``now``; durable on return."""
        self._db.execute("update glasses set ended = ? where id = ?", (now, glass.id))
