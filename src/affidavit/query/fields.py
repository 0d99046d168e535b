"""Every field of an expression, described once: what it is, where it lies, how it is asked.

Rules: parser, emitter, boundary, help and completion all read this table; a field that is not
here does not exist. ``section`` is the section of the record that must be visible to the reader
for the field to be asked; ``leaf`` facts stand in the ledger and are always visible. Not here:
grammar (``language``) and SQL (``emit``).
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from affidavit.record.model import DIMENSIONS, OUTCOMES, TIERS, TYPES

Kind = Literal["name", "number", "time", "has", "text"]


class Field(NamedTuple):
    """One field. ``columns`` of a row are compared; ``lists`` are columns with several values.

    ``dimension`` is the posting list that finds it fast, if there is one. ``values`` are offered
    by completion; where they are ``closed``, no record has another one, so asking for another is
    a mistake. ``suggested``: completion offers values from records, too; these neither identify a
    person nor are they different in nearly every record.
    """

    name: str
    kind: Kind
    section: str
    help: str
    example: str
    columns: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    dimension: str | None = None
    values: tuple[str, ...] = ()
    closed: bool = False

    @property
    def suggested(self) -> bool:
        """Whether completion offers values of this field that occur in records."""
        return self.name in _SUGGESTED


class Presence(NamedTuple):
    """One thing that ``has:`` asks for, and the section it lies in."""

    name: str
    section: str
    help: str


HAS: Mapping[str, Presence] = {
    item.name: item
    for item in (
        Presence("answer", "leaf", "a request whose response is recorded"),
        Presence("approval", "control", "an approval was asked for, given or refused"),
        Presence("content", "leaf", "content parts were committed to"),
        Presence("erased", "leaf", "a section is committed to but can no longer be read"),
        Presence("error", "outcome", "not complete, HTTP status 400 and up, or an error named"),
        Presence("gap", "leaf", "an interval in which something could not be recorded"),
        Presence("person", "person", "something identifies a human"),
        Presence("purpose", "who", "a purpose was stated"),
        Presence("session", "who", "the record belongs to a session"),
        Presence("source", "what", "a data source was used"),
        Presence("tool", "what", "a tool was called"),
        Presence("trace", "what", "a trace id is known"),
        Presence("unattributed", "who", "the tenant is not known"),
        Presence("unparsed", "what", "the bytes were recorded but not understood"),
    )
}


def _name(
    name: str, section: str, help_text: str, example: str, *, values: tuple[str, ...] = ()
) -> Field:
    """A field with one column of the same name and no posting list; ``values`` are all of its."""
    closed = bool(values)
    return Field(name, "name", section, help_text, example, (name,), values=values, closed=closed)


def _posted(
    name: str, section: str, help_text: str, example: str, *, values: tuple[str, ...] = ()
) -> Field:
    """A field with one column of the same name and a posting list."""
    return Field(name, "name", section, help_text, example, (name,), (), name, values)


def _number(name: str, section: str, help_text: str, example: str) -> Field:
    return Field(name, "number", section, help_text, example, (name,))


def _person(name: str, help_text: str, example: str) -> Field:
    """A field of ``person``: compared without regard to case, found by its posting list."""
    return Field(name, "name", "person", help_text, example, dimension=f"person.{name}")


_ALL = (
    Field("model", "name", "what", "a model, requested, resolved or served; its exchanges and "
          "the changes that touch it", "model:gpt-4o*", lists=("models",), dimension="model"),
    Field("actor", "name", "who", "who caused it, or whose identity was changed: a pseudonym, or "
          "a person's subject, e-mail or name where the reader may see those",
          "actor:alice@example.com", lists=("actors",), dimension="actor"),
    _posted("session", "who", "a conversation or agent run", "session:ses_mfrggzdfmztwq2lk"),
    Field("values", "name", "who", "the first exchange of each value of a dimension, so: all "
          "models ever used", "values:model", lists=("firsts",), dimension="values",
          values=DIMENSIONS, closed=True),
    Field("type", "name", "leaf", "record type", "type:exchange.*", ("type",), (), "type",
          tuple(sorted(TYPES)), closed=True),
    Field("since", "time", "leaf", "ledger time from here on: a date, a time, or so long ago "
          "(s m h d w)", "since:90d"),
    Field("until", "time", "leaf", "ledger time before this; a date means its first instant",
          "until:2026-09-01"),
    Field("time", "time", "leaf", "ledger time", "time>=2026-08-01"),
    Field("source_time", "time", "leaf", "the time the source claims", "source_time:2026-08-01"),
    Field("status", "name", "outcome", "how it ended: an outcome or an HTTP status; an error "
          "of the provider that came whole is complete, with its status",
          "status:client_gone", ("status", "http"), dimension="status", values=OUTCOMES,
          closed=True),
    _posted("decision", "control", "what policy decided", "decision:deny",
            values=("allow", "deny")),
    _name("reason", "control", "why it was decided so: all reasons, in order, joined by '; '",
          "reason:refused*"),
    _posted("purpose", "who", "stated use case, ticket or legal basis", "purpose:support"),
    Field("text", "text", "content", "these words next to each other in one message that the "
          "record asks or answers; history resent in a session is passed over", '"exact phrase"'),
    Field("tool", "name", "what", "a tool that was called", "tool:search", lists=("tools",),
          dimension="tool"),
    Field("source", "name", "what", "a data source that was used", "source:crm",
          lists=("sources",), dimension="source"),
    _name("provider", "what", "the configured provider", "provider:azure"),
    _name("api", "what", "which interface was called", "api:chat.completions"),
    _name("operation", "what", "what was asked for", "operation:embeddings"),
    _name("path", "what", "path of the call", "path:/v1/files*"),
    Field("tokens", "number", "outcome", "tokens in and out together", "tokens>10000",
          ("tokens_in", "tokens_out")),
    _number("tokens_in", "outcome", "tokens read", "tokens_in>8000"),
    _number("tokens_out", "outcome", "tokens written", "tokens_out>2000"),
    _number("duration", "outcome", "seconds from request to end", "duration>30"),
    _number("first_byte", "outcome", "seconds to the first byte", "first_byte>2"),
    _number("bytes", "outcome", "bytes received", "bytes>1000000"),
    _number("cost", "outcome", "cost as the provider reports it, in its unit", "cost>0.5"),
    _number("http", "outcome", "HTTP status", "http>=500"),
    Field("index", "number", "leaf", "place in the ledger", "index>=48000", ("idx",)),
    _name("tier", "leaf", "how the record was obtained", "tier:observed", values=TIERS),
    _name("role", "who", "role of who caused it", "-role:admin"),
    _posted("team", "who", "team", "team:support"),
    _name("tenant", "who", "tenant", "tenant:acme"),
    _name("kind", "who", "kind of actor", "kind:agent", values=("person", "service", "agent")),
    Field("group", "name", "who", "a group of who caused it", "group:oncall",
          lists=("groups",)),
    _name("assurance", "who", "how sure the identity is", "assurance:verified",
          values=("verified", "key", "asserted")),
    Field("credential", "name", "who", "id of the key that was used, or that was changed",
          "credential:key_7Q2M", lists=("credentials",), dimension="credential"),
    _name("id", "leaf", "a record's id", "id:0199c0de*"),
    _name("parent", "what", "id of the record this one answers or belongs to", "parent:0199c0de*"),
    _name("span", "what", "span id", "span:00f067aa0ba902b7"),
    _posted("trace", "what", "trace id", "trace:4bf92f3577b34da6a3ce929d0e0e4736"),
    _posted("target", "what", "what a change changed, or a reveal showed, as kind:name",
            "target:prompt:support-v3"),
    Field("finish", "name", "outcome", "why the model stopped", "finish:length",
          lists=("finish",)),
    _name("error", "outcome", "code of the error that ended it, or what the provider calls it",
          "error:upstream.unreachable"),
    _name("request_id", "what", "the provider's own request id, as its support asks for it",
          "request_id:req_011CS*"),
    _person("email", "e-mail address of a person", "email:alice@example.com"),
    _person("subject", "subject of a person's token", "subject:auth0*"),
    _person("name", "name of a person", 'name:"Alice Doe"'),
    _person("end_user", "the application's own user id", "end_user:u-1234"),
    _person("address", "client address", "address:192.0.2.*"),
    Field("has", "has", "leaf", "the record has one", "has:error", values=tuple(HAS)),
)  # fmt: skip

_SUGGESTED = frozenset({
    "model", "actor", "session", "status", "decision", "reason", "purpose", "tool", "source",
    "provider", "api", "operation", "role", "team", "tenant", "group", "credential", "target",
    "finish", "error",
})  # fmt: skip

FIELDS: Mapping[str, Field] = {field.name: field for field in _ALL}
ALIASES: Mapping[str, str] = {
    "key": "credential",
    "user": "end_user",
    "at": "source_time",
    "outcome": "status",
    "latency": "duration",
    "session_id": "session",
    "trace_id": "trace",
}
"""Other names that people type, or copy from a record or a trace."""

PERSON_SESSION = Field(
    "person.session", "name", "person", "the caller's own session id", "",
    dimension="person.session",
)  # fmt: skip
"""Asked through ``session:`` only, where the reader may see it."""


def field_of(name: str) -> Field:
    """The field that a node names; ``KeyError`` if there is none (a tree the parser never made)."""
    return PERSON_SESSION if name == PERSON_SESSION.name else FIELDS[name]


def help_text() -> str:
    """All fields with an example and what they mean, one line each, for ``--help``."""
    width = max(len(field.example) for field in _ALL) + 2
    lines = [f"{field.example:<{width}}{field.help}" for field in _ALL]
    kinds = ", ".join(HAS)
    return "\n".join([*lines, f"{'has:…':<{width}}{kinds}"])


def markdown() -> str:
    """All fields as the table of ``docs/query.md``."""
    lines = ["| field | section | means | for example |", "|---|---|---|---|"]
    for field in _ALL:
        one = "one of" if field.closed else "such as"
        known = f"; {one} {', '.join(f'`{v}`' for v in field.values)}" if field.values else ""
        lines.append(
            f"| `{field.name}` | {field.section} | {field.help}{known} | `{field.example}` |"
        )
    lines += ["", "| `has:` | section | means |", "|---|---|---|"]
    lines += [f"| `has:{item.name}` | {item.section} | {item.help} |" for item in HAS.values()]
    other = ", ".join(f"`{name}:` is `{field}:`" for name, field in ALIASES.items())
    return "\n".join([*lines, "", f"Also: {other}."])
