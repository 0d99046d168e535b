"""What a reader may see, and how it gets into every question.

Rules: a boundary is typed data: a tree over rows, a set of sections, and a rule about content.
``inject`` puts the tree beside the reader's own as the first child of one ``And``, so nothing the
reader wrote can reach around it. A condition on a section that the reader may not see is
refused, not silently false: its answer would tell what is hidden; so is ``values:`` where the rows
are fewer than a chain's. Names of people are found through ``actor:`` and ``session:`` only where
``person`` is visible. Not here: SQL, who somebody is (``control``), and boundaries that the
configuration names (``named``).
"""

from typing import Any, Literal, NamedTuple

from affidavit.control.identity import ADMINISTRATOR, APPROVE, OWNER, Identity
from affidavit.errors import RefusedError
from affidavit.index.schema import PERSON_NAMES
from affidavit.query.fields import HAS, PERSON_SESSION, field_of
from affidavit.query.language import unparse
from affidavit.query.tree import (
    All,
    And,
    Has,
    Match,
    Moment,
    Not,
    Nothing,
    Number,
    Or,
    Phrase,
    Tree,
    leaves,
    replace,
)
from affidavit.record.model import SECTIONS

Content = Literal["never", "with_reason", "always"]

EVERY_SECTION = frozenset(SECTIONS)
NOT_PERSON = EVERY_SECTION - {"person"}


class Boundary(NamedTuple):
    """What one reader may see.

    ``reader`` is the actor's pseudonym, ``role`` what the boundary follows from. ``rows`` holds
    for every record the reader may know of. ``sections`` may be shown of these. ``content``:
    never, only for a stated reason, or always.

    ``name``: what the configuration calls it. ``whole``: the rows that ``rows`` are a part of;
    ``standing``: ``rows`` without what moves with time, to which cursors are bound. ``purpose``:
    each read needs one. ``counts``: how many rows of ``whole`` are withheld may be told.
    ``persons``: so many have to agree before content is revealed. ``glass``: the id of a broken
    glass that widened it. ``until``: when it ends, ``""`` for never.
    """

    reader: str
    role: str
    rows: Tree
    sections: frozenset[str]
    content: Content
    name: str = ""
    whole: Tree = All()
    standing: Tree | None = None
    purpose: bool = False
    counts: bool = False
    persons: int = 1
    glass: str = ""
    until: str = ""

    def shows_content(self, reason: str) -> bool:
        """Whether prompts, outputs and full text are open to this reader for this reason.

        Where two persons have to agree, only a reveal shows content, of one record.
        """
        if self.persons > 1:
            return False
        return self.content == "always" or (self.content == "with_reason" and bool(reason.strip()))

    @property
    def content_needs(self) -> str:
        """What it takes to be shown content: ``nothing``, ``reason``, ``second person``.

        ``never`` where no reason and nobody opens it.
        """
        if self.content == "never":
            return "never"
        if self.persons > 1:
            return "second person"
        return "nothing" if self.content == "always" else "reason"

    @property
    def whole_tenants(self) -> bool:
        """Whether the rows are all of some tenant's, as chains are.

        Where they are not, a chain holds records that the reader may not know of, and its proof
        would show their leaves and their number.
        """
        return isinstance(self.rows, All) or (
            isinstance(self.rows, Match) and self.rows.field == "tenant" and not self.rows.prefix
        )

    def demand(self, purpose: str) -> None:
        """``RefusedError`` if a read needs a purpose and none is stated."""
        if self.purpose and not purpose.strip():
            raise RefusedError(
                "Your boundary asks for the purpose of each read.",
                hint="State it: --reason TEXT on the command line, purpose in the API.",
            )

    def as_json(self) -> dict[str, Any]:
        """What an ``access.*`` record says about the boundary that applied."""
        found: dict[str, Any] = {
            "role": self.role,
            "rows": unparse(self.rows) or "everything",
            "sections": [name for name in SECTIONS if name in self.sections],
            "content": self.content,
        }
        if self.name:
            found |= {"name": self.name, "persons": self.persons}
        return found | ({"break_glass": self.glass} if self.glass else {})


def oversees(who: Identity, within: Boundary, *tenants: str) -> bool:
    """Whether somebody may know of, and grant, what is of all of these tenants.

    So may who sees all of their records, with a role that approves.
    """
    if who.role not in APPROVE or not within.whole_tenants:
        return False
    rows = within.rows
    return isinstance(rows, All) or (isinstance(rows, Match) and {*tenants} == {rows.value})


def owner(reader: str) -> Boundary:
    """The owner of the installation: everything."""
    return Boundary(reader, "owner", All(), EVERY_SECTION, "always")


def administrator(reader: str, tenant: str) -> Boundary:
    """What the tenant's and the installation's administration left behind; never content.

    Changes (but of prompts, which are content), what the ledger says of itself, and retention.
    """
    changes = And((Match("type", "change.", prefix=True), Not(Match("type", "change.prompt"))))
    others = (Match("type", kind, prefix=True) for kind in ("ledger.", "retention."))
    no_tenant = Not(Match("tenant", "", prefix=True))
    rows = And((Or((Match("tenant", tenant), no_tenant)), Or((changes, *others))))
    return Boundary(reader, ADMINISTRATOR, rows, NOT_PERSON - {"content"}, "never")


def auditor(reader: str, tenant: str) -> Boundary:
    """All records of a tenant, nobody's name; content for a stated reason."""
    return Boundary(reader, "auditor", Match("tenant", tenant), NOT_PERSON, "with_reason")


def responder(reader: str, tenant: str) -> Boundary:
    """All records of a tenant; content for a stated reason."""
    return Boundary(reader, "responder", Match("tenant", tenant), EVERY_SECTION, "with_reason")


def compliance(reader: str, tenant: str) -> Boundary:
    """All records of a tenant with who they concern, for holds and erasure; never content."""
    return Boundary(reader, "compliance", Match("tenant", tenant), EVERY_SECTION, "never")


def member(reader: str, tenant: str, team: str) -> Boundary:
    """A team's own records; content for a stated reason, nobody's name."""
    rows = And((Match("tenant", tenant), Match("team", team)))
    return Boundary(reader, "member", rows, NOT_PERSON, "with_reason")


def subject(reader: str, tenant: str) -> Boundary:
    """The records that the reader caused, whole."""
    rows = And((Match("tenant", tenant), Match("actor", reader)))
    return Boundary(reader, "subject", rows, EVERY_SECTION, "always")


def nothing(reader: str) -> Boundary:
    """No record at all: for a monitor, which reads the log and asks no question."""
    return Boundary(reader, "monitor", Nothing(), frozenset(), "never")


def for_identity(identity: Identity) -> Boundary:
    """The boundary that follows from a role; ``RefusedError`` for a role that does not read."""
    if identity.role == OWNER:
        return owner(identity.actor)
    if identity.role == ADMINISTRATOR:
        return administrator(identity.actor, identity.tenant)
    if identity.role == "subject":
        return subject(identity.actor, identity.tenant)
    if identity.role == "auditor":
        return auditor(identity.actor, identity.tenant)
    if identity.role == "responder":
        return responder(identity.actor, identity.tenant)
    if identity.role == "compliance":
        return compliance(identity.actor, identity.tenant)
    if identity.role == "member" and identity.team:
        return member(identity.actor, identity.tenant, identity.team)
    raise RefusedError(
        f"The role {identity.role} does not read records.",
        hint="Ask for a key with the role auditor, responder, compliance, member or subject.",
    )


def inject(tree: Tree, boundary: Boundary, reason: str = "") -> Tree:
    """The tree to be answered: the boundary's rows and the reader's question, both holding.

    ``RefusedError`` if the question looks at a section or at content outside the boundary, or if
    the boundary asks for a purpose and ``reason`` states none.
    """
    boundary.demand(reason)
    for leaf in leaves(tree):
        _allow(leaf, boundary, reason)
    return And((boundary.rows, replace(tree, lambda leaf: _lower(leaf, boundary))))


def bound(asked: Tree, boundary: Boundary) -> Tree:
    """The injected tree without what moves with time: to this a cursor is bound."""
    if boundary.standing is None or not isinstance(asked, And):
        return asked
    return And((boundary.standing, *asked.children[1:]))


def _allow(leaf: Tree, boundary: Boundary, reason: str) -> None:
    if isinstance(leaf, Phrase):
        if not boundary.shows_content(reason):
            hint = "State a reason." if boundary.content == "with_reason" else ""
            raise RefusedError(
                "Searching text reads content, which is outside your boundary.",
                hint="Two persons reveal one record." if boundary.persons > 1 else hint,
            )
        return
    if isinstance(leaf, Match) and leaf.field == "values" and not boundary.whole_tenants:
        raise RefusedError(
            "values: looks at all records of a tenant, and your boundary is narrower.",
            hint="Ask for the records themselves.",
        )
    section = section_of(leaf)
    if section != "leaf" and section not in boundary.sections:
        name = f"has:{leaf.what}" if isinstance(leaf, Has) else getattr(leaf, "field", "")
        raise RefusedError(f"{name} is in section {section}, which is outside your boundary.")


def section_of(leaf: Tree) -> str:
    """The section that a condition looks at, ``leaf`` for what stands in the ledger."""
    if isinstance(leaf, Has):
        return HAS[leaf.what].section
    if isinstance(leaf, Phrase):
        return "content"
    return field_of(leaf.field).section if isinstance(leaf, Match | Number | Moment) else "leaf"


def _lower(leaf: Tree, boundary: Boundary) -> Tree:
    """``actor:`` and ``session:`` also by what identifies people, where that may be seen."""
    if not isinstance(leaf, Match) or "person" not in boundary.sections:
        return leaf
    if leaf.field == "actor":
        return Or((leaf, *(Match(name, leaf.value, leaf.prefix) for name in PERSON_NAMES)))
    if leaf.field == "session":
        return Or((leaf, Match(PERSON_SESSION.name, leaf.value, leaf.prefix)))
    return leaf
