"""The boundary of an identity: one that the configuration names, or what its role gives.

Rules: the identity's own boundary counts, else the first of the configuration that one of its
groups has, else the role's; an administrator has the role's always. A named boundary never leads
out of the identity's tenant, but an owner's. Whatever is not known fails closed: a name that the
configuration does not have, a right to read that has ended. A broken glass widens only the
boundary it was broken for, as the configuration says now. Not here: what a boundary does to a
question (``boundary``).
"""

import contextlib
import difflib
import functools

import msgspec

from affidavit.clock import add_seconds
from affidavit.config import Config
from affidavit.config_boundaries import NamedBoundary, seconds_of
from affidavit.control.identity import ADMINISTRATOR, OWNER, READERS, Glass, Identity
from affidavit.errors import ConfigError, ExpressionError, RefusedError, UsageError
from affidavit.query.boundary import Boundary, for_identity
from affidavit.query.language import unparse
from affidavit.query.standing import parse_standing
from affidavit.query.tree import All, And, Has, Match, Moment, Number, Tree, leaves

_BOTH = frozenset({
    "tenant", "team", "actor", "session", "credential", "kind", "role", "group", "assurance",
    "purpose", "model", "provider", "tier",
})  # fmt: skip
"""Fields that are the same for both halves of an exchange."""
_HAS_BOTH = frozenset({"session", "purpose", "content", "gap", "erased", "unattributed"})


def check(config: Config, name: str) -> None:
    """``ConfigError`` with the position if rows of a boundary are not understood.

    ``name`` is what errors call the configuration. ``position`` and ``nearest`` are in the detail.
    """
    for title, one in config.boundaries.items():
        try:
            _rows(one.rows)
        except ExpressionError as error:
            at = error.detail["position"]
            where = f"{name}: boundaries.{title}.rows, character {at + 1}"
            raise ConfigError(
                f"{where}: {error.message}", hint=error.hint, **error.detail
            ) from error


def one_half(config: Config) -> dict[str, list[str]]:
    """Conditions of boundaries that only one half of an exchange can meet, by boundary.

    The other half is judged without them: under ``-tool:payroll`` the response that called the
    tool is out, and its request, with the prompt, is not.
    """
    found = {
        title: [unparse(leaf) for leaf in leaves(_rows(one.rows)) if _of_one_half(leaf)]
        for title, one in config.boundaries.items()
    }
    return {title: conditions for title, conditions in found.items() if conditions}


def check_name(config: Config, role: str, name: str) -> None:
    """``UsageError`` unless a key of this role can have the boundary of this name."""
    if role not in READERS or role == ADMINISTRATOR:
        raise UsageError(
            f"A key with the role {role} has no boundary of the configuration.",
            hint="Roles that have: owner, auditor, responder, compliance, member, subject.",
        )
    if name not in config.boundaries:
        near = difflib.get_close_matches(name, config.boundaries, 1, 0.4)
        known = f"The configuration has {', '.join(config.boundaries) or 'none'}."
        hint = f"Did you mean {near[0]}?" if near else known
        raise UsageError(
            f"There is no boundary {name!r}.",
            hint=f"{hint} The configuration is read at the start.",
        )


def name_of(identity: Identity, config: Config) -> str:
    """The name of the boundary that applies, ``""`` for the role's; it may be unknown."""
    if identity.role == ADMINISTRATOR:
        return ""
    if identity.boundary:
        return identity.boundary
    groups = frozenset(identity.groups)
    return next((n for n, one in config.boundaries.items() if groups & set(one.groups)), "")


def boundary_of(
    identity: Identity, config: Config, now: str, glass: Glass | None = None
) -> Boundary:
    """What the identity may see ``now`` (stored time), with the ``glass`` it has broken, if any.

    ``RefusedError`` for a role that does not read, a boundary that is not configured, and a right
    to read that has ended.
    """
    if identity.until and now >= identity.until:
        raise RefusedError(
            f"The right of this key to read ended at {identity.until}.",
            hint="Ask whoever administrates this installation for a new key.",
        )
    name = name_of(identity, config)
    if not name or identity.role not in READERS:
        return for_identity(identity)._replace(until=identity.until)
    named = config.boundaries.get(name)
    if named is None:
        raise RefusedError(
            f"The boundary {name} of this key is not in the configuration.",
            hint="Add it there, or ask for a key with another boundary.",
        )
    whole: Tree = All() if identity.role == OWNER else Match("tenant", identity.tenant)
    found = _configured(identity, name, named, whole, now)
    opens = named.break_glass
    if glass is None or opens is None or glass.boundary != name or now >= glass.until:
        return found
    shown = found.sections if opens.content == "never" else found.sections | {"content"}
    ends = min(filter(None, (glass.until, identity.until)))
    return found._replace(
        rows=_both(whole, _since(opens.window, now)), standing=whole, sections=shown,
        content=opens.content, persons=1, glass=glass.id, until=ends,
    )  # fmt: skip


def widest(identity: Identity, config: Config, now: str) -> Boundary:
    """What the identity may see ``now`` at most: with its glass broken, if it has one.

    ``RefusedError`` as ``boundary_of``.
    """
    drawn = Glass("", identity.id, identity.actor, identity.tenant, "", "", now, "")
    glass = None
    with contextlib.suppress(RefusedError):  # it has none
        glass = glass_of(identity, config, drawn)
    return boundary_of(identity, config, now, glass)


def glass_of(identity: Identity, config: Config, glass: Glass) -> Glass:
    """``glass`` with the boundary it is broken for and when it ends; ``RefusedError`` if none is.

    ``glass.began`` is now.
    """
    boundary = boundary_of(identity, config, glass.began)
    named = config.boundaries.get(boundary.name)
    if named is None or named.break_glass is None:
        raise RefusedError(
            "Your boundary has no glass to break.",
            hint="The configuration may allow it: boundaries.NAME.break_glass.",
        )
    until = add_seconds(glass.began, named.break_glass.minutes * 60)
    return msgspec.structs.replace(glass, boundary=boundary.name, until=until)


def _configured(
    identity: Identity, name: str, named: NamedBoundary, whole: Tree, now: str
) -> Boundary:
    standing = _both(whole, _rows_or_refuse(name, named))
    return Boundary(
        identity.actor, identity.role, _both(standing, _since(named.window, now)),
        frozenset(named.sections), named.content, name=name, whole=whole, standing=standing,
        purpose=named.purpose == "required", counts=named.counts, persons=named.persons,
        until=identity.until,
    )  # fmt: skip


def _rows_or_refuse(name: str, named: NamedBoundary) -> Tree:
    """The rows of a boundary; processes check them at their start, so they are understood."""
    try:
        return _rows(named.rows)
    except ExpressionError as error:
        raise RefusedError(f"The rows of the boundary {name} are not understood.") from error


def _since(window: str | None, now: str) -> Tree:
    return All() if window is None else Moment("time", ">=", add_seconds(now, -seconds_of(window)))


def _both(one: Tree, other: Tree) -> Tree:
    """Both hold; what always holds is left out."""
    parts = tuple(part for part in (one, other) if not isinstance(part, All))
    return And(parts) if len(parts) > 1 else parts[0] if parts else All()


def _of_one_half(leaf: Tree) -> bool:
    if isinstance(leaf, Has):
        return leaf.what not in _HAS_BOTH
    if isinstance(leaf, Match) and leaf.field == "type":
        halves = ("exchange.request", "exchange.response")
        met = [half.startswith(leaf.value) if leaf.prefix else half == leaf.value
               for half in halves]  # fmt: skip
        return met[0] != met[1]
    return isinstance(leaf, Match | Number) and leaf.field not in _BOTH


@functools.lru_cache(maxsize=256)
def _rows(text: str) -> Tree:
    return parse_standing(text)
