"""The one place where the keys of a data directory are opened: key-encryption key and keyring.

Rules: whoever needs a key of a database, of the vault or of the log gets it here. The sequencer
(and a first start, which has the directory to itself) opens for writing; all others read-only.
"""

from affidavit.app.paths import Paths
from affidavit.clock import Clock, SystemClock
from affidavit.record.keys import KeyEncryptionKey
from affidavit.vault.keyring import Keyring


def keyring(paths: Paths, clock: Clock, *, read_only: bool = True) -> Keyring:
    """The keyring of a data directory; ``Keyring.database_key`` has the keys of its databases.

    ``UnavailableError`` if the key-encryption key is not there, or does not open ``keys.db``.
    """
    kek = KeyEncryptionKey.load(paths.key_encryption_key)
    return Keyring.open(paths.key_database, kek, clock, read_only=read_only)


def database_key(paths: Paths, name: str) -> bytes:
    """The key of one database of a data directory, for who wants nothing else of its keys."""
    opened = keyring(paths, SystemClock())
    try:
        return opened.database_key(name)
    finally:
        opened.close()
