"""Where state lives in a data directory (design: one machine)."""

from pathlib import Path

from affidavit.durable import Disk


class Paths:
    """Names of everything in one data directory; creates nothing by itself."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.config = self.root / "config.yaml"
        self.log = self.root / "log"
        self.vault = self.root / "vault"
        self.journal = self.root / "journal"
        self.state = self.root / "state.db"
        self.key_database = self.root / "keys.db"
        self.keys = self.root / "keys"
        self.key_encryption_key = self.keys / "kek"
        self.owner_key = self.keys / "owner"
        self.drill = self.root / "drill"
        self.restored = self.root / "restored"
        self.restoring = self.root / "restoring"
        self.run = self.root / "run"
        self.backup = self.run / "backup"
        self.key_copies = (self.backup / "keys.db", self.backup / "kek")
        self.control_socket = self.run / "control.sock"
        self.console_socket = self.run / "console.sock"
        self.up_lock = self.run / "up.lock"
        self.sequencer_lock = self.run / "sequencer.lock"

    @property
    def initialised(self) -> bool:
        """Whether a first start has got as far as making the key-encryption key."""
        return self.key_encryption_key.exists()

    @property
    def key_lost(self) -> bool:
        """Whether there are keys under a key-encryption key that is not there."""
        return self.key_database.exists() and not self.key_encryption_key.exists()

    def create(self, disk: Disk) -> None:
        """Make the directories, owner only; those that are there stay as they are."""
        for path in (self.root, self.log, self.vault, self.journal, self.keys, self.run):
            disk.make_dir(path)
