"""Building the index anew from ledger and vault, in place or beside."""

import tempfile
from pathlib import Path

from affidavit.app import opening
from affidavit.app.paths import Paths
from affidavit.clock import SystemClock
from affidavit.durable import Disk
from affidavit.errors import NotFoundError
from affidavit.index.rebuild import rebuild
from affidavit.ledger.firsts import with_firsts
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.note import read_vkeys
from affidavit.ledger.publish import newest_head
from affidavit.vault.reader import VaultReader

FILES = ("index.db", "text.db")


def run(data: Path, into: Path | None) -> int:
    """Rebuild into ``into`` (an empty directory), or in place with the sequencer stopped."""
    paths = Paths(data)
    disk = Disk()
    if not paths.initialised:
        raise NotFoundError(f"{data} is not a data directory.", hint="Give it with --data.")
    if into is not None:
        disk.make_dir(into)
        return _build(paths, into)
    with (
        disk.locked(paths.sequencer_lock, "index rebuild"),
        tempfile.TemporaryDirectory(dir=paths.run) as beside,
    ):
        count = _build(paths, Path(beside))
        put_in_place(disk, Path(beside), paths.root)
        return count


def put_in_place(disk: Disk, beside: Path, root: Path) -> None:
    """Put the files of a new index, which nobody writes, in the place of those in ``root``.

    Durable on return; what a crash left half done is finished by doing it again. Logs that somebody
    reads go along: whoever has a file open keeps what it shares with others by the old names, and
    they would look for it under the new ones.
    """
    for name in FILES:
        if (beside / name).exists():
            disk.remove(*(root / f"{name}{suffix}" for suffix in ("", "-wal", "-shm")))
            for suffix in ("-wal", "-shm", ""):
                if (beside / f"{name}{suffix}").exists():
                    disk.effects.rename(
                        str(beside / f"{name}{suffix}"), str(root / f"{name}{suffix}")
                    )
    disk.effects.fsync_dir(str(root))


def _build(paths: Paths, into: Path) -> int:
    keyring = opening.keyring(paths, SystemClock())
    keys = read_vkeys((paths.log / "log.vkey").read_text(encoding="utf-8"))
    reader = LogReader(paths.log, keys, (newest_head(paths.log),))
    vault = VaultReader(paths.vault, keyring, reader.decoded)
    try:
        key = keyring.database_key("index.db")
        return rebuild(into, key, reader, with_firsts(reader, vault.salvaged))
    finally:
        vault.close()
        keyring.close()
