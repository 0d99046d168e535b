"""What ``state.db`` knows of a person, taken away: names, keys, saved queries, kept answers.

Rules: an identity stays as what a pseudonym could do (role, kind, team, since and until when), so
that what it approved, placed or administrated can still be judged; its name, address and groups go,
and its keys are revoked, as nobody may act whom nobody knows. A saved query goes if it is the
person's own or names the person; of a released hold that does, the words go. Answers kept for
repeated writes go, whosever they are: they are of the last day. On the thread that owns the state;
one transaction. Not here: records.
"""

import re
from collections.abc import Collection, Sequence

import apsw
import msgspec

from affidavit.control.holds import HoldStore
from affidavit.control.idempotency import Answered
from affidavit.control.identity import Identity
from affidavit.control.saved import SavedQueries
from affidavit.control.store import IdentityStore
from affidavit.errors import ExpressionError
from affidavit.query import language
from affidavit.query.tree import Match, Phrase, leaves


def forget(
    state: apsw.Connection,
    identities: IdentityStore,
    saved: SavedQueries,
    holds: HoldStore,
    answered: Answered,
    known: Sequence[Identity],
    names: Collection[str],
    now: str,
) -> tuple[str, ...]:
    """Forget the people of these identities; ids of the keys that are revoked by it."""
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
            if own or _names(query.expression, folded, query.saved):
                saved.remove(query)
        for hold in holds.all():
            if hold.released and _names(hold.expression, folded, hold.placed):
                said = msgspec.structs.replace(hold, expression=hold.recorded, tree=b"")
                holds.put(said)
        answered.clear()
    return revoked


def words(expression: str, now: str) -> list[str]:
    """What an expression says, as of ``now``: values and phrases; all of it if it is none."""
    try:
        tree = language.parse(expression, now)
    except ExpressionError:
        return [expression]
    said = [leaf.value for leaf in leaves(tree) if isinstance(leaf, Match)]
    return said + [leaf.text for leaf in leaves(tree) if isinstance(leaf, Phrase)]


def _names(expression: str, names: Collection[str], now: str) -> bool:
    """Whether an expression says one of these names."""
    return any(_says(one, name) for one in words(expression, now) for name in names)


def _says(text: str, name: str) -> bool:
    """Whether a name stands in a text as words of its own: ``al`` is not in ``alpha``."""
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text.casefold()) is not None
