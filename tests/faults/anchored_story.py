"""The life of a ledger that outsiders vouch for: cosigned notes, timestamps, a key that changes.

Told as ``ledger_story`` is, with or without requiring witnesses. What is promised besides: that a
note was published with cosignatures, that a timestamp was kept, and which keys signed which sizes.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

from affidavit.durable import Disk
from affidavit.ledger import note, timestamp
from affidavit.ledger.log import PUBLISH_SECONDS
from affidavit.ledger.publish import CHECKPOINT, COSIGNED, size_of
from affidavit.ledger.state import KeyTerm
from tests.faults import ledger_story
from tests.faults.ledger_story import Story, open_log
from tests.world.clock import FakeClock
from tests.world.ledger import WITNESS, cosign, newest, signer, successor

KEYS = [signer().verifier(), successor(1).verifier()]


class Anchored(Story):
    """Two sequencers; the key changes in between. The short story ends with the first one."""

    def __init__(
        self, promise: Callable[[str], None], *, require: bool, short: bool = False
    ) -> None:
        super().__init__(promise, short=short)
        self.require = require

    def run(self, directory: Path, disk: Disk) -> None:
        """All of it; may end at any point by an error or a crash."""
        self._open(directory, disk)
        self._put(self._writer.exchange())
        self._wait(PUBLISH_SECONDS)
        self._put(self._writer.exchange(model="m1"))
        self._cosign()
        self._rotate(finish=False)
        self._stamp()
        self._put(self._writer.exchange(model="m2"))
        self._cosign()
        if self.short:
            return
        self._drop()
        self._open(directory, disk)
        self._put(self._writer.exchange(model="m3"))
        self._rotate(finish=True)
        self._cosign()
        self._put([*self._writer.exchange(model="m4"), self._writer.ended()])
        self._stamp()
        assert self.log is not None
        self.log.close()
        self._signed()

    def _rotate(self, *, finish: bool) -> None:
        assert self.log is not None
        self.log.rotate(finish=finish)
        self._put([])
        self._signed()

    def _signed(self) -> None:
        """Who signed the newest note."""
        assert self.log is not None
        opened = note.open_note(newest(self.log._root, require=self.require), KEYS)
        size = note.parse_checkpoint(opened.text).size
        for number, key in enumerate(KEYS):
            if key.vkey in opened.signers:
                self.promise(f"signed {number} {size}")

    def _cosign(self) -> None:
        assert self.log is not None
        self.log.publish()
        self._signed()
        data = newest(self.log._root, require=self.require)
        size = note.open_checkpoint(data, None).size
        self.log.cosigned(cosign(data))
        self.promise(f"cosigned {size}")
        self._told()

    def _stamp(self) -> None:
        assert self.log is not None
        if self.log.published:
            data = (self.log._root / CHECKPOINT).read_bytes()
            size = note.open_checkpoint(data, None).size
            self.log.stamped(size, data, hashlib.sha256(data).digest())
            self.promise(f"stamped {size}")


def judge(directory: Path, promises: list[str], tried: list[str], *, require: bool) -> str:
    """As ``ledger_story.judge``; and what outsiders hold is there, and fits."""
    wrong = ledger_story.judge(directory, promises, tried, require=require)
    if wrong:
        return wrong
    root = directory / "log"
    try:
        log = open_log(directory, Disk(), FakeClock(), require=require)
        terms = log.keys.terms
        log._failed = True
        log.close()
        return _outside(root, promises, require=require) or _keys(terms, promises)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        return f"{type(error).__name__}: {error}"


def _outside(root: Path, promises: list[str], *, require: bool) -> str:
    owed = [promise.split() for promise in promises]
    cosigned = root / COSIGNED
    size = size_of(root, COSIGNED)
    if size < max((int(words[1]) for words in owed if words[0] == "cosigned"), default=0):
        return "a cosigned note is gone"
    if size:
        opened = note.open_note(cosigned.read_bytes(), [*KEYS, WITNESS.verifier()])
        if WITNESS.vkey not in opened.signers or len(opened.signers) < 2:
            return "the cosigned note is not one"
        if size > size_of(root, CHECKPOINT):
            return "the cosigned note is ahead of the checkpoint"
    if require and size_of(root, CHECKPOINT) and (
        not size or cosigned.read_bytes() != (root / CHECKPOINT).read_bytes()
    ):  # fmt: skip
        return "the checkpoint is not the cosigned note"
    stamps = timestamp.stored(root)
    if not {int(words[1]) for words in owed if words[0] == "stamped"} <= {s.size for s in stamps}:
        return "a timestamp is gone"
    for one in stamps:
        if hashlib.sha256(one.checkpoint.read_bytes()).digest() != one.answer.read_bytes():
            return "a timestamp stands beside another note"
    return ""


def _keys(terms: tuple[KeyTerm, ...], promises: list[str]) -> str:
    for promise in promises:
        word, *rest = promise.split()
        if word != "signed":
            continue
        number, size = map(int, rest)
        term = next((term for term in terms if term.number == number), None)
        if term is None or not term.first <= size <= (size if term.last is None else term.last):
            return f"key {number} signed {size} leaves outside its term"
    return ""
