"""Whether what was pruned of a log is on record, and was old enough by that record.

Rules: before leaves go, a ``retention.expired`` behind them says up to where, what stays and by
which policy; whoever prunes past the program leaves no such record, or one that does not fit.
Nothing of this is damage, as the record may still be in a journal: it is said. Not here: the
leaves that stay (``ledger.fsck_pruned``).
"""

import hashlib
from collections.abc import Sequence
from typing import Any

from affidavit.app.pruning import DAY
from affidavit.clock import add_seconds
from affidavit.ids import b64u
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.pruned import snapshot_name
from affidavit.vault.reader import VaultReader

EXPIRED = "retention.expired"
MOST_DAYS = 36_500
"""No configuration says more."""


def remark(reader: LogReader, records: Sequence[int], vault: VaultReader | None) -> str:
    """What speaks against the newest pruning of a log that was pruned; ``""`` if nothing does.

    ``records``: the ``retention.expired`` from the minimum index on; without ``vault`` it is not
    looked into them.
    """
    pruned = reader.pruned()
    missing = f"That leaves before {pruned.minimum} were pruned is not on record"
    if vault is None:
        return "" if records else f"{missing}, unless a journal still has it."
    snapshot = (reader.root_path / snapshot_name(pruned.minimum)).read_bytes()
    digest = b64u(hashlib.sha256(snapshot).digest())
    for index in reversed(records):
        what = vault.sections(index).get("what")
        if (_at(what, "pruned", "before"), _at(what, "pruned", "snapshot")) != (
            pruned.minimum,
            digest,
        ):
            continue
        days = _at(what, "policy", "prune_after_days")
        if not isinstance(days, int) or not 0 <= days <= MOST_DAYS:
            continue
        time = reader.decoded(index).time
        if pruned.time > add_seconds(time, -days * DAY):
            return (
                f"By leaf {index} leaves are kept for {days} days, and ones of {pruned.time} were"
                f" pruned at {time}."
            )
        return ""
    return f"{missing}, unless a journal still has it or what the record says was erased."


def _at(value: Any, *names: str) -> Any:
    """What stands under these names, ``None`` if that is not how it is."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value
