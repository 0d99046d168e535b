"""From the names people use to the pseudonyms that records and chains hold.

Rules: a session id as the caller wrote it has a pseudonym in each team the reader may see; an
actor's name or e-mail has the actor's; what is a pseudonym already, or matches nothing, stays as
it is. Only identities of the reader's own tenant are looked at. Not here: names that only records
know (the index finds those where ``person`` may be seen).
"""

from affidavit.control.attribution import session_pseudonym
from affidavit.control.identity import Identity, Snapshot
from affidavit.query.tree import Match, Or, Tree, replace


def sessions(name: str, reader: Identity, snapshot: Snapshot) -> list[str]:
    """The pseudonyms of a caller's own session id within the reader's tenant and team."""
    found = []
    for scope, key in sorted(snapshot.pseudonym_keys.items()):
        tenant, _, team = scope.partition("\0")
        if tenant == reader.tenant and (reader.role != "member" or team == reader.team):
            found.append(session_pseudonym(key, name))
    return found


def actors(name: str, reader: Identity, snapshot: Snapshot) -> list[str]:
    """The pseudonyms of whoever has this name or e-mail in the reader's tenant."""
    wanted = name.casefold()
    return sorted(
        {
            identity.actor
            for identity in snapshot.identities
            if identity.tenant == reader.tenant
            and wanted in (identity.name.casefold(), identity.email.casefold())
        }
    )


def pseudonyms(field: str, name: str, reader: Identity, snapshot: Snapshot) -> list[str]:
    """The pseudonyms that a value of the field ``actor`` or ``session`` may stand for."""
    if field == "session" and not name.startswith("ses_"):
        return sessions(name, reader, snapshot)
    if field == "actor" and not name.startswith("act_"):
        return actors(name, reader, snapshot)
    return []


def widened(tree: Tree, reader: Identity, snapshot: Snapshot) -> Tree:
    """The tree with the pseudonyms of named sessions and actors beside the names."""

    def change(node: Tree) -> Tree:
        if not isinstance(node, Match) or node.prefix:
            return node
        found = pseudonyms(node.field, node.value, reader, snapshot)
        return Or((node, *(Match(node.field, name) for name in found))) if found else node

    return replace(tree, change)
