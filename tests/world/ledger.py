"""A ledger for tests: opened in one line, fed by one writer or several, and a naive model of it."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest

from affidavit import ids
from affidavit.durable import Disk
from affidavit.ledger import chains, staging
from affidavit.ledger.chains import Link, parse_link
from affidavit.ledger.leaf import Leaf
from affidavit.ledger.log import Log
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.note import COSIGNATURE, ML_DSA_44, Cosigner, Signer, Verifier, read_vkeys
from affidavit.ledger.plan import Plan, Submission
from affidavit.ledger.publish import heads
from affidavit.record.model import Chain, Record
from tests.world.clock import FakeClock

ORIGIN = "audit.example/log1"
SEED = bytes(range(32))
AT = "2026-11-23T12:00:00.000000Z"


def secret(index: int) -> bytes:
    """The secret of the epoch that leaf ``index`` opens: the same for each index, always."""
    return b"epoch secret %019d" % index


def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute each salt tree once a test run, and keep staging files small."""
    monkeypatch.setattr(chains, "salt_tree", salt_tree)
    monkeypatch.setattr(staging, "FILE_BYTES", 1 << 15)


salt_tree = functools.cache(chains.salt_tree)


def signer() -> Signer:
    """The log's key."""
    return Signer(ORIGIN, SEED)


def successor(number: int) -> Signer:
    """The keys that follow it."""
    return Signer(ORIGIN, bytes([number]) * 32)


def post_quantum() -> Cosigner:
    """The log's ML-DSA-44 key."""
    return Cosigner(ORIGIN, ML_DSA_44, b"q" * 32)


WITNESS = Cosigner("witness.example/w1", COSIGNATURE, b"w" * 32)


def newest(root: Path, *, require: bool = False) -> bytes:
    """The newest note that the log below ``root`` signed."""
    return LogReader(root, None, heads(require=require)).checkpoint_bytes()


def cosign(data: bytes, *more: Cosigner) -> bytes:
    """What ``WITNESS``, and more, make of a note: lines at its end."""
    text = data.decode().partition("\n\n")[0] + "\n"
    return data + "".join(one.cosign(text, 1) for one in (WITNESS, *more)).encode()


def connect(directory: Path) -> apsw.Connection:
    """state.db, as durable as the real one and not encrypted, as that takes 50 ms an open."""
    connection = apsw.Connection(str(directory / "state.db"))
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    return connection


class World:
    """A ledger below ``directory/log`` with its state.db beside; survives being reopened."""

    def __init__(self, directory: Path, disk: Disk | None = None) -> None:
        self.directory = directory
        self.root = directory / "log"
        self.disk = disk or Disk()
        self.clock = FakeClock()
        self.connection: apsw.Connection | None = None
        self.log: Log

    def open(self, **terms: Any) -> Log:
        """Open the ledger (again)."""
        self.connection = connect(self.directory)
        self.log = Log.open(
            self.disk, self.root, self.connection, signer(), secret, self.clock, **terms
        )
        return self.log

    def drop(self) -> None:
        """Let go of everything as a death of the process would."""
        self.log._failed = True
        self.log.close()
        self.shut()

    def shut(self) -> None:
        """Close state.db."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def put(self, submissions: Sequence[Submission]) -> Plan:
        """Prepare and commit."""
        plan = self.log.prepare(submissions)
        self.log.commit(plan)
        return plan

    def reader(self) -> LogReader:
        """A reader of the files that checks signatures."""
        return LogReader(self.root, signer().verifier())

    def vkeys(self) -> list[Verifier]:
        """The keys in force, as ``log.vkey`` lists them."""
        return read_vkeys((self.root / "log.vkey").read_text())

    def rotate(self, *, finish: bool = False) -> int:
        """A step of a rotation; returns the index of its record."""
        self.log.rotate(finish=finish)
        (record,) = [placed for placed in self.put([]).placed if placed.record.type == "ledger.key"]
        return record.index


def leaves(world: World) -> list[Leaf]:
    """Every leaf, decoded."""
    world.log.publish()
    reader = world.reader()
    return [reader.decoded(index) for index in range(world.log.size)]


def links_of(world: World, index: int) -> dict[bytes, Link]:
    """A record's links by chain key."""
    world.log.publish()
    return {link[16:33]: parse_link(link) for link in world.reader().links(index)}


class Writer:
    """A writer that counts its records."""

    def __init__(self, tenant: str = "acme") -> None:
        self.name = ids.b64u(ids.salt())
        self.n = 0
        self.tenant = tenant

    def submit(self, record: Record) -> Submission:
        """The next record of this writer."""
        self.n += 1
        return Submission((self.name, self.n - 1), record)

    def request(self, model: str = "m", actor: str = "a", session: str = "s") -> Submission:
        """A request record with the usual chains."""
        return self.submit(
            record(
                "exchange.request",
                (
                    Chain(self.tenant, "model", model),
                    Chain(self.tenant, "actor", actor),
                    Chain(self.tenant, "session", session),
                ),
                tenant=self.tenant,
            )
        )

    def response(self, request: Submission | str, *extra: Chain) -> Submission:
        """A response to that request, which names no chain but ``extra``."""
        parent = request if isinstance(request, str) else request.record.id
        return self.submit(record("exchange.response", extra, parent=parent, tenant=self.tenant))

    def exchange(self, **names: str) -> list[Submission]:
        """A request and its response."""
        asked = self.request(**names)
        return [asked, self.response(asked)]

    def ended(self) -> Submission:
        """This writer's last record."""
        return self.submit(record("ledger.ended", (), tenant=""))


def record(
    kind: str,
    joins: Sequence[Chain] = (),
    *,
    tenant: str = "acme",
    parent: str | None = None,
    at: str = AT,
    sections: tuple[str | None, ...] = ("who", None, "what", "context", None, None, None),
) -> Record:
    """A record with a fresh id."""
    return Record(
        ids.record_id(), kind, at, "observed", tenant, "default", sections, tuple(joins), (), parent
    )
