"""Whom a verifier believes: log keys, witnesses and a quorum (C2SP tlog-policy), and what we add.

Rules: lines of words, ``#`` begins a comment: ``log <vkey> [url]``, ``witness <name> <vkey>
[url]``, ``group <name> all|any|<k> <member>…``, exactly one ``quorum <name>|none``; a name is
declared before it is used and once, and one public key is one witness, whatever it is called:
a cosignature of type 04 says nothing of its signer's name. What tlog-policy has no line for stands
in comments that other programs skip, ``#`` with no blank behind it:

- ``#monitor <name>``: that witness replays every chain rule before it cosigns.
- ``#valid <log vkey> <first> <last>|-``: that key of the log counts for checkpoints of these
  sizes only, so that a key that was rotated away signs nothing new.
- ``#timestamps <name> <base64 of a DER certificate>``: a trust anchor for RFC 3161 tokens.
- ``#post-quantum``: a verdict says *classical only* unless an ML-DSA key of the log signed.

Not here: reading notes (``note``), verifying tokens (``timestamp``).
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from affidavit.errors import ParseError
from affidavit.ledger.note import ED25519, Verifier

MAX_LINES = 1000
MAX_BYTES = 1_000_000

_COUNT = re.compile(r"[1-9][0-9]{0,3}")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")


class LogKey(NamedTuple):
    """A key of the log: where it serves, and for checkpoints of which sizes it counts."""

    verifier: Verifier
    url: str = ""
    first: int = 0
    last: int | None = None


class WitnessKey(NamedTuple):
    """A witness under the policy's name for it; ``url`` is its submission prefix."""

    name: str
    verifier: Verifier
    url: str
    monitor: bool


class Group(NamedTuple):
    """``needed`` of the members, which are witnesses and groups by name."""

    needed: int
    members: tuple[str, ...]


class Policy(NamedTuple):
    """A policy as read; ``quorum`` is a name, or ``""`` for none."""

    logs: tuple[LogKey, ...]
    witnesses: tuple[WitnessKey, ...]
    groups: dict[str, Group]
    quorum: str
    timestamps: tuple[tuple[str, bytes], ...]
    post_quantum: bool

    def satisfied(self, vkeys: Iterable[str]) -> bool:
        """Whether cosignatures by these verifier keys are enough; always so without a quorum."""
        signed = set(vkeys)
        have = {witness.name: witness.verifier.vkey in signed for witness in self.witnesses}
        for name, group in self.groups.items():  # a group stands after its members
            have[name] = sum(have[member] for member in group.members) >= group.needed
        return not self.quorum or have[self.quorum]

    def verifiers(self) -> list[Verifier]:
        """All keys that may stand under a checkpoint: of the log and of the witnesses."""
        keys = [key.verifier for key in self.logs]
        return [*keys, *(witness.verifier for witness in self.witnesses)]


def parse_policy(text: str) -> Policy:
    """Read a policy; ``ParseError`` names the line that is not one."""
    if len(text) > MAX_BYTES or text.count("\n") > MAX_LINES:
        raise ParseError("The policy is larger than a policy may be.")
    reading = _Reading()
    for number, words in _lines(text):
        try:
            reading.take(words)
        except ParseError as error:
            raise ParseError(f"Line {number} of the policy: {error.message}") from error
    return reading.policy()


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split()
        if words and (not words[0].startswith("#") or words[0] in _Reading.OURS):
            yield number, words


class _Reading:
    """A policy in the making: one method for each kind of line."""

    OURS = ("#monitor", "#valid", "#timestamps", "#post-quantum")

    def __init__(self) -> None:
        self.logs: dict[str, LogKey] = {}
        self.witnesses: dict[str, WitnessKey] = {}
        self.groups: dict[str, Group] = {}
        self.quorums: list[str] = []
        self.authorities: dict[str, bytes] = {}
        self.post_quantum = False

    def take(self, words: Sequence[str]) -> None:
        """Take one line; ``ParseError`` says what is wrong with it."""
        word, *rest = words
        kinds: dict[str, tuple[Callable[..., None], range]] = {
            "log": (self._log, range(1, 3)),
            "witness": (self._witness, range(2, 4)),
            "group": (self._group, range(3, MAX_LINES)),
            "quorum": (self._quorum, range(1, 2)),
            "#monitor": (self._monitor, range(1, 2)),
            "#valid": (self._valid, range(3, 4)),
            "#timestamps": (self._timestamps, range(2, 3)),
            "#post-quantum": (self._post_quantum, range(1)),
        }
        if word not in kinds:
            raise ParseError(f"{word!r} begins no line of a policy.")
        take, lengths = kinds[word]
        if len(rest) not in lengths:
            raise ParseError(f"too few or too many words behind {word}.")
        take(*rest)

    def _log(self, vkey: str, url: str = "") -> None:
        if vkey in self.logs:
            raise ParseError("This key of the log stands here twice.")
        self.logs[vkey] = LogKey(Verifier.from_vkey(vkey), url)

    def _witness(self, name: str, vkey: str, url: str = "") -> None:
        self._new(name)
        verifier = Verifier.from_vkey(vkey)
        if verifier.kind == ED25519:
            raise ParseError("A witness has a key of type 04 or 06.")
        if any(verifier.public == known.verifier.public for known in self.witnesses.values()):
            raise ParseError("Another witness has the same key.")
        self.witnesses[name] = WitnessKey(name, verifier, url, monitor=False)

    def _group(self, name: str, how: str, *members: str) -> None:
        self._new(name)
        needed = {"all": len(members), "any": 1}.get(how)
        if needed is None:
            needed = int(how) if _COUNT.fullmatch(how) else 0
        if not 1 <= needed <= len(members) or len(set(members)) < len(members):
            raise ParseError("A group asks for all, any or a number of its members, each once.")
        for member in members:
            self._known(member)
        self.groups[name] = Group(needed, members)

    def _quorum(self, name: str) -> None:
        if name != "none":
            self._known(name)
        self.quorums.append("" if name == "none" else name)

    def _monitor(self, name: str) -> None:
        if name not in self.witnesses:
            raise ParseError(f"{name!r} is no witness above this line.")
        self.witnesses[name] = self.witnesses[name]._replace(monitor=True)

    def _valid(self, vkey: str, first: str, last: str) -> None:
        if vkey not in self.logs:
            raise ParseError("This is no key of a log above this line.")
        if not _SIZE.fullmatch(first) or not (last == "-" or _SIZE.fullmatch(last)):
            raise ParseError("A key is valid from one size of the log to another, or to -.")
        end = None if last == "-" else int(last)
        self.logs[vkey] = self.logs[vkey]._replace(first=int(first), last=end)

    def _timestamps(self, name: str, certificate: str) -> None:
        try:
            data = base64.b64decode(certificate, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ParseError("The certificate is not base64.") from error
        if name in self.authorities:
            raise ParseError(f"{name!r} stands here twice.")
        self.authorities[name] = data

    def _post_quantum(self) -> None:
        self.post_quantum = True

    def _new(self, name: str) -> None:
        if name == "none" or name in self.witnesses or name in self.groups:
            raise ParseError(f"{name!r} stands for something already.")

    def _known(self, name: str) -> None:
        if name not in self.witnesses and name not in self.groups:
            raise ParseError(f"{name!r} is no witness or group above this line.")

    def policy(self) -> Policy:
        """What was read, if it is a whole policy."""
        if len(self.quorums) != 1:
            raise ParseError("A policy has exactly one quorum line.")
        if not self.logs:
            raise ParseError("A policy names at least one key of a log.")
        return Policy(
            logs=tuple(self.logs.values()),
            witnesses=tuple(self.witnesses.values()),
            groups=self.groups,
            quorum=self.quorums[0],
            timestamps=tuple(self.authorities.items()),
            post_quantum=self.post_quantum,
        )
