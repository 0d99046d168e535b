"""Of whose records a hold is, and who decides about its end.

Rules: a hold has the tenant of whoever placed it, and may be on others: an owner's is on all,
unless its words ask for one tenant. Whoever oversees what it is on sees it; whoever oversees its
tenant decides, and where it is on anything else an owner alone. Where ownership was given up nobody
sees all tenants: what is on all is seen, and decided about, by whoever oversees the hold's own, as
nothing else would ever end it, and what is on one other tenant by whoever oversees that. So is it
where nobody has a key in another tenant: all is of the hold's own. Not here: the decision
(``holding``), what is held (``keeping``).
"""

from collections.abc import Sequence

import msgspec

from affidavit.control.holds import Hold
from affidavit.control.identity import Identity, is_owned
from affidavit.query.tree import Match, Tree, conjuncts


def owned(every: Sequence[Identity]) -> bool:
    """Whether owners alone see, and decide about, what is on several tenants: there are both."""
    return is_owned(every) and len({one.tenant for one in every}) > 1


def of(tree: Tree) -> str:
    """The tenant that all is of which an injected tree matches; ``""`` if that may be several."""
    named = (
        part.value
        for part in conjuncts(tree)
        if isinstance(part, Match) and part.field == "tenant" and not part.prefix
    )
    return next(named, "")


def on(hold: Hold) -> str:
    """The tenant that all is of which a hold keeps; ``""`` if that may be several."""
    if hold.on is not None:
        return hold.on
    return of(msgspec.json.decode(hold.tree, type=Tree)) if hold.tree else hold.tenant


def sees(hold: Hold, *, owned: bool) -> str:
    """Whoever oversees this tenant sees the hold; ``""`` is for owners alone."""
    return on(hold) or ("" if owned else hold.tenant)


def decides(hold: Hold, *, owned: bool) -> str:
    """Whoever oversees this tenant asks for, and grants, its release; ``""``: owners alone."""
    return "" if owned and on(hold) != hold.tenant else sees(hold, owned=owned)
