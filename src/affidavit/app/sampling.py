"""Whether a directory can be read with the keys it has: content opened here and there.

Rules: records evenly over the log are opened as for a reader, digests and all; what is erased is no
damage; nothing is written, and nothing is shown. Not here: everything, from leaf 0 (``checking``).
"""

from pathlib import Path
from typing import NamedTuple

from affidavit.app import opening
from affidavit.app.paths import Paths
from affidavit.clock import SystemClock
from affidavit.errors import CorruptError
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.publish import newest_head
from affidavit.vault.reader import VaultReader

MOST = 1_000
"""So many records are opened at most."""


class Sample(NamedTuple):
    """So many records were ``opened``, of so many ``content``, too; what did not open of others.

    ``gone``: something of them is erased; ``damaged``: something is not what was recorded.
    """

    opened: int = 0
    content: int = 0
    gone: int = 0
    damaged: int = 0


def run(data: Path, most: int = MOST) -> Sample:
    """Open at most ``most`` records; the last one is among them."""
    paths = Paths(data)
    keyring = opening.keyring(paths, SystemClock())
    reader = LogReader(paths.log, None, (newest_head(paths.log),))
    vault = VaultReader(paths.vault, keyring, reader.decoded)
    try:
        first, end = reader.minimum(), reader.checkpoint().size
        step = max(1, -(-(end - first) // most))
        opened = content = gone = damaged = 0
        for index in range(end - 1, first - 1, -step):
            try:
                view = vault.view(index)
                missing = vault.missing(index)
            except CorruptError:
                damaged += 1
                continue
            opened += not missing
            gone += bool(missing)
            content += bool(view.parts) and not missing
        return Sample(opened, content, gone, damaged)
    finally:
        vault.close()
        keyring.close()
