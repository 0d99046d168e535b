"""A batch worked out before anything is written: indices, times, links, leaves, the new root.

Rules: working out is pure, so a plan that is given up has changed nothing; it is done in phases
over the whole batch (chains and links, digests, leaves, tree), because that is twice as fast as
record by record. Every link's salt is 16 fresh random bytes. The first record of a new value of a
base dimension joins ``<d>.values`` too. A writer's counter has no holes, and nothing follows its
``ledger.ended``. Not here: which chains a record joins (``attribution``), making a plan true
(``log``).
"""

import binascii
import hashlib
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from affidavit import ids
from affidavit.clock import add_seconds, is_stored
from affidavit.errors import CorruptError, ParseError, UsageError
from affidavit.ledger import merkle, tiles
from affidavit.ledger.chains import (
    KEY_BYTES,
    NO_PREVIOUS,
    SALT_BYTES,
    Epoch,
    link_digest,
    split_links,
)
from affidavit.ledger.heads import VALUE_BYTES
from affidavit.ledger.leaf import (
    ANSWERS,
    ASKS,
    BARE,
    HEADS,
    MAX_LEAF,
    OPENING,
    EpochTerms,
    HeadsTerms,
    Leaf,
    compose,
    decode_at,
    is_id,
    is_incarnation,
)
from affidavit.ledger.staging import Batch
from affidavit.ledger.state import Open
from affidavit.ledger.tip import Facts, Tip
from affidavit.record.model import SECTIONS, TIERS, TYPES, Placed, Record

AHEAD_SECONDS = 300
"""A source time further than this in front of ledger time is replaced by it."""

_USUAL, _DRAWN = 8, 64
"""So many salts are drawn at once for each record of a batch, and so many more when they are
used up."""

_NONE = NO_PREVIOUS.to_bytes(8, "big")
_last = struct.Struct(f">8s{VALUE_BYTES - 24}xQ8x").unpack
"""From a head in memory: the index of its leaf as it stands there, and its n."""
_link = struct.Struct(f">{SALT_BYTES}s{KEY_BYTES}sQ8s").pack
"""A link of salt, key, n and the index of the previous leaf (``chains.make_link``)."""
_URL = bytes.maketrans(b"+/", b"-_")
_sha256 = hashlib.sha256


class Submission(NamedTuple):
    """A record as its writer counted it; ``bodies`` beside ``record.parts``, whole."""

    src: tuple[str, int]
    record: Record
    bodies: tuple[bytes, ...] = ()


class Item(NamedTuple):
    """A submission, or a leaf of the ledger's own with its extra fields."""

    src: tuple[str, int]
    record: Record
    bodies: tuple[bytes, ...] = ()
    terms: EpochTerms | HeadsTerms | None = None


class Plan(NamedTuple):
    """Leaves that can be committed as they are, as long as the ledger has ``base`` leaves.

    ``placed`` runs over all of them, the ledger's own included (empty in a plan that was read
    back). ``heads``: the first one is a heads leaf; ``opening``: index of the leaf that opens
    ``epoch``. The rest is for ``Log.commit``; entries and links are framed.
    """

    base: int
    placed: list[Placed]
    tree: merkle.Tree
    hashes: list[bytes]
    risen: list[tuple[int, bytes]]
    entries: list[bytes]
    links: list[bytes]
    facts: Facts
    heads: bool
    opening: int | None = None
    epoch: Epoch | None = None


def apply(tip: Tip, plan: Plan) -> None:
    """Move a tip behind the leaves of a plan that was committed."""
    tip.extend(plan.tree, plan.hashes, plan.risen, plan.entries, plan.links)
    if plan.epoch is not None:
        tip.enter(plan.epoch)
    tip.learn(plan.facts)


class _Joined(NamedTuple):
    item: Item
    re: int | None
    links: list[bytes]
    firsts: tuple[str, ...] = ()


def work_out(tip: Tip, items: Sequence[Item], time: str, epoch: Epoch | None = None) -> Plan:
    """Work out the leaves of ``items`` behind ``tip``, all at ledger time ``time``.

    ``ParseError`` for a record that no leaf can hold; ``UsageError`` for a writer's counter that
    does not continue. ``epoch`` is the new one if the last item opens it.
    """
    facts = Facts(time)
    joined = _join(tip, items, facts)
    digests = _digests([link for row in joined for link in row.links])
    sections = iter(_digests(_disclosures(items)))
    latest = add_seconds(time, AHEAD_SECONDS)
    at = 0
    base = tip.tree.size
    placed, hashes, entries, bundles = [], [], [], []
    for index, (item, re_index, links, firsts) in enumerate(joined, base):
        src, record, bodies, terms = item
        end = at + len(links)
        linked = dict(zip(digests[at:end], links, strict=True))
        at = end
        order = sorted(linked)
        ordered = tuple([linked[digest] for digest in order])
        if record.at > latest:
            record = msgspec.structs.replace(record, at=time)
        leaf = compose(
            index,
            time,
            record.at,
            (record.id, record.type, record.tier),
            src,
            re_index,
            [None if text is None else next(sections) for text in record.sections],
            order,
            terms,
        )
        if len(leaf) > MAX_LEAF:
            raise ParseError("A leaf is at most 65,535 bytes.")
        hashes.append(_sha256(b"\x00" + leaf).digest())
        entries.append(len(leaf).to_bytes(2, "big") + leaf)
        bundles.append(tiles.frame(b"".join(ordered)))
        placed.append(Placed(index, time, re_index, src, record, bodies, leaf, ordered, firsts))
    tree = tip.tree.copy()
    risen = tree.extend(hashes, tiles.HEIGHT)
    kinds = [item.record.type for item in items]
    opening = next((base + at for at, kind in enumerate(kinds) if kind in OPENING), None)
    return Plan(
        base,
        placed,
        tree,
        hashes,
        risen,
        entries,
        bundles,
        facts,
        kinds[:1] == [HEADS],
        opening,
        epoch,
    )


def read_back(
    tip: Tip, batch: Batch, epoch_of: Callable[[Leaf], Epoch]
) -> tuple[Plan, HeadsTerms | None]:
    """The plan that a staged batch was, and what its heads leaf claims if it begins with one.

    ``CorruptError`` if it is not leaves and links that belong together behind ``tip``.
    """
    leaves = [decode_at(entry, batch.first + at) for at, entry in enumerate(batch.entries)]
    facts = Facts()
    for leaf, links in zip(leaves, batch.links, strict=True):
        split = split_links(links)
        if tuple(link_digest(link) for link in split) != leaf.links:
            raise CorruptError(f"The staged links of leaf {leaf.index} are not the leaf's.")
        tip.gather(leaf, split, facts)
    opening = next((leaf for leaf in leaves if leaf.opening), None)
    hashes = [merkle.leaf_hash(entry) for entry in batch.entries]
    tree = tip.tree.copy()
    risen = tree.extend(hashes, tiles.HEIGHT)
    plan = Plan(
        batch.first,
        [],
        tree,
        hashes,
        risen,
        [tiles.frame(entry) for entry in batch.entries],
        [tiles.frame(links) for links in batch.links],
        facts,
        leaves[0].heads is not None,
        None if opening is None else opening.index,
        None if opening is None or opening.index == 0 else epoch_of(opening),
    )
    return plan, leaves[0].heads


def _join(tip: Tip, items: Sequence[Item], facts: Facts) -> list[_Joined]:
    """First phase: check each record, find its chains and make its links."""
    opened, writers = facts.opened, facts.writers
    committed, attribution = tip.chains, tip.attribution
    chains: dict[bytes, tuple[int, bytes, bytes]] = {}  # key → n, index and link of the last one
    found: list[_Joined] = []
    salts = _salts(_USUAL * len(items))
    for index, item in enumerate(items, tip.tree.size):
        src, record, _, terms = item
        name, counted = src
        known = writers.get(name) or tip.writers.get(name)
        _check(record, terms)
        expected, over = known or (0, False)
        if over or counted != expected or (known is None and not is_incarnation(name)):
            raise UsageError(
                f"Record {counted} of writer {name} does not follow record {expected - 1}."
            )
        writers[name] = (counted + 1, record.type == "ledger.ended")
        if terms is not None:
            found.append(_Joined(item, None, []))
            continue
        request = None
        if record.parent is not None and record.type in ANSWERS:
            request = (
                opened[record.parent] if record.parent in opened else tip.open.get(record.parent)
            )
            if request is not None:
                opened[record.parent] = None
        joins, whole = attribution.keys(record, () if request is None else request.keys)
        stamp = index.to_bytes(8, "big")
        links: list[bytes] = []
        fresh: dict[bytes, None] = {}
        for key in whole.keys:
            last = chains.get(key)
            if last is not None:
                n, before, _ = last
            elif (value := committed.get(key)) is not None:
                before, n = _last(value)
            else:
                before, n = _NONE, 0
                if key in joins.values:
                    fresh[joins.values[key]] = None
            link = _link(next(salts), key, n + 1, before)
            chains[key] = (n + 1, stamp, link)
            links.append(link)
        if fresh:
            whole = attribution.whole((*whole.keys, *[k for k in fresh if k not in whole.keys]))
            for key in whole.keys[len(links) :]:
                last = chains.get(key)
                if last is not None:
                    n, before, _ = last
                else:
                    value = committed.get(key)
                    before, n = (_NONE, 0) if value is None else _last(value)
                link = _link(next(salts), key, n + 1, before)
                chains[key] = (n + 1, stamp, link)
                links.append(link)
        if record.type in ASKS:
            opened[record.id] = Open(index, attribution.handed(whole.keys))
        re_index = None if request is None else request.position
        found.append(_Joined(item, re_index, links, whole.firsts))
    facts.chains = {key: stamp + link for key, (_, stamp, link) in chains.items()}
    return found


def _salts(count: int) -> Iterator[bytes]:
    """Fresh random salts without end, drawn and cut ``count`` at once, then some more at once."""
    while True:
        drawn = ids.random_bytes(SALT_BYTES * count)
        yield from struct.unpack(f"{SALT_BYTES}s" * count, drawn)
        count = _DRAWN


def _check(record: Record, terms: EpochTerms | HeadsTerms | None) -> None:
    if not (
        is_id(record.id)
        and record.type in TYPES
        and record.tier in TIERS
        and is_stored(record.at)
        and len(record.sections) == len(SECTIONS)
    ):
        raise ParseError("A field of the record is not what it may be.")
    if (record.type in BARE) != (terms is not None):
        raise ParseError(f"Only the ledger itself writes {record.type}.")


def _disclosures(items: Sequence[Item]) -> list[bytes]:
    try:
        return [
            text.encode("ascii")
            for item in items
            for text in item.record.sections
            if text is not None
        ]
    except UnicodeEncodeError as error:
        raise ParseError("A disclosure is ASCII.") from error


def _digests(data: Sequence[bytes]) -> list[str]:
    """b64u SHA-256 of each, by one base64 call over all: 33 bytes a digest are 44 characters."""
    joined = b"\x00".join([_sha256(one).digest() for one in data])
    text = binascii.b2a_base64(joined, newline=False).translate(_URL).decode("ascii")
    return [text[at : at + 43] for at in range(0, 44 * len(data), 44)]
