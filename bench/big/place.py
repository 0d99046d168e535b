"""The data directory of a run: made once, found again; and what time it is in it.

Ledger time runs over 90 days, or so many as are asked for, with the size of the ledger: record
number so and so much of all is that far into them. It goes on where it was when the directory is
filled in several goes.
"""

import json
import time
from pathlib import Path

from affidavit import config as configuration
from affidavit.app import first_start, opening, origin
from affidavit.app.paths import Paths
from affidavit.clock import SystemClock, from_unix_us, to_unix_us
from affidavit.config import Config
from affidavit.durable import Disk
from affidavit.index.reader import Reader
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.note import read_vkeys
from affidavit.ledger.publish import CHECKPOINT, size_of
from affidavit.vault.reader import VaultReader

DAYS = 90
END = 1_794_959_999_999_999
"""When the days end, in microseconds since 1970: the last of a day."""
LAG = 1_000
"""A record's source time is that of so many records before it: what came is never from ahead."""


class Place:
    """A data directory for ``records`` records of so many days; made if it is not there."""

    def __init__(self, data: Path, records: int | None = None, days: int | None = None) -> None:
        self.paths = Paths(data)
        self.side = self.paths.root / "bench"
        self.disk = Disk()
        first_start.prepare(self.paths, self.disk, SystemClock(), demo=False, configured=False)
        self.side.mkdir(exist_ok=True)
        file = self.side / "run.json"
        if not file.exists():
            file.write_text(json.dumps({"records": records or 100_000, "days": days or DAYS}))
        begun = json.loads(file.read_text())
        self.records: int = begun["records"]
        self.days: int = begun["days"]
        if records not in (None, self.records) or days not in (None, self.days):
            raise SystemExit(f"{data} was begun for {self.records} records, {self.days} days.")

    def config(self) -> Config:
        """The configuration, with the ledger's name in it."""
        config = configuration.load(self.paths.config, {})
        file = self.paths.config
        return config.named(origin.settled(self.paths, self.disk, config.log.origin, file))

    def at(self, number: int) -> str:
        """The time at which the ledger has so many records."""
        step = self.days * 86_400_000_000 // self.records
        return from_unix_us(END - (self.records - number) * step)

    def size(self) -> int:
        """Leaves under the published checkpoint."""
        return size_of(self.paths.log, CHECKPOINT)

    def key(self) -> bytes:
        """What opens the index."""
        return opening.database_key(self.paths, "index.db")

    def index(self) -> Reader:
        """The index, read-only."""
        return Reader(self.paths.root, self.key())

    def vault(self) -> VaultReader:
        """The vault, read-only, checked against the ledger."""
        keyring = opening.keyring(self.paths, SystemClock())
        return VaultReader(self.paths.vault, keyring, self.log().decoded)

    def log(self) -> LogReader:
        """The published ledger."""
        text = (self.paths.log / "log.vkey").read_text(encoding="utf-8")
        return LogReader(self.paths.log, read_vkeys(text))


class FillClock:
    """Wall clock of the 90 days: follows the number of records, as ``count`` gives it."""

    def __init__(self, place: Place, number: int, behind: int = 0) -> None:
        self.number = number
        self._place = place
        self._behind = behind

    def now(self) -> str:
        """The time that belongs to the number of records."""
        return self._place.at(self.number - self._behind)

    def monotonic(self) -> float:
        """Real seconds."""
        return time.monotonic()


class LiveClock:
    """Wall clock that goes on from ``since`` (stored time) at the pace of the real one."""

    def __init__(self, since: str, began: float) -> None:
        self._since = to_unix_us(since)
        self._began = began

    def now(self) -> str:
        """``since`` and the real seconds since ``began`` (``time.monotonic``)."""
        return from_unix_us(self._since + int((time.monotonic() - self._began) * 1e6))

    def monotonic(self) -> float:
        """Real seconds."""
        return time.monotonic()
