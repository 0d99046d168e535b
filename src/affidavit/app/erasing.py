"""What the sequencer decides about erasure requests: asking, and approving by a second person.

Rules: what is asked for is looked for within the boundary of who asks. Nobody, an owner neither,
removes what is below its minimum or held: a request of which nothing may go yet is refused, unless
it is asked to wait; of any other, what may not go yet goes when it may. Nothing is destroyed before
another person has granted it, on record, and nothing that this other one does not oversee; a
request that is denied or lapses leaves its records, and no more. Somebody who administrates is
left. A person's name is in no record of it: records have the pseudonym. The plan of a person's
says how many other texts name the person, to who may read them; none of them is part of it. Not
here: the search (``selecting``), texts of others (``mentions``), the run (``erasure_run``), what is
told (``erasures_told``).
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

import msgspec

from affidavit import ids
from affidavit.app import deciding, hold_tenants, mentions, remembering
from affidavit.app.deciding import Keep, unkept
from affidavit.app.selecting import Found, Left
from affidavit.control.approvals import Approval, ApprovalStore
from affidavit.control.erasures import AS_ASKED, KINDS, Erasure, ErasureStore, Portion, What
from affidavit.control.identity import (
    ADMINISTRATE,
    ADMINISTRATOR,
    OWNER,
    Identity,
    check_one_person,
    check_preserves,
)
from affidavit.errors import NotFoundError, RefusedError, UsageError
from affidavit.query.boundary import Boundary, inject
from affidavit.query.tree import And, Match, Not, Or, Phrase, Tree, leaves
from affidavit.vault.keyring import Keyring

_BY = ("email", "subject", "end_user")
"""By which fields of ``person`` records of nobody's key are somebody's."""
_MENTIONS = (
    "Texts of others that mention the person: affidavit query '\"WHO\"'; they are "
    "erased by --expression."
)
_FOUND = (
    "Have somebody who may see content find the records (affidavit query), and ask for each: "
    "affidavit erase --record ID"
)
_NOBODY = "Nobody of that name has a key here."
_SEVERAL = "Erase what is of one of them: --expression 'email:…'; and keep the e-mails apart."


class Runner(Protocol):
    """What carries erasures out."""

    async def search(self, tree: Tree, what: What, tenant: str = "") -> Found:
        """What would go of what a tree means, or all of a ``tenant``, now and later."""

    async def others(self, tree: Tree, meant: Collection[int], most: int) -> tuple[int, bool]:
        """How many records of a tree are not ``meant``, up to ``most``, and if there are more."""

    async def left(self, portions: Sequence[Portion], under_way: Sequence[int]) -> tuple[Left, ...]:
        """Why these do not go yet, nor the answers to requests that are ``under_way``."""

    async def forgotten(self) -> None:
        """Have what was forgotten of requests leave the files, as soon as nobody reads them."""

    def wake(self) -> None:
        """There is something to do."""


class Host(deciding.Host, Protocol):
    """What is needed of the sequencer process beside what every decision needs."""

    erasures: ErasureStore
    keyring: Keyring

    @property
    def erasing(self) -> Runner:
        """What carries erasures out."""


async def ask(host: Host, params: dict[str, Any], keep: Keep = unkept) -> dict[str, Any]:
    """Plan an erasure; unless it is ``dry``, ask for it, and a second person has to grant it."""
    who, now = await deciding.asker(host, params["identity"])
    check_preserves(who)
    kind = params["kind"]
    if kind not in KINDS:
        raise UsageError(f"An erasure is of a {', '.join(KINDS)}.")
    if kind == "tenant" and who.role != OWNER:
        raise RefusedError("A whole tenant is erased by an owner's request alone.")
    tree: Tree = msgspec.json.decode(params["tree"], type=Tree)
    target = str(params["recorded"])
    names: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    every = await host.ask(host.identities.all)
    within = await deciding.boundary(host, who, now)
    if kind == "subject":
        shows = "person" in within.sections
        if not shows and not str(params["target"]).startswith("act_"):
            raise RefusedError(
                "Names of people are in section person, which is outside your boundary.",
                hint="Name the person by the pseudonym: act_…",
            )
        tree, target, names, keys = _person(who, str(params["target"]), target, every, named=shows)
    alone = _whole(within) if kind in ("subject", "tenant") else ""
    if kind == "tenant" and alone not in ("", target):
        raise RefusedError("Your boundary does not show this tenant.")
    ending = whose(kind, target, alone, every)
    check_somebody_left(kind, every, ending, now)
    if kind == "tenant":
        keys = tuple(one.id for one in ending if one.revoked is None)
        people = {one.name for one in ending if one.kind == "person" and one.name}
        names = tuple(sorted(people | {one.email for one in ending if one.email}))
    bound = _within(tree, within, str(params["basis"]))
    what: What = "person" if kind == "subject" else params["what"]
    found = await host.erasing.search(bound, what, target if kind == "tenant" else "")
    known = target.startswith("act_")  # of any tenant, or of nobody: that is not told
    if found.now or found.later or not any(map(_is_known, ending)):
        _check(found, kind, known=known, waits=bool(params["when_due"] or params["dry"]))
    concerned = {one.tenant for one in found.portions} | {one.tenant for one in ending}
    plan = {
        "kind": kind, "target": target, "what": what, "basis": str(params["basis"]),
        "records": found.now + sum(one.records for one in found.later), "now": found.now,
        "later": [one._asdict() for one in found.later], "digest": found.digest,
        "keys": list(keys), "exports": [one._asdict() for one in found.exports],
    }  # fmt: skip
    if params["dry"]:
        named = {}
        if kind == "subject":
            named = await mentions.counted(host, names, within, found, plan["basis"])
        seen_in = sorted(concerned) or [alone]
        can = deciding.grantable(host.config, who, now, every, seen_in)
        return plan | named | {"grantable": can}
    # for who asks alone, and kept nowhere: these are the person's names
    named = mentions.uncounted(host, names, within, plan["basis"]) if kind == "subject" else {}
    async with host.deciding:
        made = Erasure(
            id=ids.record_id(), tenant=who.tenant, kind=kind,
            target="" if kind == "expression" else target, what=what,
            expression=str(params["recorded"]) if kind == "expression" else "",
            tree=b"" if kind in AS_ASKED else msgspec.json.encode(bound), basis=plan["basis"],
            by=who.id, actor=who.actor, asked=now, planned=plan["records"], digest=found.digest,
            who=params["by"] or {}, names=names, within=alone, keys=keys,
            tenants=tuple(sorted(concerned)),
        )  # fmt: skip
        told = {name: plan[name] for name in ("basis", "records", "now", "digest", "keys")}
        told |= {"erasure": made.id, "erased": kind, "of": target or made.expression}

        can = deciding.grantable(host.config, who, now, every, tenants_of(made))  # once

        def answer(asked: Approval) -> dict[str, Any]:
            return plan | {"id": made.id, "asked": asked.id, "until": asked.until, "grantable": can}

        def put(asked: Approval) -> None:
            _put(host, made, found)
            keep(answer(asked))

        asked = await deciding.question(
            host, who, now, "erase", params["by"], target=made.id, reason=plan["basis"], what=told,
            more=put,
        )  # fmt: skip
        await host.ask(lambda: remembering.keep(host, made.id))
    return answer(asked) | named


def _within(tree: Tree, within: Boundary, basis: str) -> Tree:
    """``inject``; who may not search text is told what else is to be done."""
    if not within.shows_content(basis) and any(isinstance(leaf, Phrase) for leaf in leaves(tree)):
        raise RefusedError(
            "Searching text reads content, which is outside your boundary.", hint=_FOUND
        )
    return inject(tree, within, basis)


def _put(host: Host, made: Erasure, found: Found) -> None:
    """Store a request; with the records, where it means those of now and no others."""
    host.erasures.put(made)
    if made.kind in AS_ASKED:
        host.erasures.put_parts(made.id, found.portions)


def _person(
    who: Identity, target: str, recorded: str, every: Sequence[Identity], *, named: bool
) -> tuple[Tree, str, tuple[str, ...], tuple[str, ...]]:
    """The records of a person, the pseudonym (or digest), the names, and the keys in force.

    ``UsageError`` if a name, or a pseudonym, stands for several people; it has their e-mails if
    they may be ``named``.
    """
    mine = [one for one in every if who.role == OWNER or one.tenant == who.tenant]
    wanted = target.casefold()
    theirs = [
        one for one in mine if wanted in (one.actor, one.name.casefold(), one.email.casefold())
    ]
    actors = sorted({one.actor for one in theirs})
    if len(actors) > 1:
        raise UsageError(
            "More than one person is meant by this.", hint=f"Name one: {', '.join(actors)}"
        )
    pseudonym = actors[0] if actors else target if target.startswith("act_") else ""
    check_one_person(mine, pseudonym, _SEVERAL, named=named)
    theirs = [one for one in mine if pseudonym and one.actor == pseudonym]
    mails = {one.email for one in theirs if one.email}
    values = mails | ({target} if not pseudonym or "@" in target else set())
    parts: list[Tree] = [Match("actor", pseudonym)] if pseudonym else []
    parts += [Match(field, value) for value in sorted(values) for field in _BY]
    names = tuple(sorted({one.name for one in theirs if one.name} | values))
    keys = tuple(one.id for one in theirs if one.revoked is None)
    return Or(tuple(parts)), pseudonym or recorded, names, keys


def whose(kind: str, target: str, within: str, every: Sequence[Identity]) -> list[Identity]:
    """The identities that an erasure of a person or a tenant forgets, none of another kind."""
    field = {"subject": "actor", "tenant": "tenant"}.get(kind)
    mine = [one for one in every if within in ("", one.tenant)]
    return [one for one in mine if field is not None and getattr(one, field) == target]


def _is_known(one: Identity) -> bool:
    """Whether an erasure takes something of an identity, whatever records there are."""
    return bool(one.name or one.email or one.groups or one.revoked is None)


def check_somebody_left(
    kind: str, every: Sequence[Identity], ending: Sequence[Identity], now: str
) -> None:
    """``RefusedError`` if these were the last ones who can make keys: nobody could undo that.

    A key that is made as the hint says is of somebody whom this ``kind`` of erasure leaves.
    """
    able = [one for one in every if one.role in ADMINISTRATE and one.in_force(now)]
    role = OWNER if any(one.role == OWNER for one in able) else ADMINISTRATOR
    last = {one.id for one in able if one.role == role}
    if last and last <= {one.id for one in ending}:
        elsewhere = " --tenant ANOTHER" if kind == "tenant" else ""
        hint = f"First make another: affidavit keys create NAME --role {role}{elsewhere}"
        if role == OWNER:
            hint += "; or hand over: affidavit keys give-up"
        elif elsewhere:
            hint = "Nobody can make one in another tenant any more: this tenant stays."
        raise RefusedError(
            f"The keys of the last {role} of the installation would end with this erasure.",
            hint=hint,
        )


def _whole(within: Boundary) -> str:
    """The tenant in which alone a person may be erased, ``""`` for all; ``RefusedError``.

    A person's keys end for all records at once: who sees a part of them cannot ask for that.
    """
    if not within.whole_tenants:
        raise RefusedError(
            "This is erased as a whole, and your boundary shows a part of the tenant.",
            hint="Ask for the sessions or records, or somebody who sees all of the tenant.",
        )
    return within.rows.value if isinstance(within.rows, Match) else ""


def _check(found: Found, kind: str, *, known: bool, waits: bool) -> None:
    """``NotFoundError`` if nothing is meant; ``RefusedError`` if nothing of it may go yet.

    ``known``: it is of a pseudonym; else of a name that nobody has a key by, maybe misspelt.
    """
    if not found.now and not found.later:
        hint = "affidavit query shows what there is."
        if kind == "subject":
            hint = _MENTIONS if known else f"{_NOBODY} {_MENTIONS}"
        raise NotFoundError("Nothing that may still be read is meant by this.", hint=hint)
    if found.now or waits:
        return
    first = max(found.later, key=lambda one: one.records)
    when = f" before {first.until}" if first.until else ""
    total = sum(one.records for one in found.later)
    none = "This record may not" if total == 1 else f"None of these {total} records may"
    raise RefusedError(
        f"{none} be removed{when}: {first.why}.",
        hint="--when-due has it done as soon as it may be, once a second person agrees.",
    )


def forget_lapsed(approvals: ApprovalStore, erasures: ErasureStore, now: str) -> list[str]:
    """Forget requests that nobody has answered in time, whose records tell of them; their ids."""
    asked = {one.target for one in approvals.open(now) if one.kind == "erase"}
    lapsed = [one.id for one in erasures.all("asked") if one.id not in asked]
    erasures.forget(*lapsed)
    return lapsed


async def approved(
    host: Host, approval: Approval, second: Identity, also: Callable[[], None] = lambda: None
) -> None:
    """Let a granted request begin, within what both persons oversee; its grant is on record.

    Whoever granted it, it was for the tenants that are named in it, and it is on record in the one
    that is: what comes in another tenant is another request's. What means the records of then has
    them, and needs no words, which may name somebody.
    """
    found = await host.ask(lambda: host.erasures.find(approval.target))
    rows = (await deciding.boundary(host, second, approval.decided)).rows
    tenants = found.tenants or tuple(one for one in tenants_of(found) if one)
    begun = msgspec.structs.replace(
        found, state="running", approval=approval.id, approver=second.actor,
        approved=approval.decided, run=1, tenants=tenants,
        within=found.within or (rows.value if isinstance(rows, Match) else ""),
        tree=b"" if found.kind in AS_ASKED else _narrowed(found.tree, tenants),
    )  # fmt: skip

    def put() -> None:
        with host.state:
            host.approvals.put(approval)
            host.erasures.put(begun)
            also()
        remembering.keep(host, begun.id)

    await host.ask(put)
    host.erasing.wake()


def _narrowed(tree: bytes, tenants: Sequence[str]) -> bytes:
    """What a stored tree means in any of these tenants, ``""`` being what is of no tenant.

    The tree as it is where no tenant is known.
    """
    if not tenants:
        return tree
    nobody = Not(Match("tenant", "", prefix=True))
    rows: list[Tree] = [Match("tenant", one) if one else nobody for one in tenants]
    within = rows[0] if len(rows) == 1 else Or(tuple(rows))
    return msgspec.json.encode(And((within, msgspec.json.decode(tree, type=Tree))))


async def denied(host: Host, approval: Approval, also: Callable[[], None] = lambda: None) -> None:
    """Forget a request that was denied, and all that it knew of a person, before that is told."""

    def put() -> None:
        with host.state:
            host.approvals.put(approval)
            host.erasures.forget(approval.target)
            also()
            remembering.keep(host, approval.target)  # first: no restore asks what was denied

    await host.ask(put)
    await host.erasing.forgotten()


def tenants_of(erasure: Erasure) -> tuple[str, ...]:
    """The tenants that whoever grants a request, or knows of it, oversees.

    Of one from before they were written down that in which it was asked; ``("",)``, which is none,
    of what an owner asked then in no one tenant: for owners alone.
    """
    if erasure.tenants or not erasure.tree:
        return erasure.tenants or (erasure.within,)
    return (erasure.within or hold_tenants.of(msgspec.json.decode(erasure.tree, type=Tree)),)
