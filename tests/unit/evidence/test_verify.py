"""The verifier's own parts: signatures, notes, proofs, conditions, the command line."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from affidavit.evidence import verify
from affidavit.ledger import merkle, note, proof
from tests.attacks.world import World, by_model
from tests.paths import shared

SEED = bytes(range(32))


@settings(max_examples=30, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.binary(max_size=300), st.integers(0, 511))
def test_ed25519_agrees_with_the_library(seed: bytes, message: bytes, bit: int) -> None:
    """Signatures of the library verify, and with one bit changed they do not (RFC 8032)."""
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public = private.public_key().public_bytes_raw()
    signature = private.sign(message)
    assert verify.ed25519(public, message, signature)
    changed = bytearray(signature)
    changed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(InvalidSignature):
        private.public_key().verify(bytes(changed), message)
    assert not verify.ed25519(public, message, bytes(changed))
    assert not verify.ed25519(public, message + b"x", signature)


def test_ed25519_known_answers() -> None:
    """RFC 8032 §7.1, tests 1 to 3."""
    for public, message, signature in (
        (
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            (
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e"
                "39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
            ),
        ),
        (
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            (
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f"
                "3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
            ),
        ),
        (
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            (
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67"
                "f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
            ),
        ),
    ):
        assert verify.ed25519(*map(bytes.fromhex, (public, message, signature)))


def test_ed25519_refuses_what_is_malformed() -> None:
    """S not below the order, points not canonical or not on the curve, wrong lengths: refused."""
    private = Ed25519PrivateKey.from_private_bytes(SEED)
    public, signature = private.public_key().public_bytes_raw(), private.sign(b"m")
    s = int.from_bytes(signature[32:], "little") + verify.ORDER
    assert not verify.ed25519(public, b"m", signature[:32] + s.to_bytes(32, "little"))
    assert not verify.ed25519(public, b"m", b"\xff" * 32 + signature[32:])
    assert not verify.ed25519(b"\xff" * 32, b"m", signature)
    assert not verify.ed25519((2).to_bytes(32, "little"), b"m", signature)
    assert not verify.ed25519(public, b"m", signature + b"\0" * 1000)
    assert not verify.ed25519(public[:31], b"m", signature)
    one_with_sign = (1 | 1 << 255).to_bytes(32, "little")
    assert not verify.ed25519(one_with_sign, b"m", signature)


def test_the_example_of_the_signed_note_specification_opens() -> None:
    """C2SP: the worked checkpoint opens under its key, and its cosignature is left aside."""
    text = (
        "audit.example/log1\n5\nTju7H3tHjc/nH7YxYxUZo7yhLJrvyhYSv85ME6hiZNQ=\n\n"
        "— audit.example/log1 ZAolDzSfWDWMELDF/jwEOaooDM+zgp05u4mHslOsTbvnN06ohzXnC5RbEs3R30IcG"
        "hiIMA4HqaroD742Op/O4TqjEAE=\n"
        "— witness.example/w1 8e2MRwAAAABpVbkAqHpbh4ZTOtA3BSLAtHdhrHr7yXrhNpZPPRvZ8y6vP27shM8m+"
        "7xB4Oct3QS5Ddu+vp1kWMtfYeGwGkrSVZkNCA==\n"
    )
    log = "audit.example/log1+640a250f+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
    found = verify.read_checkpoint(text.encode(), verify.read_keys([log]))
    assert (found.origin, found.size, found.cosigned) == ("audit.example/log1", 5, {})
    root = base64.b64encode(found.root).decode()
    assert root == "Tju7H3tHjc/nH7YxYxUZo7yhLJrvyhYSv85ME6hiZNQ="
    witness = "witness.example/w1+f1ed8c47+BCFS+NGbeR0kRTJC4V8uq2y3z/p7al7TAJeWDgaYgdsS"
    policy = verify.read_policy(f"log {log}\nwitness w1 {witness}\nquorum w1\n")
    assert verify.read_checkpoint(text.encode(), policy).cosigned == {"w1": 1767225600}


def test_the_checkpoints_of_another_implementation_open() -> None:
    """Every checkpoint of the Tessera test log opens under its key."""
    line = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
    opened = 0
    for path in sorted(shared("vectors", "tessera-log").rglob("checkpoint*")):
        found = verify.read_checkpoint(path.read_bytes(), verify.read_keys([line]))
        assert found.origin == "example.com/log/testdata"
        opened += 1
    assert opened > 0


@pytest.mark.parametrize(
    "line",
    ["", "x", "a+b+c", "x+00000000+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4",
     "audit.example/log1+640a250f+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG5",
     "+640a250f+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"],
)  # fmt: skip
def test_a_key_that_is_none(line: str) -> None:
    """A verifier key with another hash, no name or another length is wrong use."""
    with pytest.raises(verify.WrongUse):
        verify.read_key(line)


def test_inclusion_vectors_of_another_implementation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The RFC 6962 inclusion vectors: right proofs give the root, wrong ones do not."""
    monkeypatch.setattr(verify, "leaf_hash", lambda digest: digest)  # they come hashed
    seen = {True: 0, False: 0}
    for line in shared("vectors", "merkle-inclusion.jsonl").read_text().splitlines():
        case = json.loads(line)
        case = case.get("case", case)
        if case["leafIdx"] >= case["treeSize"]:
            continue  # the caller compares the index with the size
        root, leaf = (base64.b64decode(case[name] or "") for name in ("root", "leafHash"))
        path = [base64.b64decode(node) for node in case["proof"] or []]
        if any(len(node) != 32 for node in [root, leaf]):
            continue  # both are computed here, never given
        try:
            good = verify.path_root(case["leafIdx"], case["treeSize"], leaf, path) == root
        except verify.Refused:
            good = False
        assert good == (not case["wantErr"])
        seen[good] += 1
    assert seen[True] > 5
    assert seen[False] > 50


def test_text_is_shown_without_its_tricks() -> None:
    """Spaces, quotes, control and bidirectional characters are shown escaped, in ASCII."""
    assert verify.show("gpt-4o") == "gpt-4o"
    for odd in ("", "a b", "a\nb", "\u202eevil", "é", "\ud800", "\x1b[2J"):
        assert verify.show(odd) == json.dumps(odd)
        assert verify.show(odd).isascii()


@given(st.integers(0, 200), st.text(max_size=5))
def test_no_text_fills_up_a_line(count: int, text: str) -> None:
    """Spaces in a row are shown by their number: still the same JSON, and no two stand together."""
    odd = text + " " * count + text
    assert "  " not in verify.show(odd)
    assert json.loads(verify.quoted(odd)) == odd


class _Answer:
    """As much of an answer as conditions look at."""

    def __init__(self) -> None:
        digests = ["x"] * 7
        self.leaves: dict[int, dict[str, Any]] = {
            1: {"type": "exchange.request", "time": "2026", "index": 1, "sections": digests},
            2: {"type": "exchange.response", "time": "2027", "index": 2, "re": 1,
                "sections": [None, None, "x", None, None, "x", None]},
            3: {"type": "exchange.request", "time": "2028", "index": 3, "sections": digests},
        }  # fmt: skip
        self.halves = {1: 2, 2: 1}
        self.not_shown = [3]


SHOWN: dict[int, dict[str, Any]] = {
    1: {"who": {"actor": "a", "groups": ["g", "h"]}, "what": {"gen_ai.request.model": "m-1"}},
    2: {"what": {"gen_ai.response.model": "m-2"}, "outcome": {"tokens": 10, "flag": True}},
    3: {},
}


@pytest.mark.parametrize(
    ("condition", "results"),
    [
        (["is", "type", "exchange.request"], [True, False, True]),
        (["prefix", "type", "exchange."], [True, True, True]),
        ([">=", "time", "2027"], [False, True, True]),
        (["<", "index", 2], [True, False, False]),
        (["is", "who.actor", "a"], [True, True, None]),
        (["is", "who.actor", "b"], [False, False, None]),
        (["is", "who.groups", "h"], [True, True, None]),
        (["has", "who.team"], [False, False, None]),
        ([">", "outcome.tokens", 9.5], [None, True, None]),
        ([">", "outcome.tokens", 10], [None, False, None]),
        (["is", "outcome.flag", 1], [None, False, None]),
        ([">", "outcome.flag", 0], [None, False, None]),
        (["is", "control.decision", "deny"], [None, False, None]),
        (["half", ["is", "what.gen_ai.response.model", "m-2"]], [True, False, None]),
        (["half", ["is", "what.gen_ai.request.model", "m-1"]], [True, True, None]),
        (["not", ["is", "who.actor", "a"]], [False, False, None]),
        (["or", ["is", "who.actor", "a"], ["stated", "x"]], [True, True, None]),
        (["and", ["is", "who.actor", "a"], ["stated", "x"]], [None, None, None]),
        (["and", ["is", "who.actor", "b"], ["stated", "x"]], [False, False, None]),
        (["and"], [True, True, True]),
        (["or"], [False, False, False]),
    ],
)
def test_conditions(condition: list[Any], results: list[Any]) -> None:
    """A condition is true, false, or not decided by what is shown, for each record."""
    assert verify.is_condition(condition)
    answer: Any = _Answer()
    assert [verify.holds(condition, index, answer, SHOWN) for index in (1, 2, 3)] == results


@pytest.mark.parametrize(
    "value",
    [None, [], "x", ["is"], ["is", "who.actor"], ["is", "who", "x"], ["is", "nobody.x", "y"],
     ["not"], ["not", ["and"], ["and"]], ["guess", "who.actor", "x"], ["stated", 7], [["and"]],
     ["has", "who.actor", "x"], ["is", 7, "x"], ["half"], ["and", "x"],
     ["is", "who.actor", None], ["is", "who.actor", ["x"]], ["is", "who.actor", {"a": 1}]],
)  # fmt: skip
def test_what_is_no_condition(value: Any) -> None:
    """What the verifier would not understand is no condition."""
    assert not verify.is_condition(value)


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (["is", "type", "tool.call"], 'type is "tool.call"'),
        (["has", "who.purpose"], "has who.purpose"),
        ([">=", "outcome.tokens", 5], "outcome.tokens >= 5"),
        (["and"], "(and of nothing)"),
        (["or", ["is", "what.a", "x"], ["not", ["is", "what.b", True]]],
         '(what.a is "x" or not what.b is true)'),
        (["half", ["prefix", "what.m", "gpt"]], 'the other half: what.m prefix "gpt"'),
        (["stated", 'none") or nothing'],
         '"none\\") or nothing" (in the exporter\'s words, not evaluated)'),
        (["is", "who.a is 1 or who.b", "x"], '"who.a is 1 or who.b" is "x"'),
    ],
)  # fmt: skip
def test_conditions_in_words(condition: list[Any], words: str) -> None:
    """What was evaluated is said so that no value or field reads as more than itself."""
    assert verify.is_condition(condition)
    assert verify.in_words(condition) == words


def test_conditions_nested_without_end_are_refused() -> None:
    """Depth is bounded, so no manifest exhausts the stack."""
    deep: list[Any] = ["and"]
    for _ in range(200):
        deep = ["not", deep]
    assert not verify.is_condition(deep)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A bundle, a key, a leaf and its proof on disk."""
    world = World(tmp_path / "log")
    world.exchange()
    made = world.bundle(by_model())
    size = world.reader.checkpoint().size
    text = proof.encode_proof(1, world.reader.inclusion(1, size), world.reader.checkpoint_bytes())
    paths = {name: tmp_path / name for name in ("bundle", "key", "leaf", "proof")}
    paths["bundle"].write_bytes(made.data)
    paths["key"].write_text(f"# the log\n{world.vkey}\n")
    paths["leaf"].write_bytes(world.reader.leaf(1))
    paths["proof"].write_text(text)
    world.close()
    return paths


def test_command_line_good(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """A good bundle: status 0 and the verdict, or one JSON object with the facts."""
    assert verify.main([str(files["bundle"]), "--key", str(files["key"])]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [
        "Integrity", "Completeness", "Assurance", "Coverage", "About", "Manifest", "Unchecked",
    ]  # fmt: skip
    key = files["key"].read_text().splitlines()[1]
    assert verify.main([str(files["bundle"]), "--key", key, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is True
    assert report["facts"]["counts"]["records"] == 2
    digest = hashlib.sha256(verify.read_zip(files["bundle"].read_bytes())["manifest.json"])
    assert report["manifest"] == verify.b64u(digest.digest())
    assert lines[5].split() == ["Manifest", report["manifest"]]
    assert report["facts"]["question"]["chains"] == [["acme", "model", "gpt-a"]]
    assert report["facts"]["stated"]["expression"] == "model:gpt-a"
    assert report["facts"]["stated"]["boundary"] == {"role": "auditor"}
    assert "expression" not in report["facts"]["question"]


def test_command_line_manifest(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """With the digest of its manifest a bundle verifies and says so; with another it is refused."""
    command = [str(files["bundle"]), "--key", str(files["key"])]
    assert verify.main([*command, "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["unchecked"].startswith("nothing vouches for these")
    assert plain["facts"]["manifest_named"] is False
    digest = plain["manifest"]
    assert verify.main([*command, f"--manifest={digest}", "--json"]) == 0
    named = json.loads(capsys.readouterr().out)
    assert named["unchecked"].startswith("the manifest is the one named")
    assert named["facts"]["manifest_named"] is True
    for report in (plain, named):
        said = "report.html, README.txt and both verifiers inside are for people, not evidence"
        assert report["unchecked"].endswith(said)
    assert verify.main([*command, f"--manifest={'A' * 43}"]) == 1
    assert capsys.readouterr().out.startswith("REFUSED  wrong-manifest\n")
    assert verify.main([str(files["bundle"]), f"--manifest={'A' * 43}"]) == 1
    capsys.readouterr()
    assert verify.main([str(files["bundle"]), f"--manifest={digest}"]) == 2
    capsys.readouterr()
    for odd in ("", digest[:-1], digest + "A", digest + "\n"):
        assert verify.main([*command, f"--manifest={odd}"]) == 2
        assert "43 characters" in capsys.readouterr().err


def test_command_line_without_a_key(
    files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a key from outside nothing is trusted: said so, and the status is not 0."""
    assert verify.main([str(files["bundle"])]) == 2
    captured = capsys.readouterr()
    assert "self-consistent only" in captured.out
    assert "who recorded them was not checked" in captured.out
    assert "--key" in captured.err
    assert verify.main([str(files["bundle"]), "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["ok"] is False


def test_command_line_refused(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """A changed bundle: status 1, the name of the refusal, and a sentence."""
    data = bytearray(files["bundle"].read_bytes())
    data[-1] ^= 1
    files["bundle"].write_bytes(bytes(data))
    assert verify.main([str(files["bundle"]), "--key", str(files["key"])]) == 1
    assert capsys.readouterr().out.startswith("REFUSED  not-canonical\n")
    assert verify.main([str(files["bundle"]), "--key", str(files["key"]), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["refused"] == "not-canonical"


def test_command_line_wrong_use(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files that are not there, and keys that are none: status 2 and a sentence."""
    (tmp_path / "empty").write_text("# nothing\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for argv in (
        [str(tmp_path / "absent"), "--key", str(files["key"])],
        [str(files["bundle"]), "--key", str(tmp_path / "absent")],
        [str(files["bundle"]), "--key", str(tmp_path / "empty")],
        [str(files["bundle"]), "--key", str(tmp_path / "binary")],
        [str(files["bundle"]), "--key", "log.example+00000000+AAAA"],
        [str(files["proof"]), "--key", str(files["key"])],
        [str(files["proof"]), "--leaf", str(files["leaf"]), "--manifest", "A" * 43],
    ):
        assert verify.main(argv) == 2
        assert capsys.readouterr().err.strip()


def test_tlog_proof(files: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """A .tlog-proof with its leaf verifies; another leaf, index, path or key does not."""
    command = [str(files["proof"]), "--leaf", str(files["leaf"]), "--key", str(files["key"])]
    assert verify.main(command) == 0
    assert "leaf 1 is in the ledger" in capsys.readouterr().out
    text, leaf = files["proof"].read_text(), files["leaf"].read_bytes()
    changes = [
        (text.replace("index 1", "index 2"), leaf),
        (text.replace("index 1", "index 01"), leaf),
        (text.replace("index 1\n", ""), leaf),
        ("\n".join(text.split("\n")[:2] + text.split("\n")[3:]), leaf),
        (text, leaf.replace(b"observed", b"reported")),
        (text, leaf[:-1]),
    ]
    for proof_text, leaf_bytes in changes:
        files["proof"].write_text(proof_text)
        files["leaf"].write_bytes(leaf_bytes)
        assert verify.main(command) == 1, proof_text
    stranger = note.Signer("elsewhere", SEED).vkey
    files["proof"].write_text(text)
    files["leaf"].write_bytes(leaf)
    assert verify.main([*command[:-1], stranger]) == 1


def test_merkle_of_both_sides_agrees() -> None:
    """The verifier's tree and the ledger's, written apart, give the same roots."""
    leaves = [bytes([n]) * n for n in range(70)]
    for size in range(1, 70):
        every = list(enumerate(leaves[:size]))
        expected = merkle.root([merkle.leaf_hash(leaf) for leaf in leaves[:size]])
        assert verify.batch_root(every, size, []) == expected


def test_many_chains_are_named_together() -> None:
    """The verdict names each value and each tenant once, and few chains one by one."""
    few = [verify.Chain("t", "model", "a"), verify.Chain("", "type", "x")]
    assert verify.any_of(few) == "model=a, tenant t or type=x"
    many = [verify.Chain(t, "type", f"k{n}") for t in ("", "t") for n in range(verify.MAX_NAMED)]
    names = ", ".join(f"k{n}" for n in range(verify.MAX_NAMED))
    assert verify.any_of(many) == f"type one of {names} of no tenant and tenant t"
    odd = [*many, verify.Chain("t", "model", "a")]
    assert verify.any_of(odd) == f"{verify.any_of(many)} or model one of a of tenant t"


def test_a_key_that_is_none_is_wrong_use() -> None:
    """What is neither a key nor a file is said to be that."""
    with pytest.raises(verify.WrongUse, match="neither a verifier key nor a file"):
        verify.read_keys(["wrong"])
