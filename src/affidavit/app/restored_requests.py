"""What the keys of now remember of erasures, put into the ``state.db`` of a restored backup.

Rules: who was erased since the backup (a person, all of a tenant) is forgotten again, as far as the
backup knew of them; nobody comes back under a key that has ended. But no request that was not
carried out takes the last who makes keys: that is left to its run, which waits. A request that was
granted since has another run, over what it means of what is there, whatever it was at; but where
the backup is from after its first run, nobody who came to an erased tenant since is meant. One that
waits for an answer waits again, and one that was denied or has lapsed since waits for none. No
number of a leaf behind the backup is taken over: it is another's here. Of one whose asker the
backup does not know nobody can say whether whoever grants it is another person, so it is told by id
and asked anew. The names of a person that was erased for good are known by their marks. Not here:
content, which opens no more (``restoring``).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import apsw
import msgspec

from affidavit.app import name_marks, remembering, system
from affidavit.app.erasing import check_somebody_left, whose
from affidavit.app.forgetting import forget, leave_none, texts
from affidavit.app.remembering import Known
from affidavit.clock import Clock
from affidavit.control.approvals import ApprovalStore
from affidavit.control.erasures import AS_ASKED, Erasure, ErasureStore, Portion, Tally
from affidavit.control.holds import HoldStore
from affidavit.control.idempotency import Answered
from affidavit.control.identity import Identity
from affidavit.control.saved import SavedQueries
from affidavit.control.store import IdentityStore
from affidavit.errors import NotFoundError, RefusedError
from affidavit.vault.keyring import Keyring

RESTORED = "restored "
"""Of a granted request that came from the keys, ``system.told`` has it with this before its id."""
_FAR = ("asked", "running", "waiting", "done")


class Applied(NamedTuple):
    """``forgotten``: so many identities; ``requests``: ids taken up; ``lost``: a sentence each."""

    forgotten: int = 0
    requests: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


def apply(
    state: apsw.Connection, keyring: Keyring, clock: Clock, size: int, *, drill: bool
) -> Applied:
    """Put it in, all or nothing. ``size``: leaves of the log; ``drill``: nothing is gone on with.

    A request that was done is there again as the answer to what went.
    """
    erasures, identities = ErasureStore(state), IdentityStore(state, clock)
    approvals = ApprovalStore(state)
    here = {one.id: one for one in erasures.all()}
    remembered = remembering.every(keyring)
    known = [
        one
        for one in remembered
        if _is_news(one, here.get(one.erasure.id)) and not _is_answered(one, approvals)
    ]
    everybody = identities.all()
    begun = [
        one.erasure
        for one in known
        if one.erasure.state != "asked"
        and not (one.erasure.kind == "tenant" and _has_chosen(here.get(one.erasure.id)))
    ]
    granted = [one.erasure for one in remembered if one.erasure.state != "asked"]
    waits = _left_to_run(everybody, begun, clock.now())
    begun = [one for one in begun if one not in waits]
    spared = {who.id for one in waits for who in _of(one, everybody)}
    gone = _gone(everybody, keyring, begun, granted, spared)
    wiped = _wiped(gone, begun, _named(state, keyring, known))
    keys = {one.id for one in everybody}
    taken: list[str] = []
    lost: list[str] = []
    system.prepare(state)
    with state:
        saved, holds, answered = SavedQueries(state), HoldStore(state), Answered(state, clock)
        for people, names, within, tenant in wiped:
            forget(
                state, identities, saved, holds, answered, people, names, clock.now(),
                within=within, tenant=tenant,
            )  # fmt: skip
        if wiped:
            leave_none(state, identities, saved, holds)
        over = remembering.over(keyring).intersection(here)
        for question in approvals.open(clock.now()) if over else ():
            if question.target in over:
                approvals.put(msgspec.structs.replace(question, until=clock.now()))
        renewed: list[tuple[Erasure, Sequence[Portion]]] = []
        for one in known if not drill else ():
            if one.erasure.state == "asked" and one.erasure.by not in keys:
                lost.append(_told(one.erasure))
                continue
            if one.question is not None:
                approvals.put(one.question)
                taken.append(one.erasure.id)
            if one.erasure.state in ("running", "waiting"):
                system.told(state, f"{RESTORED}{one.erasure.id}", "")
            before = here.get(one.erasure.id)
            made = _begun(one.erasure, before, size)
            parts: Sequence[Portion] = one.portions
            if made.late and made.kind not in AS_ASKED:
                parts = erasures.parts(made.id)
            renewed.append((made, parts))
        erasures.forget(*over, *(made.id for made, _ in renewed))  # together: it rewrites them all
        for made, parts in renewed:
            erasures.put(made)
            erasures.put_parts(made.id, [_below(part, size) for part in parts])
    return Applied(len(gone), tuple(taken), tuple(lost))


def _is_news(known: Known, here: Erasure | None) -> bool:
    """Whether a request has come further than the backup knows."""

    def far(one: Erasure) -> tuple[bool, int, int]:
        return one.state == "done", one.run, _FAR.index(one.state)

    return here is None or far(known.erasure) > far(here)


def _is_answered(known: Known, approvals: ApprovalStore) -> bool:
    """Whether the backup, of later than the keys, knows the answer to a question that waits."""
    if known.erasure.state != "asked" or known.question is None:
        return False
    try:
        return approvals.find(known.question.id).state != "pending"
    except NotFoundError:
        return False


def _has_chosen(here: Erasure | None) -> bool:
    """Whether the backup is from after a first run took the names and chose what goes.

    Whoever it knows with a name of a tenant that was erased came to that tenant since.
    """
    return here is not None and (here.selected or bool(here.certificates))


def _left_to_run(
    everybody: Sequence[Identity], begun: Sequence[Erasure], now: str
) -> list[Erasure]:
    """Those that would take the last who makes keys here, and of which no run has come to its end.

    Their run asks that anew, and waits for somebody else, as it may have done all the time.
    """
    left, every = [], list(everybody)
    for one in sorted(begun, key=lambda one: not one.certificates):  # first who is gone already
        ending = _of(one, every)
        if not one.certificates:
            try:
                check_somebody_left(one.kind, every, ending, now)
            except RefusedError:
                left.append(one)
                continue
        gone = {who.id for who in ending if who.revoked is None}
        every = [
            msgspec.structs.replace(who, revoked=now) if who.id in gone else who for who in every
        ]
    return left


def _gone(
    everybody: Sequence[Identity],
    keyring: Keyring,
    begun: Sequence[Erasure],
    granted: Sequence[Erasure],
    spared: Collection[str],
) -> list[Identity]:
    """Whom an erasure that had begun means, or a key of whom has ended, and who still has a name.

    Of a tenant in ``begun`` that is everybody whom the backup knows: it is from before. Of the keys
    that have ended only those of before a grant tell of an erasure, or all where none that is
    remembered is of that person: others ended with what came late. Nobody who is ``spared`` is gone
    by a key.
    """
    rows = keyring.read(
        "SELECT tenant, subject, min(created) FROM subject_keys LEFT JOIN subject_keys_retired "
        "USING (id) WHERE destroyed IS NOT NULL OR at IS NOT NULL GROUP BY tenant, subject"
    )
    ended = {(str(tenant), str(subject)): str(created) for tenant, subject, created in rows}
    meant = {who.id for one in begun for who in _of(one, everybody)}

    def has_ended(who: Identity) -> bool:
        created = ended.get((who.tenant, who.actor))
        of = [one for one in granted if created is not None and _of(one, [who])]
        return created is not None and (not of or any(created < one.approved for one in of))

    return [
        one
        for one in everybody
        if (one.name or one.email or one.groups or one.revoked is None)
        and (one.id in meant or (one.id not in spared and has_ended(one)))
    ]


def _of(erasure: Erasure, every: Sequence[Identity]) -> list[Identity]:
    return whose(erasure.kind, erasure.target, erasure.within, every)


class _Wiped(NamedTuple):
    """Whom one erasure means of those who still have a name, and where (``forgetting.forget``)."""

    people: Sequence[Identity]
    names: Collection[str]
    within: str = ""
    tenant: str = ""


def _wiped(
    gone: Sequence[Identity], begun: Sequence[Erasure], named: Mapping[str, Collection[str]]
) -> list[_Wiped]:
    """One for each erasure that had begun; those of whom only the keys know go everywhere.

    ``named``: by its id, which names of a person are said somewhere.
    """
    found, left = [], list(gone)
    for one in begun:
        people = _of(one, gone)
        if one.kind == "tenant":
            found.append(_Wiped(people, _called(people), one.target, one.target))
        elif one.kind == "subject":
            names = {*one.names, *_called(people), *named.get(one.id, ())}
            found.append(_Wiped(people, names, one.within))
        left = [who for who in left if who not in people]
    return [*found, _Wiped(left, _called(left))] if left else found


def _called(people: Sequence[Identity]) -> set[str]:
    return {word for one in people for word in (one.name, one.email) if word}


def _named(state: apsw.Connection, keyring: Keyring, known: Sequence[Known]) -> dict[str, set[str]]:
    """The names that have forgotten requests by their marks, as far as something says them."""
    every = texts(SavedQueries(state).all(), HoldStore(state).all())
    said = name_marks.said(keyring, every, {mark for one in known for mark in one.marks})
    return {one.erasure.id: {said[mark] for mark in one.marks if mark in said} for one in known}


def _begun(erasure: Erasure, here: Erasure | None, size: int) -> Erasure:
    """The same, to have another run if it had one: what it means has to be looked for here.

    But where the backup has what was chosen, and no more was chosen since, the run is for that and
    for late answers alone: what came in between was not taken either. Of a person it is looked for
    all the same, as whoever comes back has another pseudonym.
    """
    if erasure.state not in ("running", "waiting"):
        return erasure
    late = False
    if here is not None and _has_chosen(here):
        same = erasure.run == here.run or (erasure.run == here.run + 1 and erasure.late)
        late = erasure.kind == "tenant" or (same and erasure.kind != "subject")
    return msgspec.structs.replace(
        erasure, state="running", run=len(erasure.certificates) + 1, selected=False, late=late,
        tally=Tally(), open=tuple(index for index in erasure.open if index < size),
    )  # fmt: skip


def _below(part: Portion, size: int) -> Portion:
    """What is left of a portion in a log of so many leaves: those that follow are others."""
    every = sorted(index for index in (*part.now, *part.later) if index < size)
    return msgspec.structs.replace(part, now=(), later=tuple(every))


def _told(erasure: Erasure) -> str:
    return (
        f"{erasure.id}: {erasure.kind} {erasure.target or erasure.expression},"
        f" {erasure.planned} records, asked at {erasure.asked} by {erasure.actor}"
    )
