"""What we write under programs that know none of our code; ``scripts/interop`` installs them.

Each test prints a row: who read what, and that it refused the same with one byte changed.
"""

import base64
import json
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from affidavit.ledger import merkle, note
from affidavit.ledger.cose import Included, ReceiptKey
from affidavit.ledger.log_reader import LogReader
from tests.interop.test_go import write
from tests.paths import REPOSITORY, not_proven
from tests.world import ledger
from tests.world.ledger import ORIGIN, SEED, World, signer

PEERS = REPOSITORY / ".venv" / "peers"
HERE = Path(__file__).parent
MOMENT = 1_795_000_000
WITNESS = note.Cosigner("witness.example/w1", note.COSIGNATURE, b"\x42" * 32)


def _peer(name: str) -> str:
    path = PEERS / "bin" / name
    if not path.exists():
        not_proven(f"{name} is not installed (scripts/interop), so it judged nothing of ours")
    return str(path)


def _run(*words: object, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in words], input=given, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A log of 1,500 leaves, with the checkpoint it had at about 600 kept as ``old``."""
    with pytest.MonkeyPatch.context() as patch:
        ledger.quick(patch)
        made = write(tmp_path_factory.mktemp("log"), 600)
        (made.directory / "old").write_bytes((made.root / "checkpoint").read_bytes())
        return write(made.directory, 1500)


def _sizes(world: World) -> tuple[LogReader, int, int]:
    reader = world.reader()
    old = note.open_checkpoint((world.directory / "old").read_bytes(), signer().verifier())
    return reader, old.size, reader.checkpoint().size


def _cosigned(world: World, moment: int = MOMENT) -> str:
    data = (world.root / "checkpoint").read_text()
    return data + WITNESS.cosign(data.partition("\n\n")[0] + "\n", moment)


def _picked(size: int) -> list[int]:
    return sorted({0, 255, 256, 511, 512, size - 1, *random.Random(1).sample(range(size), 10)})


def test_aics_tlog_accepts_checkpoint_inclusion_and_consistency(
    world: World, tmp_path: Path
) -> None:
    """From our files as they are: tiles, entry bundles, checkpoint, a witness's cosignature."""
    peer = _peer("aics-tlog")
    reader, older, size = _sizes(world)
    key = ("--log-key", signer().vkey)
    at = ("--tiles", world.root)
    found = _run(peer, "verify-checkpoint", *at, *key)
    assert found.returncode == 0, found.stderr
    signed = tmp_path / "cosigned"
    signed.write_text(_cosigned(world))
    witness = ("--witness-key", WITNESS.vkey, "--quorum", 1)
    found = _run(peer, "verify-checkpoint", "--note", signed, *key, *witness)
    assert found.returncode == 0, found.stderr
    picked = _picked(size)
    for index in picked:
        leaf = tmp_path / "leaf"
        leaf.write_bytes(reader.leaf(index))
        asked = (peer, "verify-inclusion", "--leaf", leaf, "--index", index, *at, *key)
        found = _run(*asked)
        assert found.returncode == 0, found.stderr
        leaf.write_bytes(reader.leaf(index) + b" ")
        assert _run(*asked).returncode != 0
    old = world.directory / "old"
    found = _run(peer, "verify-consistency", "--old-checkpoint", old, *at, *key)
    assert found.returncode == 0, found.stderr
    other = tmp_path / "other"
    root = b"\1" * 32
    other.write_bytes(note.sign_checkpoint(note.Checkpoint(ORIGIN, older, root), [signer()]))
    assert _run(peer, "verify-consistency", "--old-checkpoint", other, *at, *key).returncode != 0
    print(f"\naics-tlog: checkpoint, cosignature, {len(picked)} inclusions, {older} to {size}")


def test_metamorphic_log_accepts_checkpoint_inclusion_and_consistency(world: World) -> None:
    """Under a checkpoint that carries a cosignature, too; what is changed is refused."""
    python = _peer("python")
    reader, older, size = _sizes(world)
    asked: dict[str, Any] = {
        "old": (world.directory / "old").read_text(),
        "new": _cosigned(world),
        "vkeys": [signer().vkey],
        "consistency": [item.hex() for item in reader.consistency(older, size)],
        "leaves": [
            [
                index,
                merkle.leaf_hash(reader.leaf(index)).hex(),
                [item.hex() for item in reader.inclusion(index, size)],
            ]
            for index in _picked(size)
        ],
    }

    def judge(changed: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        script = HERE / "peers" / "metamorphic.py"
        return _run(python, script, given=json.dumps(asked | changed))

    found = judge({})
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith(f"{ORIGIN} {size}: ")
    index, leaf, path = asked["leaves"][3]
    assert judge({"leaves": [[index + 1, leaf, path]]}).returncode != 0
    assert judge({"consistency": asked["consistency"][:-1]}).returncode != 0
    assert judge({"new": asked["new"].replace(f"\n{size}\n", f"\n{size + 1}\n")}).returncode != 0
    print(f"\nmetamorphic-log: {found.stdout.strip()}")


def test_scitt_cose_accepts_our_receipts(world: World, tmp_path: Path) -> None:
    """As the gateway hands them out, for several leaves; another leaf is refused."""
    peer = _peer("scitt-cose")
    reader, _, size = _sizes(world)
    seed = bytes(range(32, 64))
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key()
    (tmp_path / "key.pem").write_bytes(
        public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    key = ReceiptKey(ORIGIN, seed, note.Signer(f"{ORIGIN}/receipts", seed).vkey)
    for index in _picked(size)[:8]:
        leaf = reader.leaf(index)
        included = Included(index, size, reader.inclusion(index, size), reader.root(size))
        (tmp_path / "receipt").write_bytes(key.receipt(included, reader.decoded(index).id))

        def judge(entry: bytes) -> dict[str, Any]:
            words = ("--receipt", tmp_path / "receipt", "--leaf-entry-hex", entry.hex(), "--json")
            found = _run(peer, *words, "--receipt-log-pubkey", tmp_path / "key.pem")
            answer: dict[str, Any] = json.loads(found.stdout)
            return answer | {"exit": found.returncode}

        good, bad = judge(leaf), judge(leaf + b" ")
        assert good["exit"] == 0, good
        assert bad["exit"] != 0, bad
    print(f"\nscitt-cose: 8 receipts in a tree of {size}")


def test_noble_accepts_our_ml_dsa_signatures() -> None:
    """A cosignature of type 06, and none with a bit changed in signature, message or key."""
    node, home = shutil.which("node"), PEERS / "noble"
    if node is None or not (home / "node_modules").is_dir():
        not_proven("@noble/post-quantum is not installed (scripts/interop): ML-DSA judged by none")
    cosigner = note.Cosigner(ORIGIN, note.ML_DSA_44, SEED)
    text = f"{ORIGIN}\n5\nTju7H3tHjc/nH7YxYxUZo7yhLJrvyhYSv85ME6hiZNQ=\n"
    signature = base64.b64decode(cosigner.cosign(text, MOMENT).split()[2])[12:]
    public = base64.b64decode(cosigner.vkey.split("+", 2)[2])[1:]
    message = note._timed(note.ML_DSA_44, ORIGIN, text, MOMENT)
    flip: Callable[[bytes], bytes] = lambda data: data[:50] + bytes([data[50] ^ 1]) + data[51:]  # noqa: E731 - used thrice below
    rows = [
        (public, message, signature),
        (public, message, flip(signature)),
        (public, flip(message), signature),
        (flip(public), message, signature),
    ]
    given = "".join(
        json.dumps(dict(zip(("public", "message", "signature"), map(bytes.hex, row), strict=True)))
        + "\n"
        for row in rows
    )
    found = _run(node, home / "verify.mjs", given=given)
    assert found.stdout.split() == ["true", "false", "false", "false"], found.stderr
    print("\n@noble/post-quantum: one ML-DSA-44 cosignature, three changed ones refused")
