"""The examples on the page of the ledger's format are true, byte by byte."""

import base64
import hashlib
import hmac
import re
import zlib
from pathlib import Path

from affidavit.durable import Disk
from affidavit.ids import b64u
from affidavit.ledger import chains, heads, leaf, merkle, staging, tiles
from affidavit.ledger.chains import Epoch
from affidavit.record.model import DIMENSIONS, Chain
from tests.paths import REPOSITORY

_PAGE = (REPOSITORY / "docs" / "format" / "ledger.md").read_text(encoding="utf-8")
_SECRET = bytes(range(32))
_CHAIN = Chain("acme", "model", "gpt-4o")


def _said(word: str) -> str:
    """What stands behind a word at the beginning of a line of an example."""
    found = re.findall(rf"^{word} +(.+)$", _PAGE, flags=re.MULTILINE)
    assert len(found) == 1, word
    return str(found[0])


def test_the_leaf_on_the_page_is_a_leaf() -> None:
    """It reads, writes and hashes as said, and opens the epoch of that secret."""
    (data,) = re.findall(r'^\{"v":1.*\}$', _PAGE, flags=re.MULTILINE)
    found = leaf.decode(data.encode())
    assert leaf.encode(found) == data.encode()
    assert hashlib.sha256(b"\x00" + data.encode()).hexdigest() == _said("leaf hash")
    epoch = Epoch(0, -1, chains.all_dimensions(DIMENSIONS), 1, _SECRET)
    assert found.opening == epoch.terms()


def test_the_chain_on_the_page_follows_by_hand_and_by_the_program() -> None:
    """Slot, salt and id, from the words of the page and from ``Epoch``."""
    name = "\x00".join(_CHAIN).encode()
    slot = int.from_bytes(hashlib.sha256(b"affidavit/slot/v1\x00" + name).digest()[:2], "big")
    salt = hmac.digest(_SECRET, slot.to_bytes(4, "big"), "sha256")[:16]
    known = hashlib.sha256(b"affidavit/chain/v1\x00" + bytes(8) + salt + name).digest()[:16]
    assert (str(slot), salt.hex(), known.hex()) == (
        _said("slot"),
        _said("salt"),
        _said("chain id"),
    )
    epoch = Epoch(0, -1, chains.all_dimensions(DIMENSIONS), 1, _SECRET)
    opening = epoch.opening(_CHAIN)
    assert (opening.slot, opening.salt, opening.chain_id) == (slot, salt, known)


def test_the_link_and_the_head_on_the_page_follow() -> None:
    """Link, digest, bucket and map."""
    key = b"\x00" + bytes.fromhex(_said("chain id"))
    link = chains.make_link(bytes(16), key, 1, chains.NO_PREVIOUS)
    assert (link.hex(), chains.link_digest(link)) == (_said("link"), _said("digest"))
    value = int(_said("last leaf")).to_bytes(8, "big") + link
    made = heads.HeadsMap.build({key: value})
    proof = made.prove(2, 0, key, value)
    head = hashlib.sha256(b"affidavit/head/v1\x00" + value).digest()
    assert proof.bucket.hex() == (key[1:] + head).hex() == _said("bytes")
    assert (str(proof.number), b64u(made.root)) == (_said("bucket no"), _said("map"))
    buckets = [merkle.leaf_hash(b"")] * 2**16
    buckets[proof.number] = merkle.leaf_hash(proof.bucket)
    assert merkle.root(buckets) == base64.urlsafe_b64decode(_said("map") + "=")


def test_the_frame_of_the_page_is_the_frame_of_the_program(tmp_path: Path) -> None:
    """Length, checksum, index, count, leaves, links, zeros."""
    stage = staging.Staging(Disk(), tmp_path, 7, 3)
    stage.append(3, [tiles.frame(b"leaf")], [tiles.frame(b"links")])
    stage.close()
    ((fencing, path),) = staging.files(tmp_path)
    assert (fencing, path.name) == (7, f"{7:010d}-{3:020d}")
    inner = (3).to_bytes(8, "big") + (1).to_bytes(4, "big") + b"\x00\x04leaf\x00\x05links"
    frame = len(inner).to_bytes(4, "big") + zlib.crc32(inner).to_bytes(4, "big") + inner
    data = path.read_bytes()
    assert data == frame + bytes(len(data) - len(frame))
