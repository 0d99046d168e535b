"""The key-encryption key of a running installation is renewed, and that is on record.

Rules: one renewal at a time, on a worker thread; recording, ordering and reading go on meanwhile
(``vault.renewal``), and whoever reads finds the new key by itself. The record (``change.key``)
follows, as a renewal that a crash cut is only then known to be one: what is not on record yet is
told at the next start (``untold``). Erasure renews after each batch, so that copies of ``keys.db``
that were made before are worthless. Not here: who may ask (the console).
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import apsw

from affidavit.app import opening, system
from affidavit.app.paths import Paths
from affidavit.clock import Clock
from affidavit.config import Config
from affidavit.durable import Disk
from affidavit.errors import UnavailableError, UsageError
from affidavit.record.kek import KeyFile, Passphrase
from affidavit.record.model import Chain, Record
from affidavit.vault.keyring import Keyring
from affidavit.vault.renewal import Renewal

T = TypeVar("T")
_FACT = "kek"
_WHOSE = (
    "It is taken from the environment of affidavit up, not of this command: stop it, set"
    " AFFIDAVIT_PASSPHRASE_FILE there, start it, and rotate again."
)


class Host(Protocol):
    """What is needed of the sequencer process."""

    config: Config
    state: apsw.Connection

    @property
    def clock(self) -> Clock:
        """What time it is."""

    async def ask(self, work: Callable[[], T]) -> T:
        """Run ``work`` where the state may be touched."""

    async def record(self, record: Record) -> None:
        """Put a record on record; durable on return."""


class Renewing:
    """The key-encryption key of a sequencer process, and its renewals."""

    def __init__(self, disk: Disk, paths: Paths, file: KeyFile, keyring: Keyring) -> None:
        self._disk = disk
        self._paths = paths
        self._file = file
        self._keyring = keyring
        self._one = asyncio.Lock()

    async def renew(
        self,
        host: Host,
        by: Mapping[str, Any] | None = None,
        kind: str | None = None,
        reason: str = "",
    ) -> dict[str, Any]:
        """Everything under a new key-encryption key, the old one destroyed, and on record.

        ``by``: the ``who`` of somebody, ``None`` for the installation itself; ``kind``: how the new
        key is kept, by default as the old one. Returns the record's ``what``. ``UsageError`` for a
        kind that there is not; ``UnavailableError`` and what the kind's source raises leave the old
        key in force.
        """
        if kind is not None and kind not in self._file.sources:
            raise UsageError(
                f"A key-encryption key of kind {kind} is not known here.",
                hint=f"Known are {', '.join(self._file.sources)}.",
            )
        source = self._file.sources[kind or self._file.kind]
        if isinstance(source, Passphrase):
            await asyncio.to_thread(_own, source, asked=kind is not None)
        async with self._one:
            before = self.in_force()
            renewal = Renewal(self._disk, self._paths.key_database, self._file, self._keyring)
            count = await asyncio.to_thread(renewal.run, kind)
            opening.destroy_copies(self._paths, self._disk)
            now = self.in_force()
            what = _what(before, now) | {"keys": count}
            await host.record(_record(host, what, by, reason))
            await host.ask(lambda: system.told(host.state, _FACT, _fact(now)))
        return what

    def in_force(self) -> dict[str, str]:
        """The key-encryption key in force, without a word of it: ``id`` and ``kind``."""
        with self._keyring.alone() as (_, kek):
            return {"id": kek.id, "kind": self._file.kind}

    def untold(self, host: Host) -> list[tuple[Record, str, str]]:
        """The record of a renewal that a crash prevented; as ``system.pending``, and after it.

        The key of a first start is part of it and gets no record.
        """
        row = host.state.execute("select fact from in_force where name = ?", (_FACT,)).fetchone()
        now = self.in_force()
        if row is None:
            system.told(host.state, _FACT, _fact(now))
            return []
        if row[0] == _fact(now):
            return []
        return [(_record(host, _what(json.loads(row[0]), now), None, ""), _FACT, _fact(now))]


def _own(source: Passphrase, *, asked: bool) -> None:
    """What is wrong with the passphrase of this process, told to whom it looks like their own.

    ``asked``: somebody asks for one, which has no meaning then (``UsageError``).
    """
    try:
        source.words()
    except (UnavailableError, UsageError) as error:
        raise (UsageError if asked else type(error))(
            f"The running installation has no passphrase to put a key under. {error.message}",
            hint=_WHOSE,
        ) from error


def _what(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, Any]:
    names = {"key": "key-encryption key", "change": "renewed"}
    return {**names, "before": dict(before), "after": dict(after)}


def _fact(now: Mapping[str, str]) -> str:
    return json.dumps(now, sort_keys=True)


def _record(
    host: Host, what: Mapping[str, Any], by: Mapping[str, Any] | None, reason: str
) -> Record:
    who = dict(by) if by else {"kind": "service", "role": "owner"}
    chains = [Chain(str(who["tenant"]), "actor", str(who["actor"]))] if "actor" in who else []
    sections = {"who": who, "what": dict(what) | ({"reason": reason} if reason else {})}
    return system.make("change.key", host.clock, host.config, sections, *chains)
