"""Erasure requests at rest: three tables in ``state.db``, owned by the sequencer process.

Rules: a request stays for good as the answer to what went, and why; what it would show of whom it
was about (its tree, names) is wiped once nothing of it is left to do. Beside it stand, by bucket of
the vault, the leaf indexes that go in this run and those that go later, until they have gone. Not
here: who may ask and approve (``app.erasing``), the steps of a run (``app.erasure_run``).
"""

import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import apsw
import msgspec

from affidavit.control.wiping import written_anew
from affidavit.errors import NotFoundError

Kind = Literal["subject", "session", "record", "tenant", "expression"]
KINDS: tuple[Kind, ...] = ("subject", "session", "record", "tenant", "expression")
AS_ASKED: frozenset[Kind] = frozenset({"record", "expression"})
"""Kinds that mean what was there when it was asked, with its answers; others what comes, too."""
What = Literal["person", "content", "sections"]
"""What goes of a record: ``person`` and content; content; or all seven sections and content."""

_SCHEMA = """
create table if not exists erasures (
  id text primary key, state text not null, body blob not null
) strict;
create index if not exists erasures_state on erasures (state);
create table if not exists erasure_parts (
  erasure text not null, tenant text not null, class text not null, day text not null,
  removable text not null, now blob not null, later blob not null,
  primary key (erasure, tenant, class, day)
) strict, without rowid;
create table if not exists erasure_gone (
  erasure text not null, run integer not null, low integer not null, high integer not null,
  indexes blob not null, primary key (erasure, run)
) strict, without rowid;
"""


class Tally(msgspec.Struct, frozen=True):
    """What went in a run: records, sealed sections and parts, their bytes, and of which ``locked``.

    ``digest``: hex SHA-256 of their leaf indexes, ascending, each as u64be.
    """

    records: int = 0
    blobs: int = 0
    bytes: int = 0
    locked: int = 0
    subject_keys: int = 0
    digest: str = ""


class Erasure(msgspec.Struct, frozen=True):
    """A request. ``target``: a pseudonym, session, record id or tenant; ``""`` of an expression.

    ``expression`` is as records have it. ``tree``, the JSON of what is selected (empty where the
    records of then are meant), and ``names``, by which saved queries are known to be about the
    person, are wiped in the end. ``basis``: the legal basis, in words. ``planned``: how many
    records were found when it was asked, and a digest of their indexes as in ``Tally``. ``run``:
    the number of the latest run, ``selected`` once what goes in it is stored. ``revoked``: ids of
    keys. ``certificates``: signed notes, one for each run in which something went. ``exports``: the
    bundles in which records of this run were.
    ``keys``: ids of the keys that were in force when it was asked, and end with it.
    ``open``: leaf indexes of requests among what is meant whose answers had not come when the run
    chose what goes; they wait for these. ``late``: the run takes such answers, and what was chosen
    before and may go now, but nothing new; so do all later runs of a tenant.
    ``within``: the tenant in which alone a person is erased, ``""`` for all tenants.
    ``tenants``: those in which something was meant when it was asked; who grants it oversees them,
    and of records it takes none in others. ``each``: what went in this run of each other tenant
    than ``home`` of which it ever took or meant something: there it is on record, too.
    """

    id: str
    tenant: str
    kind: Kind
    target: str
    what: What
    expression: str
    tree: bytes
    basis: str
    by: str
    actor: str
    asked: str
    planned: int
    digest: str
    who: dict[str, object] = {}
    names: tuple[str, ...] = ()
    state: Literal["asked", "running", "waiting", "done"] = "asked"
    approval: str = ""
    approver: str = ""
    approved: str = ""
    run: int = 0
    selected: bool = False
    tally: Tally = Tally()
    revoked: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    exports: tuple[dict[str, str | int], ...] = ()
    finished: str = ""
    within: str = ""
    keys: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    open: tuple[int, ...] = ()
    late: bool = False
    each: dict[str, Tally] = {}

    @property
    def home(self) -> str:
        """The tenant in whose chains it is on record what went: that of which it was.

        Of several, of a whole tenant (which would take it), and of what is of none, that of who
        asked: there with the certificate, which is of all of it.
        """
        alone = len(self.tenants) == 1 and self.kind != "tenant"
        return (self.tenants[0] if alone else "") or self.tenant


class Portion(msgspec.Struct, frozen=True):
    """Records of one bucket of the vault: what goes in this run, and what goes later.

    ``removable``: the day from which their minimum is over, ``""`` if nobody says how long it is.
    """

    tenant: str
    retention_class: str
    day: str
    removable: str
    now: tuple[int, ...] = ()
    later: tuple[int, ...] = ()


def packed(indexes: Iterable[int]) -> bytes:
    """Leaf indexes as u64be, one after another: what digests are over."""
    numbers = array("Q", indexes)
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers.tobytes()


def unpacked(data: bytes) -> tuple[int, ...]:
    """Undo ``packed``."""
    return tuple(_numbers(data))


def _numbers(data: bytes) -> "array[int]":
    numbers = array("Q", data)
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers


class ErasureStore:
    """The erasure requests of this installation; one thread at a time."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._db = connection
        connection.execute(_SCHEMA)

    def put(self, erasure: Erasure) -> None:
        """Store a new or changed request; durable on return, unless in a transaction."""
        self._db.execute(
            "insert into erasures values (?1, ?2, ?3) on conflict (id) do update set "
            "state = excluded.state, body = excluded.body",
            (erasure.id, erasure.state, msgspec.msgpack.encode(erasure)),
        )

    def find(self, erasure_id: str) -> Erasure:
        """The request of that id; ``NotFoundError`` if there is none."""
        row = self._db.execute("select body from erasures where id = ?", (erasure_id,)).fetchone()
        if row is None:
            raise NotFoundError("There is no such erasure.", hint="affidavit erase list")
        return msgspec.msgpack.decode(row[0], type=Erasure)

    def all(self, *states: str) -> list[Erasure]:
        """Every request, or those in ``states``, oldest first."""
        rows = self._db.execute("select state, body from erasures order by id")
        return [
            msgspec.msgpack.decode(body, type=Erasure)
            for state, body in rows
            if not states or state in states
        ]

    def forget(self, *names: str) -> None:
        """Take away requests that were denied or have lapsed: their records tell of them.

        Nothing of them stays on any page, as of ``leave_none``, which is called once for all.
        """
        if not names:
            return
        with self._db:
            for name in names:
                self._db.execute("delete from erasures where id = ?", (name,))
                self._db.execute("delete from erasure_parts where erasure = ?", (name,))
            self.leave_none()

    def leave_none(self) -> None:
        """Write all requests anew, so that nothing that was wiped in one stays on any page."""
        written_anew(self._db, "erasures", "id, state, body")

    def put_gone(self, erasure_id: str, run: int, indexes: Sequence[int]) -> None:
        """Remember which leaves went in a run, ascending: under whose certificate they are."""
        if indexes:
            self._db.execute(
                "insert or replace into erasure_gone values (?, ?, ?, ?, ?)",
                (erasure_id, run, indexes[0], indexes[-1], packed(indexes)),
            )

    def under(self, indexes: Sequence[int]) -> dict[int, str]:
        """Of leaves that went in some run, the latest request under which they did."""
        found: dict[int, str] = {}
        left = sorted(set(indexes))
        if not left:
            return found
        rows: list[Any] = self._db.execute(
            "select erasure, run, low, high from erasure_gone where low <= ? and high >= ? "
            "order by erasure desc, run desc",
            (left[-1], left[0]),
        ).fetchall()
        for name, run, low, high in rows:
            wanted = left[bisect_left(left, low) : bisect_right(left, high)]
            if not wanted:
                continue
            data: Any = self._db.execute(
                "select indexes from erasure_gone where erasure = ? and run = ?", (name, run)
            ).get
            gone = _numbers(data)  # may be a million: looked into where something is wanted alone
            here = {index for index in wanted if gone[bisect_left(gone, index)] == index}
            found.update(dict.fromkeys(here, name))
            left = [index for index in left if index not in here]
        return found

    def parts(self, erasure_id: str) -> list[Portion]:
        """What is left of a request, by bucket."""
        rows = self._db.execute(
            "select tenant, class, day, removable, now, later from erasure_parts "
            "where erasure = ? order by tenant, class, day",
            (erasure_id,),
        )
        return [
            Portion(tenant, name, day, removable, unpacked(now), unpacked(later))
            for tenant, name, day, removable, now, later in rows
        ]

    def put_parts(self, erasure_id: str, parts: Iterable[Portion]) -> None:
        """Store parts of a request; one of which nothing is left goes away."""
        for part in parts:
            key = (erasure_id, part.tenant, part.retention_class, part.day)
            if part.now or part.later:
                self._db.execute(
                    "insert into erasure_parts values (?, ?, ?, ?, ?, ?, ?) "
                    "on conflict do update set removable = excluded.removable, "
                    "now = excluded.now, later = excluded.later",
                    (*key, part.removable, packed(part.now), packed(part.later)),
                )
            else:
                self._db.execute(
                    "delete from erasure_parts where erasure = ? and tenant = ? and class = ? "
                    "and day = ?",
                    key,
                )
