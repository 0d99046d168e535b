"""What processes that died left in ``run/``: copies of keys and databases.

Rules: erasure reaches them. Called by the holder of the sequencer's lock, at its start and before
an erasure is done; without that lock nobody makes any of this but the sequencer (``backup.cut``).
Copies of keys are overwritten before they go. Not here: what is in use.
"""

from affidavit.app import opening
from affidavit.app.paths import Paths
from affidavit.durable import Disk

_MADE_ANEW = "tmp*"
"""Where below ``run/`` an index is made anew while no sequencer runs."""


def clear(paths: Paths, disk: Disk) -> None:
    """Remove all of it."""
    drop(paths, disk)
    for place in paths.run.glob(_MADE_ANEW):
        disk.remove_tree(place)


def drop(paths: Paths, disk: Disk) -> None:
    """Remove what belongs to the cut of a backup; no error without any."""
    opening.destroy_copies(paths, disk)
    disk.remove_tree(paths.backup)
