"""Policies: who counts, and every line that is none."""

import base64

import pytest

from affidavit.errors import ParseError
from affidavit.ledger import note
from affidavit.ledger.policy import parse_policy

LOG = note.Signer("audit.example/log1", bytes(range(32))).vkey
W1, W2, W3 = (
    note.Cosigner(f"w{n}.example", note.COSIGNATURE, bytes([n]) * 32).vkey for n in (1, 2, 3)
)
TWIN = note.Cosigner("elsewhere.example", note.COSIGNATURE, bytes([1]) * 32).vkey
WHOLE = f"""\
# who vouches
log {LOG} https://log.example/log
#valid {LOG} 0 70000
witness one {W1} https://w1.example
witness two   {W2}
\twitness three {W3} https://w3.example
#monitor three
group outside 2 one two three
group both all outside three
#timestamps tsa {base64.b64encode(b"DER").decode()}
#post-quantum
#unknown words are comments
quorum both
"""


def test_a_whole_policy_is_read() -> None:
    """Each line, in any spacing, ours too."""
    policy = parse_policy(WHOLE)
    assert [(key.verifier.vkey, key.url, key.first, key.last) for key in policy.logs] == [
        (LOG, "https://log.example/log", 0, 70000)
    ]
    assert [(w.name, w.verifier.vkey, w.url, w.monitor) for w in policy.witnesses] == [
        ("one", W1, "https://w1.example", False),
        ("two", W2, "", False),
        ("three", W3, "https://w3.example", True),
    ]
    assert policy.timestamps == (("tsa", b"DER"),)
    assert policy.post_quantum
    assert [v.vkey for v in policy.verifiers()] == [LOG, W1, W2, W3]


@pytest.mark.parametrize(
    ("signed", "enough"),
    [
        ((), False),
        ((W3,), False),
        ((W1, W2), False),
        ((W1, W3), True),
        ((W2, W3), True),
        ((W1, W2, W3), True),
        ((LOG, W3), False),
    ],
)
def test_groups_count_their_members(signed: tuple[str, ...], enough: bool) -> None:
    """Two of three, and the third among them."""
    assert parse_policy(WHOLE).satisfied(signed) is enough


@pytest.mark.parametrize(
    ("quorum", "signed", "enough"),
    [("none", (), True), ("one", (), False), ("one", (W1,), True), ("any", (W2,), True)],
)
def test_a_quorum_may_be_one_witness_or_none(
    quorum: str, signed: tuple[str, ...], enough: bool
) -> None:
    """The simplest policies."""
    text = f"log {LOG}\nwitness one {W1}\nwitness two {W2}\ngroup any any one two\n"
    assert parse_policy(f"{text}quorum {quorum}\n").satisfied(signed) is enough


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("logs x", "begins no line"),
        ("log", "too few or too many"),
        ("log x", "not a verifier key"),
        (f"log {LOG}", "twice"),
        (f"witness one {W3}", "already"),
        (f"witness none {W3}", "already"),
        (f"witness four {W1}", "same key"),
        (f"witness four {TWIN}", "same key"),
        (f"witness four {LOG}", "type 04 or 06"),
        (f"witness four {W3} u more", "too few or too many"),
        ("group g any", "too few"),
        ("group g 3 one two", "each once"),
        ("group g 0 one two", "each once"),
        ("group g 1 one one", "each once"),
        ("group g all four", "no witness or group"),
        ("group one any two", "already"),
        ("group g any g", "no witness or group"),
        ("quorum g", "no witness or group"),
        ("quorum one two", "too few or too many"),
        ("#monitor four", "no witness"),
        (f"#valid {W1} 0 1", "no key of a log"),
        (f"#valid {LOG} 01 2", "sizes|size"),
        (f"#valid {LOG} 0 x", "size"),
        ("#timestamps a ?", "base64"),
        ("#post-quantum yes", "too few or too many"),
    ],
)
def test_a_line_that_is_none_is_named(line: str, says: str) -> None:
    """With its number."""
    text = f"log {LOG}\nwitness one {W1}\nwitness two {W2}\n{line}\nquorum one\n"
    with pytest.raises(ParseError, match=says) as caught:
        parse_policy(text)
    assert caught.value.message.startswith("Line 4")


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"log {LOG}\n",
        f"log {LOG}\nquorum none\nquorum none\n",
        "quorum none\n",
        f"log {LOG}\n#timestamps a QQ==\n#timestamps a QQ==\nquorum none\n",
        "#\n" * 2000,
        " " * 1_000_001,
    ],
)
def test_what_is_no_policy_is_refused(text: str) -> None:
    """One quorum, a log, no name twice, and a size."""
    with pytest.raises(ParseError):
        parse_policy(text)
