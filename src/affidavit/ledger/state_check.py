"""Checking state.db against the log it belongs to; changes nothing, also while a sequencer runs.

Rules: the committed size and root are those of the leaves in tiles and staging files; the chains
kept with the last heads leaf are the ones that leaf claims; where the replay of all leaves ended at
the committed size, the writers are those of the replay. state.db is read as of one moment, and the
log is given a little time to publish what that moment had committed. Not here: repair
(``recover``), the tables of others in the same file.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path

import apsw

from affidavit.errors import NotFoundError, ParseError
from affidavit.ids import b64u
from affidavit.ledger import merkle, staging
from affidavit.ledger.findings import damaged
from affidavit.ledger.heads import HeadsMap
from affidavit.ledger.log_reader import LogReader
from affidavit.ledger.note import ED25519, read_vkeys
from affidavit.ledger.rules import Replay
from affidavit.ledger.signing import FILE, POLICY, lines_of
from affidavit.ledger.state import Committed, KeyTerm, LedgerState

NAME = "state.db"
_TRIES = 20


def check_state(
    root: Path,
    reader: LogReader,
    connection: apsw.Connection,
    replay: Replay,
    wait: Callable[[], None],
) -> int:
    """Check the ledger's tables; returns how many leaves are committed.

    ``wait`` pauses for a tenth of a second. ``CorruptError`` names state.db.
    """
    state = LedgerState(connection)
    try:
        with connection:
            committed = state.committed()
            chains, writers = state.chains(), state.writers()
    except apsw.Error as error:
        raise damaged(NAME, f"state.db is damaged: {error}.") from error
    if committed is None:
        if reader.checkpoint().size:
            raise damaged(NAME, "state.db holds no ledger, and the log has leaves.")
        return 0
    found = None
    for _ in range(_TRIES):
        found = root_at(root, reader, committed.size)
        if found is not None:
            break
        wait()
    if found is None:
        raise damaged(
            NAME, f"state.db has committed {committed.size} leaves, and not all of them are there."
        )
    if found != committed.root:
        raise damaged(
            NAME, f"The root in state.db is not that of the first {committed.size} leaves."
        )
    if committed.size < replay.size:
        raise damaged(
            NAME,
            f"state.db has committed {committed.size} leaves, and {replay.size} are published.",
        )
    _check_chains(reader, committed, chains, wait)
    known = {name: None if ended else n for name, (n, ended) in writers.items()}
    if committed.size == replay.size and known != replay.writers:
        raise damaged(NAME, "The writers in state.db are not those of the leaves.")
    return committed.size


def check_keys(root: Path, connection: apsw.Connection) -> None:
    """Check the keys beside the log against those in state.db; ``CorruptError`` names the file.

    Right after a step of a rotation the files may be those from before it.
    """
    try:
        verifiers = read_vkeys(_text(root, FILE))
    except ParseError as error:
        raise damaged(FILE, f"{FILE} holds no verifier key.") from error
    own = [verifier.vkey for verifier in verifiers if verifier.kind == ED25519]
    terms = LedgerState(connection).keys() or [KeyTerm(0, "".join(own[:1]), 0)]
    if not set(own) <= {term.vkey for term in terms}:
        raise damaged(FILE, f"{FILE} has a key that state.db does not know.")
    beside = [verifier.vkey for verifier in verifiers if verifier.kind != ED25519]
    allowed = {line for term in terms for line in lines_of(term)} | {"quorum none"}
    allowed |= {line for term in terms for line in lines_of(term._replace(last=None))}
    allowed |= {f"log {vkey}" for vkey in beside}
    found = _text(root, POLICY).split("\n")
    if found[-2:] != ["quorum none", ""] or not set(found[:-1]) <= allowed:
        raise damaged(POLICY, f"{POLICY} has lines that are not those of the log's keys.")
    if found[:2] not in (lines_of(terms[0]), lines_of(terms[0]._replace(last=None))):
        raise damaged(POLICY, f"{POLICY} does not begin with the log's first key.")


def _text(root: Path, name: str) -> str:
    try:
        return (root / name).read_text("utf-8", "replace")
    except FileNotFoundError:
        raise damaged(name, f"{name} is not there.") from None


def root_at(root: Path, reader: LogReader, size: int) -> bytes | None:
    """The root over ``size`` leaves, staged ones included; ``None`` if some are not there (yet)."""
    staged: dict[int, bytes] = {}
    for fencing, path in staging.files(root):
        try:
            batches = list(staging.read(fencing, path))
        except FileNotFoundError:
            continue  # its leaves are in tiles by now
        for batch in batches:
            staged.update(enumerate(batch.entries, batch.first))
    published = 0
    with contextlib.suppress(NotFoundError):
        published = reader.checkpoint().size
    if size <= published:
        return reader.root(size)
    tree = merkle.Tree()
    for height in reversed(range(published.bit_length())):
        if published >> height & 1:
            tree.append_subtree(height, reader.subtree(height, tree.size >> height))
    for index in range(published, size):
        if index not in staged:
            return None
        tree.extend([merkle.leaf_hash(staged[index])])
    return tree.root()


def _check_chains(
    reader: LogReader, committed: Committed, chains: dict[bytes, bytes], wait: Callable[[], None]
) -> None:
    leaf = None
    for _ in range(_TRIES):
        try:
            leaf = reader.decoded(committed.heads)
            break
        except NotFoundError:
            wait()
    if leaf is None:
        return  # staged and not published: the next start compares them
    bits, claimed = (None, None) if leaf.heads is None else (leaf.heads.bits, leaf.heads.map)
    if claimed is None:
        if chains:
            raise damaged(NAME, f"state.db has chains as of leaf {leaf.index}, which claims none.")
        return
    if b64u(HeadsMap.build(chains, bits).root) != claimed:
        raise damaged(NAME, f"The chains in state.db are not those of heads leaf {leaf.index}.")
