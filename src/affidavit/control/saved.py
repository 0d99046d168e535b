"""Saved queries at rest: one table in ``state.db``, owned by the sequencer process.

Rules: what is saved are the words, so "90d ago" is reckoned when it is asked; a name is one query
of its holder: a person or service, a team, or the whole tenant. Who may see or change one is
decided before (``console.saved_api``), and the change is on record before it is stored. Nothing
here is evaluated: that happens within the boundary of whoever asks.
"""

import re
from typing import Literal

import apsw
import msgspec

from affidavit.control.wiping import written_anew
from affidavit.errors import UsageError

Scope = Literal["own", "team", "tenant"]
SCOPES: tuple[Scope, ...] = ("own", "team", "tenant")
"""Who has a query, in the order in which a name is looked for."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_SCHEMA = """
create table if not exists saved_queries (
  tenant text not null, scope text not null, holder text not null, name text not null,
  body blob not null, primary key (tenant, scope, holder, name)
) strict, without rowid;
"""


class SavedQuery(msgspec.Struct, frozen=True):
    """An expression with a name. ``holder``: an actor's pseudonym, a team, or ``""``.

    ``author`` is the actor who saved it last; ``saved`` the time.
    """

    tenant: str
    scope: Scope
    holder: str
    name: str
    expression: str
    author: str
    saved: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What there is one of."""
        return self.tenant, self.scope, self.holder, self.name


def holder(scope: Scope, actor: str, team: str) -> str:
    """Who holds a query of this scope; ``UsageError`` for a team's if there is no team."""
    if scope == "team" and not team:
        raise UsageError("You are in no team that could share it.")
    return {"own": actor, "team": team, "tenant": ""}[scope]


class SavedQueries:
    """The saved queries of this installation; one thread at a time."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._db = connection
        connection.execute(_SCHEMA)

    def seen_by(self, tenant: str, actor: str, team: str) -> list[SavedQuery]:
        """Those of an actor, its team and its tenant, in the order names are looked for in."""
        found = []
        for scope in SCOPES:
            if scope == "team" and not team:
                continue
            rows = self._db.execute(
                "select body from saved_queries where tenant = ? and scope = ? and holder = ? "
                "order by name",
                (tenant, scope, holder(scope, actor, team)),
            )
            found += [msgspec.msgpack.decode(body, type=SavedQuery) for (body,) in rows]
        return found

    def all(self) -> list[SavedQuery]:
        """Every query, whosever."""
        rows = self._db.execute(
            "select body from saved_queries order by tenant, scope, holder, name"
        )
        return [msgspec.msgpack.decode(body, type=SavedQuery) for (body,) in rows]

    def put(self, query: SavedQuery) -> None:
        """Store a new or changed query; durable on return."""
        with self._db:
            self._db.execute(
                "insert into saved_queries values (?, ?, ?, ?, ?) "
                "on conflict do update set body = excluded.body",
                (*query.key, msgspec.msgpack.encode(query)),
            )

    def remove(self, query: SavedQuery) -> None:
        """Take a query away; no error if there is none."""
        self._db.execute(
            "delete from saved_queries where tenant = ? and scope = ? and holder = ? and name = ?",
            query.key,
        )

    def leave_none(self) -> None:
        """Write all of them anew, so that nothing of one that was taken away stays on any page."""
        written_anew(self._db, "saved_queries", "tenant, scope, holder, name, body")
