"""Somebody with the log's key, who publishes a tree of his own making."""

import json
import struct
from typing import Any

from affidavit import ids
from affidavit.evidence import bundle
from affidavit.ledger import merkle, note
from affidavit.ledger.chains import link_digest
from affidavit.ledger.heads import head_hash
from tests.attacks.world import World, members, pack, without


class Forger:
    """Somebody with the log's key who publishes a tree of his own making."""

    def __init__(self, world: World, data: bytes) -> None:
        self.world = world
        self.files = members(data)
        self.size = int(json.loads(self.files["manifest.json"])["size"])
        self.leaves = [json.loads(world.reader.leaf(i)) for i in range(self.size)]
        self.links = {
            (line["leaf"], place): ids.from_b64u(line["link"])
            for place, line in enumerate(map(json.loads, self.files["links.jsonl"].splitlines()))
        }

    def chain(self) -> list[tuple[int, int]]:
        """Keys of ``links`` of the model's chain, in order."""
        opening = next(
            line
            for line in map(json.loads, self.files["chains.jsonl"].splitlines())
            if line["value"] == "gpt-a"
        )
        name = "\0".join((opening["tenant"], "model", "gpt-a")).encode()
        label = b"affidavit/chain/v1\0" + bytes(8) + ids.from_b64u(opening["salt"]) + name
        chain_id = merkle._sha256(label).digest()[:16]
        return [key for key, link in self.links.items() if link[17:33] == chain_id]

    def relink(self, key: tuple[int, int], **change: int) -> None:
        """Change n or prev of a link, in the link and in its leaf."""
        old = self.links[key]
        n, prev = struct.unpack(">QQ", old[33:])
        new = old[:33] + struct.pack(">QQ", change.get("n", n), change.get("prev", prev))
        links = self.leaves[key[0]]["links"]
        links[links.index(link_digest(old))] = link_digest(new)
        links.sort()
        self.links[key] = new

    def head(self, key: tuple[int, int]) -> None:
        """Make the heads leaf say that the model's chain ends at this link."""
        name = next(name for name in self.files if name.startswith("heads/") and self._has(name))
        bucket = json.loads(self.files[name])
        entries = ids.from_b64u(bucket["entries"])
        chain_id = self.links[key][17:33]
        at = next(k for k in range(0, len(entries), 48) if entries[k : k + 16] == chain_id)
        head = head_hash(struct.pack(">Q", key[0]) + self.links[key])
        entries = entries[: at + 16] + head + entries[at + 48 :]
        bucket["entries"] = ids.b64u(entries)
        node, number = merkle.leaf_hash(entries), bucket["bucket"]
        for sibling in map(ids.from_b64u, bucket["path"]):
            pair = (sibling, node) if number & 1 else (node, sibling)
            node, number = merkle.node_hash(*pair), number >> 1
        self.leaves[bucket["heads"]]["map"] = ids.b64u(node)
        for other in [n for n in self.files if n.startswith("heads/") and n != name]:
            del self.files[other]  # the map has another root now; the others are made again
        self.files[name] = bundle._json(bucket)

    def _has(self, name: str) -> bool:
        entries = ids.from_b64u(json.loads(self.files[name])["entries"])
        chain_id = self.links[self.chain()[0]][17:33]
        return any(entries[k : k + 16] == chain_id for k in range(0, len(entries), 48))

    def publish(self, *hidden: int) -> bytes:
        """A bundle of the forged tree, without the leaves that stay hidden."""
        raw = [bundle._json(leaf) for leaf in self.leaves]
        hashes = [merkle.leaf_hash(leaf) for leaf in raw]
        text = note.Checkpoint(self.world.signer.name, self.size, merkle.root(hashes))
        self.files["checkpoint"] = note.sign_checkpoint(text, [self.world.signer])
        shown = [json.loads(li)["index"] for li in self.files["leaves.jsonl"].splitlines()]
        self.files["leaves.jsonl"] = b"".join(raw[i] + b"\n" for i in shown)
        lines = sorted((i, ids.b64u(link)) for (i, _), link in self.links.items())
        self.files["links.jsonl"] = b"".join(
            bundle._line({"leaf": i, "link": link}) for i, link in lines
        )
        tree = _Tree(hashes)
        return without(_Seen(self.world, tree), pack(self.files), *hidden)


class _Tree:
    """A tree in memory that gives proofs as ``LogReader`` does."""

    def __init__(self, hashes: list[bytes]) -> None:
        self.hashes = hashes

    def subtree(self, level: int, index: int) -> bytes:
        """Root over 2^level leaves."""
        return merkle.root(self.hashes[index << level : (index + 1) << level])


class _Seen(World):
    """A world whose files are the forger's."""

    def __init__(self, world: World, tree: Any) -> None:
        self.__dict__.update(world.__dict__)
        self.reader = tree
