"""The one oracle: what must hold of a data directory nobody is writing to.

``audit`` = a deep fsck is green, every request has exactly one outcome, the index equals a rebuild,
no canary anywhere. It opens everything read-only and through the files alone.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from affidavit.app import opening
from affidavit.app.checking import Checking
from affidavit.app.paths import Paths
from affidavit.app.rebuild import run as rebuild_index
from affidavit.clock import SystemClock
from affidavit.index.rebuild import dump
from affidavit.ledger import fsck, leaf
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.note import Verifier, read_vkeys
from affidavit.record.model import View
from affidavit.vault.reader import VaultReader
from tests.world.canary import find


@dataclass
class Audited:
    """What was found; ``requests`` and ``outcomes`` by the id of the request record.

    ``ended`` are the last words of writers, ``gaps`` what the records of gaps say.
    """

    size: int
    requests: dict[str, View] = field(default_factory=dict)
    outcomes: dict[str, View] = field(default_factory=dict)
    types: Counter[str] = field(default_factory=Counter)
    ended: list[View] = field(default_factory=list)
    gaps: list[dict[str, Any]] = field(default_factory=list)


def verifier(data: Path) -> list[Verifier]:
    """The log's public keys, as the directory publishes them."""
    return read_vkeys((Paths(data).log / "log.vkey").read_text())


def assert_fsck(data: Path) -> int:
    """Structure, chain rules and heads are true; returns the size."""
    report = fsck.check(Paths(data).log, verifier(data))
    assert report.ok, report.first
    return report.size


def assert_deep(data: Path) -> None:
    """And so is everything that stands beside the log: vault, keys, state.db, index."""
    result = Checking(data, None, lambda *_: None, deep=True, anew=True).run()
    assert result.finding is None, result.finding
    gone = result.counts.get("gone")  # with its segment, of which everything was erased
    assert not gone or result.counts["certificates"], result.counts


def audit(
    data: Path, *, canaries: Iterable[str] = (), beside: Path, logs: Iterable[Path] = ()
) -> Audited:
    """Check everything; ``beside`` is an empty directory for the rebuilt index."""
    paths = Paths(data)
    size = assert_fsck(data)
    assert_deep(data)
    keyring = opening.keyring(paths, SystemClock())
    key = keyring.database_key("index.db")
    reader = LogReader(paths.log, verifier(data))
    vault = VaultReader(paths.vault, keyring, reader.decoded)
    found = Audited(reader.checkpoint().size)
    by_index: dict[int, str] = {}
    waiting: set[int] = set()
    try:
        for index, data_bytes in reader.leaves(0, found.size):
            one = leaf.decode(data_bytes)
            found.types[one.type] += 1
            if one.type in leaf.ASKS:
                waiting.add(index)
            elif one.type in leaf.ANSWERS and one.re is not None:
                assert one.re in waiting, f"leaf {index} is a second outcome of leaf {one.re}"
                waiting.remove(one.re)
            if one.type == "exchange.request":
                found.requests[one.id] = vault.view(index)
                by_index[index] = one.id
            elif one.type == "exchange.response" and one.re is not None:
                found.outcomes[by_index[one.re]] = vault.view(index)
            elif one.type == "ledger.ended":
                found.ended.append(vault.view(index))
            elif one.type == "ledger.gap":
                found.gaps.append(vault.sections(index)["what"])
    finally:
        vault.close()
        keyring.close()
    assert not waiting, f"{len(waiting)} requests without an outcome: {sorted(waiting)[:3]}"
    for request, view in found.outcomes.items():
        if view.sections:  # else it was erased, which a deep check has found accounted for
            assert view.sections["outcome"]["outcome"], request
    assert size == found.size
    rebuild_index(data, beside)
    assert list(dump(paths.root, key)) == list(dump(beside, key)), "the index is not its rebuild"
    hits = find(canaries, [data, *logs])
    assert not hits, hits
    return found
