"""The answer to a question, with what shows that nothing of its chains was left out.

Rules (docs/format/evidence.md, "What an answer holds"): of each chain, in each epoch of the
window, the records of the window and one more at each end, or none where the chain begins or
ends; the same for the chains of what could not be attributed; the other half of each exchange;
the leaves that open epochs and state heads; one batched inclusion proof for all of these. Of a
question that only asks how many, each chain gives the records at the ends of the window and their
neighbours, and no halves. Leaves and links come from the log's files, heads and openings from the
live ledger (``prover``), what outsiders said from beside the log (``anchors``). The index is not
asked and not trusted, except for where to look for the other half of an exchange.
Not here: which sections are shown (``evidence.bundle``) and the check (``evidence.verify``).
"""

import contextlib
from collections.abc import Callable, Iterable, Sequence

import msgspec

from affidavit.clock import add_seconds
from affidavit.errors import NotFoundError, PrunedError, UnavailableError, UsageError
from affidavit.ledger import merkle
from affidavit.ledger.chains import Opening
from affidavit.ledger.heads import HeadProof
from affidavit.ledger.leaf import ASKS, BARE, Leaf, decode
from affidavit.ledger.log_reader import LogReader
from affidavit.query.anchors import Stamp, checkpoint_over, stamps
from affidavit.query.prover import EpochProof, Proofs, Prover
from affidavit.query.question import Question, unproved
from affidavit.record.model import UNATTRIBUTED, Chain

MAX_LEAVES = 150_000
"""An answer holds at most this many leaves; a narrower window is asked for beyond."""

SLACK_SECONDS = 300
"""How much later than ledger time a source may claim to be, in seconds."""

_MICROSECOND = -0.000_001
_NO_EARLIER = "1970-01-02"
"""No ledger is older; an earlier start is the beginning."""

Answers = Callable[[int], int | None]
"""Index of a request → index of the leaf that answers it, as far as the index knows."""

Within = Callable[[int], bool]
"""Whether the asker may know of a leaf."""


class Answer(msgspec.Struct, frozen=True):
    """An answer and its proof, as an evidence bundle carries it.

    ``question`` with ``until`` filled in: everything through it is answered. ``checkpoint``: the
    signed note; ``stamps``: timestamps over it and older ones. ``leaves``: exact bytes by index,
    all of them under ``proof``, the batched inclusion proof. ``links``: (leaf, 49-byte link),
    sorted. ``records``: the leaves of the window; ``halves``: record → other half; ``open``:
    requests without an answer so far; ``not_shown``: records whose other half is not in the
    answer; ``unattributed`` and ``gaps``: leaves of the window in the chains of what could not be
    attributed.
    """

    question: Question
    checkpoint: bytes
    origin: str
    size: int
    leaves: dict[int, bytes]
    links: tuple[tuple[int, bytes], ...]
    openings: tuple[Opening, ...]
    heads: tuple[HeadProof, ...]
    proof: tuple[bytes, ...]
    records: tuple[int, ...]
    halves: dict[int, int]
    open: tuple[int, ...]
    not_shown: tuple[int, ...]
    unattributed: tuple[int, ...]
    gaps: tuple[int, ...]
    stamps: tuple[Stamp, ...] = ()


def unattributed(chains: Iterable[Chain]) -> list[Chain]:
    """The chains of what may belong to ``chains`` and could not be attributed."""
    chains = list(chains)
    found = {Chain("", UNATTRIBUTED, "")}
    for chain in chains:
        base = chain.dimension.partition(".")[0]
        if base != UNATTRIBUTED:
            found.add(Chain(chain.tenant, f"{base}.{UNATTRIBUTED}", ""))
    return sorted(found - set(chains))


def build(
    reader: LogReader,
    prover: Prover,
    question: Question,
    *,
    listed: Sequence[int] = (),
    answers: Answers | None = None,
    within: Within | None = None,
    wait: float = 0.0,
) -> Answer:
    """Answer ``question`` as of now, or as of its ``until``.

    ``listed``: the records to show if completeness is not proved (a question that only counts is
    refused with ``UsageError`` then). ``wait``: how many seconds cosignatures of witnesses may
    still take. ``answers`` helps to find the
    response to a request where the chain does not show it. ``within``: an other half of which
    the asker may not know is not shown (``None``: all may be known); of the leaves of the chains
    themselves it decides nothing, so a chain is asked for by those alone who may know all of it.
    Where no newer heads come about (witnesses are required and away), the answer is as of those
    there are, and ``until`` says through when. Where the window begins before what was pruned,
    nothing is proved, and the answer says so. ``UsageError`` if it would be larger than an answer
    may be, or the window begins later than the ledger ends; ``UnavailableError`` if the ledger does
    not answer.
    """
    while True:
        minimum = reader.minimum()
        try:
            return _build(reader, prover, question, listed, answers, within, wait)
        except PrunedError:
            if reader.minimum() == minimum:
                raise
            reader.checkpoint()  # what was half read went meanwhile: as of what is there now


def _build(
    reader: LogReader,
    prover: Prover,
    question: Question,
    listed: Sequence[int],
    answers: Answers | None,
    within: Within | None,
    wait: float,
) -> Answer:
    """As ``build``; ``PrunedError`` if leaves are pruned meanwhile."""
    draft = _Draft(reader, question, answers, within, wait)
    if question.not_proved:
        return draft.finish(listed)
    chains = [*question.chains, *unattributed(question.chains)]
    try:
        proofs = prover.prove(chains, draft.since, -1)
        if not draft.covered_by(proofs):
            with contextlib.suppress(UnavailableError):  # then it is as of the heads there are
                proofs = prover.prove(chains, draft.since, reader.checkpoint().size - 1)
        why = f"an epoch of the window has no dimension {proofs.lacking}" if proofs.lacking else ""
        if not why:
            draft.walk(chains, proofs)
    except PrunedError:
        why = f"pruned before {reader.decoded(reader.minimum()).time}"
    if why and question.count:
        raise UsageError(f"There is nothing to count by: {why}.")
    if why:
        return _Draft(reader, unproved(question, why), answers, within, wait).finish(listed)
    return draft.finish(draft.records())


class _Draft:
    """An answer in the making."""

    def __init__(
        self,
        reader: LogReader,
        question: Question,
        answers: Answers | None,
        within: Within | None,
        wait: float,
    ) -> None:
        self.reader = reader
        self.question = question
        self.answers = answers
        self.within = within
        self.wait = wait
        self.leaves: dict[int, bytes] = {}
        self.decoded: dict[int, Leaf] = {}
        self.links: set[tuple[int, bytes]] = set()
        self.openings: list[Opening] = []
        self.heads: dict[tuple[int, int], HeadProof] = {}
        self.inside: dict[Chain, set[int]] = {}
        self.answered: dict[int, int] = {}
        self.answers_shown = False
        self.newest_epoch = -1

    @property
    def since(self) -> str:
        """Ledger time from which the chains are walked; ``""``: from the beginning."""
        since = self.question.since
        if not self.question.source_time or since < _NO_EARLIER:
            return "" if since < _NO_EARLIER else since
        return add_seconds(since, -SLACK_SECONDS)

    def covered_by(self, proofs: Proofs) -> bool:
        """Whether the heads are later than the window."""
        if proofs.lacking:
            return True
        until = self.question.until
        heads = self.leaf(proofs.epochs[0].heads)
        return bool(until) and not self.question.source_time and heads.time > until

    def leaf(self, index: int) -> Leaf:
        """A leaf, read once."""
        if index not in self.decoded:
            self.decoded[index] = decode(self.reader.leaf(index))
        return self.decoded[index]

    def add(self, index: int) -> None:
        """Make a leaf part of the answer; ``UsageError`` if it is one too many."""
        self.leaf(index)
        if index not in self.leaves:
            self.leaves[index] = self.reader.leaf(index)
        if len(self.leaves) > MAX_LEAVES:
            raise UsageError(
                f"The answer would hold more than {MAX_LEAVES} leaves.",
                hint="Narrow the window with since: and until:.",
            )

    def walk(self, chains: Sequence[Chain], proofs: Proofs) -> None:
        """Take from each chain, in each epoch, what the window needs."""
        newest = self.leaf(proofs.epochs[0].heads)
        if not self.question.source_time:
            last = add_seconds(newest.time, _MICROSECOND)
            until = min(self.question.until or last, last)
            if self.question.since > until:  # a verifier takes no window that ends before it begins
                raise UsageError(f"The window begins after all that is here: {newest.time}.")
            self.question = msgspec.structs.replace(self.question, until=until)
        self.answers_shown = True
        self.newest_epoch = proofs.epochs[0].epoch
        for place, epoch in enumerate(proofs.epochs):
            self.add(epoch.epoch)
            self.add(epoch.heads)
            until = self.question.until if place == 0 and not self.question.source_time else ""
            for number, chain in enumerate(chains):
                at_head = self._take(chain, epoch, number, until)
                if chain in self.question.chains:
                    joins = chain.dimension != "type"
                    self.answers_shown = self.answers_shown and at_head and joins

    def _take(self, chain: Chain, epoch: EpochProof, number: int, until: str) -> bool:
        """Take one chain of one epoch; returns whether it is shown through its head."""
        self.openings.append(epoch.openings[number])
        head = epoch.proofs[number]
        self.heads[head.index, head.number] = head
        inside = self.inside.setdefault(chain, set())
        if head.last is None:
            return True
        counted = 0
        held: list[tuple[int, bytes]] = []  # shown if what comes before it is
        for index, link in self.reader.walk(head.chain_id, head.last):
            leaf = self.reader.decoded(index) if self.question.count else self.leaf(index)
            if leaf.re is not None and not self.question.count:
                self.answered[leaf.re] = index
            within = self._in_window(leaf)
            counted += within
            if (until and leaf.time > until) or (within and counted > 1 and self.question.count):
                held = [(index, link)]
                continue
            self._keep([*held, (index, link)])
            held = []
            if within and not self.question.count:
                inside.add(index)
            if leaf.time < self.since:
                break
        self._keep(held)
        return (head.last, head.link) in self.links

    def _keep(self, links: list[tuple[int, bytes]]) -> None:
        for index, link in links:
            self.add(index)
            self.links.add((index, link))

    def _in_window(self, leaf: Leaf) -> bool:
        time = leaf.at if self.question.source_time else leaf.time
        until = self.question.until
        return self.question.since <= time and (not until or time <= until)

    def records(self) -> list[int]:
        """The leaves of the window in the chains that were asked for."""
        return sorted(set().union(*(self.inside[chain] for chain in self.question.chains)))

    def finish(self, records: Sequence[int]) -> Answer:
        """Add the other halves, the checkpoint, what outsiders said, and the inclusion proof."""
        pruned = self.reader.pruned()
        if self.question.not_proved:
            records = [index for index in records if pruned.has(index)]
        for index in records:
            self.add(index)
        halves: dict[int, int] = {}
        opened: list[int] = []
        not_shown: list[int] = []
        for index in records:
            half = self._half(index, opened, not_shown)
            if half is None:
                continue
            if not pruned.has(half):
                not_shown.append(index)
            elif self.within is None or half in self.leaves or self.within(half):
                self.add(half)
                halves[index] = half
            else:
                not_shown.append(index)
        found = set().union(*self.inside.values())
        gaps = sorted(index for index in found if self.leaf(index).type == "ledger.gap")
        leaves = sorted(self.leaves)
        data, checkpoint = checkpoint_over(self.reader, max(leaves, default=-1), self.wait)
        return Answer(
            question=self.question,
            checkpoint=data,
            origin=checkpoint.origin,
            size=checkpoint.size,
            leaves={index: self.leaves[index] for index in leaves},
            links=tuple(sorted(self.links)),
            openings=tuple(sorted(self.openings, key=_opening_order)),
            heads=tuple(self.heads[key] for key in sorted(self.heads)),
            proof=tuple(batch_proof(self.reader, leaves, checkpoint.size)),
            records=tuple(records),
            halves=halves,
            open=tuple(opened),
            not_shown=tuple(not_shown),
            unattributed=tuple(sorted(found - set(records) - set(gaps))),
            gaps=tuple(gaps),
            stamps=stamps(self.reader, leaves, checkpoint),
        )

    def _half(self, index: int, opened: list[int], not_shown: list[int]) -> int | None:
        """The other half of a record, if it has one that is known; else it is noted where not."""
        leaf = self.leaf(index)
        if leaf.type in BARE:
            raise NotFoundError(f"Leaf {index} is not a record.")
        if leaf.type not in ASKS:
            return leaf.re
        half = self.answered.get(index)
        if half is None and self.answers_shown and index > self.newest_epoch:
            opened.append(index)
        elif half is None:
            half = self.answers(index) if self.answers is not None else None
            there = half is not None and self.reader.pruned().has(half)
            if half is None or not there or self.leaf(half).re != index:
                not_shown.append(index)
                return None
        return half


def _opening_order(opening: Opening) -> tuple[int, str, str, str]:
    return opening.epoch, opening.tenant, opening.dimension, opening.value


def batch_proof(reader: LogReader, leaves: Sequence[int], size: int) -> list[bytes]:
    """One inclusion proof for ``leaves`` (ascending) in the tree of ``size``.

    From left to right, each largest subtree (RFC 6962 §2.1) without any of the leaves gives one
    hash.
    """
    hashes: list[bytes] = []

    def visit(first: int, count: int, inside: Sequence[int]) -> None:
        if not inside:
            hashes.append(merkle.range_hash(first, first + count, reader.subtree))
        elif count > 1:
            half = 1 << (count - 1).bit_length() - 1
            cut = next((k for k, i in enumerate(inside) if i >= first + half), len(inside))
            visit(first, half, inside[:cut])
            visit(first + half, count - half, inside[cut:])

    if size:
        visit(0, size, leaves)
    return hashes
