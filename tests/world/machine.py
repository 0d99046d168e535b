"""A whole installation in one process, driven by hand: real journals, ledger, vault and index.

Records are written through journals and sequenced when a test says ``settle``. Only the link to
the sequencer is played here, because nobody else runs.
"""

import asyncio
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import apsw
import msgspec

from affidavit import durable, ids
from affidavit.app import approving, erasing, erasures_told, holding, repeating, system
from affidavit.app.selecting import Found, Left, Selecting
from affidavit.config import Config
from affidavit.console.services import ConsoleServices
from affidavit.control import idempotency
from affidavit.control.approvals import ApprovalStore
from affidavit.control.attribution import session_pseudonym
from affidavit.control.erasures import ErasureStore, Portion, What
from affidavit.control.holds import HoldStore
from affidavit.control.identity import Directory, Identity, Snapshot
from affidavit.control.link import ControlLink
from affidavit.control.saved import SavedQueries, SavedQuery
from affidavit.control.store import IdentityStore, read_identities
from affidavit.durable import Disk
from affidavit.errors import UnavailableError
from affidavit.index.indexer import Indexer
from affidavit.index.reader import Reader
from affidavit.ledger.intake import Intake
from affidavit.ledger.log import Log
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.note import Signer, Verifier
from affidavit.query.prover import LogProver, Proofs
from affidavit.query.search import Searcher
from affidavit.query.tree import Tree
from affidavit.record.classes import class_of
from affidavit.record.disclose import commit_part, disclose
from affidavit.record.journal import JournalWriter
from affidavit.record.keys import KeyEncryptionKey
from affidavit.record.model import SECTIONS, Chain, Record
from affidavit.vault.keyring import Keyring
from affidavit.vault.reader import VaultReader
from affidavit.vault.vault import Vault
from tests.world.clock import FakeClock

TENANT = "acme"
ANCHORS: dict[str, Any] = {
    "anchored": True, "anchor_advice": "", "witnesses_required": True, "waits_since": None,
    "witnesses": [
        {"name": "w1", "size": 9, "time": "2026-11-23T11:59:00.000000Z", "error": "",
         "alarm": False},
    ],
    "timestamp": {"size": 8, "time": "2026-11-23T12:00:00.000000Z", "error": ""},
    "copies": {"size": 7, "error": ""},
}  # fmt: skip
"""What a sequencer says whose log others vouch for; a ``Machine`` says nothing of it by itself."""
ROLES = (
    "owner", "administrator", "auditor", "responder", "compliance", "member", "subject", "caller",
    "monitor",
)  # fmt: skip
T = TypeVar("T")
ONCE: dict[str, Callable[..., Any]] = {
    "approvals.decide": approving.decide, "erasures.ask": erasing.ask,
    "glass.break": approving.break_glass, "glass.end": approving.end_glass,
    "holds.place": holding.place, "holds.release": holding.release,
}  # fmt: skip
PLAYED: dict[str, Callable[..., Any]] = {
    **{name: repeating.once(name, method) for name, method in ONCE.items()},
    "approvals.ask": approving.ask, "approvals.list": approving.listing,
    "keys.give_up": approving.give_up, "erasures.list": erasures_told.listing,
    "erasures.show": erasures_told.show, "erasures.under": erasures_told.under,
    "erasures.certificates": erasures_told.certificates, "holds.list": holding.listing,
    "holds.trees": holding.trees,
}  # fmt: skip
USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}


class PlayedLink(ControlLink):
    """Answers as the sequencer process would, from the parts of a ``Machine``."""

    def __init__(self, machine: "Machine") -> None:
        super().__init__(machine.root / "run" / "control.sock")
        self._machine = machine
        self.away = False
        self.asked: list[tuple[str, dict[str, Any]]] = []

    async def call(
        self, method: str, params: dict[str, Any] | None = None, *, within: float = 5.0
    ) -> Any:
        """Answer one of the methods that the console uses."""
        given = params or {}
        self.asked.append((method, given))
        if self.away:
            raise UnavailableError("The sequencer does not answer.")
        machine = self._machine
        if method == "status":
            return {
                "size": machine.log.size, "published": machine.log.published,
                "indexed": machine.indexer.size, "backlog_bytes": 0, "trouble": {},
                **machine.anchors,
            }  # fmt: skip
        given = dict(given)
        if method == "retention.run":
            return {"running": False, "as_of": "", "buckets": 0, "records": 0, "problem": None}
        if method in PLAYED:
            return await PLAYED[method](machine.played, given)
        if method.startswith("saved."):
            return self._saved(method, given)
        if method.startswith("once."):
            known = idempotency.once(given["method"], given["params"], **given["once"])
            if method == "once.find":
                return machine.answered.find(known)
            return machine.answered.keep(known, given["answer"])
        by, asked = given.pop("by"), given.pop("once", None)
        assert by["role"] in ("owner", "administrator")
        once = idempotency.once(method, given, **asked) if asked else None
        if once is not None and (found := machine.answered.find(once)) is not None:
            return found | {"replayed": True}
        done = self._write(method, given, by.get("actor", ""))
        if once is not None:
            machine.answered.keep(once, done)
        return done

    def _write(self, method: str, given: dict[str, Any], by: str) -> dict[str, Any]:
        machine = self._machine
        if method == "keys.create":
            given |= {name: tuple(given.get(name, ())) for name in ("groups", "labels")}
            identity, token = machine.identities.draft(**given, made_by=by)
            machine.identities.put(identity)
            return {"identity": _public(identity), "token": token}
        assert method == "keys.revoke"
        identity = machine.identities.revoked(given["id"])
        machine.identities.put(identity)
        return _public(identity)

    def _saved(self, method: str, given: dict[str, Any]) -> Any:
        store = self._machine.saved
        if method == "saved.list":
            return msgspec.to_builtins(store.seen_by(**given))
        query = msgspec.convert(given, SavedQuery)
        store.put(query) if method == "saved.put" else store.remove(query)
        return None


def _subjects(who: Mapping[str, Any]) -> tuple[str, ...]:
    return (who["actor"],) if who.get("kind") == "person" else ()


def _public(identity: Identity) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(identity)
    del shown["key_hash"]
    return shown


class PlayedErasing:
    """Searches on the parts of a ``Machine``; nothing is ever carried out."""

    def __init__(self, machine: "Machine") -> None:
        self._machine = machine
        self.woken = 0

    def _select(self) -> Selecting:
        machine = self._machine
        searcher = Searcher(machine.index_reader, None)
        return Selecting(searcher, machine.vault_reader, machine.config)

    async def search(self, tree: Tree, what: What, tenant: str = "") -> Found:
        """As the worker of the sequencer process does."""
        select, holds = self._select(), self._machine.played.holds.in_force()
        meant = select.portions(select.matching(tree, what))
        return select.found(meant, holds, self._machine.clock.now())

    async def others(self, tree: Tree, meant: Collection[int], most: int) -> tuple[int, bool]:
        """As the worker of the sequencer process does."""
        return self._select().others(tree, meant, most)

    async def left(self, portions: Sequence[Portion], under_way: Sequence[int]) -> tuple[Left, ...]:
        """Why these do not go yet; no answer is under way, as nobody asks."""
        assert not under_way
        holds = self._machine.played.holds.in_force()
        return tuple(self._select().left(portions, holds, self._machine.clock.now()))

    async def forgotten(self) -> None:
        """Nobody looks at these files."""

    def wake(self) -> None:
        """Nobody sleeps."""
        self.woken += 1


class Played:
    """What of the sequencer process decides about approvals, on the parts of a ``Machine``."""

    def __init__(self, machine: "Machine", state: apsw.Connection) -> None:
        self.identities = machine.identities
        self.approvals = ApprovalStore(state)
        self.holds = HoldStore(state)
        self.erasures = ErasureStore(state)
        self.erasing = PlayedErasing(machine)
        self.keyring = machine.keyring
        self.state = state
        self.config = machine.config
        self.clock = machine.clock
        self.deciding = asyncio.Lock()
        self.answered, self.writing = machine.answered, repeating.Turns()
        self._machine = machine
        system.prepare(state)

    async def ask(self, work: Callable[[], T]) -> T:
        """Run ``work`` here."""
        return work()

    async def record(self, record: Record) -> None:
        """Put a record into the journal that stands for the sequencer's."""
        await self._machine._own.commit(record, ())

    def tell_changed(self) -> None:
        """Nobody waits."""


class PatientProver(LogProver):
    """A prover on a clock that stands still: lets the second pass that heads leaves are apart."""

    def __init__(self, machine: "Machine") -> None:
        super().__init__(machine.log)
        self._clock = machine.clock

    def prove(self, chains: Sequence[Chain], since: str, after: int) -> Proofs:
        """As ``LogProver``, one and a half seconds later."""
        self._clock.advance(1.5)
        return super().prove(chains, since, after)


class Machine:
    """Everything of one installation below ``root``; ``keys`` holds a key for each role."""

    def __init__(self, root: Path, config: Config | None = None) -> None:
        self.root = root
        self.disk = Disk()
        self.clock = FakeClock()
        self.config = (config or Config()).named("test.example/log")
        for name in ("run", "journal", "keys"):
            self.disk.make_dir(root / name)
        kek = KeyEncryptionKey.create(self.disk, root / "keys" / "kek")
        self.keyring = Keyring.open(root / "keys.db", kek, self.clock)
        signer = Signer(self.config.log.origin, self.keyring.secret("log/seed"))
        key = self.keyring.database_key("state.db")
        self._state = durable.open_database(root / "state.db", key)
        self._state_of_log = durable.open_database(root / "state.db", key)
        self.identities = IdentityStore(self._state, self.clock)
        # Snapshots are taken on the console's thread: a read that goes on there while the log
        # commits would make a write on the same connection fail.
        self._state_seen = durable.open_database(root / "state.db", key)
        self.answered = idempotency.Answered(self._state, self.clock)
        self.saved = SavedQueries(self._state)
        self.keys = {}
        for role in ROLES:
            identity, self.keys[role] = self.identities.draft(
                tenant=TENANT, name=f"the {role}", role=role, kind="person", team="support",
                email=f"{role}@example.com",
            )  # fmt: skip
            self.identities.put(identity)
        self.log = Log.open(
            self.disk, root / "log", self._state_of_log, signer,
            lambda index: self.keyring.secret(f"epoch/{index}"), self.clock,
        )  # fmt: skip
        self.log.publish()
        self.reader_log = LogReader(root / "log", Verifier.from_vkey(self.log.vkey))
        self.vault = Vault.open(
            self.disk, root / "vault", self.keyring, self.log.size, self.reader_log.decoded
        )
        self.indexer = Indexer(root, self.keyring.database_key("index.db"))
        self.indexer.start()
        self._index([])
        self.vault_reader = VaultReader(root / "vault", self.keyring, self.reader_log.decoded)
        self.intake = Intake(
            self.disk, root / "journal", self.log, self.vault, self.keyring.open_segment_key,
            self.clock, on_placed=self._index, leaf=self.reader_log.decoded,
            asked=self.vault_reader.asked,
        )  # fmt: skip
        self.index_reader = Reader(root, self.keyring.database_key("index.db"))
        self.anchors: dict[str, Any] = {}
        self.link = PlayedLink(self)
        self._gateway = self.journal("gateway")
        self._console = self.journal("console")
        self._own = self.journal("own")
        self.played = Played(self, self._state)
        self._glasses = ApprovalStore(self._state_seen)

    def _index(self, placed: Any) -> None:
        self.indexer.apply(placed, self.log.size, self.log.root)

    def journal(self, worker: str) -> JournalWriter:
        """A journal of its own for a writer."""
        today = self.clock.now()[:10]
        recipient = self.keyring.recipient_key(today).recipient
        return JournalWriter.open(
            self.disk, self.root / "journal", worker, lambda: recipient, self.clock,
            segment_bytes=1 << 18,
        )  # fmt: skip

    def services(self, journal: JournalWriter | None = None) -> ConsoleServices:
        """The parts of a console process on this machine."""
        return ConsoleServices(
            clock=self.clock, config=self.config, data=self.root, log=self.reader_log,
            vault=self.vault_reader, reader=self.index_reader, prover=PatientProver(self),
            journal=journal or self._console, control=self.link, snapshot=self.snapshot,
            directory=lambda: Directory(read_identities(self._state_seen)),
        )  # fmt: skip

    def snapshot(self) -> Snapshot:
        """Identities and keys as of now."""
        identities = read_identities(self._state_seen)
        teams = {(i.tenant, i.team) for i in identities}
        return Snapshot(
            version=self.identities.version, origin=self.config.log.origin,
            identities=identities, recipient_day="2026-11-23", recipient_public=b"",
            receipt_seed=b"", receipt_vkey="", log_vkey=self.log.vkey,
            log_vkeys=self.log.keys.vkeys,
            pseudonym_keys={f"{t}\0{m}": self.keyring.pseudonym_secret(t, m) for t, m in teams},
            config_hash=self.config.hash(), glasses=self._glasses.glasses(),
        )  # fmt: skip

    def identity(self, role: str) -> Identity:
        """The identity of one of the keys made at the start."""
        return next(i for i in self.identities.all() if i.role == role)

    def settle(self) -> None:
        """Sequence, publish and index everything that is in the journals."""
        self.clock.advance(1.0)
        while self.intake.step():
            pass
        self.log.publish()
        self._index(self.log.take_own())
        self.indexer.settle()

    def exchange(
        self, prompt: str = "Hello?", output: str = "Good day.", **more: Any
    ) -> tuple[str, str]:
        """Record one chat exchange of the caller; returns the ids of request and response.

        ``more``: model, session (the caller's own id), outcome; raw (the response's bytes as
        they were on the wire) and encoding (its content encoding); caller (another identity);
        person: whether the caller is one, whose keys then seal what is theirs.
        """
        model = more.get("model", "demo-chat")
        caller = more.get("caller") or self.identity("caller")
        session = more.get("session")
        who: dict[str, Any] = {
            "tenant": TENANT, "actor": caller.actor,
            "kind": "person" if more.get("person") else "service", "role": "caller",
            "team": caller.team, "credential": caller.id, "authenticated_by": "key",
            "assurance": "key", "session": "unknown", "session_source": "none",
        }  # fmt: skip
        person: dict[str, Any] = {"name": caller.name, "address": "192.0.2.7"}
        chains = [
            Chain(TENANT, "model", model), Chain(TENANT, "actor", caller.actor),
            Chain(TENANT, "key", caller.id),
        ]  # fmt: skip
        if session is not None:
            key = self.snapshot().pseudonym_key(TENANT, caller.team)
            who |= {"session": session_pseudonym(key, session), "session_source": "header"}
            person["session"] = session
            chains.append(Chain(TENANT, "session", who["session"]))
        headers = [["content-type", "application/json"]]
        asked = {
            "provider": "openai", "dialect": "openai", "api": "chat.completions",
            "gen_ai.operation.name": "chat", "gen_ai.request.model": model,
            "http.request.method": "POST", "url.path": "/v1/chat/completions",
            "http.request.headers": headers, "parsed": "yes",
        }  # fmt: skip
        body = {"model": model, "messages": [{"role": "user", "content": prompt}]}
        control = {"decision": "allow", "reasons": [], "policy": "none"}
        sections = {"who": who, "person": person, "what": asked, "control": control}
        data = json.dumps(body).encode()
        request = self._write("exchange.request", sections, chains, "request.body", data, None)
        served: dict[str, Any] = {
            "gen_ai.response.model": model,
            "http.response.headers": list(headers),
        }
        if "encoding" in more:
            served["http.response.headers"].append(["content-encoding", more["encoding"]])
        outcome = {
            "outcome": "complete", "http.response.status_code": 200,
            "gen_ai.usage.input_tokens": 5, "gen_ai.usage.output_tokens": 7,
        } | more.get("outcome", {})  # fmt: skip
        choice = {
            "index": 0, "finish_reason": "stop",
            "message": {"role": "assistant", "content": output},
        }  # fmt: skip
        body = {
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model,
            "choices": [choice], "usage": USAGE,
        }  # fmt: skip
        sections = {"who": who, "what": served, "outcome": outcome}
        data = more.get("raw", json.dumps(body).encode())
        response = self._write(
            "exchange.response", sections, chains, "response.body", data, request
        )
        return request, response

    def _write(
        self, kind: str, sections: Mapping[str, Any], chains: list[Chain], part_name: str,
        data: bytes, parent: str | None,
    ) -> str:  # fmt: skip
        part = commit_part(part_name, "application/json", data)
        listed = {
            "name": part_name, "media_type": part.media_type, "size": part.size,
            "digest": ids.b64u(part.digest),
        }  # fmt: skip
        every = {**sections, "content": {"parts": [listed]}}
        record = Record(
            id=ids.record_id(), type=kind, at=self.clock.now(), tier="observed", tenant=TENANT,
            retention_class=class_of(self.config, "exchange.request", sections["who"], chains),
            sections=tuple(disclose(n, every[n]) if n in every else None for n in SECTIONS),
            chains=tuple(chains), parts=(part,), parent=parent,
            subjects=_subjects(sections["who"]),
        )  # fmt: skip
        asyncio.run(_commit(self._gateway, record, data))
        return record.id

    def records(self, kind: str) -> list[dict[str, Any]]:
        """The sections of all records of a type, after settling, in ledger order."""
        self.settle()
        return [
            self.vault_reader.sections(index)
            for index in self.reader_log.pruned().present(0, self.log.published)
            if self.reader_log.decoded(index).type == kind
        ]

    def close(self) -> None:
        """Let go of everything."""
        for journal in (self._gateway, self._console, self._own):
            journal.abandon()
        self.intake.close()
        self.log.close()
        self._index(self.log.take_own())
        self.vault.close()
        self.indexer.settle()
        self.indexer.close()
        self.index_reader.close()
        self.vault_reader.close()
        self.keyring.close()
        self._state.close()
        self._state_seen.close()
        self._state_of_log.close()


async def _commit(journal: JournalWriter, record: Record, data: bytes) -> None:
    await journal.commit(record, (data,))
