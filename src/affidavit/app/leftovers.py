"""What processes that died left: copies of keys and databases in ``run/`` and beside the directory.

Rules: erasure reaches them. Called by the holder of the sequencer's lock, at its start and before
an erasure is done; without that lock nobody makes any of this but the sequencer (``backup.cut``).
Copies of keys are overwritten before they go. Not here: what is in use.
"""

import contextlib

from affidavit.app import opening, unfinished
from affidavit.app.paths import Paths
from affidavit.durable import Disk
from affidavit.errors import LockedError

_MADE_ANEW = "tmp*"
"""Where below ``run/`` an index is made anew while no sequencer runs."""


def clear(paths: Paths, disk: Disk) -> None:
    """Remove all of it."""
    drop(paths, disk)
    for place in paths.run.glob(_MADE_ANEW):
        disk.remove_tree(place)
    unfinished.whole(paths.root, disk)
    with contextlib.suppress(LockedError):  # nobody restores to what is there already, but begins
        unfinished.drop(paths.root, disk)


def drop(paths: Paths, disk: Disk) -> None:
    """Remove what belongs to the cut of a backup; no error without any."""
    opening.destroy_copies(paths, disk)
    disk.remove_tree(paths.backup)
