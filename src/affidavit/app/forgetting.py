"""What ``state.db`` knows of a person, taken away: names, keys, saved queries, kept answers.

Rules: an identity stays as what a pseudonym could do (role, kind, team, since and until when), so
that what it approved, placed or administrated can still be judged; its name, address and groups go,
and its keys are revoked, as nobody may act whom nobody knows. A saved query goes if it is the
person's own or names the person, or is of a tenant that goes; of a hold that does, the words go
once it is released, and who answers for it is a pseudonym. All this where the erasure may look, and
in no other tenant. Answers kept for repeated writes go, whosever they are: they are of the last
day. Copies that SQLite left on pages go with ``leave_none``, once for many people. On the thread
that owns the state; one transaction. Not here: records, the write-ahead log.
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
    called = _Called(names, known)
    with state:
        if gone:
            identities.put(*gone)
        for query in saved.all():
            if within not in ("", query.tenant):
                continue
            own = query.scope == "own" and query.holder in actors
            if own or query.tenant == tenant or called.in_query(query):
                saved.remove(query)
        for hold in holds.all():
            if within not in ("", hold.tenant):
                continue
            said = msgspec.structs.replace(hold, owner=called.owner(hold, tenant))
            if hold.tenant == tenant or called.in_words(hold.expression, hold.placed):
                said = said.without_words()
            if said != hold:
                holds.put(said)
        answered.clear()
    return revoked


def leave_none(
    state: apsw.Connection, identities: IdentityStore, saved: SavedQueries, holds: HoldStore
) -> None:
    """Write all of these anew, so that nothing that was forgotten stays on any page of the file."""
    with state:
        identities.leave_none()
        saved.leave_none()
        holds.leave_none()


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


class _Called:
    """By which ``names`` people are called, of whom ``known`` have keys; found in texts as words.

    A name stands in a text as words of its own: ``al`` is not in ``alpha``. So its first run of
    letters is a run of the text, and a text is compared with the few names that begin with one of
    its own: the names of a whole tenant are looked for as fast as one.
    """

    def __init__(self, names: Collection[str], known: Sequence[Identity] = ()) -> None:
        self._names = {name.casefold() for name in names}
        self._whose: dict[str, str] = {}
        self._own: dict[str, set[str]] = {}
        for one in known:
            for word in (one.email, one.name):
                if word:
                    self._whose[word.casefold()] = one.actor
                    self._own.setdefault(one.actor, set()).add(word.casefold())
        self._begun: dict[str, list[str]] = {}
        for name in sorted(self._names | self._whose.keys()):
            self._begun.setdefault(_begin(name), []).append(name)

    def in_query(self, query: SavedQuery) -> bool:
        """Whether a saved query says one of the names, or is called so."""
        return self.in_words(query.expression, query.saved) or self._named(_called(query))

    def in_words(self, expression: str, now: str) -> bool:
        """Whether an expression, as of ``now``, says one of the names."""
        return any(self._named(one) for one in _words(expression, now))

    def owner(self, hold: Hold, tenant: str) -> str:
        """Who answers for a hold, without the names of these people.

        The name of who placed it is taken, too, whatever the ``names``.
        """
        mine = self._own.get(hold.actor, set())
        said = [name for name in self._said(hold.owner) if name in self._names or name in mine]
        if said:
            known = [name for name in said if name in self._whose]
            if not known:
                return NOBODY
            return hold.actor if known[0] in mine else self._whose[known[0]]
        if hold.tenant != tenant or hold.owner.startswith("act_"):
            return hold.owner
        return hold.actor

    def _named(self, text: str) -> bool:
        return not self._names.isdisjoint(self._said(text))

    def _said(self, text: str) -> list[str]:
        """The names in a text, those of ``known`` too, in order of their first words there."""
        folded = text.casefold()
        begins = dict.fromkeys(["", *_RUN.findall(folded)])
        names = (name for begin in begins for name in self._begun.get(begin, ()))
        return [name for name in names if name in folded and _says(folded, name)]


_RUN = re.compile(r"\w+")


def _begin(name: str) -> str:
    """The first run of letters, digits or ``_`` of a name; ``""`` if there is none."""
    run = _RUN.search(name)
    return run.group() if run else ""


def _says(folded: str, name: str) -> bool:
    """Whether a name stands in a text as words of its own; both casefolded."""
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", folded) is not None
