"""The keys that sign checkpoints, and how one follows another.

Rules: a log begins with key number 0. A rotation begins with a ``ledger.key`` record that names
the old key, the new one and the size from which on the new one signs: that of the first checkpoint
that covers the record. From there on both sign, so whoever knows one of them can read on; a second
``ledger.key`` record ends that, naming the last size the old key signed. Which keys are in force
changes in the transaction that commits the record, never without one. ``log.vkey`` lists the keys
in force, the newest first, the ML-DSA-44 key last, and ``log.policy`` all there ever were, with the
sizes they count for; both are written before a checkpoint by other keys is published. The ML-DSA-44
key bears the log's own name and says when it signed (tlog-cosignature, type 06); it does not
rotate. Not here: where seeds are kept, appending the records (``log``).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from affidavit.clock import Clock, to_unix_us
from affidavit.durable import Disk
from affidavit.errors import CorruptError, UsageError
from affidavit.ledger import note
from affidavit.ledger.state import KeyTerm

FILE = "log.vkey"
POLICY = "log.policy"

_HINT = "Is this the keys.db and the configuration that belong to it?"


class Change(NamedTuple):
    """A step of a rotation: the terms that change, and the ``what`` of its record."""

    terms: tuple[KeyTerm, ...]
    what: dict[str, Any]


def lines_of(term: KeyTerm) -> list[str]:
    """The lines of a policy for one key."""
    last = "-" if term.last is None else str(term.last)
    return [f"log {term.vkey}", f"#valid {term.vkey} {term.first} {last}"]


class _Dated:
    """The ML-DSA key as a signer of notes: the time is that of the clock."""

    def __init__(self, cosigner: note.Cosigner, clock: Clock) -> None:
        self.vkey = cosigner.vkey
        self._cosigner = cosigner
        self._clock = clock

    def sign(self, text: str) -> str:
        """The signature line, with the time in whole seconds."""
        return self._cosigner.cosign(text, to_unix_us(self._clock.now()) // 1_000_000)


class Keys:
    """The keys of one log: ``first`` is number 0, ``successor(n)`` those that followed.

    It gives the same key for a number always, durable before use. ``terms`` are those in state.db.
    ``CorruptError`` if the keys are others.
    """

    def __init__(
        self,
        first: note.Signer,
        successor: Callable[[int], note.Signer] | None,
        terms: Sequence[KeyTerm],
        clock: Clock,
        post_quantum: note.Cosigner | None = None,
    ) -> None:
        self._first = first
        self._successor = successor
        self._dated = None if post_quantum is None else _Dated(post_quantum, clock)
        self.origin = first.name
        self.terms = tuple(terms) or (KeyTerm(0, first.vkey, 0),)
        self._signers = {term.number: self._made(term) for term in self.terms if term.last is None}

    def _key(self, number: int) -> note.Signer:
        return self._first if number == 0 or self._successor is None else self._successor(number)

    def _made(self, term: KeyTerm) -> note.Signer:
        signer = self._key(term.number)
        if signer.vkey != term.vkey:
            raise CorruptError(f"Key {term.number} of the log is another one.", hint=_HINT)
        return signer

    @property
    def vkey(self) -> str:
        """The newest Ed25519 key in force."""
        return self._signers[max(self._signers)].vkey

    @property
    def vkeys(self) -> tuple[str, ...]:
        """Every key in force: the newest first, the ML-DSA-44 key last."""
        own = [self._signers[number].vkey for number in sorted(self._signers, reverse=True)]
        return (*own, *([self._dated.vkey] if self._dated is not None else []))

    @property
    def rotating(self) -> bool:
        """Whether two keys are in force."""
        return len(self._signers) > 1

    def signers(self) -> list[note.NoteSigner]:
        """Whoever signs a checkpoint now, the oldest key first."""
        own: list[note.NoteSigner] = [self._signers[number] for number in sorted(self._signers)]
        return [*own, *([self._dated] if self._dated is not None else [])]

    def verifiers(self) -> list[note.Verifier]:
        """The public halves of the keys in force."""
        return [note.Verifier.from_vkey(vkey) for vkey in self.vkeys]

    def policy_lines(self) -> list[str]:
        """Lines of a policy (``policy``): every key that ever signed, and for which sizes.

        With a ``quorum`` line they are a whole policy.
        """
        lines = [line for term in self.terms for line in lines_of(term)]
        if self._dated is not None:
            lines.append(f"log {self._dated.vkey}")
        return lines

    def change(self, index: int, *, finish: bool) -> Change:
        """The next step of a rotation, if its record is leaf ``index``; nothing is changed yet.

        ``UsageError`` if there is no such step now.
        """
        if finish and not self.rotating:
            raise UsageError(
                "No rotation of the log's key is under way.", hint="Begin one: affidavit log rotate"
            )
        if not finish and self.rotating:
            raise UsageError(
                "A rotation of the log's key is under way: the old key signs, too.",
                hint="When all verifiers know the new key: affidavit log rotate --finish",
            )
        old = self.terms[-2] if finish else self.terms[-1]
        what: dict[str, Any] = {"purpose": "log", "before": old.vkey}
        if finish:
            what |= {"change": "finished", "after": self.vkey, "size": index}
            return Change((old._replace(last=index),), what)
        new = KeyTerm(old.number + 1, self._key(old.number + 1).vkey, index + 1)
        what |= {"change": "begun", "after": new.vkey, "size": new.first}
        return Change((old, new), what)

    def adopt(self, change: Change) -> None:
        """The record of ``change`` is committed: sign by the keys that are in force now."""
        terms = {term.number: term for term in (*self.terms, *change.terms)}
        self.terms = tuple(terms[number] for number in sorted(terms))
        self._signers = {term.number: self._made(term) for term in self.terms if term.last is None}

    def check(self, root: Path) -> None:
        """``CorruptError`` if ``log.vkey`` is there and names none of the log's keys in force."""
        path = root / FILE
        own = {self._signers[number].vkey for number in self._signers}
        if path.exists() and not own & set(path.read_text(encoding="utf-8").split("\n")):
            raise CorruptError(
                "This log was signed with another key or under another origin.", hint=_HINT
            )

    def write(self, disk: Disk, root: Path) -> None:
        """Bring ``log.vkey`` and ``log.policy`` up to date, durably; nothing to do if they are."""
        for name, lines in ((POLICY, [*self.policy_lines(), "quorum none"]), (FILE, self.vkeys)):
            path, data = root / name, "".join(f"{line}\n" for line in lines).encode()
            if not path.exists() or path.read_bytes() != data:
                disk.write_file(path, data, 0o644)
