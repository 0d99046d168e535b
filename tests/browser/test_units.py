"""Parts of ``verify.html`` against those of ``verify.py``: text for text, byte for byte."""

import hashlib
import json
import random
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from affidavit.evidence import verify
from tests.browser.node import Process, keys_of
from tests.unit.evidence.test_verify_policy import TEXT, WORDS
from tests.world import tokens

JSON = [
    "{}", "[]", '""', "0", "-0", "1", "-1", "1.0", "1.50", "0.1", "1e5", "1e+16", "1E16", "1e-05",
    "1e-5", "0.0001", "123456789012345680.0", "1e16", "9007199254740993", "1e22", "1e400",
    "-1e400", "5e-324", "2.2250738585072014e-308", "1.7976931348623157e+308", "-0.0", "100000.0",
    "1" * 4300, "1" * 4301, "01", "1.", ".5", "+1", "- 1", "1e", "NaN", "Infinity", "-Infinity",
    "nul", "nullx", "true", "[1,]", "[,1]", "{,}", '{"a":1,}', '{"a":1,"a":1}', '{"a" :1}',
    '{"b":1,"a":2}', '{"2":1,"1":2}', '{"__proto__":1}', '{"constructor":{}}', "{a:1}", "[1 2]",
    " [1]", "[1]\n", "[1]\x0b", "\ufeff[1]", '"\\u0041"', '"\\u00e9"', '"é"', '"\\/"', '"/"',
    '"\\n\\t\\b\\f\\r"', '"\n"', '"\\u000a"', '"\\u001F"', '"\\u001f"', '"\x7f"', '"\\u007f"',
    '"\\ud83d\\ude00"', '"😀"', '"\\ud83d"', '"\\ude00\\ud83d"', '"\\ud83dx"', '"\\uD83D\\uDE00"',
    '"\\u12"', '"\\u 123"', '"\\x41"', '"abc', '"\\', '"\u2028\u2029"', '"a  b"',
    "[" * 800 + "]" * 800,
    '[[1.5,true,null,"x"],{"a":{"b":[]}}]', "'a'", "[1]x", "", " ", "\x00", '"\x00"',
    '{"a":1}{', "--1", "1-", "0x1", "1_000", "[1e1e1]", '{"a":NaN}', '{"a":1,"a":NaN}',
]  # fmt: skip


def python_json(what: str, data: bytes) -> dict[str, Any]:
    """What ``verify.py`` says of some JSON."""
    try:
        value = (verify.parse if what == "parse" else verify.read_object)(data, "It")
        return {"is": json.dumps(value)}
    except verify.Refused as refused:
        return {"refused": refused.name, "sentence": refused.sentence}


def mutated(draw: random.Random, data: bytes) -> bytes:
    """A few bytes changed, left out, doubled or put in."""
    body = bytearray(data)
    for _ in range(draw.randrange(1, 4)):
        at = draw.randrange(len(body) + 1)
        piece = draw.choice(
            [b"", b'"', b"\\", b"1", b"e", b".", b"-", b",", b"[", b"}", b"\xed\xa0"]
        )
        body[at : at + draw.randrange(3)] = piece
    return bytes(body)


def test_json_is_read_alike(units: Process) -> None:
    """Numbers, strings, surrogates, keys, nesting, white space: the same is taken, and refused."""
    draw = random.Random(3)
    texts = [text.encode() for text in JSON] + [b"\xff", b'"\xc0\x80"', b'"\xed\xa0\x80"']
    texts += [mutated(draw, draw.choice(texts[:60])) for _ in range(400)]
    texts += [b'{"k":' + text + b"}" for text in texts]
    for data in texts:
        for what in ("parse", "object"):
            assert units.ask([what, data.hex()]) == python_json(what, data), data


def test_too_deep_is_refused(units: Process) -> None:
    """What is nested deeper than people nest is no JSON here."""
    data = b"[" * 100_000 + b"]" * 100_000
    assert units.ask(["parse", data.hex()]) == python_json("parse", data)
    assert "refused" in units.ask(["parse", (b"[" * 901 + b"]" * 901).hex()])


def test_texts_are_ordered_alike(units: Process) -> None:
    """By code points, with half surrogates among them, too."""
    pieces = [
        "",
        "a",
        "\ud7ff",
        "\ud800",
        "\udbff",
        "\udc00",
        "\udfff",
        "\ue000",
        "\uffff",
        "😀",
        "b",
    ]
    draw = random.Random(4)
    for _ in range(600):
        pair = ["".join(draw.choices(pieces, k=3)) for _ in "ab"]
        # what a JSON parser gives: a pair of halves is one character
        left, right = json.loads(json.dumps(pair))
        assert units.ask(["compare", left, right])["is"] == (left > right) - (left < right), pair


@pytest.mark.parametrize(
    "text",
    ["2026-11-23T12:00:00.000000Z", "2024-02-29T00:00:00.000001Z", "2023-02-29T00:00:00.000000Z",
     "1900-02-29T00:00:00.000000Z", "2000-02-29T00:00:00.000000Z", "0000-01-01T00:00:00.000000Z",
     "0001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z", "2026-11-31T00:00:00.000000Z",
     "2026-00-01T00:00:00.000000Z", "2026-13-01T00:00:00.000000Z", "2026-01-01T24:00:00.000000Z",
     "2026-01-01T23:60:00.000000Z", "2026-01-01T23:59:60.000000Z", "2026-01-01T00:00:00Z", "",
     "2026-01-01T00:00:00.000000Z\n", "\u0662026-01-01T00:00:00.000000Z"],
)  # fmt: skip
def test_times_are_read_and_moved_alike(units: Process, text: str) -> None:
    """Every moment that exists, no other, to the ends of the calendar."""
    for seconds in (0, 1, -300, 300, 86_400, 2**37, -(2**40)):
        good = verify.is_time(text)
        moved = verify.moved(text, seconds) if good else ""
        assert units.ask(["time", text, seconds])["is"] == [good, moved]


def test_signatures_are_taken_alike(units: Process) -> None:
    """Good ones, changed ones, points of small order and out of range, numbers not reduced."""
    draw = random.Random(5)
    private = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    public, message = private.public_key().public_bytes_raw(), b"a message"
    good = private.sign(message)
    order = verify.ORDER
    above = int.from_bytes(good[32:], "little") + order
    small = [bytes([1]) + bytes(31), bytes(32), (verify.P - 1).to_bytes(32, "little"),
             (verify.P + 1).to_bytes(32, "little"), verify.P.to_bytes(32, "little"), b"\xff" * 32,
             bytes(31) + b"\x80", bytes([1]) + bytes(30) + b"\x80",
             bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
             bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
             ]  # fmt: skip
    cases = [(public, message, good), (public, b"", good), (public, message, b""),
             (public, message, good[:32] + above.to_bytes(32, "little")),
             (public, message, good[:32] + order.to_bytes(32, "little")),
             (public[:31], message, good)]  # fmt: skip
    cases += [(key, message, nonce + bytes(32)) for key in small for nonce in small[:4]]
    for _ in range(10):
        changed = bytearray(good)
        changed[draw.randrange(64)] ^= 1 << draw.randrange(8)
        cases.append((public, message, bytes(changed)))
    taken = 0
    for case in cases:
        said = units.ask(["ed25519", *(part.hex() for part in case)])["is"]
        assert said == verify.ed25519(*case), case
        taken += said
    assert 1 < taken < len(cases)  # whoever gives a key of small order gets what it is worth


def test_digests_and_base64(units: Process) -> None:
    """Every length around the blocks; canonical base64 and no other."""
    draw = random.Random(6)
    for size in [*range(140), 1000, 4096]:
        data = draw.randbytes(size)
        want = [hashlib.sha256(data).hexdigest(), hashlib.sha512(data).hexdigest()]
        assert units.ask(["digests", data.hex()])["is"] == want
    texts = ["", "A", "AA", "AB", "AAA", "AAAA", "AA==", "AB==", "AAA=", "AA=", "====", "AA==AA==",
             "A-_A", "A+/A", "é", "AAAA\n", " AAAA", "AAAAA"]  # fmt: skip
    values: list[Any] = [*texts, None, 1, [], {}, True]
    for text in texts:
        assert units.ask(["base64", text])["is"] == verify.from_base64(text).hex(), text
    for value in values:
        for size in (-1, 0, 3):
            try:
                want_b64u: dict[str, Any] = {"is": verify.from_b64u(value, size, "It").hex()}
            except verify.Refused as refused:
                want_b64u = {"refused": refused.name, "sentence": refused.sentence}
            assert units.ask(["b64u", value, size]) == want_b64u, (value, size)


def python_policy(read: Any, text: str, cosigned: list[str]) -> dict[str, Any]:
    """What ``verify.py`` makes of outside trust."""
    try:
        policy = read(text)
    except verify.WrongUse as wrong:
        return {"wrong": str(wrong)}
    return {"is": {
        "logs": [[k.name, k.kind, str(k.first), str(k.last)] for k in policy.logs.values()],
        "witnesses": list(policy.witnesses),
        "groups": {name: [needed, members] for name, (needed, members) in policy.groups.items()},
        "quorum": policy.quorum,
        "monitors": sorted(policy.monitors),
        "authorities": list(policy.authorities),
        "postQuantum": bool(policy.post_quantum),
        "satisfied": verify.satisfied(policy, dict.fromkeys(cosigned, 1)),
    }}  # fmt: skip


def test_policies_are_read_alike(units: Process) -> None:
    """Whole policies, and lines of them mixed at random: the same is trusted, the same wrong."""
    draw = random.Random(7)
    lines = TEXT.splitlines()
    texts = [
        TEXT,
        "",
        "\n".join(lines[:2]),
        TEXT.replace(" ", "\t\u00a0\x85"),
        TEXT + "quorum w0\n",
    ]
    for _ in range(150):
        some = [line for line in lines if draw.random() < 0.9]
        some.insert(
            draw.randrange(len(some) + 1), " ".join(draw.choices(WORDS, k=draw.randrange(5)))
        )
        texts.append("\n".join(some))
    good = 0
    for text in texts:
        cosigned = draw.sample(["w0", "w1", "w2", "far"], 2)
        want = python_policy(verify.read_policy, text, cosigned)
        assert units.ask(["policy", text, cosigned]) == want, text
        good += "is" in want
    assert good > 5
    keys = [line.split()[1] for line in lines if line.startswith("log")]
    keys += [line.split()[2] for line in lines if line.startswith("witness")]
    for text in ("", "# none\n", "x", *keys, "\n".join(keys[:2]), f" {keys[0]}\r\n\n# x\n"):
        assert units.ask(["keys", text]) == python_policy(keys_of, text, []), text


def test_tokens_are_read_alike(units: Process) -> None:
    """A timestamp, and what became of it by a change of a byte or a cut."""
    token = tokens.response(b"a note\n", "2026-11-23T12:00:07.250000Z")
    draw = random.Random(8)
    cases = [token, b"", token + b"\0", *(token[:n] for n in range(0, len(token), 7))]
    for place in range(len(token)):
        changed = bytearray(token)
        changed[place] ^= 1 << draw.randrange(8)
        cases.append(bytes(changed))
    for data in cases:
        try:
            digest, time = verify.read_token(data)
            want: dict[str, Any] = {"is": [digest.hex(), time]}
        except verify.Refused as refused:
            want = {"refused": refused.name, "sentence": refused.sentence}
        assert units.ask(["token", data.hex()]) == want, data.hex()
