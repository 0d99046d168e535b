"""Taking a ledger over: lock, keys, fencing epoch, recovery, in this order.

Rules: nothing is written before the lock is held and the keys are those that signed what is there;
whoever had the ledger before is fenced off before anything is read. What is read back is
``recover``'s; what is published is made good where a crash left it (``publish``). Not here: the
first leaves and whatever follows, which the log commits as at any other time.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from affidavit.durable import Disk
from affidavit.ledger import staging
from affidavit.ledger.chains import Epoch
from affidavit.ledger.merkle import EMPTY_ROOT
from affidavit.ledger.prover import Prover
from affidavit.ledger.publish import Publisher
from affidavit.ledger.recover import recover
from affidavit.ledger.signing import Keys
from affidavit.ledger.state import Committed, LedgerState
from affidavit.ledger.tip import Tip


class Opened(NamedTuple):
    """A ledger that is ours. ``before``: its end as found; ``behind``: a batch to be taken in.

    ``old``: staging files of earlier sequencers, of no use once everything is signed.
    """

    before: Committed | None
    committed: Committed
    keys: Keys
    tip: Tip
    prover: Prover
    publisher: Publisher
    staging: staging.Staging
    old: list[Path]
    behind: staging.Batch | None


def take_over(
    disk: Disk,
    root: Path,
    state: LedgerState,
    load_keys: Callable[[], Keys],
    epoch_secret: Callable[[int], bytes],
    terms: tuple[tuple[str, ...], int],
    own: str,
    held: contextlib.ExitStack,
    *,
    require: bool,
) -> Opened:
    """Take the ledger below ``root``; lock and files are given back when ``held`` ends.

    ``terms``: dimensions and rules of a first epoch; ``own``: the incarnation that takes it;
    ``require``: see ``Publisher``. ``LockedError``; ``CorruptError`` if things do not fit together.
    """
    disk.make_dir(root)
    held.enter_context(disk.locked(root / "lock", "sequencer"))
    load_keys().check(root)
    before = state.committed()
    committed = state.take_over(before, Committed(1, 0, EMPTY_ROOT, "", 0, 0, own))
    keys = load_keys()  # from here on nobody else changes them
    found = recover(
        root,
        keys,
        state,
        committed,
        lambda: Epoch(0, -1, *terms, epoch_secret(0)),
        epoch_secret,
    )
    keys.write(disk, root)
    publisher = Publisher(disk, root, require=require)
    publisher.resume(found.signed, found.published)
    old = [path for _, path in staging.files(root)]
    stage = staging.Staging(disk, root, committed.fencing, committed.size)
    held.callback(stage.close)
    prover = Prover(root, found.tip, found.heads, found.newest, epoch_secret, publisher.published)
    return Opened(before, committed, keys, found.tip, prover, publisher, stage, old, found.behind)
