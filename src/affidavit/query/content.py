"""Content and its evidence: what the vault says of one record, right now.

Rules: the vault compares every byte it gives with what the ledger committed to; the outcome of
that comparison is named here and never hidden: one damaged record is a word in an answer, not
the end of it. Whether content may be shown was decided before (``boundary``).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from affidavit.errors import CorruptError, NotFoundError, PrunedError
from affidavit.index.messages import Said, said
from affidavit.index.project import project
from affidavit.index.schema import Row
from affidavit.record.model import SECTIONS, View
from affidavit.vault.reader import NOT_THERE, REMOVED

SNIPPET = 600
"""Characters of a prompt or an output in an exchange; a narrative shows them whole."""

_OF_OTHERS = frozenset({"answered", "firsts", "shown", "model"})
"""Columns that the record alone does not decide, or that an erasure changes."""
_OF_BOTH = frozenset({"models", "actors", "credentials"})
"""Columns to which the other half adds."""
_DIFFERS = "The index says otherwise than the record. Run: affidavit index rebuild"
_MISSING = (
    "It is not in the vault, and nothing says that it was erased. affidavit fsck --deep names the "
    "file; a copy of it mends that."
)
_SECTIONS = frozenset(SECTIONS)
_FACTS = _SECTIONS - {"content"}
_CONTENT_BIT = 1 << SECTIONS.index("content")


class Contents(Protocol):
    """What is needed of ``vault.reader.VaultReader``."""

    def view(self, index: int, tenant: str | None = None) -> View:
        """The record as it can be read now; ``tenant`` may say where to look first.

        ``CorruptError`` if it is not what was recorded, ``NotFoundError`` beyond the published
        checkpoint, ``PrunedError`` below the minimum index.
        """

    def missing(self, index: int, tenant: str | None = None) -> dict[str, str]:
        """Why sections and parts that were recorded cannot be read: name → one sentence.

        Errors as of ``view``.
        """


class Look(NamedTuple):
    """What a look into the vault gave.

    ``evidence``: ``verified`` (observed by us, and checked a moment ago: the leaf hashes to what
    the tile of the published log holds for this index, each section that is there to the leaf's
    digest of it, each part to the content section's, and the index, from which sentences are
    made, says the same as these sections; *not* checked here: the path to the root, signatures
    and witnesses, which a proof, ``verify`` and ``fsck`` check), ``reported`` and ``imported``
    (the same checks; but what was recorded is what somebody told us), ``erased`` (a section can
    no longer be read, or the leaf was pruned), ``missing`` (a section is not in the vault, and
    nothing says that it was erased), ``corrupt`` (a check did not hold), ``unchecked``
    (nobody looked, or the checkpoint over it is not published yet). ``content``: ``shown``,
    ``withheld``, ``erased`` or ``missing`` (some or all of it), ``corrupt``, ``pending``, or
    ``none`` where a record has none, as a request without a body. ``messages`` are there if it is
    ``shown``, and what is left of it if it is ``erased`` or ``missing``. ``sections`` and ``parts``
    are all that can be read, by name, whoever asks: a boundary comes between them and a reader.
    ``problem`` says which check did not hold.
    """

    evidence: str
    content: str
    messages: list[Said]
    sections: Mapping[str, Any] = MappingProxyType({})
    parts: Mapping[str, bytes] = MappingProxyType({})
    problem: str = ""


def look(contents: Contents | None, row: Row, *, show: bool) -> Look:
    """Look at one record; ``show`` its messages or leave them out."""
    has_content = bool(row.present & _CONTENT_BIT)
    told = row.tier if row.tier != "observed" else "unchecked"
    hidden = "withheld" if has_content else "none"
    if contents is None:
        return Look("erased" if row.present & ~row.shown else told, hidden, [])
    try:
        view = contents.view(row.idx, row.tenant)
        gone = any(
            digest is not None and name not in view.sections
            for name, digest in zip(SECTIONS, view.digests, strict=True)
        )
        listed = _listed(view)
        has_content = has_content and listed != frozenset()
        part_gone = has_content and not (listed is not None and listed <= view.parts.keys())
        lost = _lost(contents, row) if gone or part_gone else frozenset()
    except CorruptError as error:
        return Look("corrupt", "corrupt" if has_content else "none", [], problem=error.message)
    except PrunedError:
        return Look("erased", "erased" if has_content else "none", [])
    except NotFoundError:
        return Look(told, "pending" if has_content else "none", [])
    evidence = "erased" if gone else "verified" if row.tier == "observed" else row.tier
    problem = "" if _agrees(row, view) else _DIFFERS
    if problem:
        evidence = "corrupt"
    elif lost:
        evidence, problem = "missing" if lost & _SECTIONS else evidence, _MISSING
    messages = said(view, row) if has_content and show else []
    content = hidden if has_content else "none"
    if part_gone:
        content = "missing" if lost - _FACTS else "erased"
    elif has_content and show:
        content = "shown"
    return Look(evidence, content, messages, view.sections, view.parts, problem)


def _lost(contents: Contents, row: Row) -> frozenset[str]:
    """The sections and parts that are not in the vault, with no word that they were erased."""
    reasons = contents.missing(row.idx, row.tenant)
    return frozenset(name for name, why in reasons.items() if why in (NOT_THERE, REMOVED))


def _agrees(row: Row, view: View) -> bool:
    """Whether the index says of the record what its sections say, where they say something.

    What a row has beyond them comes from the other half, or from a section erased since.
    """
    entry = project(view, None)
    if entry is None:
        return False
    for name in Row.__struct_fields__:
        own, indexed = getattr(entry.row, name), getattr(row, name)
        if name in _OF_OTHERS or own is None or own == ():
            continue
        if not (set(own) <= set(indexed) if name in _OF_BOTH else own == indexed):
            return False
    return True


def _listed(view: View) -> frozenset[str] | None:
    """The names of the parts that the content section commits to; ``None`` if it is not there."""
    if "content" not in view.sections:
        return None
    content = view.sections["content"]
    listed = content.get("parts") if isinstance(content, dict) else None
    return frozenset(
        str(part.get("name"))
        for part in (listed if isinstance(listed, list) else [])
        if isinstance(part, dict)
    )


def worst(states: list[str]) -> str:
    """The state of several contents together: the one that most needs to be said."""
    order = ("corrupt", "missing", "erased", "pending", "withheld", "shown", "none")
    return min(states, key=order.index, default="none")


def last(messages: list[Said]) -> list[Said]:
    """The message that was asked: the last of a user or a tool, else the last of all."""
    asked = [message for message in messages if message.role in ("user", "tool")]
    return asked[-1:] or messages[-1:]


def snippet(messages: list[Said]) -> str | None:
    """The beginning of what was said; ``None`` for nothing."""
    text = "\n".join(message.text for message in messages)
    return (text if len(text) <= SNIPPET else text[:SNIPPET] + "…") or None
