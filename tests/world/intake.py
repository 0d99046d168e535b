"""A sequencer without its ledger: journals, intake and vault are real, the log is the plainest.

``PlainLog`` keeps its leaves in one file that each commit replaces whole, and asserts what the
real log would refuse. ``Sequencer`` opens everything over a directory, as often as a test likes;
``judge`` says what is wrong with what it has, given what was acknowledged.
"""

import asyncio
import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import msgspec

from affidavit import ids
from affidavit.clock import SystemClock, is_stored
from affidavit.durable import Disk
from affidavit.errors import ParseError
from affidavit.ledger import sweep
from affidavit.ledger.intake import Intake
from affidavit.ledger.leaf import ANSWERS, ASKS, BARE, Leaf
from affidavit.ledger.merkle import Tree
from affidavit.ledger.plan import Plan, Submission
from affidavit.ledger.tip import Facts
from affidavit.record import disclose
from affidavit.record.journal import JournalWriter
from affidavit.record.keys import KeyEncryptionKey
from affidavit.record.model import SECTIONS, Chain, Placed, Record
from affidavit.vault.keyring import Keyring
from affidavit.vault.reader import VaultReader
from affidavit.vault.vault import Vault
from tests.world.clock import FakeClock
from tests.world.journals import Day, open_key

UNKNOWN = "it is not known how many bytes were delivered"
"""What an outcome says of a request whose journal is missing."""
AT = "2026-11-23T12:00:00.000000Z"
_DISK = Disk()


class PlainLog:
    """A ledger for the intake in one file: the leaves as JSON, replaced at each commit."""

    def __init__(self, disk: Disk, path: Path) -> None:
        self.writing = contextlib.nullcontext()
        self.commits = 0
        self._disk = disk
        self._path = path
        self.leaves: list[Leaf] = []
        if path.exists():
            self.leaves = msgspec.json.decode(path.read_bytes(), type=list[Leaf])

    @property
    def size(self) -> int:
        """How many leaves are committed."""
        return len(self.leaves)

    def leaf(self, index: int) -> Leaf:
        """A committed leaf."""
        return self.leaves[index]

    def prepare(self, submissions: Sequence[Submission]) -> Plan:
        """Give each submission the next index; asserts counters, ends and answers."""
        waiting = self.open_requests()
        following: dict[str, int] = {}
        over = {leaf.src[0] for leaf in self.leaves if leaf.type == "ledger.ended"}
        placed = []
        for index, (src, record, bodies) in enumerate(submissions, self.size):
            if record.type in BARE or not is_stored(record.at):
                raise ParseError("No leaf holds this.")
            assert src[0] not in over, f"record behind the end of {src[0]}"
            assert src[1] == following.get(src[0], self.next_src(src[0])), f"{src} does not follow"
            following[src[0]] = src[1] + 1
            assert len(bodies) == len(record.parts)
            assert all(map(disclose.check_part, record.parts, bodies)), "another body"
            re = None
            if record.type in ANSWERS and record.parent is not None:
                re = waiting.pop(record.parent, None)
            if record.type in ASKS:
                waiting[record.id] = index
            if record.type == "ledger.ended":
                over.add(src[0])
            placed.append(Placed(index, AT, re, src, record, bodies, b"", ()))
        return Plan(self.size, placed, Tree(), [], [], [], [], Facts(), heads=False)

    def commit(self, plan: Plan) -> None:
        """Replace the file."""
        assert plan.base == self.size, "the ledger has moved on"
        leaves = self.leaves + [_leaf(placed) for placed in plan.placed]
        if plan.placed:
            self._disk.write_file(self._path, msgspec.json.encode(leaves))
            self.commits += 1
        self.leaves = leaves

    def take_own(self) -> list[Placed]:
        """This ledger says nothing by itself."""
        return []

    def next_src(self, incarnation: str) -> int:
        """How many records of a writer there are."""
        return sum(leaf.src[0] == incarnation for leaf in self.leaves)

    def ended(self, incarnation: str) -> bool:
        """Whether its last record is there."""
        ends = [leaf for leaf in self.leaves if leaf.type == "ledger.ended"]
        return any(leaf.src[0] == incarnation for leaf in ends)

    def writers(self) -> dict[str, int]:
        """Writers without an end."""
        names = {leaf.src[0] for leaf in self.leaves}
        return {name: self.next_src(name) for name in sorted(names) if not self.ended(name)}

    def open_requests(self) -> dict[str, int]:
        """Requests nobody has answered."""
        answered = {leaf.re for leaf in self.leaves}
        return {
            leaf.id: leaf.index
            for leaf in self.leaves
            if leaf.type in ASKS and leaf.index not in answered
        }


def _leaf(placed: Placed) -> Leaf:
    record = placed.record
    digests = record.section_digests()
    return Leaf(
        placed.index, placed.time, record.at, record.id, record.type, record.tier,
        placed.src, placed.re, digests, (),
    )  # fmt: skip


class Sequencer:
    """Intake, plain log and vault over ``root``; ``keyring`` stands elsewhere and survives all."""

    def __init__(self, root: Path, keyring: Keyring, disk: Disk = _DISK, **how: int) -> None:
        self.root = root
        self.disk = disk
        self.clock = FakeClock()
        self.keyring = keyring
        self.placed: list[Placed] = []
        (root / "journal").mkdir(parents=True, exist_ok=True)
        self.log = PlainLog(self.disk, root / "log.json")
        self.vault = Vault.open(self.disk, root / "vault", keyring, self.log.size, self.log.leaf)
        self.reader = VaultReader(root / "vault", keyring, self.log.leaf)
        self.intake = Intake(
            self.disk,
            root / "journal",
            self.log,
            self.vault,
            open_key,
            self.clock,
            self.placed.extend,
            leaf=self.log.leaf,
            asked=self.reader.asked,
            **how,
        )

    def drain(self, *, patience: int = 40) -> None:
        """Step until nothing has come for a while, and time enough has passed to sweep."""
        quiet = 0
        while quiet < patience:
            quiet = 0 if self.intake.step() else quiet + 1
            self.clock.advance(0.6)

    def close(self) -> None:
        """Let go of all files and leases; nothing is written."""
        self.intake.close()
        self.vault.close()
        self.reader.close()


class Journal:
    """One writer, driven from code that is not asynchronous; remembers what it was promised.

    ``alive`` are those not ended yet: a test that leaves some calls ``let_all_die`` at its end.
    """

    alive: ClassVar[list["Journal"]] = []

    def __init__(
        self,
        root: Path,
        disk: Disk | None = None,
        *,
        segment_bytes: int = 4096,
        serves: bool = False,
    ) -> None:
        self.loop = asyncio.new_event_loop()
        self.writer = JournalWriter.open(
            disk or Disk(), root / "journal", "w1", Day(), FakeClock(),
            segment_bytes=segment_bytes, serves=serves,
        )  # fmt: skip
        self.gaps = 0
        self._serves = serves
        self.name = self.writer.incarnation
        self.acknowledged: list[Record] = []
        self.promised: list[Record] = []
        self.bodies: dict[str, bytes] = {}
        self.open: list[Record] = []
        self.alive.append(self)

    @classmethod
    def let_all_die(cls) -> None:
        """End whatever writer is left."""
        for journal in list(cls.alive):
            journal.die()

    def commit(self, record: Record, bodies: Sequence[bytes | None] = ()) -> Record:
        """Record it and wait for the acknowledgement."""
        self.loop.run_until_complete(self.writer.commit(record, bodies))
        self.acknowledged.append(record)
        return record

    def request(self, body: bytes = b"{}", kind: str = "exchange.request") -> Record:
        """A request with that body."""
        asked = self.commit(make(kind, {"request.body": body}), (body,))
        self.open.append(asked)
        self.bodies[asked.id] = b""
        return asked

    def piece(self, request: Record, data: bytes) -> None:
        """A piece of its answer."""
        self.writer.piece(request.id, data)
        self.bodies[request.id] += data

    def respond(self, request: Record) -> Record:
        """The outcome, whose body are the pieces so far."""
        body = self.bodies[request.id]
        kind = "exchange.response" if request.type == "exchange.request" else "tool.result"
        outcome = make(kind, {"response.body": body} if body else {}, parent=request.id)
        self.open.remove(request)
        return self.commit(outcome, (None,) if body else ())

    def lose(self, root: Path, leaves: Sequence[Leaf]) -> None:
        """Somebody removes the journal of a writer that is gone: ``leaves`` are all that is kept.

        What was promised is there as far as it is in the ledger, and so is a gap, if anything is.
        """
        shutil.rmtree(root / "journal" / self.name, ignore_errors=True)
        self.promised = self.promised or list(self.acknowledged)
        there = {leaf.id for leaf in leaves}
        self.acknowledged = [one for one in self.acknowledged if one.id in there]
        own = [leaf.type for leaf in leaves if leaf.src[0] == self.name]
        if "ledger.ended" not in own:
            self.gaps = int(bool(own))

    def come_back(self, root: Path, aside: Path, leaves: Sequence[Leaf]) -> None:
        """A copy of it stands in its place again, and all that was promised holds again."""
        shutil.copytree(aside, root / "journal" / self.name)
        self.acknowledged = self.promised
        names = (self.name, sweep.in_place_of(self.name))
        self.gaps = [leaf.type for leaf in leaves if leaf.src[0] in names].count("ledger.gap")

    def die(self) -> None:
        """End without a word."""
        self.gaps = int(self._serves)
        self.writer.abandon()
        self._gone()

    def end(self) -> None:
        """End as at drain."""
        last = make("ledger.ended", {})
        self.loop.run_until_complete(self.writer.close(last))
        self.acknowledged.append(last)
        self._gone()

    def _gone(self) -> None:
        self.alive.remove(self)
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()


def make(kind: str, bodies: dict[str, bytes], parent: str | None = None) -> Record:
    """A record of that type with those parts."""
    parts = tuple(disclose.commit_part(name, "text/plain", data) for name, data in bodies.items())
    listed = [{"name": part.name, "digest": ids.b64u(part.digest)} for part in parts]
    values = {
        "who": {"tenant": "acme", "actor": "act_1", "team": "search"},
        "what": {"gen_ai.request.model": "demo-1", "api": "chat.completions", "x": "y"},
        "content": {"parts": listed} if listed else None,
    }
    return Record(
        id=ids.record_id(),
        type=kind,
        at=AT,
        tier="observed",
        tenant="acme",
        retention_class="default",
        sections=tuple(
            disclose.disclose(name, values[name]) if values.get(name) else None for name in SECTIONS
        ),
        chains=(Chain("acme", "model", "demo-1"), Chain("acme", "actor", "act_1")),
        parts=parts,
        parent=parent,
        subjects=("sub_1",),
    )


def open_keyring(directory: Path) -> Keyring:
    """A keyring in ``directory``, beside whatever a test does to the rest."""
    directory.mkdir(parents=True, exist_ok=True)
    kek = KeyEncryptionKey(bytes(range(32)))
    return Keyring.open(directory / "keys.db", kek, SystemClock())


def judge(
    sequencer: Sequencer,
    journals: Sequence[Journal],
    *,
    acknowledged: Sequence[Record] | None = None,
) -> list[str]:
    """What is wrong in the end: every writer is gone, and everything was taken in.

    ``acknowledged`` are the records that must be there, all of the journals' if not given.
    """
    leaves, wrong = sequencer.log.leaves, []
    counts: dict[str, int] = {}
    for leaf in leaves:
        counts[leaf.id] = counts.get(leaf.id, 0) + 1
    promised = [r for j in journals for r in j.acknowledged]
    promised = promised if acknowledged is None else list(acknowledged)
    wrong += [f"{r.type} acknowledged, {counts.get(r.id, 0)} times there" for r in promised
              if counts.get(r.id, 0) != 1]  # fmt: skip
    wrong += [f"{name} is there {count} times" for name, count in counts.items() if count > 1]
    answers = [leaf.re for leaf in leaves if leaf.re is not None]
    for leaf in leaves:
        if leaf.type in ASKS and answers.count(leaf.index) != 1:
            wrong.append(f"request {leaf.index} has {answers.count(leaf.index)} outcomes")
    for journal in journals:
        names = (journal.name, sweep.in_place_of(journal.name))
        own = [leaf for leaf in leaves if leaf.src[0] in names]
        if [leaf.type for leaf in own].count("ledger.gap") != journal.gaps:
            wrong.append(f"{journal.name} should have {journal.gaps} gaps")
    for name in {leaf.src[0] for leaf in leaves}:
        counters = [leaf.src[1] for leaf in leaves if leaf.src[0] == name]
        if counters != list(range(len(counters))):
            wrong.append(f"counter of {name}: {counters}")
        if [leaf.type for leaf in leaves if leaf.src[0] == name].count("ledger.ended") != 1:
            wrong.append(f"{name} is not ended once")
    wrong += _judge_content(sequencer, journals)
    left = list((sequencer.root / "journal").iterdir())
    return wrong + [f"left behind: {path.name}" for path in left]


def _judge_content(sequencer: Sequencer, journals: Sequence[Journal]) -> list[str]:
    """The vault holds each leaf's sections, and of each answer what the client got, at least."""
    wrong = []
    got = {name: body for journal in journals for name, body in journal.bodies.items()}
    for leaf in sequencer.log.leaves:
        found = sequencer.reader.disclosures(leaf.index)
        if [text is None for text in found] != [digest is None for digest in leaf.sections]:
            wrong.append(f"leaf {leaf.index}: {sequencer.reader.missing(leaf.index)}")
            continue
        if leaf.type not in ANSWERS or leaf.re is None:
            continue
        body = sequencer.reader.parts(leaf.index).get("response.body", b"")
        outcome = sequencer.reader.sections(leaf.index).get("outcome", {})
        expected = got.get(sequencer.log.leaves[leaf.re].id, b"")
        if outcome.get("outcome") == "interrupted":
            told = outcome.get("bytes_delivered", 0 if UNKNOWN in str(outcome["error"]) else None)
            if told != len(body) or not expected.startswith(body):
                wrong.append(f"leaf {leaf.index}: interrupted with {body!r} of {expected!r}")
        elif body != expected:
            wrong.append(f"leaf {leaf.index}: {body!r} instead of {expected!r}")
    return wrong
