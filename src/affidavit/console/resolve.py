"""From the names people use to the pseudonyms that records and chains hold, and back.

Rules: what stands behind a pseudonym is in the section ``person``, so names resolve only for a
reader whose boundary shows that section; for anybody else an expression or a name is taken as it
is written. A session id as the caller wrote it has a pseudonym in each team the reader may see; an
actor's name or e-mail has the actor's; what is a pseudonym already, or matches nothing, stays as
it is. Only identities of the reader's own tenant are looked at, and of the reader's own team where
the boundary is narrower than the tenant; whoever sees all records of all tenants is told the names
behind pseudonyms of all of them. Not here: names that only records know (the index finds
those, under the same condition).
"""

from collections.abc import Iterator
from typing import Any

from affidavit.console.auth import Reader
from affidavit.control.attribution import session_pseudonym
from affidavit.control.identity import Snapshot
from affidavit.errors import UsageError
from affidavit.query.scope import typed
from affidavit.query.tree import All, Match, Or, Tree, replace

MOST = 1_000
"""So many pseudonyms may the names of one question stand for."""
_UNTYPED = {"actor": "who", "model": "what"}
"""What a name is looked for last, and the section that tells of it."""


def _resolves(reader: Reader, tenant: str, team: str) -> bool:
    """Whether the reader may learn who or what somebody of this tenant and team is."""
    if "person" not in reader.boundary.sections or tenant != reader.identity.tenant:
        return False
    return reader.boundary.whole_tenants or team == reader.identity.team


def sessions(name: str, reader: Reader, snapshot: Snapshot) -> list[str]:
    """The pseudonyms of a caller's own session id, as far as the reader may learn them."""
    found = []
    for scope, key in sorted(snapshot.pseudonym_keys.items()):
        tenant, _, team = scope.partition("\0")
        if _resolves(reader, tenant, team):
            found.append(session_pseudonym(key, name))
    return found


def actors(name: str, reader: Reader, snapshot: Snapshot) -> list[str]:
    """The pseudonyms of whoever has this name or e-mail, as far as the reader may learn them."""
    wanted = name.casefold()
    return sorted(
        {
            identity.actor
            for identity in snapshot.identities
            if _resolves(reader, identity.tenant, identity.team)
            and wanted in (identity.name.casefold(), identity.email.casefold())
        }
    )


def pseudonyms(field: str, name: str, reader: Reader, snapshot: Snapshot) -> list[str]:
    """The pseudonyms that a value of the field ``actor`` or ``session`` may stand for."""
    if field == "session" and not name.startswith("ses_"):
        return sessions(name, reader, snapshot)
    if field == "actor" and not name.startswith("act_"):
        return actors(name, reader, snapshot)
    return []


def widened(tree: Tree, reader: Reader, snapshot: Snapshot) -> Tree:
    """The tree with the pseudonyms of named sessions and actors beside the names.

    ``UsageError`` for more than ``MOST`` of them: each is a condition of its own, and the time in
    which a database takes up a question of many thousands is bounded by nothing.
    """
    left = MOST

    def change(node: Tree) -> Tree:
        nonlocal left
        if not isinstance(node, Match) or node.prefix:
            return node
        found = pseudonyms(node.field, node.value, reader, snapshot)
        left -= len(found)
        if left < 0:
            raise UsageError(
                f"The names of this question stand for more than {MOST} pseudonyms.",
                hint="A session has one in each team. Name fewer at once, or pseudonyms: ses_…",
            )
        return Or((node, *(Match(node.field, name) for name in found))) if found else node

    return replace(tree, change)


def meanings(name: str, reader: Reader, snapshot: Snapshot) -> Iterator[tuple[str, Tree | None]]:
    """What a name of a story may stand for, the likelier first, each with its tree if it is typed.

    A name that says what it is (``model:…``) is that; any other is a record, session or trace, a
    caller's own name of a session, an actor, a model, as far as the boundary tells of these.
    """
    given = typed(name)
    if given is not None:
        yield name, widened(Match(*given), reader, snapshot)
        return
    yield name, None
    for pseudonym in sessions(name, reader, snapshot):
        yield pseudonym, None
    for kind, section in _UNTYPED.items():
        if name and section in reader.boundary.sections:
            yield f"{kind}:{name}", widened(Match(kind, name), reader, snapshot)


def named(found: list[dict[str, Any]], reader: Reader, snapshot: Snapshot) -> list[dict[str, Any]]:
    """Each with ``names``: who is behind the actors' pseudonyms that stand in it.

    As far as the reader may learn it, and nobody has been erased.
    """
    known = names(found, reader, snapshot)
    return [
        one | {"names": {text: known[text] for text in _texts(one) if text in known}}
        for one in found
    ]


def names(found: Any, reader: Reader, snapshot: Snapshot) -> dict[str, str]:
    """As ``named``, of all that stands in an answer."""
    there = set(_texts(found))
    everywhere = "person" in reader.boundary.sections and isinstance(reader.boundary.rows, All)
    return {
        identity.actor: identity.name
        for identity in snapshot.identities
        if identity.actor in there
        and identity.name
        and (everywhere or _resolves(reader, identity.tenant, identity.team))
    }


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _texts(one)
