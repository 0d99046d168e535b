"""The examples on the page of the ledger's format are true, byte by byte."""

import base64
import hashlib
import hmac
import json
import re
import zlib
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from affidavit.durable import Disk
from affidavit.ids import b64u
from affidavit.ledger import chains, heads, leaf, merkle, note, pruned, staging, tiles
from affidavit.ledger.chains import Epoch
from affidavit.ledger.signing import Keys
from affidavit.record.model import DIMENSIONS, Chain
from tests.paths import REPOSITORY
from tests.world.clock import FakeClock

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


def test_the_records_of_a_rotation_on_the_page() -> None:
    """Both, and the lines of a policy in between."""
    first, second = (note.Signer("audit.example/log1", seed) for seed in (_SECRET, b"\x01" * 32))
    keys = Keys(first, lambda _: second, [], FakeClock())
    begun = keys.change(7, finish=False)
    assert json.loads(_said("first record")) == begun.what
    keys.adopt(begun)
    lines = [line for line in keys.policy_lines() if line.startswith("#valid")]
    assert re.findall(r"^#valid .*$", _PAGE, flags=re.MULTILINE) == lines
    assert json.loads(_said("second record")) == keys.change(19, finish=True).what


def test_what_the_ml_dsa_key_signs_on_the_page() -> None:
    """The message, and a signature over it that verifies under the key of that id."""
    text = "audit.example/log1\n5\nTju7H3tHjc/nH7YxYxUZo7yhLJrvyhYSv85ME6hiZNQ=\n"
    key = note.Cosigner("audit.example/log1", note.ML_DSA_44, _SECRET)
    line = key.cosign(text, 1767225600)
    raw = base64.b64decode(line.split()[2])
    assert raw[:4].hex() == _said("key id of 06")
    public = base64.b64decode(key.vkey.split("+", 2)[2])[1:]
    message = bytes.fromhex(_said("signed by 06"))
    MLDSA44PublicKey.from_public_bytes(public).verify(raw[12:], message)
    assert note.open_note((text + "\n" + line).encode(), [key.verifier()]).signers


def test_the_files_of_a_pruned_log_on_the_page_are_those() -> None:
    """A kept leaf, and what stands before the minimum index."""
    (data,) = re.findall(r'^\{"v":1.*\}$', _PAGE, flags=re.MULTILINE)
    kept = pruned.encode_kept([(0, data.encode(), b"")])
    assert kept == bytes([0]) + len(data).to_bytes(2, "big") + data.encode() + bytes(2)
    assert kept.hex().startswith(_said("kept begin"))
    assert str(len(kept)) == _said("kept length")
    assert hashlib.sha256(kept).hexdigest() == _said("kept sha256")
    line, leaves = _said("pruned line"), [int(one) for one in _said("its leaves").split()]
    body = line.encode() + b"\n" + b"".join(one.to_bytes(8, "big") for one in leaves)
    assert hashlib.sha256(body).hexdigest() == _said("its digest")
    found = pruned.decode(body + bytes.fromhex(_said("its digest")))
    assert (found.minimum, list(found.kept), found.open) == (256, leaves, (17,))
    assert pruned.encode(found) == body + bytes.fromhex(_said("its digest"))
