"""What the console answers, as types: the OpenAPI document is made of them (``document``).

Rules: one struct for each answer; a struct of a stage stands here as that stage made it, so the
document says what the program does. A field with a default may be absent. Answers are not passed
through these types, so nothing that a stage adds is lost on its way: tests hold answers against
them. Not here: requests (``api``), problems (``problems``), what is decided (``shapes_decided``).
"""

from typing import Any

import msgspec

from affidavit.console import shapes_decided
from affidavit.index.schema import Person, Row
from affidavit.query.answers import Aggregate, AsOf, Facets, Histogram
from affidavit.query.compare import Comparison
from affidavit.query.kept import Kept
from affidavit.query.pivot import Pivot
from affidavit.query.rows import ROW_FIELDS
from affidavit.query.session import Narrative

ROW = "Row"
_TEXT: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "null"}]}


class Boundary(msgspec.Struct):
    """What a reader may see: which rows (an expression), which sections, and content when.

    ``name`` in the configuration, how many ``persons`` a reveal takes, and the record of a broken
    glass (``break_glass``), where there is one.
    """

    role: str
    rows: str
    sections: list[str]
    content: str
    name: str = ""
    persons: int = 1
    break_glass: str = ""


class ReaderIs(msgspec.Struct):
    """Whose key it is, and what it may see."""

    role: str
    tenant: str
    authenticated_by: str
    boundary: Boundary


class Status(msgspec.Struct):
    """State of recording, of the ledger, and of who vouches for it.

    Figures of the sequencer are absent while it does not answer.
    """

    version: str
    recording: bool
    recording_problem: str | None
    sequencer: bool
    sequencer_problem: str | None
    as_of: AsOf
    reader: ReaderIs
    break_glass: list[dict[str, Any]] = []
    size: int = 0
    published: int = 0
    minimum: int = 0
    pruning_problem: str | None = None
    erasing_problem: str | None = None
    indexed: int = 0
    backlog_bytes: int = 0
    trouble: dict[str, str] = {}
    origin: str = ""
    log_vkey: str = ""
    log_vkeys: list[str] = []
    waits_since: float | str | None = None
    anchored: bool = False
    anchor_advice: str = ""
    witnesses_required: bool = False
    witnesses: list[dict[str, Any]] = []
    timestamp: dict[str, Any] | None = None
    copies: dict[str, Any] | None = None
    retention: dict[str, Any] = {}


class Verdict(msgspec.Struct):
    """The four lines; ``proved``: no record of the chains that hold the answer can be missing.

    ``chain``: how many records the chain has beyond the boundary, too, where that may be told.
    """

    integrity: str
    completeness: str
    assurance: str
    coverage: str
    proved: bool
    counts: dict[str, Any]
    chain: dict[str, Any] | None = None


class Beyond(msgspec.Struct):
    """How many rows a boundary withholds; ``capped``: at least so many."""

    rows: int
    capped: bool


class Answer(msgspec.Struct):
    """A page of an answer; ``cursor`` is ``""`` on the last.

    ``count`` is of the whole answer, on its first page; ``count_capped``: at least so many.
    ``proof`` where it was asked for. ``names``: who is behind actors' pseudonyms, as far as the
    reader may know; of sums and facets, too. ``content_needs``, to be shown content: ``nothing``,
    ``reason``, ``second person``, or ``never`` within this boundary.
    """

    rows: list[dict[str, Any]]
    cursor: str
    as_of: AsOf
    count: int | None
    count_capped: bool
    gaps: int
    unattributed: int
    withheld: list[str]
    content_needs: str
    next: int = 0
    proof: Verdict | None = None
    beyond: Beyond | None = None
    names: dict[str, str] = {}


class Part(msgspec.Struct):
    """A part of the content: its bytes, ``text`` if they are text; or why it is ``missing``."""

    name: str
    media_type: str
    size: int | None
    digest: str | None
    base64: str = ""
    text: str | None = None
    missing: str = ""


class Half(msgspec.Struct):
    """The content of one record; ``erased_under``: the latest request that erased of the record."""

    id: str
    index: int
    type: str
    parts: list[Part]
    erased_under: str = ""


class Revealed(msgspec.Struct):
    """Content, and the id of the record that says it was shown.

    With status 202 nothing is shown: ``asked`` is the approval that waits for a second person.
    """

    records: list[Half]
    recorded_as: str = ""
    asked: dict[str, Any] | None = None


class Key(msgspec.Struct):
    """A key without what opens anything; ``id`` is the credential id in records.

    In a list ``applies`` is the boundary that counts, ``""`` for the role's, ``through`` a group.
    """

    id: str
    name: str
    email: str
    actor: str
    kind: str
    role: str
    team: str
    groups: list[str]
    created: str
    revoked: str | None
    boundary: str = ""
    until: str = ""
    labels: list[str] = []
    jurisdiction: str = ""
    made_by: str = ""
    tenant: str = ""
    applies: str = ""
    through: str = ""


class Keys(msgspec.Struct):
    """All keys, oldest first, revoked ones included."""

    keys: list[Key]


class MadeKey(Key):
    """A new key. ``token`` opens doors and is shown this once; ``null`` in a repeated answer."""

    token: str | None = None
    replayed: bool = False
    note: str = ""


class RevokedKey(Key):
    """A revoked key; ``already``: it was revoked before."""

    already: bool = False


class Revoked(msgspec.Struct):
    """The key that was revoked; ``replayed``: by an earlier request of the same idempotency key."""

    revoked: RevokedKey
    replayed: bool = False


class Health(msgspec.Struct):
    """``ok``, or ``not ready`` and what is missing."""

    status: str
    recording_problem: str = ""
    sequencer_problem: str = ""


class ProblemKind(msgspec.Struct):
    """A kind of error; ``type`` is the reference that stands in its answers."""

    type: str
    code: str
    title: str
    status: int
    hint: str


class ProblemKinds(msgspec.Struct):
    """Every kind of error."""

    problems: list[ProblemKind]


class Sums(Aggregate, frozen=True):
    """Sums by group and period. ``withheld``: sections outside the boundary."""

    withheld: tuple[str, ...] = ()
    names: dict[str, str] = msgspec.field(default_factory=dict)


class Counted(Facets, frozen=True):
    """Values with counts, of the fields within the boundary."""

    withheld: tuple[str, ...] = ()
    names: dict[str, str] = msgspec.field(default_factory=dict)


class Chart(Histogram, frozen=True):
    """Counts by period."""

    withheld: tuple[str, ...] = ()
    names: dict[str, str] = msgspec.field(default_factory=dict)


class Reported(msgspec.Struct):
    """The record that was made of what was reported."""

    id: str
    type: str
    tier: str
    at: str
    replayed: bool = False


class Saved(msgspec.Struct):
    """A saved query; ``expression`` has digests for terms that this reader may not ask."""

    name: str
    scope: str
    author: str
    saved: str
    expression: str
    askable: bool
    replayed: bool = False


class SavedQueries(msgspec.Struct):
    """Saved queries, the reader's own first."""

    saved: list[Saved]


class RetentionLine(msgspec.Struct):
    """A bucket: ``records`` in it, ``left`` of them with something that goes, ``held`` of these.

    ``damaged``: files of keys that cannot be read whole. ``goes``: now, by itself. ``removable``
    and ``due`` are days, ``due`` ``""`` for never.
    """

    tenant: str
    retention_class: str
    day: str
    known: bool
    state: str
    what: str
    removable: str
    due: str
    goes: bool
    records: int
    left: int
    held: int
    damaged: int
    bytes: int
    why: str


class RetentionSum(msgspec.Struct):
    """Of all buckets in one state: how many, their records with something that goes, bytes."""

    buckets: int
    records: int
    bytes: int


class RetentionPlan(msgspec.Struct):
    """The plan ``at`` a time; ``more``: there are more buckets than these lines, due ones first."""

    at: str
    lines: list[RetentionLine]
    totals: dict[str, RetentionSum]
    more: bool


ANSWERS: dict[str, type[msgspec.Struct]] = {
    "status": Status,
    "query": Answer,
    "query_by_get": Answer,
    "aggregate": Sums,
    "facets": Counted,
    "histogram": Chart,
    "show": Narrative,
    "pivot": Pivot,
    "report": Reported,
    "retention_explain": Kept,
    "retention_plan": RetentionPlan,
    "reveal": Revealed,
    "diff": Comparison,
    "saved_listing": SavedQueries,
    "saved_one": Saved,
    "saved_save": Saved,
    "saved_forget": Saved,
    "keys": Keys,
    "create_key": MadeKey,
    "revoke_key": Revoked,
    "healthz": Health,
    "readyz": Health,
    "problems": ProblemKinds,
    "problem_kind": ProblemKind,
    **shapes_decided.ANSWERS,
}
"""Operation id → what is answered. Answers that are no JSON stand at their routes."""


def components() -> dict[str, Any]:
    """The schemas of all answers by name, for ``#/components/schemas``."""
    kinds = list(dict.fromkeys([*ANSWERS.values(), *shapes_decided.PLANS.values()]))
    _, found = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    found[ROW] = _row()
    found["Answer"]["properties"]["rows"]["items"] = {"$ref": f"#/components/schemas/{ROW}"}
    return found


def _row() -> dict[str, Any]:
    """A row as ``query.rows`` documents it; both halves of an exchange for people are one row."""
    _, columns = msgspec.json.schema_components([Row, Person])
    properties: dict[str, Any] = {}
    for key, field in ROW_FIELDS.items():
        owner = "Person" if field.section == "person" else "Row"
        column = columns[owner]["properties"].get(field.column, {})
        shape = {name: value for name, value in column.items() if name != "default"}
        if key == "stream":
            shape = {"anyOf": [{"type": "boolean"}, {"type": "null"}]}
        if key == "erased":
            shape = {"type": "array", "items": {"type": "string"}}
        properties[key] = {**shape, "description": f"{field.help} ({field.section})"}
    for key, help_text in {
        "response_id": "id of the response, in a row of both halves",
        "prompt": "the message that was asked, where it may be shown (exchanges)",
        "output": "what was answered, where it may be shown (exchanges)",
        "content": "whether content is shown, and if not, why (exchanges)",
        "text": "in a sentence what a record that is no exchange says (exchanges)",
    }.items():
        properties[key] = {**_TEXT, "description": help_text}
    properties["open"] = {"type": "boolean", "description": "no response is recorded yet"}
    return {
        "title": ROW,
        "type": "object",
        "description": "One record, or an exchange. A key whose section is outside the boundary "
        "is absent; null: not known or not applicable.",
        "properties": properties,
        "required": [key for key, field in ROW_FIELDS.items() if field.section == "leaf"],
    }
