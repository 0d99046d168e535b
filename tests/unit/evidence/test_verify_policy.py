"""Outside trust: policies, cosignatures, quorum, monitors, and what the assurance line says."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from affidavit.errors import AffidavitError
from affidavit.evidence import verify
from affidavit.evidence.bundle import Bundle
from affidavit.evidence.tools import tools
from affidavit.ledger import note, policy
from tests.attacks.world import ORIGIN, World, by_model

LOG = note.Signer(ORIGIN, bytes(range(32)))
SECOND = note.Signer(ORIGIN, bytes([9]) * 32)
QUANTUM = note.Cosigner(ORIGIN, note.ML_DSA_44, bytes([8]) * 32)
WITNESSES = [note.Cosigner(f"w{n}.example", note.COSIGNATURE, bytes([n]) * 32) for n in range(3)]
DISTANT = note.Cosigner("q.example", note.ML_DSA_44, bytes([7]) * 32)
TWIN = note.Cosigner("twin.example", note.COSIGNATURE, bytes([0]) * 32).vkey
CERTIFICATE = base64.b64encode(b"a certificate").decode()

TEXT = f"""# what an auditor was given
log {LOG.vkey} https://ledger.example/
log {SECOND.vkey}
#valid {SECOND.vkey} 100 -
#valid {LOG.vkey} 0 99
witness w0 {WITNESSES[0].vkey} https://w0.example/
witness w1 {WITNESSES[1].vkey}
witness w2 {WITNESSES[2].vkey}
witness far {DISTANT.vkey}
#monitor w2
group near 2 w0 w1 w2
group every all near far
group one any w0 far
#timestamps tsa {CERTIFICATE}
#post-quantum
quorum near
"""


def test_a_policy_is_read_as_the_ledger_reads_it() -> None:
    """Keys, sizes, groups, monitors, authorities: both parsers, written apart, agree."""
    ours, theirs = verify.read_policy(TEXT), policy.parse_policy(TEXT)
    assert list(ours.logs) == [key.verifier.vkey for key in theirs.logs]
    assert [(key.first, key.last) for key in ours.logs.values()] == [(0, 99), (100, 2**63)]
    assert [w.name for w in theirs.witnesses] == list(ours.witnesses)
    assert {w.name for w in theirs.witnesses if w.monitor} == ours.monitors == {"w2"}
    assert {name: (g.needed, list(g.members)) for name, g in theirs.groups.items()} == ours.groups
    assert dict(theirs.timestamps) == ours.authorities == {"tsa": b"a certificate"}
    assert ours.quorum == [theirs.quorum] == ["near"]
    assert bool(ours.post_quantum) == theirs.post_quantum is True


WORDS = [
    "log", "witness", "group", "quorum", "#monitor", "#valid", "#timestamps", "#post-quantum", "#",
    "# monitor", "none", "all", "any", "0", "1", "2", "02", "-", "99999", "w0", "w1", "far", "g",
    "https://x/", LOG.vkey, SECOND.vkey, QUANTUM.vkey, WITNESSES[0].vkey, WITNESSES[1].vkey,
    DISTANT.vkey, CERTIFICATE, "AAA", "x+00000000+AAAA", "name", "\u00a0", "\u2028", "\x1f",
]  # fmt: skip
LINES = st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join)
GOOD = [line for line in TEXT.split("\n") if line]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(GOOD), LINES), max_size=12), st.booleans())
@example([f"log {LOG.vkey}", "quorum none"], False)
@example([f"log {LOG.vkey}", "quorum none", "quorum none"], False)
@example([f"log {LOG.vkey}", "witness none " + WITNESSES[0].vkey, "quorum none"], False)
@example([f"log {LOG.vkey}", f"#valid {LOG.vkey} - -", "quorum none"], False)
@example([f"log {LOG.vkey}", f"#valid {LOG.vkey} 5 2", "quorum none"], False)
@example([f"log {QUANTUM.vkey}", f"witness a {DISTANT.vkey}", "group g all a", "quorum g"], False)
@example([f"log {LOG.vkey}", f"witness a {LOG.vkey}", "quorum none"], False)
@example(["witness twin " + TWIN, "quorum none"], True)
@example([f"log {LOG.vkey}\r", "quorum none\r"], False)
@example([f"log {LOG.vkey}", "group g 1000000000000 x", "quorum none"], False)
@example(["#timestamps a A===", f"log {LOG.vkey}", "quorum none"], False)
def test_both_parsers_take_and_refuse_the_same(lines: list[str], whole: bool) -> None:
    """Whatever a policy says, the verifier's parser and the ledger's agree about it."""
    text = "\n".join([*GOOD, *lines] if whole else lines)
    try:
        theirs = policy.parse_policy(text)
    except AffidavitError:
        with pytest.raises(verify.WrongUse):
            verify.read_policy(text)
        return
    ours = verify.read_policy(text)
    assert list(ours.logs) == [key.verifier.vkey for key in theirs.logs]
    for mask in range(16):
        names = [name for at, name in enumerate(("w0", "w1", "w2", "far")) if mask >> at & 1]
        there = {name: 1 for name in names if name in ours.witnesses}
        vkeys = [w.verifier.vkey for w in theirs.witnesses if w.name in there]
        assert verify.satisfied(ours, there) == theirs.satisfied(vkeys)


@pytest.mark.parametrize("text", ["", "quorum none\n", f"log {LOG.vkey}\n", "#" * 1_000_001])
def test_what_is_no_policy(text: str) -> None:
    """Without a log's key or a quorum, or without end, it is none."""
    with pytest.raises(verify.WrongUse):
        verify.read_policy(text)


def checkpoint(size: int = 5, *signers: note.NoteSigner) -> bytes:
    """A signed checkpoint."""
    head = note.Checkpoint(ORIGIN, size, bytes(range(32)))
    return note.sign_checkpoint(head, signers or [LOG])


def cosigned(data: bytes, moment: int, *cosigners: note.Cosigner) -> bytes:
    """The note with more signature lines."""
    text = data.decode().partition("\n\n")[0] + "\n"
    return data + "".join(one.cosign(text, moment) for one in cosigners).encode()


def test_cosignatures_count_by_name_with_their_time() -> None:
    """Type 04 is checked here; type 06 is named as unchecked, and checked with the tool."""
    data = cosigned(checkpoint(), 1_800_000_000, *WITNESSES[:2], DISTANT, QUANTUM)
    trust = verify.read_policy(TEXT.replace("quorum", f"log {QUANTUM.vkey}\nquorum"))
    alone = verify.read_checkpoint(data, trust)
    assert alone.cosigned == {"w0": 1_800_000_000, "w1": 1_800_000_000}
    assert alone.unchecked == ["far", ORIGIN]
    whole = verify.read_checkpoint(data, trust, tools())
    assert whole.cosigned == dict.fromkeys(["w0", "w1", "far"], 1_800_000_000)
    assert (whole.unchecked, whole.post_quantum) == ([], [1_800_000_000])


def test_the_worked_ml_dsa_message() -> None:
    """C2SP tlog-cosignature: what type 06 signs, byte for byte."""
    root = bytes.fromhex("4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4")
    made = note.Cosigner("witness.example/pq1", note.ML_DSA_44, bytes(range(32)))
    messages: list[bytes] = []

    def keep(public: bytes, message: bytes, signature: bytes) -> bool:
        messages.append(message)
        return tools().ml_dsa is not None and bool(public) and len(signature) == 2420

    head = note.Checkpoint("audit.example/log1", 5, root)
    log = note.Signer("audit.example/log1", bytes(range(32)))
    data = cosigned(note.sign_checkpoint(head, [log]), 1767225600, made)
    trust = verify.read_policy(f"log {log.vkey}\nwitness pq {made.vkey}\nquorum pq\n")
    assert verify.read_checkpoint(data, trust, verify.Tools(keep)).cosigned == {"pq": 1767225600}
    assert messages[0].hex() == (
        "737562747265652f76310a00137769746e6573732e6578616d706c652f707131000000006955b9001261"
        "756469742e6578616d706c652f6c6f6731000000000000000000000000000000054e3bbb1f7b478dcfe71f"
        "b631631519a3bca12c9aefca1612bfce4c13a86264d4"
    )


@pytest.mark.parametrize("kind", ["witness", "quantum"])
def test_a_cosignature_that_does_not_verify_is_refused(kind: str) -> None:
    """One by a known key over other text, or without a time, makes the whole note worthless."""
    who = WITNESSES[0] if kind == "witness" else DISTANT
    other = cosigned(checkpoint(6), 1_800_000_000, who).decode().splitlines(keepends=True)[-1]
    trust = verify.read_policy(TEXT)
    with pytest.raises(verify.Refused, match="bad-signature"):
        verify.read_checkpoint(checkpoint() + other.encode(), trust, tools())
    line = cosigned(checkpoint(), 1_800_000_000, who).decode().splitlines()[-1].split(" ")
    blob = bytearray(base64.b64decode(line[2]))
    for moment in (bytes(8), b"\xff" * 8):
        blob[4:12] = moment
        forged = f"— {line[1]} {base64.b64encode(bytes(blob)).decode()}\n"
        with pytest.raises(verify.Refused, match="bad-signature"):
            verify.read_checkpoint(checkpoint() + forged.encode(), trust, tools())


def test_a_key_that_was_rotated_away_signs_nothing_new() -> None:
    """Each key of the log counts for its sizes only; a line of one that does not is left aside."""
    trust = verify.read_policy(TEXT)
    for size, signer, good in (
        (99, LOG, True), (100, LOG, False), (99, SECOND, False), (100, SECOND, True),
    ):  # fmt: skip
        data = checkpoint(size, signer)
        if good:
            assert verify.read_checkpoint(data, trust).size == size
            continue
        with pytest.raises(verify.Refused, match="wrong-key"):
            verify.read_checkpoint(data, trust)
    assert verify.read_checkpoint(checkpoint(100, LOG, SECOND), trust).size == 100


def test_a_receipt_key_signs_no_checkpoints() -> None:
    """Gateways hold it; whoever gives it for receipts has not given a second log."""
    receipts = note.Signer(f"{ORIGIN}/receipts", bytes([5]) * 32)
    head = note.Checkpoint(receipts.name, 5, bytes(32))
    data = note.sign_checkpoint(head, [receipts])
    with pytest.raises(verify.Refused, match="receipt key") as found:
        verify.read_checkpoint(data, verify.read_keys([LOG.vkey, receipts.vkey]))
    assert found.value.name == "wrong-key"
    assert verify.read_checkpoint(data, verify.read_keys([receipts.vkey])).size == 5


def test_a_log_with_an_ml_dsa_key_alone_needs_the_tool() -> None:
    """What cannot be checked here is no signature: refused, and accepted with the tool."""
    trust = verify.read_policy(f"log {QUANTUM.vkey}\n#post-quantum\nquorum none\n")
    text = note.Checkpoint(ORIGIN, 5, bytes(32)).text()
    data = (text + "\n" + QUANTUM.cosign(text, 1_800_000_000)).encode()
    with pytest.raises(verify.Refused, match="wrong-key"):
        verify.read_checkpoint(data, trust)
    assert verify.read_checkpoint(data, trust, tools()).post_quantum == [1_800_000_000]


def test_a_witnesss_key_is_no_key_of_a_log(tmp_path: Path) -> None:
    """``--key`` takes keys of the log; of type 04 there is none."""
    with pytest.raises(verify.WrongUse):
        verify.read_keys([WITNESSES[0].vkey])
    file = tmp_path / "log.vkey"
    file.write_text(f"{SECOND.vkey}\n{LOG.vkey}\n{QUANTUM.vkey}\n")
    trust = verify.read_keys([str(file)])
    data = cosigned(checkpoint(5, LOG, SECOND), 1_800_000_000, QUANTUM)
    assert verify.read_checkpoint(data, trust).unchecked == [ORIGIN]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A ledger whose newest note two witnesses and a monitor have cosigned."""
    made = World(tmp_path_factory.mktemp("policy") / "log")
    made.exchange()
    made.witnesses = WITNESSES
    yield made
    made.close()


@pytest.fixture(scope="module")
def bundled(world: World) -> Bundle:
    """The evidence, over that note."""
    made = world.bundle(by_model())
    assert made.counts["records"] == 2
    return made


def assured(data: bytes, text: str, use: verify.Tools = verify.NO_TOOLS) -> tuple[str, bool]:
    """The assurance line under a policy, and whether the policy is satisfied."""
    verdict = verify.check(data, verify.read_policy(text), "", use)
    return verdict.assurance, verdict.facts["ok"]


def test_what_the_assurance_line_says(bundled: Bundle) -> None:
    """Who cosigned when, whether the quorum is met, which monitor replayed how much, by when."""
    said, ok = assured(bundled.data, TEXT.replace("#post-quantum\n", ""))
    assert ok is True
    assert said == (
        "besides the log's key: witness w0 at 2026-11-23T12:00:12.000000Z, "
        "witness w1 at 2026-11-23T12:00:12.000000Z, witness w2 at 2026-11-23T12:00:12.000000Z; "
        "quorum near met; monitor w2 has replayed to size 5; "
        "leaf 4 was there by 2026-11-23T12:00:12.000000Z"
    )
    said, ok = assured(bundled.data, TEXT.replace("#monitor w2\n", ""))
    assert "no monitor has replayed the chains, so counts, heads and times are asserted" in said
    assert said.endswith("no ML-DSA-44 signature of the log was checked")
    assert ", and nothing shows how long before; " in said
    assert "classical only: no ML-DSA-44 signature of the log was checked" in said
    assert ok is True


def test_a_quorum_that_is_not_met_is_said_and_not_ok(bundled: Bundle) -> None:
    """A policy is a demand: without its quorum nothing is trusted by it."""
    said, ok = assured(bundled.data, TEXT.replace("quorum near", "quorum every"))
    assert ok is False
    assert "quorum every NOT met, so by this policy nothing here is trusted" in said
    alone, ok = assured(bundled.data, f"log {LOG.vkey}\nquorum none\n")
    assert ok is True
    assert alone == (
        "own key only: no witness, no timestamp; no monitor has replayed the chains, "
        "so counts, heads and times are asserted"
    )


def test_without_anything_from_outside(bundled: Bundle) -> None:
    """Cosignatures of keys that nobody named vouch for nothing."""
    verdict = verify.check(bundled.data, verify.read_keys([]))
    assert verdict.assurance.startswith("self-consistent only")
    assert verdict.facts["ok"] is False
    assert verdict.facts["assurance"]["witnesses"] == {}


def test_exit_status_follows_the_policy(
    bundled: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 if the quorum is met, 1 if not, 2 for what is no policy or for both kinds of trust."""
    (tmp_path / "bundle").write_bytes(bundled.data)
    command = [str(tmp_path / "bundle"), "--policy", str(tmp_path / "policy")]
    for text, status in (
        (TEXT, 0), (TEXT.replace("quorum near", "quorum every"), 1), ("log x\n", 2),
    ):  # fmt: skip
        (tmp_path / "policy").write_text(text)
        assert verify.main(command) == status
    assert "Line 1 is no line of a policy" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        verify.main([*command, "--key", LOG.vkey])
    assert ended.value.code == 2
