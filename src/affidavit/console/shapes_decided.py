"""What is answered about second persons, holds, erasures and runs of retention, as types.

Rules: as in ``shapes``, of which this is a part. A field with a default may be absent.
``replayed``: this was done by an earlier request of the same idempotency key. ``names``: in what
is listed or looked up, who is behind the pseudonyms in it, as far as the reader may know. Not here:
what the sequencer decides (``app.holding``, ``app.erasing``, ``app.approving``).
"""

from typing import Literal

import msgspec

from affidavit.control.approvals import Kind as Question
from affidavit.control.erasures import Kind, Tally, What


class About(msgspec.Struct):
    """What an erasure that waits for an answer is of, and how much; nothing for other questions."""

    kind: str = ""
    of: str = ""
    what: str = ""
    records: int = 0
    keys: list[str] = []


class Held(msgspec.Struct):
    """What the hold is on that is to be released.

    ``records``: so many match now that this reader may see, at least so many if
    ``records_capped``, null if not counted.
    """

    matter: str
    expression: str
    records: int | None
    records_capped: bool


class Asked(msgspec.Struct):
    """A question for a second person, and its answer. ``tenants``: whoever answers oversees these.

    ``until``: when the answer, or the question, stops counting. ``yours``: this reader asked it.
    ``erasure``, ``hold``: in a list, what is to be erased or released.
    """

    id: str
    by: str
    actor: str
    tenant: str
    reason: str
    records: list[str]
    asked: str
    until: str
    state: Literal["pending", "granted", "denied"]
    decided: str
    approver: str
    kind: Question
    target: str
    yours: bool = False
    tenants: list[str] = []
    erasure: About | None = None
    hold: Held | None = None
    names: dict[str, str] = {}
    replayed: bool = False


class AllAsked(msgspec.Struct):
    """What is pending, or granted and not over."""

    approvals: list[Asked]


class LegalHold(msgspec.Struct):
    """A hold; ``released`` is ``""`` while it is in force.

    ``asked``: the question whether it is released, ``until`` when that counts. ``records``: so many
    matched when it was placed, at least so many if ``records_capped``, null if not counted.
    ``tenants``: whoever oversees these sees it (``""``: owners alone). ``grantable``: somebody has
    a key now that could grant its release; if not, nobody ever can, and it is to be asked anew.
    """

    id: str
    tenant: str
    matter: str
    owner: str
    reason: str
    expression: str
    placed: str
    by: str
    actor: str
    released: str
    approval: str
    releaser: str
    tenants: list[str] = []
    records: int | None = None
    records_capped: bool = False
    asked: str = ""
    until: str = ""
    grantable: bool = True
    names: dict[str, str] = {}
    replayed: bool = False


class LegalHolds(msgspec.Struct):
    """Every hold ever placed, oldest first."""

    holds: list[LegalHold]


class HoldPlan(msgspec.Struct):
    """What a hold would be on; the rest as in ``LegalHold``. Nothing was placed."""

    expression: str
    matter: str
    grantable: bool
    records: int | None
    records_capped: bool


class Waits(msgspec.Struct):
    """So many records go later: ``until`` a day (``""``: not known), and ``why``."""

    records: int
    until: str
    why: str


class InExport(msgspec.Struct):
    """A bundle in which some of the records were: its record, when, by whom (a pseudonym)."""

    record: str
    time: str
    by: str
    records: int
    manifest: str


class Named(msgspec.Struct):
    """Texts of others that name a person: so many ``records`` (null: not searched, and ``why``).

    At least so many if ``capped``. ``expression`` finds them.
    """

    expression: str
    records: int | None
    capped: bool
    why: str


class ErasurePlan(msgspec.Struct):
    """What would go ``now`` and ``later``; where it was asked for, the request's ``id``.

    ``digest``: of the leaf indexes of all of it. ``asked``: the question for a second person.
    ``named``: in the dry run of a person's. ``grantable``: as of a hold.
    """

    kind: Kind
    target: str
    what: What
    basis: str
    records: int
    now: int
    later: list[Waits]
    digest: str
    keys: list[str]
    exports: list[InExport]
    named: Named | None = None
    id: str = ""
    asked: str = ""
    until: str = ""
    grantable: bool = True
    replayed: bool = False


class ErasureRequest(msgspec.Struct):
    """A request and how far it is; ``certified``: so many certificates.

    ``went``: so many records by all of these; ``tally``, ``exports`` and ``finished`` are of the
    latest run alone. ``tenants``: those that whoever grants it, or knows of it, oversees. In a list
    with the ``question`` that waits for an answer; alone with what waits and why, and with the
    certificates (signed notes).
    """

    id: str
    tenant: str
    kind: Kind
    target: str
    what: What
    expression: str
    basis: str
    by: str
    actor: str
    asked: str
    planned: int
    digest: str
    state: Literal["asked", "running", "waiting", "done"]
    approval: str
    approver: str
    approved: str
    run: int
    tally: Tally
    revoked: list[str]
    exports: list[InExport]
    finished: str
    within: str
    keys: list[str]
    certified: int
    went: int
    tenants: list[str]
    question: str = ""
    later: list[Waits] = []
    certificates: list[str] = []
    names: dict[str, str] = {}


class ErasureRequests(msgspec.Struct):
    """Every request, oldest first."""

    erasures: list[ErasureRequest]


class RetentionRun(msgspec.Struct):
    """How the latest run went: begun ``as_of`` (``""``: none since the start), and what went."""

    running: bool
    as_of: str
    buckets: int
    records: int
    problem: str | None


ANSWERS: dict[str, type[msgspec.Struct]] = {
    "approvals_listing": AllAsked,
    "approvals_grant": Asked,
    "approvals_deny": Asked,
    "holds_listing": LegalHolds,
    "holds_place": LegalHold,
    "holds_show": LegalHold,
    "holds_release": LegalHold,
    "erasures_listing": ErasureRequests,
    "erasures_ask": ErasurePlan,
    "erasures_show": ErasureRequest,
    "erasures_retention_run": RetentionRun,
    "erasures_retention_runs": RetentionRun,
}
"""Operation id → what is answered; a part of ``shapes.ANSWERS``."""

PLANS: dict[str, type[msgspec.Struct]] = {"holds_place": HoldPlan, "erasures_ask": ErasurePlan}
"""The same of a dry run, which is answered with 200: nothing was made."""
