"""The snapshot a worker acts by, and what is derived from it.

Rules: a newer snapshot replaces everything at once, between two requests; a call that has begun
keeps the identity it was admitted with. Not here: fetching snapshots (``app``).
"""

from affidavit.capture.receipts import PromiseSigner
from affidavit.control.identity import Directory, Snapshot
from affidavit.record.seal import Recipient


class Current:
    """Holds the snapshot in force: ``snapshot``, ``directory``, ``signer``."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.update(snapshot)

    def update(self, snapshot: Snapshot) -> None:
        """Act by ``snapshot`` from now on."""
        self.snapshot = snapshot
        self.directory = Directory(snapshot.identities)
        self.signer = PromiseSigner(snapshot.origin, snapshot.receipt_seed, snapshot.receipt_vkey)
        self._recipient = Recipient(snapshot.recipient_day, snapshot.recipient_public)

    def recipient(self) -> Recipient:
        """To whom the journal is sealed today."""
        return self._recipient
