"""The sequencer process: the one owner of ledger, vault, keys, state and index writes.

Rules: one thread sequences; everything that touches the log, the keyring or the identities runs
on it, questions from other processes included (``ask``); the index is written by a thread of its
own, fed in ledger order, and catches up from ledger and vault at start. Witnesses and timestamp
authorities are asked on the event loop, and nobody who records waits for them. Any failure that
leaves the state unknown ends the process; the supervisor starts it again, and opening is recovery.
"""

import asyncio
import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from affidavit import durable
from affidavit.app import early, leftovers, opening, starting, system
from affidavit.app.anchoring import Anchoring
from affidavit.app.asking import Asking
from affidavit.app.chores import Chores
from affidavit.app.cosigning import load_policy
from affidavit.app.erasure_loop import erasing_for
from affidavit.app.indexing import Indexing
from affidavit.app.outbound import Outbound
from affidavit.app.paths import Paths
from affidavit.app.pruning import Pruning
from affidavit.app.ready import settle
from affidavit.app.renewing import Renewing
from affidavit.app.repeating import Turns
from affidavit.app.telling import tell
from affidavit.clock import Clock
from affidavit.config import Config
from affidavit.control.approvals import ApprovalStore
from affidavit.control.erasures import ErasureStore
from affidavit.control.holds import HoldStore
from affidavit.control.idempotency import Answered
from affidavit.control.identity import Identity, Snapshot
from affidavit.control.link import ControlServer, Handler
from affidavit.control.saved import SavedQueries
from affidavit.control.store import IdentityStore
from affidavit.durable import Disk
from affidavit.errors import CannotRecordError, UnavailableError
from affidavit.ledger.cose import ReceiptKey
from affidavit.ledger.firsts import with_firsts
from affidavit.ledger.intake import Intake
from affidavit.ledger.log import Log
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.note import ML_DSA_44, Cosigner, Signer
from affidavit.ledger.prune import Expired
from affidavit.ledger.publish import heads
from affidavit.record.journal import JournalWriter
from affidavit.record.model import Placed, Record
from affidavit.record.seal import Recipient
from affidavit.vault import recipients
from affidavit.vault.reader import VaultReader
from affidavit.vault.vault import Vault

T = TypeVar("T")
PASS_SECONDS = 0.05
"""From one pass over the journals to the next, unless a pass was full. Each pass costs its syncs
and commits, however little it brings, so a pass over few records waits for more of them."""
SWITCH_SECONDS = 0.001
"""How long a thread that computes may keep the interpreter: a commit gives it away at each of its
dozen syncs and must not wait 5 ms behind the index each time."""
FINISH_SECONDS = 10.0
"""How long a drain waits for journals whose writers are gone to be closed by the sweep."""


class Sequencer:
    """Everything of the sequencer process, opened; ``run`` until told to stop."""

    def __init__(self, paths: Paths, config: Config, disk: Disk, clock: Clock) -> None:
        self.paths = paths
        self.config = config
        self.clock = clock
        self._disk = disk
        leftovers.clear(paths, disk)
        self.lease: asyncio.TimerHandle | None = None
        policy = load_policy(config)
        key_file = opening.key_file(paths, config=config)
        self.keyring = opening.owner(paths, disk, clock, key_file)
        self.renewing = Renewing(disk, paths, key_file, self.keyring)
        signer = self._log_key(0)
        starting.run(paths, config, policy, signer, self.keyring)
        self.receipt_seed = self.keyring.secret("receipt/seed")
        self.receipt_vkey = Signer(f"{config.log.origin}/receipts", self.receipt_seed).vkey
        self.receipt_key = ReceiptKey(config.log.origin, self.receipt_seed, self.receipt_vkey)
        state_key = self.keyring.database_key("state.db")
        self.state = durable.open_database(paths.state, state_key)
        system.refuse_shorter(self.state, config)
        self.identities = IdentityStore(self.state, clock)
        self.answered = Answered(self.state, clock)
        self.writing = Turns()
        self.saved = SavedQueries(self.state)
        self.approvals = ApprovalStore(self.state)
        self.holds = HoldStore(self.state)
        self.erasures = ErasureStore(self.state)
        self.deciding = asyncio.Lock()
        self.log = Log.open(
            disk,
            paths.log,
            durable.open_database(paths.state, state_key),
            signer,
            lambda index: self.keyring.secret(f"epoch/{index}"),
            clock,
            successor=self._log_key,
            post_quantum=self._post_quantum_key(),
            require=config.witnesses.require,
        )
        keys = self.log.keys.verifiers()
        self.log_reader = LogReader(paths.log, keys)
        self._own_reader = LogReader(paths.log, keys, heads(require=config.witnesses.require))
        self.log.publish()  # the vault is opened beside leaves that can all be read
        self.vault = Vault.open(
            disk, paths.vault, self.keyring, self.log.size, self._own_reader.decoded
        )
        self.vault_reader = VaultReader(
            paths.vault,
            opening.keyring(paths, clock, key_file),
            self._own_reader.decoded,
        )
        self._outbound = Outbound(config.timestamps.ca_file)
        self.anchoring = Anchoring(
            paths.log, config, policy, self._outbound.post, self, disk, clock
        )
        reader = LogReader(paths.log, None, heads(require=config.witnesses.require))
        self._index_vault = VaultReader(
            paths.vault,
            opening.keyring(paths, clock, key_file),
            reader.decoded,
        )
        view = with_firsts(reader, self._index_vault.salvaged)
        left = self._index_vault.left
        key = self.keyring.database_key("index.db")
        self.indexing = Indexing(paths, key, disk, reader, view, left)
        self.intake = Intake(
            disk,
            paths.journal,
            self.log,
            self.vault,
            self.keyring.open_segment_key,
            clock,
            on_placed=self._placed,
            leaf=self._own_reader.decoded,
            asked=self.vault_reader.asked,
        )
        self.pruning = Pruning(
            paths.log, config.retention, self, lambda: self.indexing.size, disk, clock
        )
        self.erasing = erasing_for(self, disk, paths, reader)
        self._asking, self._stop = Asking(), threading.Event()
        self._failed: BaseException | None = None
        self.journal: JournalWriter | None = None
        self.changed = asyncio.Event()
        self._snapshot: Snapshot | None = None
        self._recipient: Recipient

    def _log_key(self, number: int) -> Signer:
        """The log's Ed25519 key of that number; its seed is durable before it is used."""
        name = "log/seed" if number == 0 else f"log/seed/{number}"
        return Signer(self.config.log.origin, self.keyring.secret(name))

    def _post_quantum_key(self) -> Cosigner | None:
        if not self.config.log.post_quantum:
            return None
        seed = self.keyring.secret("log/seed/ml-dsa-44")
        return Cosigner(self.config.log.origin, ML_DSA_44, seed)

    # -- the sequencing thread ---------------------------------------------------------------

    def _placed(self, placed: Sequence[Placed]) -> None:
        self.indexing.put(placed, self.log.size, self.log.root)

    def _sequence(self) -> None:
        """Sequence until stopped; then whatever the journals still hold."""
        chores = Chores(self._disk, self)
        try:
            while not self._stop.is_set():
                began = self.clock.monotonic()
                self._asking.answer()
                self.intake.step()
                if not self.intake.behind:
                    self._rest(began + PASS_SECONDS)
                chores.step()
            self._finish()
        except BaseException as error:  # noqa: BLE001 - the process ends with it
            self._failed = error
        finally:
            self._asking.end()
            self.indexing.end()

    def _rest(self, until: float) -> None:
        """Wait for the time of the next pass; what is asked meanwhile is done at once."""
        while not self._stop.is_set() and (left := until - self.clock.monotonic()) > 0:
            self._asking.wait(left)

    def _finish(self) -> None:
        """Sequence the rest, writers that died lately included; what is stuck waits for a start."""
        until = self.clock.monotonic() + FINISH_SECONDS
        while self.intake.step() or (self.log.writers() and self.clock.monotonic() < until):
            time.sleep(PASS_SECONDS)

    def _index(self) -> None:
        """Apply to the index what was sequenced, in order, many batches at once when behind."""
        try:
            self.indexing.run()
        except BaseException as error:  # noqa: BLE001 - the process ends with it
            self._failed = error
            self._stop.set()
            self.indexing.drain()

    async def ask(self, work: Callable[[], T]) -> T:
        """Run ``work`` on the sequencing thread, between two batches (``Asking.ask``)."""
        return await self._asking.ask(work)

    # -- what outsiders vouch for --------------------------------------------------------------

    async def cosigned(self, data: bytes) -> None:
        """Publish a note of this log with cosignatures."""
        await self.ask(lambda: self.log.cosigned(data))

    async def stamped(self, size: int, data: bytes, answer: bytes) -> None:
        """Keep a timestamp."""
        await self.ask(lambda: self.log.stamped(size, data, answer))

    def keys_changed(self) -> None:
        """The log's keys in force have changed: readers, gateways and the console learn of it."""
        for reader in (self.log_reader, self._own_reader):
            reader.trust(self.log.keys.verifiers())
        self.tell_changed()

    # -- what expires --------------------------------------------------------------------------

    async def heads_after(self, index: int) -> bool:
        """Whether a published heads leaf is behind a leaf; one is appended if not."""
        return await self.ask(lambda: self.log.ensure_heads_after(index)) is not None

    def cosigners(self) -> dict[str, int]:
        """Each witness that is asked, and how many leaves the newest note has that it cosigned."""
        return {str(one["name"]): int(one["size"]) for one in self.anchoring.cosigning.status()}

    async def keeps(self, low: int, high: int, asked: Sequence[int] = ()) -> tuple[int, str] | None:
        """A leaf between two indexes that has to stay, and why."""
        return await self.erasing.keeps(low, high, asked)

    async def expired(self, what: Expired, days: int) -> None:
        """Put on record that leaves are pruned; durable on return."""
        await self.record(system.expired(self.clock, self.config, what, days))

    # -- the snapshot that gateways and console work from --------------------------------------

    def snapshot(self) -> Snapshot:
        """Identities and keys as of now; the same object until something changes."""
        today = self.clock.now()[:10]
        steps = sum(1 + (term.last is not None) for term in self.log.keys.terms)
        recipient = recipients.in_use(self.keyring, today).recipient
        day = int(recipient.day.replace("-", "")) % 1_000_000
        changes = self.identities.version + self.approvals.version + steps
        version = changes * 1_000_000 + day
        if self._snapshot is not None and self._snapshot.version == version:
            return self._snapshot
        identities = self.identities.all()
        teams = {(identity.tenant, identity.team) for identity in identities}
        self._snapshot = Snapshot(
            version=version,
            origin=self.config.log.origin,
            identities=identities,
            recipient_day=recipient.day,
            recipient_public=recipient.public,
            receipt_seed=self.receipt_seed,
            receipt_vkey=self.receipt_vkey,
            log_vkey=self.log.vkey,
            log_vkeys=self.log.keys.vkeys,
            pseudonym_keys={
                f"{tenant}\0{team}": self.keyring.pseudonym_secret(tenant, team)
                for tenant, team in teams
            },
            config_hash=self.config.hash(),
            glasses=self.approvals.glasses(),
        )
        return self._snapshot

    def tell_changed(self) -> None:
        """Wake whoever waits for a newer snapshot."""
        self.changed.set()
        self.changed = asyncio.Event()

    # -- life ----------------------------------------------------------------------------------

    async def record_key_change(
        self, identity: Identity, change: str, by: dict[str, Any] | None
    ) -> None:
        """Put the change of a key on record; durable on return."""
        await self.record(system.key_change(self.clock, self.config, identity, change, by))

    async def record(self, record: Record) -> None:
        """Put a record of the installation's own on record; durable on return."""
        if self.journal is None:
            raise CannotRecordError("The sequencer is still starting.")
        await self.journal.commit(record, ())

    def find(self, record_id: str) -> list[int] | None:
        """Ledger indexes of a request record and its answer, if they are published yet."""
        index = self.indexing.find(record_id)
        published = [i for i in index or () if i < self.log.published]
        return published if index and index[0] in published else None

    def status(self) -> dict[str, Any]:
        """Figures for health and status pages; called on the sequencing thread."""
        return {
            "size": self.log.size,
            "published": self.log.published,
            "minimum": self.log_reader.minimum(),
            "pruning_problem": self.pruning.problem,
            "erasing_problem": self.erasing.problem,
            "indexed": self.indexing.size,
            "index_rebuilding": self.indexing.rebuilding,
            "backlog_bytes": self.intake.backlog,
            "trouble": dict(self.intake.trouble),
            "origin": self.log.origin,
            "log_vkey": self.log.vkey,
            "log_vkeys": list(self.log.keys.vkeys),
            "waits_since": self.log.waits_since,
            **self.anchoring.status(),
        }

    async def run(self, handlers: Mapping[str, Handler], ready: Callable[[], None]) -> int:
        """Serve ``handlers`` until SIGTERM; 0 after a clean end, 4 if something failed."""
        loop = asyncio.get_running_loop()
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        if early.asked_to_stop():
            stopping.set()
        sys.setswitchinterval(SWITCH_SECONDS)
        indexing = threading.Thread(target=self._index, name="index")
        sequencing = threading.Thread(target=self._sequence, name="sequence")
        indexing.start()
        sequencing.start()
        server = ControlServer(self.paths.control_socket, handlers)
        anchoring = asyncio.create_task(self.anchoring.run())
        try:
            snapshot = await self.ask(self.snapshot)
            self._recipient = Recipient(snapshot.recipient_day, snapshot.recipient_public)
            self.journal = self._open_journal()
            await tell(self)
            await server.start()
            settle()
            ready()
            self.pruning.start()
            self.erasing.start()
            while not stopping.is_set() and self._failed is self.journal.failure is None:
                if anchoring.done():
                    self._failed = anchoring.exception()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), 0.25)
                snapshot = await self.ask(self.snapshot)
                self._recipient = Recipient(snapshot.recipient_day, snapshot.recipient_public)
                self.journal.retry()
            await self.pruning.stop()
            await self.erasing.stop()
            self._failed = self._failed or self.journal.failure
            if self._failed is None:
                record = system.ended(self.clock, self.config, "drained")
                await self.journal.close(record)
        except UnavailableError as error:
            self._failed = self._failed or error
        finally:
            anchoring.cancel()
            await asyncio.gather(anchoring, return_exceptions=True)
            await self.pruning.stop()
            await self.erasing.stop()
            self._outbound.close()
            await server.stop()
            self._stop.set()
            self.indexing.stop()
            await asyncio.to_thread(sequencing.join)
            await asyncio.to_thread(indexing.join)
        if self._failed is not None:
            sys.stderr.write(f"sequencer: {type(self._failed).__name__}: {self._failed}\n")
            return 4
        self._close()
        return 0

    def _open_journal(self) -> JournalWriter:
        return JournalWriter.open(
            self._disk, self.paths.journal, "sequencer", lambda: self._recipient, self.clock
        )

    def _close(self) -> None:
        self.intake.close()
        self.log.close()
        self.indexing.close(self.log.take_own(), self.log.size, self.log.root)
        self.vault.close()
        self._index_vault.close()
        self.vault_reader.close()
        self.keyring.close()
