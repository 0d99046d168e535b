"""What ``state.db`` knows of a person, taken away: names, keys, saved queries, kept answers.

Rules: an identity stays as what a pseudonym could do (role, kind, team, since and until when), so
that what it approved, placed or administrated can still be judged; its name, address and groups go,
and its keys are revoked, as nobody may act whom nobody knows. A saved query goes if it is the
person's own or names the person, or is of a tenant that goes; of a hold that does, the words go
once it is released, and who answers for it is a pseudonym. All this where the erasure may look, and
in no other tenant. Answers kept for repeated writes go, whosever they are: they are of the last
day. On the thread that owns the state; one transaction. Not here: records.
"""

import re
from collections.abc import Collection, Iterable, Sequence

import apsw
import msgspec

from affidavit.control.holds import Hold, HoldStore
from affidavit.control.idempotency import Answered
from affidavit.control.identity import Identity
from affidavit.control.saved import SavedQueries, SavedQuery
from affidavit.control.store import IdentityStore
from affidavit.errors import ExpressionError
from affidavit.query import language
from affidavit.query.tree import Match, Phrase, leaves

_THINGS = frozenset({"model", "provider", "api", "operation", "type", "tier", "role", "kind"})
"""Fields whose values are no persons' names, whatever somebody was called."""
NOBODY = "a person who was erased"
"""In the place of a name whose pseudonym is not known."""


def forget(
    state: apsw.Connection,
    identities: IdentityStore,
    saved: SavedQueries,
    holds: HoldStore,
    answered: Answered,
    known: Sequence[Identity],
    names: Collection[str],
    now: str,
    *,
    within: str = "",
    tenant: str = "",
) -> tuple[str, ...]:
    """Forget the people of these identities; ids of the keys that are revoked by it.

    ``within``: the tenant in which alone this is done, ``""`` for all; ``tenant``: the one that
    goes whole.
    """
    revoked = tuple(one.id for one in known if one.revoked is None)
    gone = [
        msgspec.structs.replace(one, name="", email="", groups=(), revoked=one.revoked or now)
        for one in known
    ]
    actors = {one.actor for one in known}
    folded = {name.casefold() for name in names}
    with state:
        if gone:
            identities.put(*gone)
        for query in saved.all():
            own = query.scope == "own" and query.holder in actors
            named = _names(query.expression, folded, query.saved) or _named(_called(query), folded)
            if within in ("", query.tenant) and (own or named or query.tenant == tenant):
                saved.remove(query)
        for hold in holds.all():
            if within not in ("", hold.tenant):
                continue
            said = msgspec.structs.replace(hold, owner=_owner(hold, known, folded, tenant))
            if hold.tenant == tenant or _names(hold.expression, folded, hold.placed):
                said = said.without_words()
            if said != hold:
                holds.put(said)
        answered.clear()
    return revoked


def texts(saved: Iterable[SavedQuery], holds: Iterable[Hold]) -> list[str]:
    """All texts of these in which ``forget`` looks for a name."""
    found = []
    for query in saved:
        found += [_called(query), *_words(query.expression, query.saved)]
    for hold in holds:
        found += [hold.owner, *_words(hold.expression, hold.placed)]
    return found


def _called(query: SavedQuery) -> str:
    """What a saved query is called, which has no blanks, also as if it had."""
    return f"{query.name} {re.sub('[._-]', ' ', query.name)}"


def _words(expression: str, now: str) -> list[str]:
    """What an expression says, as of ``now``: phrases, and values but those of ``_THINGS``.

    All of it if it is no expression.
    """
    try:
        tree = language.parse(expression, now)
    except ExpressionError:
        return [expression]
    matches = [leaf for leaf in leaves(tree) if isinstance(leaf, Match)]
    said = [leaf.value for leaf in matches if leaf.field not in _THINGS]
    return said + [leaf.text for leaf in leaves(tree) if isinstance(leaf, Phrase)]


def _owner(hold: Hold, known: Sequence[Identity], names: Collection[str], tenant: str) -> str:
    """Who answers for a hold, without the names of these people."""
    whose = {
        word.casefold(): one.actor
        for one in known
        for word in (one.email, one.name)
        if word and (one.actor == hold.actor or word.casefold() in names)
    }
    for name in (*whose, *names):
        if _says(hold.owner, name):
            return whose.get(name, NOBODY)
    if hold.tenant != tenant or hold.owner.startswith("act_"):
        return hold.owner
    return hold.actor


def _named(text: str, names: Collection[str]) -> bool:
    return any(_says(text, name) for name in names)


def _names(expression: str, names: Collection[str], now: str) -> bool:
    """Whether an expression says one of these names."""
    return any(_named(one, names) for one in _words(expression, now))


def _says(text: str, name: str) -> bool:
    """Whether a name stands in a text as words of its own: ``al`` is not in ``alpha``."""
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text.casefold()) is not None
