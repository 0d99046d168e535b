"""The one place where the keys of a data directory are opened: key-encryption key and keyring.

Rules: whoever needs a key of a database, of the vault or of the log gets it here. The sequencer
(and a first start, which has its lock) opens for writing, and first ends a renewal that was cut;
all others open read-only, and go on with the new key when it is renewed. A restore on trial is
opened by none for writing.
"""

from affidavit.app import origin
from affidavit.app.aws_kms import AwsKms
from affidavit.app.passphrase import Passphrases
from affidavit.app.paths import Paths
from affidavit.clock import Clock, SystemClock
from affidavit.config import Config
from affidavit.durable import Disk
from affidavit.errors import UnavailableError
from affidavit.record.kek import KeyFile, Passphrase
from affidavit.record.keys import PlainFile, destroy_key_file
from affidavit.vault import key_database
from affidavit.vault.keyring import Keyring


def key_file(
    paths: Paths, asked: Passphrases | None = None, config: Config | None = None
) -> KeyFile:
    """The files of the key-encryption key, whatever kind they are of.

    ``asked``: the passphrase as this process finds it; ``config`` says how new keys are kept, which
    who only opens need not know.
    """
    known = config or Config()

    def named() -> str:
        """The ledger's name; chosen now at a first start."""
        if config is None and not (paths.log / origin.FILE).exists():
            return ""  # keys alone, apart from their ledger
        return origin.settled(paths, Disk(), known.log.origin, paths.config)

    sources = (
        PlainFile(),
        Passphrase(asked or Passphrases()),
        AwsKms(known.keys.aws_kms_key, named),
    )
    return KeyFile(paths.key_encryption_key, sources)


def keyring(paths: Paths, clock: Clock, file: KeyFile | None = None) -> Keyring:
    """The keyring of a data directory, read-only; its databases' keys are ``database_key``.

    ``file``: what this process has of it already. ``UnavailableError`` if the key-encryption key is
    not there, or does not open ``keys.db``.
    """
    return Keyring.follow(paths.key_database, file or key_file(paths), clock)


def owner(paths: Paths, disk: Disk, clock: Clock, file: KeyFile | None = None) -> Keyring:
    """The keyring for writing, for the holder of the sequencer's lock; errors as ``keyring``."""
    refuse_drill(paths)
    destroy_copies(paths, disk)
    kek = key_database.settle(disk, paths.key_database, file or key_file(paths))
    return Keyring.open(paths.key_database, kek, clock)


def refuse_drill(paths: Paths) -> None:
    """``UnavailableError`` if this is a restore on trial, which never goes on with its log."""
    if paths.drill.exists():
        raise UnavailableError(
            f"{paths.root} was restored with --drill: it may be checked, and goes on with nothing.",
            hint="affidavit fsck --deep checks it. What is to run is restored without --drill.",
        )


def destroy_copies(paths: Paths, disk: Disk) -> None:
    """Destroy the copies of keys that a backup made and nobody fetched; no error without any.

    They would open what is erased from now on.
    """
    for path in paths.key_copies:
        if path.exists():
            destroy_key_file(disk, path)


def database_key(paths: Paths, name: str) -> bytes:
    """The key of one database of a data directory, for who wants nothing else of its keys."""
    opened = keyring(paths, SystemClock())
    try:
        return opened.database_key(name)
    finally:
        opened.close()
