"""What a check names when something stored is not what was written.

Rules: a finding names one object, a path below the data directory's part that was checked or a
leaf by its index; says what is wrong with it, what that means for whoever relies on it, and what
to do; what an error wants tried ``first`` comes before that. What it means follows from what kind
of object it is, so the same damage is always told in the same words. Not here: looking for damage
(``fsck``, ``vault.check``).
"""

import msgspec

from affidavit.errors import AffidavitError, CorruptError

_COPY = "Keep the damaged file and this report, and put the file back from a copy."
_OTHERS = "what others hold: checkpoints, witnesses, timestamps, evidence bundles."
_MEANS = {
    "tile/entries/": "Leaves were changed, cut or removed after the tree was made over them. "
    "Proofs of the other leaves still hold.",
    "tile/": "The hashes that proofs are made of are not those of the leaves, which are whole.",
    "links/": "The leaves still say which links they had, but chains through them cannot be "
    "shown from this copy.",
    "leaf ": "The bytes are those that were signed, and they break the rules of the ledger: "
    "whoever sequenced or signed them left something out or made something up.",
    "minimum": "Which leaves were pruned and which were lost cannot be told apart.",
    "pruned/": "What stood before the leaves that are left cannot be gone on from.",
    "kept/": "Chains cannot be shown back to this leaf, which was kept when others were pruned.",
    "timestamps/": "This timestamp says nothing about this log.",
    "vault/": "Sections or content of records cannot be shown any more from this copy. Their "
    "leaves and proofs are whole.",
    "state.db": "The sequencer's memory and the log do not belong together.",
    "keys.db": "What was sealed under a key that does not open cannot be read any more.",
    "keys/kek": "Nothing that is sealed can be opened: sections, content, databases.",
    "keys/owner": "The owner has no way in with this file. Nothing recorded is touched.",
    "index.db": "Searches may leave records out. Nothing recorded is touched.",
    "text.db": "Searches for words may leave records out. Nothing recorded is touched.",
    "": "The tree head is not one that this log's key signed over what is on disk.",
}
_DO = {
    "tile/entries/": _COPY,
    "tile/": "Put the file back from a copy, or from any mirror of the log: hash tiles are public.",
    "leaf ": f"Keep everything as it is and compare with {_OTHERS}",
    "state.db": "Put back the state.db and the log directory that belong together.",
    "keys.db": "Put keys.db back from its own copy, and the keys directory with it.",
    "keys/kek": "Put keys/kek back from the copy that is kept apart from the data.",
    "index.db": "Stop Affidavit and run: affidavit index rebuild",
    "text.db": "Stop Affidavit and run: affidavit index rebuild",
    "checkpoint": f"Compare with {_OTHERS}",
    "": _COPY,
}

_SUPERSEDED = (
    "A fuller tile took its place, and all that the published checkpoint needs is whole.",
    "Nothing: the sequencer clears such files away at its start and every hour.",
)


class Finding(msgspec.Struct, frozen=True):
    """The first bad object: ``object`` a path or ``leaf N``; the rest are sentences."""

    object: str
    wrong: str
    means: str
    do: str


def damaged(name: str, wrong: str) -> CorruptError:
    """The error that says that the object ``name`` (a path, or ``leaf N``) is wrong."""
    return CorruptError(wrong, object=name)


def superseded(name: str, wrong: str) -> CorruptError:
    """The same of a partial tile that the published checkpoint does not need."""
    return CorruptError(wrong, object=name, superseded=True)


def finding(error: AffidavitError, name: str = "checkpoint") -> Finding:
    """What an error found, about the object that it names itself, or else about ``name``."""
    name = str(error.detail.get("object", name))
    if error.detail.get("superseded"):
        return Finding(name, error.message, *_SUPERSEDED)
    first, do = error.detail.get("first"), _for(_DO, name)
    do = f"First: {first} If that does not help: {do}" if first else do
    return Finding(name, error.message, _for(_MEANS, name), do)


def _for(told: dict[str, str], name: str) -> str:
    return next(text for begin, text in told.items() if name.startswith(begin))
