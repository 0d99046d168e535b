"""Check an evidence bundle, or a .tlog-proof, with nothing but this file and outside trust.

    python3 -I verify.py BUNDLE --policy FILE                log keys, witnesses and a quorum
    python3 -I verify.py BUNDLE --key VKEY|FILE              or the log's key alone
        --manifest=DIGEST                                    and the manifest's, likewise
    python3 -I verify.py PROOF --leaf FILE --policy FILE     one leaf and its .tlog-proof

The standard library of Python 3.9 or later, no network, no files but those named. It travels in
each bundle and is published apart from any; use the published copy if you have reason to doubt a
bundle. It shares no code with the program that wrote the bundle, and repairs nothing: the first
thing that is not as the format says (docs/format/evidence.md) ends the check with a name and a
sentence. What is checked:

 1. The file is the one canonical zip of its members, and each is the one the manifest lists.
 2. The checkpoint is signed by a key that was given from outside, and by whom else.
 3. Each timestamp is over an older checkpoint of the same history, or over this one.
 4. Every leaf stands in the tree of that checkpoint, at its index, and claims no time that had
    not come when somebody else saw it.
 5. Of each chain that was asked for, and of the chains of what could not be attributed, nothing
    is missing inside the window: class Answer. A count needs the ends of each chain alone.
 6. Every disclosed section and part of content is what its leaf committed to.
 7. The conditions are evaluated, and the counts of the manifest are those found here.
 8. A sample is the one that its seed draws; of other records no more is shown than that needs.

Exit status: 0 all of it holds; 1 something is refused, or the quorum of the policy is not met; 2
wrong use, also when nothing was given from outside and the bundle was only compared with itself.

The log signs records, not bundles: whoever has a bundle can ask another question of the same
records, leave disclosures out, and rewrite the report and the exporter's words. So these are not
believed: the verdict says what was evaluated, and with --manifest (the digest stands in the
ledger's record of the export) a bundle that was changed since then is refused.

Not checked: ML-DSA signatures and the signature inside an RFC 3161 token, which the standard
library cannot (``affidavit verify`` does both); the report, which is for people; the words of the
question and the boundary, which are the exporter's; whether the rules that attribute records to
chains read the content rightly; traffic that never met the ledger.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import operator
import re
import struct
import sys
import zlib
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

REASONS = {
    "not-canonical": "the file or one of its members is not in the one form the format allows",
    "altered-file": "a member is not the one the manifest lists, or is missing or unlisted",
    "wrong-manifest": "the manifest is not the one whose digest was given",
    "bad-signature": "a signature under the checkpoint does not verify",
    "wrong-key": "the checkpoint is of another log, or not signed by a key that was given",
    "split-view": "two checkpoints of one size have different roots",
    "bad-consistency": "a stamped checkpoint is not the beginning of this history",
    "bad-timestamp": "a timestamp is not whole, not over its checkpoint, or is wrong",
    "dated-ahead": "the log claims a time that had not come when somebody else saw it",
    "bad-inclusion": "the leaves are not in the tree that the checkpoint signs",
    "bad-leaf": "a leaf is not in the form of the format",
    "time-decreases": "a later leaf has an earlier ledger time",
    "repeated-record": "two leaves carry the same record or the same number of the same writer",
    "answered-twice": "two leaves answer the same request",
    "wrong-half": "a leaf answers something that is no request",
    "stray-piece": "a leaf, link, opening, bucket or section belongs to nothing that was asked",
    "wrong-opening": "a chain's name does not open to an id of its epoch",
    "wrong-chain": "a link is not of the leaf, the dimension or the epoch it is shown for",
    "omitted-record": "a record of a chain is missing at the start, in between or at the end",
    "duplicate-number": "two records of a chain carry the same number",
    "reordered": "the numbers of a chain do not follow the order of the leaves",
    "forked-chain": "a link names a predecessor that is not the record before it",
    "lying-head": "the heads leaf contradicts records that are older than itself",
    "wrong-head": "a bucket of heads is missing, or is not the one in the map of its heads leaf",
    "missing-epoch": "an epoch of the window is not shown to its end",
    "altered-disclosure": "a disclosed section is not the one the leaf committed to",
    "altered-content": "a part of content is not the one its section committed to",
    "wrong-sample": "the sample is not the one that its seed draws from the population",
    "false-count": "the manifest counts differently from what the bundle holds",
}
"""Every name of a refusal, and what it says."""

SECTIONS = ("who", "person", "what", "context", "control", "outcome", "content")
TIERS = ("observed", "reported", "imported")
ANSWERS = {"exchange.response": "exchange.request", "tool.result": "tool.call"}
OPENING, HEADS = ("ledger.opened", "ledger.epoch"), "ledger.heads"
LEAF = ("v", "index", "time", "at", "id", "type", "tier", "src", "sections", "links")
LEAF_OF_ANSWER = (*LEAF[:8], "re", *LEAF[8:])
EPOCH = ("previous", "dimensions", "rules", "salts")
EXTRA = {"ledger.opened": EPOCH, "ledger.epoch": EPOCH, HEADS: ("epoch", "bits", "map")}
MANIFEST = ["v", "made", "origin", "size", "question", "boundary", "disclosed", "sampling"]
MANIFEST += ["retention", "custody", "counts", "files"]
QUESTION = ["expression", "chains", "since", "until", "clock", "conditions", "show", "not_proved"]
REQUIRED = ["README.txt", "chains.jsonl", "checkpoint", "disclosures.jsonl", "leaves.jsonl"]
REQUIRED += ["links.jsonl", "proofs/inclusion", "report.html", "verify.py"]
MEMBER = rf"manifest\.json|verify\.html|{'|'.join(map(re.escape, REQUIRED))}"
MEMBER += r"|heads/[0-9]+-[0-9]+\.json|content/(salts\.jsonl|[0-9]+-[0-9]+)"
MEMBER += r"|timestamps/(0|[1-9][0-9]{0,18})\.(checkpoint|consistency|tsr)"
FIELD = rf"type|tier|at|time|id|index|({'|'.join(SECTIONS)})\..+"
COMPARE = {
    "has": lambda value, _: value is not None,
    "is": lambda value, wanted: type(value) is type(wanted) and value == wanted,
    "prefix": lambda value, wanted: type(value) is type(wanted) is str and value.startswith(wanted),
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
COUNTED = {
    "undetermined": "may meet them, which is not shown",
    "withheld": "withheld",
    "unattributed": "unattributed",
    "halves_not_shown": "halves not shown",
}
MAX_NAMED = 8  # chains that the verdict names one by one
MAX_WORDS = 300  # of the exporter's, in the verdict
LISTED = 20  # gaps named in the verdict; all of them stand in its facts
DAY_ONE = "1970-01-01T00:00:00.000000Z"  # what cosignatures count seconds from
FIRST = 2**64 - 1  # what the first link of a chain names as the leaf before it


class Refused(Exception):  # noqa: N818 - the word of the verdict
    """A check did not hold: ``name`` is one of ``REASONS``, ``sentence`` says where."""

    def __init__(self, name: str, sentence: str) -> None:
        super().__init__(f"{name}: {sentence}")
        self.name, self.sentence = name, sentence


class WrongUse(Exception):  # noqa: N818 - likewise
    """The command line or a key was not understood."""


class Verdict(NamedTuple):
    """The four lines, what they are about, and what they rest on (``facts`` is JSON-able).

    ``about``: what was evaluated, in this program's words; ``manifest``: b64u SHA-256, "" where
    there is none; ``unchecked``: what nothing vouches for.
    """

    integrity: str
    completeness: str
    assurance: str
    coverage: str
    about: str
    manifest: str
    unchecked: str
    facts: dict[str, Any]


# ---------------------------------------------------------------------------- strict reading
def need(condition: object, name: str, sentence: str) -> None:
    """Refuse under ``name`` unless ``condition`` holds."""
    if not condition:
        raise Refused(name, sentence)


def parse(data: bytes, what: str) -> Any:
    """Parse JSON that is UTF-8, with no key twice, no NaN and nothing behind it."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        need(len(dict(items)) == len(items), "not-canonical", f"{what} has a key twice.")
        return dict(items)

    def constant(name: str) -> None:
        raise Refused("not-canonical", f"{what}: {name} is not JSON.")

    try:
        return json.loads(data.decode(), object_pairs_hook=pairs, parse_constant=constant)
    except (ValueError, RecursionError) as error:
        raise Refused("not-canonical", f"{what} is not JSON in UTF-8.") from error


def read_object(data: bytes, what: str, fields: list[str] | None = None) -> dict[str, Any]:
    """Parse an object in its one form: no whitespace, no needless escapes, ``fields`` in order."""
    value = parse(data, what)
    try:
        good = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() == data
    except (ValueError, RecursionError):
        good = False
    good = good and isinstance(value, dict) and list(value) == (fields or list(value))
    need(good, "not-canonical", f"{what} is not in canonical form.")
    return dict(value)


def read_lines(data: bytes, what: str) -> list[bytes]:
    """Split lines, each ended by one LF."""
    *lines, end = data.split(b"\n")
    need(end == b"", "not-canonical", f"{what} does not end in a newline.")
    return lines


def b64u(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_b64u(text: Any, size: int, what: str) -> bytes:
    """Decode canonical base64url without padding to ``size`` bytes (any, if negative)."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (TypeError, ValueError):
        data = b""
    good = text == b64u(data) and size in (-1, len(data))
    need(good, "not-canonical", f"{what} is not base64url of the right length.")
    return data


def from_base64(text: str) -> bytes:
    """Decode canonical standard base64; empty for anything else."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        return b""
    return data if base64.b64encode(data).decode() == text else b""


def read_hashes(data: bytes, what: str) -> list[bytes]:
    """Read lines of b64u, 32 bytes each."""
    return [from_b64u(line.decode("latin-1"), 32, what) for line in read_lines(data, what)]


def is_count(value: Any) -> bool:
    """Whether ``value`` is an integer from 0 to 2^63 − 1, and no boolean."""
    return type(value) is int and 0 <= value < 2**63


def is_time(value: Any) -> bool:
    """Whether ``value`` is UTC text with six decimals and Z, of a moment that exists."""
    form = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z"
    try:
        return bool(re.fullmatch(form, value)) and bool(datetime.fromisoformat(value[:-1]))
    except (TypeError, ValueError):
        return False


def show(value: Any) -> str:
    """A value as ASCII, so that it neither hides nor turns around what stands near it."""
    plain = isinstance(value, str) and re.fullmatch(r"[!-~]+", value)
    return str(value) if plain else quoted(value)


def quoted(value: Any) -> str:
    """A value as JSON in ASCII with no two spaces in a row, so that no text fills up a line."""
    return json.dumps(value).replace("  ", " \\u0020")


# ---------------------------------------------------------------------------- the canonical zip
def read_zip(data: bytes) -> dict[str, memoryview]:
    """The members of a canonical zip.

    Canonical: members stored one after another from offset 0, ``manifest.json`` first, then by
    name, dated 1980-01-01; no flags, extra fields, comments or gaps. So the bytes of the zip
    follow from names and contents, and here they are compared with what they have to be.
    """
    members: dict[str, memoryview] = {}
    listed: list[bytes] = []
    offset, whole = 0, memoryview(data)
    need(len(data) < 2**31, "not-canonical", "The file is larger than a bundle may be.")
    while data[offset : offset + 4] == b"PK\x03\x04" and offset + 30 <= len(data):
        size, length = struct.unpack_from("<IH", data, offset + 22)
        start = offset + 30 + length
        name = data[offset + 30 : start].decode("latin-1")
        body = whole[start : start + size]
        fixed = struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 33, zlib.crc32(body), size, size, length, 0)
        good = data[offset + 4 : offset + 30] == fixed and len(body) == size
        need(good, "not-canonical", f"{show(name)} does not stand in the zip as it has to.")
        good = re.fullmatch(MEMBER, name) and name not in members
        need(good, "not-canonical", f"{show(name)} is no member of a bundle, or is there twice.")
        listed += [b"PK\x01\x02\x14\x03" + fixed]
        listed += [struct.pack("<HHHII", 0, 0, 0, 0o100644 << 16, offset) + name.encode()]
        members[name] = body
        offset = start + size
    first, *rest = names = list(members) or [""]
    good = first == "manifest.json" and rest == sorted(rest) and len(names) < 2**16
    need(good, "not-canonical", "This is no zip with the manifest first and the rest by name.")
    directory = b"".join(listed)
    numbers = (0, 0, len(names), len(names), len(directory), offset, 0)
    end = directory + b"PK\x05\x06" + struct.pack("<HHHHIIH", *numbers)
    need(data[offset:] == end, "not-canonical", "The zip's directory is not as it has to be.")
    return members


# ---------------------------------------------------------------------------- Ed25519 (RFC 8032)
P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
Point = tuple[int, int, int, int]  # X, Y, Z, T with x = X/Z, y = Y/Z, xy = T/Z


def add(a: Point, b: Point) -> Point:
    """Add two points (§5.1.4)."""
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = f - e, h - g, h + g, f + e
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(n: int, point: Point) -> Point:
    """Multiply a point."""
    total: Point = (0, 1, 1, 0)
    while n:
        total = add(total, point) if n & 1 else total
        point, n = add(point, point), n >> 1
    return total


def decode_point(data: bytes) -> Point:
    """Decode 32 bytes (§5.1.3); ``ValueError`` if they are no point in canonical form."""
    sign, y = divmod(int.from_bytes(data, "little"), 2**255)
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if y >= P or (x * x - square) % P or (x == 0 and sign):
        raise ValueError
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


BASE = decode_point(b"\x58" + b"\x66" * 31)


def ed25519(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether ``signature`` over ``message`` is by ``public`` (§5.1.7, without cofactor)."""
    s = int.from_bytes(signature[32:64], "little")
    if len(public) != 32 or len(signature) != 64 or s >= ORDER:
        return False
    try:
        key, nonce = decode_point(public), decode_point(signature[:32])
    except ValueError:
        return False
    digest = hashlib.sha512(signature[:32] + public + message).digest()
    a = times(s, BASE)
    b = add(nonce, times(int.from_bytes(digest, "little") % ORDER, key))
    return not (a[0] * b[2] - b[0] * a[2]) % P and not (a[1] * b[2] - b[1] * a[2]) % P


# ---------------------------------------------------------------------------- outside trust
KEY_BYTES = {1: 32, 4: 32, 6: 1312}  # by type: Ed25519; Ed25519 with a time; ML-DSA-44 with one
OURS = ("#monitor", "#valid", "#timestamps", "#post-quantum")


class Key(NamedTuple):
    """A C2SP verifier key, and the smallest and largest checkpoint for which it counts."""

    name: str
    kind: int
    key_id: bytes
    public: bytes
    first: int = 0
    last: int = 2**63


class Policy(NamedTuple):
    """What is trusted, from outside: C2SP tlog-policy, with our lines that begin with ``#``.

    ``logs`` by verifier key, ``witnesses`` by name; ``groups``: name → how many of which members,
    a group behind its members; ``quorum``: one name, or "none"; ``monitors``: witnesses that
    replay the chains; ``authorities``: name → a certificate in DER, for timestamps;
    ``post_quantum``: not empty if the verdict has to say where an ML-DSA signature is missing.
    """

    logs: dict[str, Key]
    witnesses: dict[str, Key]
    groups: dict[str, tuple[int, list[str]]]
    quorum: list[str]
    monitors: set[str]
    authorities: dict[str, bytes]
    post_quantum: list[str]


class Tools(NamedTuple):
    """What the standard library cannot do, from a program that can; without, it is not checked.

    ``ml_dsa(public, message, signature)``: whether an ML-DSA-44 signature is good.
    ``token(response, note, certificate)``: "" if the TimeStampResp over ``note`` leads to that
    certificate, "authority" if to none that is known, else what is wrong with it.
    ``receipt(data, policy)``: the verdict on what a gateway's ``/receipts/`` gave.
    """

    ml_dsa: Callable[[bytes, bytes, bytes], bool] | None = None
    token: Callable[[bytes, bytes, bytes], str] | None = None
    receipt: Callable[[bytes, Policy], Verdict] | None = None


NO_TOOLS = Tools()


def read_key(line: str) -> Key:
    """Parse ``name+hash+base64`` (C2SP signed-note); ``WrongUse`` if it is none."""
    parts = re.fullmatch(r"([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+={0,2})", line.strip())
    name, digest, encoded = parts.groups() if parts else ("", "", "")
    data = from_base64(encoded)
    key_id = hashlib.sha256(f"{name}\n".encode() + data).digest()[:4]
    if key_id.hex() != digest or not data or KEY_BYTES.get(data[0]) != len(data) - 1:
        raise WrongUse(f"Not a verifier key (name+hash+base64): {show(line.strip())}")
    return Key(name, data[0], key_id, data[1:])


def read_policy(text: str) -> Policy:
    """Parse a policy; ``WrongUse`` names the line that is none."""
    if len(text) > 1_000_000 or text.count("\n") > 1000:
        raise WrongUse("The policy is larger than a policy may be.")
    policy = Policy({}, {}, {}, [], set(), {}, [])
    for number, line in enumerate(text.split("\n"), 1):
        word, *rest = line.split() or ["#"]
        try:
            good = (word[0] == "#" and word not in OURS) or take(policy, word, rest)
        except (KeyError, ValueError, WrongUse):
            good = False
        if not good:
            raise WrongUse(f"Line {number} is no line of a policy: {show(line)}")
    if not policy.logs or not policy.quorum:
        raise WrongUse("A policy names at least one key of a log, and one quorum.")
    return policy


def take(policy: Policy, word: str, rest: list[str]) -> bool:
    """Take one line of a policy; returns whether it is one."""
    known = {*policy.witnesses, *policy.groups}
    if word == "log":
        vkey, *urls = rest
        good = vkey not in policy.logs and len(urls) < 2
        policy.logs[vkey] = read_key(vkey)
    elif word == "witness":
        name, vkey, *urls = rest
        key = read_key(vkey)
        good = name not in {"none", *known} and key.kind != 1 and len(urls) < 2
        good = good and key.public not in {w.public for w in policy.witnesses.values()}
        policy.witnesses[name] = key
    elif word == "group":
        name, how, *members = rest
        needed = {"all": len(members), "any": 1}.get(how, 0)
        needed = int(how) if re.fullmatch(r"[1-9][0-9]{0,3}", how) else needed
        good = name not in {"none", *known} and 1 <= needed <= len(members)
        good = good and set(members) <= known and len(set(members)) == len(members)
        policy.groups[name] = needed, members
    elif word == "quorum":
        good = len(rest) == 1 and not policy.quorum and rest[0] in {"none", *known}
        policy.quorum.extend(rest)
    elif word == "#monitor":
        good = len(rest) == 1 and rest[0] in policy.witnesses
        policy.monitors.update(rest)
    elif word == "#valid":
        vkey, *sizes = rest
        first, last = (-1 if not re.fullmatch(r"0|[1-9][0-9]{0,18}", n) else int(n) for n in sizes)
        good = first >= 0 and (last >= 0 or sizes[1] == "-")
        last = last if last >= 0 else 2**63
        policy.logs[vkey] = policy.logs[vkey]._replace(first=first, last=last)
    elif word == "#timestamps":
        name, certificate = rest
        good = name not in policy.authorities
        policy.authorities[name] = base64.b64decode(certificate, validate=True)
    else:
        good = word == "#post-quantum" and not rest
        policy.post_quantum.append(word)
    return good


def read_keys(given: list[str]) -> Policy:
    """The policy of the log's key alone: a verifier key itself, or a file, one key a line."""
    lines: list[str] = []
    for one in given:
        inline = re.fullmatch(r"[^+\s]+\+[0-9a-f]{8}\+\S+", one)
        if not inline and not Path(one).is_file():
            raise WrongUse(f"--key {show(one)} is neither a verifier key nor a file.")
        lines += [one] if inline else Path(one).read_text(encoding="utf-8").splitlines()
    keys = [read_key(line) for line in lines if line.strip() and not line.startswith("#")]
    if given and not keys:
        raise WrongUse("The key file holds no key.")
    if any(key.kind == 4 for key in keys):
        raise WrongUse("The key of a witness belongs into a policy: --policy")
    return Policy({str(key): key for key in keys}, {}, {}, ["none"], set(), {}, [])


def satisfied(policy: Policy, cosigned: dict[str, int]) -> bool:
    """Whether cosignatures by these witnesses are what the policy asks for."""
    have = {name: name in cosigned for name in policy.witnesses}
    for name, (needed, members) in policy.groups.items():
        have[name] = sum(have[member] for member in members) >= needed
    return have.get(policy.quorum[0], True)


# ---------------------------------------------------------------------------- checkpoint
class Note(NamedTuple):
    """A signed checkpoint: what it says, and who signed it.

    ``cosigned``: witness → seconds since 1970. ``post_quantum``: the same for a key of the log of
    type 6, "" its name. ``unchecked``: whose ML-DSA-44 signatures stand there unchecked.
    """

    origin: str
    size: int
    root: bytes
    cosigned: dict[str, int]
    post_quantum: list[int]
    unchecked: list[str]


def read_checkpoint(note: bytes, policy: Policy, tools: Tools = NO_TOOLS) -> Note:
    """Open a signed checkpoint (C2SP signed-note, tlog-checkpoint).

    Each line by a key that is known has to verify, and one of the log that counts for this size
    has to be there, unless none was given; lines by unknown keys are left aside.
    """
    body, _, tail = note.rpartition(b"\n\n")
    try:
        lines, signatures = body.decode().split("\n"), tail.decode().split("\n")
    except ValueError as error:
        raise Refused("not-canonical", "The checkpoint is not UTF-8.") from error
    good = len(lines) >= 3 and signatures.pop() == "" and 0 < len(signatures) <= 100
    good = good and re.fullmatch(r"0|[1-9][0-9]{0,18}", lines[1]) is not None
    root = from_base64(lines[2]) if good else b""
    need(len(root) == 32, "not-canonical", "The checkpoint is not origin, size, root, signatures.")
    found = Note(lines[0], int(lines[1]), root, {}, [], [])
    named = {f"{key.name}/receipts" for key in policy.logs.values()}
    need(found.origin not in named, "wrong-key", "A receipt key signs no checkpoints.")
    logs = [key for key in policy.logs.values() if key.first <= found.size <= key.last]
    keys = [("", key) for key in logs if key.name == found.origin] + [*policy.witnesses.items()]
    signed = not policy.logs
    for line in signatures:
        dash, name, blob = [*line.split(" "), "", ""][:3]
        data = from_base64(blob)
        good = dash == "\u2014" and line.count(" ") == 2 and name != "" and len(data) > 4
        need(good, "not-canonical", "A signature line of the checkpoint is malformed.")
        for witness, key in keys:
            if (key.name, key.key_id) != (name, data[:4]):
                continue
            moment = signed_at(key, found, body + b"\n", data[4:], tools)
            if moment is None:
                found.unchecked.append(witness or name)
            elif witness:
                found.cosigned[witness] = min(moment, found.cosigned.get(witness, moment))
            else:
                signed = True
                found.post_quantum.extend([moment] * (key.kind == 6))
    sentence = f"No signature for {show(found.origin)} by a key that was given and counts here."
    need(signed, "wrong-key", sentence)
    return found


def signed_at(key: Key, note: Note, text: bytes, signature: bytes, tools: Tools) -> int | None:
    """When ``key`` signed: seconds since 1970, 0 if it does not say; ``None`` if not checked.

    Type 4 signs the text behind its time, type 6 size and root (C2SP tlog-cosignature).
    """
    moment, where = 0, f"of {show(key.name)}"
    if key.kind != 1:
        moment, signature = int.from_bytes(signature[:8], "big"), signature[8:]
        need(0 < moment < 2**37, "bad-signature", f"The cosignature {where} has no time.")
    if key.kind == 6:
        names = [name.encode() for name in (key.name, note.origin)]
        need(max(map(len, names)) < 256, "bad-signature", f"A name is too long to sign {where}.")
        parts = [bytes([len(name)]) + name for name in names]
        text = b"subtree/v1\n\0" + parts[0] + struct.pack(">Q", moment) + parts[1]
        text += struct.pack(">QQ", 0, note.size) + note.root
        if tools.ml_dsa is None:
            return None
        good = tools.ml_dsa(key.public, text, signature)
    else:
        text = b"cosignature/v1\ntime %d\n" % moment + text if key.kind == 4 else text
        good = ed25519(key.public, text, signature)
    need(good, "bad-signature", f"The signature {where} does not verify.")
    return moment


# ---------------------------------------------------------------------------- Merkle (RFC 6962)
def leaf_hash(data: bytes) -> bytes:
    """SHA-256(00 ‖ leaf)."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(01 ‖ left ‖ right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def path_root(index: int, size: int, leaf: bytes, path: list[bytes]) -> bytes:
    """Root of a tree of ``size`` leaves from one leaf and its path (RFC 9162 §2.1.3.2)."""
    node, last = leaf_hash(leaf), size - 1
    for sibling in path:
        need(last > 0 and len(sibling) == 32, "bad-inclusion", "An inclusion path is too long.")
        if index & 1 or index == last:
            node = node_hash(sibling, node)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        index, last = index >> 1, last >> 1
    need(last == 0, "bad-inclusion", "An inclusion path is too short.")
    return node


def batch_root(leaves: list[tuple[int, bytes]], size: int, hashes: list[bytes]) -> bytes:
    """Root of a tree of ``size`` leaves from some of them, ascending, and ``hashes``.

    From left to right, each largest subtree that holds none of the leaves takes one hash. All
    hashes have to be used, so there is one proof for a set of leaves and a size.
    """
    rest = iter(hashes)

    def root(first: int, count: int, low: int, high: int) -> bytes:
        if low == high:
            node = next(rest, None)
            if node is None:
                raise Refused("bad-inclusion", "The inclusion proof is too short.")
            return node
        if count == 1:
            return leaf_hash(leaves[low][1])
        half = 1 << (count - 1).bit_length() - 1  # the largest power of two below count
        cut = next((k for k in range(low, high) if leaves[k][0] >= first + half), high)
        left = root(first, half, low, cut)
        return node_hash(left, root(first + half, count - half, cut, high))

    found = root(0, size, 0, len(leaves))
    need(next(rest, None) is None, "bad-inclusion", "The inclusion proof is too long.")
    return found


def consistent(older: Note, newer: Note, path: list[bytes]) -> bool:
    """Whether the tree of ``older`` begins that of ``newer`` (RFC 9162 §2.1.4.2)."""
    if older.size == newer.size or not 0 < older.size < newer.size:
        return older.size == newer.size and older.root == newer.root and not path
    index, last = older.size - 1, newer.size - 1
    while index & 1:
        index, last = index >> 1, last >> 1
    path = path if index else [older.root, *path]  # its last subtree is all of the older tree
    old = new = path[0] if path else b""
    for node in path[1:]:
        if not last:
            return False
        if index & 1 or index == last:
            old, new = node_hash(node, old), node_hash(node, new)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            new = node_hash(new, node)
        index, last = index >> 1, last >> 1
    return (old, new, last) == (older.root, newer.root, 0)


# ---------------------------------------------------------------------------- timestamps (RFC 3161)
SIGNED_DATA = bytes.fromhex("2a864886f70d010702")  # object identifiers, as DER has them
TST_INFO = bytes.fromhex("2a864886f70d0109100104")
SHA_256 = bytes.fromhex("608648016503040201")


class Stamp(NamedTuple):
    """A timestamp over a checkpoint; ``by``: the authority of the policy, "" if that is open."""

    note: Note
    time: str
    by: str


def der_values(data: bytes) -> list[tuple[int, bytes]]:
    """Tag and contents of the DER values that follow one another.

    Strict (X.690 §10.1): tags of one byte, and definite lengths in their shortest form.
    """
    values = []
    while data:
        size, at = (data[1:2] or b"\xff")[0], 2
        long = size > 127
        if long:
            at = size - 126
            size = int.from_bytes(data[2:at], "big")
        good = at <= 6 and data[0] & 31 != 31 and len(data) >= at + size
        good = good and not (long and (size < 128 or data[2] == 0))
        need(good, "bad-timestamp", "A timestamp is not DER.")
        values.append((data[0], data[at : at + size]))
        data = data[at + size :]
    return values


def der(data: bytes, *path: tuple[int, int]) -> bytes:
    """The contents of one value: at each step the value at a place, which has this tag."""
    for place, tag in path:
        values = der_values(data)
        good = len(values) > place and values[place][0] == tag
        need(good, "bad-timestamp", "A timestamp is not built as RFC 3161 says.")
        data = values[place][1]
    return data


def read_token(response: bytes) -> tuple[bytes, str]:
    """The SHA-256 that a TimeStampResp is over, and its time; its signature is not looked at."""
    granted = der(response, (0, 0x30), (0, 0x30), (0, 0x02)) == b"\0"
    granted = granted and len(der_values(response)) == 1
    signed = ((0, 0x30), (1, 0x30))
    good = granted and der(response, *signed, (0, 0x06)) == SIGNED_DATA
    content = der(response, *signed, (1, 0xA0), (0, 0x30), (2, 0x30))
    good = good and der(content, (0, 0x06)) == TST_INFO
    info = der(content, (1, 0xA0), (0, 0x04), (0, 0x30))
    good = good and der(info, (0, 0x02)) == b"\1"
    good = good and der(info, (2, 0x30), (0, 0x30), (0, 0x06)) == SHA_256
    stated = re.fullmatch(rb"([0-9]{14})(?:\.([0-9]{0,5}[1-9]))?Z", der(info, (4, 0x18)))
    whole, part = (stated.group(1), stated.group(2) or b"") if stated else (b"", b"")
    try:
        moment = datetime.strptime(whole.decode(), "%Y%m%d%H%M%S")  # noqa: DTZ007 - it is UTC
    except ValueError:
        good, moment = False, datetime(1970, 1, 1)  # noqa: DTZ001 - likewise
    need(good, "bad-timestamp", "A timestamp is not granted, not over SHA-256 or has no time.")
    time = moment.isoformat() + "." + part.decode().ljust(6, "0") + "Z"
    return der(info, (2, 0x30), (1, 0x04)), time


def read_stamps(files: dict[str, bytes], note: Note, policy: Policy, tools: Tools) -> list[Stamp]:
    """Check every timestamp: over a checkpoint of this log that begins the history of ``note``."""
    stamps = []
    for size in sorted({int(name[11:].partition(".")[0]) for name in files if name[0] == "t"}):
        place = f"timestamps/{size}"
        names = [f"{place}.{kind}" for kind in ("checkpoint", "consistency", "tsr")]
        need(set(names) <= set(files), "bad-timestamp", f"{place} is not whole.")
        text, proof, response = (files[name] for name in names)
        older = read_checkpoint(text, policy, tools)
        good = (older.origin, older.size) == (note.origin, size) and 0 < size <= note.size
        need(good, "bad-timestamp", f"{place}.checkpoint is of another log or size, or later.")
        same = older.size != note.size or older.root == note.root
        need(same, "split-view", f"This log has signed two trees of {size} leaves.")
        good = consistent(older, note, read_hashes(proof, place))
        need(good, "bad-consistency", f"The tree of {size} leaves does not begin this one.")
        digest, time = read_token(response)
        good = digest == hashlib.sha256(text).digest()
        need(good, "bad-timestamp", f"{place}.tsr is not over {place}.checkpoint.")
        token, known = tools.token, policy.authorities if tools.token else {}
        found = {name: token(response, text, known[name]) for name in known} if token else {}
        by = next((name for name, wrong in found.items() if not wrong), "")
        wrong = [why for why in found.values() if why != "authority"]
        need(by or not wrong, "bad-timestamp", f"{place}.tsr does not verify: {wrong[:1]}.")
        stamps.append(Stamp(older, time, by))
    return stamps


def outside_times(note: Note, stamps: list[Stamp]) -> list[tuple[int, str, str]]:
    """When somebody else had seen how many leaves, and who; "" a timestamp that is unchecked."""
    found = [(s.note.size, s.time, s.by and f"timestamp {show(s.by)}") for s in stamps]
    for one in (note, *(stamp.note for stamp in stamps)):
        seen = one.cosigned.items()
        found += [(one.size, moved(DAY_ONE, seconds), f"witness {show(w)}") for w, seconds in seen]
    return found


def check_times(leaves: dict[int, dict[str, Any]], note: Note, stamps: list[Stamp]) -> None:
    """Refuse a time of the log's own that lies five minutes after somebody else had seen it.

    Where that is a token whose signature is not checked, nobody knows which of the two is wrong.
    """
    claims = [(index, leaf["time"]) for index, leaf in leaves.items()]
    for one in (note, *(stamp.note for stamp in stamps)):
        claims += [(one.size - 1, moved(DAY_ONE, seconds)) for seconds in one.post_quantum]
    for size, time, who in sorted(outside_times(note, stamps), key=lambda one: not one[2]):
        limit = moved(time, 300)
        for index, claim in claims:
            if index < size and claim > limit:
                seen = f"{who} saw it at" if who else "a timestamp, unchecked, says"
                name = "dated-ahead" if who else "bad-timestamp"
                raise Refused(name, f"Leaf {index} is dated {claim}; {seen} {time}.")


def moved(time: str, seconds: int) -> str:
    """A time so many seconds later; "" (the beginning) where there is no such time."""
    try:
        moment = datetime.fromisoformat(time[:-1]) + timedelta(seconds=seconds)
    except (ValueError, OverflowError):
        return ""
    return moment.isoformat(timespec="microseconds") + "Z"


# ---------------------------------------------------------------------------- leaves
def read_leaf(data: bytes) -> dict[str, Any]:
    """Parse a leaf and check its form (docs/format/ledger.md)."""
    leaf = read_object(data, "A leaf")
    kind = str(leaf.get("type"))
    fields = LEAF_OF_ANSWER if kind in ANSWERS else LEAF + EXTRA.get(kind, ())
    need(tuple(leaf) == fields, "bad-leaf", "A leaf does not have the fields of its type.")
    index, src, sections, links = leaf["index"], leaf["src"], leaf["sections"], leaf["links"]
    digests = [*sections, *links] if type(sections) is type(links) is list else []
    request = leaf.get("re")
    good = (
        leaf["v"] == 1
        and all(map(is_count, (leaf["v"], index, *([] if request is None else [request]))))
        and all(map(is_time, (leaf["time"], leaf["at"])))
        and (type(leaf["id"]), type(leaf["type"]), leaf["tier"] in TIERS) == (str, str, True)
        and type(src) is list
        and len(src) == 2
        and (type(src[0]), is_count(src[1])) == (str, True)
        and type(sections) is type(links) is list
        and all(type(link) is str for link in links)
        and (len(sections), links) == (7, sorted(set(links)))
        and (kind not in EXTRA or digests == [None] * 7)
        and (request is None or request < index)
        and len(data) < 2**16
    )
    if good and kind in OPENING:
        names, previous = leaf["dimensions"], leaf["previous"]
        good = type(names) is list and all(type(name) is str for name in names)
        good = good and len(set(names)) == len(names) <= 256 and type(previous) is int
        good = good and (kind == "ledger.opened") == (index == 0) == (previous == -1)
        good = good and -1 <= previous < index
        digests = [leaf["salts"]]
    if good and kind == HEADS:
        good = is_count(leaf["epoch"]) and leaf["epoch"] < index
        good = good and type(leaf["bits"]) is int and 1 <= leaf["bits"] <= 48
        digests = [leaf["map"]]
    need(good, "bad-leaf", f"Leaf {show(index)} is not in the form of the format.")
    for digest in digests:
        if digest is not None:
            from_b64u(digest, 32, f"Leaf {index}: a digest")
    return leaf


def read_leaves(data: bytes) -> dict[int, dict[str, Any]]:
    """Parse ``leaves.jsonl``, ascending by index; times, records and answers agree."""
    leaves: dict[int, dict[str, Any]] = {}
    seen: set[Any] = set()
    index, time = -1, ""
    for line in read_lines(data, "leaves.jsonl"):
        leaf = read_leaf(line)
        need(leaf["index"] > index, "not-canonical", "leaves.jsonl is not in order.")
        index, before, time, request = leaf["index"], time, leaf["time"], leaf.get("re")
        need(time >= before, "time-decreases", f"Leaf {index} is earlier than a leaf before it.")
        good = moved(leaf["at"], -300) <= time
        need(good, "bad-leaf", f"Leaf {index} claims a time that had not come.")
        marks = {leaf["id"], tuple(leaf["src"])}
        need(not marks & seen, "repeated-record", f"Leaf {index} repeats a record.")
        need(request not in seen, "answered-twice", f"Leaf {request} is answered by two leaves.")
        seen |= marks if request is None else {*marks, request}
        if request in leaves:
            good = leaves[request]["type"] == ANSWERS[leaf["type"]]
            need(good, "wrong-half", f"Leaf {index} answers leaf {request}, of another kind.")
        leaves[index] = leaf
    return leaves


# ---------------------------------------------------------------------------- chains and heads
class Chain(NamedTuple):
    """A chain's name."""

    tenant: str
    dimension: str
    value: str

    def __str__(self) -> str:
        """The chain as the verdict names it."""
        tenant = f", tenant {show(self.tenant)}" if self.tenant else ""
        derived = "." in self.dimension and not self.value
        return f"{show(self.dimension)}{'' if derived else '=' + show(self.value)}{tenant}"


def any_of(chains: list[Chain]) -> str:
    """The union of chains in words; many of one dimension are named together, each value once."""
    if len(chains) <= MAX_NAMED:
        return " or ".join(map(str, chains))
    values: dict[tuple[str, str], list[str]] = {}
    for chain in chains:
        values.setdefault((chain.dimension, chain.tenant), []).append(chain.value)
    tenants: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (dimension, tenant), found in values.items():
        tenants.setdefault((dimension, tuple(found)), []).append(tenant)
    said = []
    for (dimension, shared), of in tenants.items():
        whose = " and ".join(f"tenant {show(name)}" if name else "no tenant" for name in of)
        said.append(f"{show(dimension)} one of {', '.join(map(show, shared))} of {whose}")
    return " or ".join(said)


class Link(NamedTuple):
    """A leaf's place in a chain: 49 bytes, of which the leaf holds the digest."""

    leaf: int
    raw: bytes
    dimension: int
    n: int
    previous: int

    def as_head(self) -> bytes:
        """What a bucket of heads holds for a chain that ends here."""
        label = b"affidavit/head/v1\x00" + struct.pack(">Q", self.leaf)
        return hashlib.sha256(label + self.raw).digest()


def unattributed(chains: list[Chain]) -> list[Chain]:
    """The chains of what may belong to ``chains`` and could not be attributed."""
    base = {(chain.tenant, chain.dimension.partition(".")[0]) for chain in chains}
    names = {Chain(tenant, f"{name}.unattributed", "") for tenant, name in base}
    names = {name for name in names if name.dimension != "unattributed.unattributed"}
    return sorted((names | {Chain("", "unattributed", "")}) - set(chains))


def read_links(data: bytes, leaves: dict[int, dict[str, Any]]) -> dict[bytes, list[Link]]:
    """Parse ``links.jsonl``: chain id → links by leaf, each committed to by its leaf."""
    chains: dict[bytes, list[Link]] = {}
    order: list[tuple[int, str]] = []
    for line in read_lines(data, "links.jsonl"):
        index, encoded = read_object(line, "A link", ["leaf", "link"]).values()
        raw = from_b64u(encoded, 49, "A link")
        need(is_count(index) and index in leaves, "stray-piece", "A link belongs to no leaf here.")
        good = b64u(hashlib.sha256(raw).digest()) in leaves[index]["links"]
        need(good, "wrong-chain", f"Leaf {index} did not commit to the link shown for it.")
        dimension, chain, n, previous = struct.unpack(">16xB16sQQ", raw)
        chains.setdefault(chain, []).append(Link(index, raw, dimension, n, previous))
        order.append((index, encoded))
    need(order == sorted(set(order)), "not-canonical", "links.jsonl is not in order.")
    return chains


def read_openings(data: bytes, leaves: dict[int, dict[str, Any]]) -> dict[tuple[int, Chain], bytes]:
    """Parse ``chains.jsonl``: (epoch leaf, chain) → chain id, by the salts of that leaf."""
    ids: dict[tuple[int, Chain], bytes] = {}
    order: list[tuple[int, Chain]] = []
    for line in read_lines(data, "chains.jsonl"):
        fields = ["epoch", "tenant", "dimension", "value", "salt", "path"]
        opening = read_object(line, "An opening", fields)
        epoch, tenant, dimension, value, salt, path = opening.values()
        chain = Chain(tenant, dimension, value)
        good = is_count(epoch) and all(type(part) is str for part in chain)
        good = good and type(path) is list and len(path) == 16 and "\0" not in tenant + dimension
        need(good, "not-canonical", "An opening in chains.jsonl is malformed.")
        leaf = leaves.get(epoch, {})
        good = leaf.get("type") in OPENING and dimension in leaf["dimensions"]
        need(good, "wrong-opening", f"Leaf {epoch} opens no epoch with {chain}.")
        name = "\0".join(chain).encode()
        slot = int.from_bytes(hashlib.sha256(b"affidavit/slot/v1\0" + name).digest()[:2], "big")
        raw = from_b64u(salt, 16, "A salt")
        root = path_root(slot, 2**16, raw, [from_b64u(node, 32, "A hash") for node in path])
        need(b64u(root) == leaf["salts"], "wrong-opening", f"{chain} does not open in {epoch}.")
        label = b"affidavit/chain/v1\0" + struct.pack(">Q", epoch) + raw
        ids[epoch, chain] = hashlib.sha256(label + name).digest()[:16]
        order.append((epoch, chain))
    need(order == sorted(set(order)), "not-canonical", "chains.jsonl is not in order.")
    return ids


def read_bucket(name: str, data: bytes, leaves: dict[int, dict[str, Any]]) -> dict[bytes, bytes]:
    """Parse a file of ``heads/``: chain id → digest of its head, by the map of a heads leaf."""
    fields = ["heads", "bucket", "entries", "path"]
    heads, number, encoded, path = read_object(data, name, fields).values()
    good = name == f"heads/{heads}-{number}.json" and is_count(heads) and type(path) is list
    need(good and is_count(number), "not-canonical", f"{name} is malformed.")
    leaf = leaves.get(heads, {"type": ""})
    need(leaf["type"] == HEADS, "stray-piece", f"{name} belongs to no heads leaf here.")
    bits, entries = leaf["bits"], from_b64u(encoded, -1, name)
    hashes = [from_b64u(node, 32, name) for node in path]
    good = number < 2**bits and b64u(path_root(number, 2**bits, entries, hashes)) == leaf["map"]
    need(good, "wrong-head", f"{name} is not in the map of leaf {heads}.")
    ids = [entries[k : k + 16] for k in range(0, len(entries), 48)]
    good = len(entries) % 48 == 0 and ids == sorted(set(ids))
    good = good and all(bucket_of(one, bits) == number for one in ids)
    need(good, "wrong-head", f"{name} is not a sorted bucket.")
    return {one: entries[48 * k + 16 : 48 * k + 48] for k, one in enumerate(ids)}


def bucket_of(chain_id: bytes, bits: int) -> int:
    """The first ``bits`` bits of a chain id."""
    return int.from_bytes(chain_id, "big") >> 128 - bits


# ---------------------------------------------------------------------------- the answer
class Answer:
    """The pieces of a bundle put together into an answer; refuses what does not fit together.

    For each chain and epoch the links shown are contiguous; the first has number 1 or lies
    before the window; the last is the head or lies behind the window, in a closed epoch it is
    the head; a chain of which nothing is shown is absent from its bucket. Hence nothing of the
    window is missing, if the heads leaf is true. Where only a count is shown, links inside the
    window may be left out between two that are inside: their numbers say how many. A piece with
    no place in this is refused.
    """

    def __init__(self, files: dict[str, bytes], question: dict[str, Any]) -> None:
        self.leaves = read_leaves(files["leaves.jsonl"])
        self.ids = read_openings(files["chains.jsonl"], self.leaves)
        self.links = read_links(files["links.jsonl"], self.leaves)
        heads = {name: body for name, body in files.items() if name.startswith("heads/")}
        self.buckets = {name: read_bucket(name, heads[name], self.leaves) for name in heads}
        self.asked = [Chain(*chain) for chain in question["chains"]]
        self.counting = question["show"] == "count"
        self.counted: dict[Chain, int] = {}  # how many of each chain lie inside the window
        self.since, self.until = question["since"], question["until"]
        self.clock = "at" if question["clock"] == "source" else "time"
        self.epochs: list[tuple[int, int]] = []  # epoch leaf and its heads leaf, newest first
        self.answers_shown = False  # whether an answer, in the newest epoch, would be shown
        self.unattributed: list[int] = []
        self.gaps: list[int] = []
        self.used: set[Any] = set()
        if self.asked:
            self._prove()
        else:
            self.records = [i for i in self.leaves if self.kind(i) not in EXTRA]
        answers = {leaf.get("re"): i for i, leaf in self.leaves.items()}
        pairs = {i: self.leaves[i].get("re", answers.get(i)) for i in self.records}
        self.halves = {i: half for i, half in pairs.items() if half in self.leaves}
        silent = [i for i in set(pairs) - set(self.halves) if self.kind(i) in ANSWERS.values()]
        lost = [i for i in set(pairs) - set(self.halves) if pairs[i] is not None]
        newest = self.epochs[0][0] if self.answers_shown else max(self.leaves, default=0)
        self.open = sorted(i for i in silent if i > newest)  # chains go on within an epoch only
        self.not_shown = sorted({*lost, *silent} - {*self.open})
        self.shown = {*self.records, *self.halves.values(), *self.unattributed, *self.gaps}
        stray = {*self.leaves, *self.ids, *self.links, *self.buckets} - self.used - self.shown
        some = [index for index in self.leaves if index in stray][:LISTED]
        need(not stray, "stray-piece", f"Without a place: {len(stray)} pieces, leaves {some}.")

    def kind(self, index: int) -> str:
        """The type of a leaf."""
        return str(self.leaves[index]["type"])

    def inside(self, index: int) -> bool:
        """Whether a leaf lies in the window, edges included."""
        time = str(self.leaves[index][self.clock])
        return self.since <= time and (not self.until or time <= self.until)

    def _prove(self) -> None:
        """Walk every chain through every epoch of the window, and sort out what lies inside."""
        since, until = self.since, self.until
        if self.clock == "at":  # recorded with an "at" of at most five minutes after "time"
            since, until = moved(since, -300), ""
        self._find_epochs(since, until)
        found: dict[Chain, set[int]] = {}
        self.answers_shown = True
        for chain in [*self.asked, *unattributed(self.asked)]:
            found[chain], self.counted[chain] = set(), 0
            for epoch, heads in self.epochs:
                newest = epoch == self.epochs[0][0]
                links, at_head = self._run(chain, epoch, heads, since, until if newest else "")
                self.used |= {link.leaf for link in links}
                inside = [link for link in links if self.inside(link.leaf)]
                if self.counting:
                    self.counted[chain] += inside[-1].n - inside[0].n + 1 if inside else 0
                    continue
                self.counted[chain] += len(inside)
                found[chain] |= {link.leaf for link in inside}
                if chain in self.asked:  # a response joins the chains of its request, except type
                    joins = chain.dimension != "type"
                    self.answers_shown = self.answers_shown and joins and at_head
        everything = set().union(*found.values())
        self.records = sorted(set().union(*(found[chain] for chain in self.asked)))
        self.gaps = sorted(i for i in everything if self.kind(i) == "ledger.gap")
        self.unattributed = sorted(everything - {*self.records, *self.gaps})

    def _find_epochs(self, since: str, until: str) -> None:
        """Walk back by ``previous`` from the newest epoch to one that begins before the window."""
        closing = {leaf["epoch"]: i for i, leaf in self.leaves.items() if leaf["type"] == HEADS}
        epoch = max(closing, default=-1)
        late = closing and (not until or self.leaves[closing[epoch]]["time"] > until)
        need(late, "missing-epoch", "No heads leaf later than the window is shown.")
        while epoch >= 0:
            leaf, heads = self.leaves.get(epoch, {"type": ""}), closing.get(epoch, -1)
            good = leaf["type"] in OPENING and heads > epoch
            good = good and (not self.epochs or heads == self.epochs[-1][0] - 1)
            need(good, "missing-epoch", f"The epoch of leaf {epoch} is not shown to its end.")
            self.epochs.append((epoch, heads))
            self.used |= {epoch, heads}
            epoch = leaf["previous"] if leaf["time"] >= since else -1

    def _run(
        self, chain: Chain, epoch: int, heads: int, since: str, until: str
    ) -> tuple[list[Link], bool]:
        """Check what is shown of a chain in an epoch; ``until`` "" means through the head.

        Returns its links, and whether the last of them is the head.
        """
        where = f"{chain} in the epoch of leaf {epoch}"
        need((epoch, chain) in self.ids, "wrong-opening", f"{where} is not opened.")
        chain_id = self.ids[epoch, chain]
        name = f"heads/{heads}-{bucket_of(chain_id, self.leaves[heads]['bits'])}.json"
        need(name in self.buckets, "wrong-head", f"The bucket of {where} is not shown.")
        self.used |= {(epoch, chain), chain_id, name}
        head, links = self.buckets[name].get(chain_id), self.links.get(chain_id, [])
        if not links:
            need(head is None, "omitted-record", f"{where} has records, and none is shown.")
            return [], True
        dimension = self.leaves[epoch]["dimensions"].index(chain.dimension)
        before: Link | None = None
        for link in links:
            at, kind = f"{where}, leaf {link.leaf}", self.kind(link.leaf)
            good = link.dimension == dimension and epoch < link.leaf < heads and kind not in EXTRA
            good = good and kind == (chain.value if chain.dimension == "type" else kind)
            need(good, "wrong-chain", f"{at}: this link may not stand there.")
            good = link.n > 0 and (link.n == 1) == (link.previous == FIRST)
            if before is not None:
                n = f"number {link.n} after {before.n}"
                need(link.n != before.n, "duplicate-number", f"{at}: {n}.")
                need(link.n > before.n, "reordered", f"{at}: {n}.")
                left_out = link.n - before.n - 1
                good = self.counting and self.inside(before.leaf) and self.inside(link.leaf)
                good = good or not left_out
                need(good, "omitted-record", f"{at}: {n}; {left_out} not shown.")
                good = before.leaf + left_out <= link.previous < link.leaf
                good = good and (left_out > 0 or link.previous == before.leaf)
            need(good, "forked-chain", f"{at} names leaf {link.previous} as the one before it.")
            before = link
        good = links[0].n == 1 or self.leaves[links[0].leaf]["time"] < since
        need(good, "omitted-record", f"{where} is not shown back to the start of the window.")
        last = links[-1]
        at_head = head == last.as_head()
        good = at_head or head not in (None, *(link.as_head() for link in links))
        need(good, "lying-head", f"{where} has records which heads leaf {heads} does not know.")
        good = at_head or (until and self.leaves[last.leaf]["time"] > until)
        need(good, "omitted-record", f"{where} is not shown up to the end of the window.")
        return links, at_head


# ---------------------------------------------------------------------------- what is disclosed
def read_disclosures(data: bytes, answer: Answer) -> dict[int, dict[str, Any]]:
    """Parse ``disclosures.jsonl``: leaf → section → value, each under the digest in its leaf."""
    shown: dict[int, dict[str, Any]] = {}
    order: list[tuple[int, int]] = []
    for line in read_lines(data, "disclosures.jsonl"):
        fields = ["leaf", "section", "disclosure"]
        index, name, disclosure = read_object(line, "A disclosure", fields).values()
        where = f"Section {show(name)} of leaf {show(index)}"
        good = is_count(index) and index in answer.shown and name in SECTIONS
        need(good, "stray-piece", f"{where} has no place in the answer.")
        inner = from_b64u(disclosure, -1, where)
        digest = b64u(hashlib.sha256(disclosure.encode()).digest())
        place = SECTIONS.index(name)
        good = digest == answer.leaves[index]["sections"][place]
        need(good, "altered-disclosure", f"{where} is not what was recorded.")
        value = parse(inner, where)
        good = type(value) is list and len(value) == 3 and value[1] == name
        need(good, "altered-disclosure", f"{where} discloses something else.")
        from_b64u(value[0], 16, f"The salt of {where}")
        shown.setdefault(index, {})[name] = value[2]
        order.append((index, place))
    need(order == sorted(set(order)), "not-canonical", "disclosures.jsonl is not in order.")
    return shown


def check_content(members: dict[str, memoryview], shown: dict[int, dict[str, Any]]) -> int:
    """Check every part of content by the ``content`` section of its leaf; returns their number."""
    names = {name for name in members if name.startswith("content/")} - {"content/salts.jsonl"}
    order: list[tuple[int, int]] = []
    for line in read_lines(bytes(members.get("content/salts.jsonl", b"")), "content/salts.jsonl"):
        index, number, salt = read_object(line, "A salt", ["leaf", "part", "salt"]).values()
        name = f"content/{show(index)}-{show(number)}"
        try:
            part, body = shown[index]["content"]["parts"][number], members[name]
            committed = [part["size"], part["digest"]]
        except (LookupError, TypeError) as error:
            raise Refused("altered-content", f"{name} is a part of nothing shown.") from error
        digest = hashlib.sha256(from_b64u(salt, 16, name))
        digest.update(body)
        good = number >= 0 and show(committed) == show([len(body), b64u(digest.digest())])
        need(good, "altered-content", f"{name} is not the content that was recorded.")
        order.append((index, number))
    need(order == sorted(set(order)), "not-canonical", "content/salts.jsonl is not in order.")
    extra = sorted(names - {f"content/{index}-{number}" for index, number in order})[:1]
    need(not extra, "altered-content", f"{show(extra)} has no salt.")
    return len(order)


def is_condition(value: Any, depth: int = 0) -> bool:
    """Whether ``value`` is a condition: a list of a word and what it applies to, not too deep."""
    if type(value) is not list or not value or type(value[0]) is not str or depth > 50:
        return False
    word, rest = value[0], value[1:]
    if word in ("and", "or", "not", "half"):
        good = len(rest) == 1 or word in ("and", "or")
        return good and all(is_condition(part, depth + 1) for part in rest)
    if word == "stated" or word not in COMPARE:
        return word == "stated" and [type(part) for part in rest] == [str]
    named = rest and type(rest[0]) is str and re.fullmatch(FIELD, rest[0], re.DOTALL)
    plain = all(type(part) in (str, int, float, bool) for part in rest)
    return bool(named) and plain and len(rest) == (1 if word == "has" else 2)


def in_words(condition: list[Any]) -> str:
    """A condition as people say it; each text in quotes, so that it ends where it seems to."""
    word, rest = condition[0], condition[1:]
    if word in ("and", "or"):
        return "(" + (f" {word} ".join(map(in_words, rest)) or f"{word} of nothing") + ")"
    if word in ("not", "half"):
        return f"{'not' if word == 'not' else 'the other half:'} {in_words(rest[0])}"
    if word == "stated":
        return f"{quoted(rest[0])} (in the exporter's words, not evaluated)"
    if word == "has":
        return f"has {show(rest[0])}"
    return f"{show(rest[0])} {word} {quoted(rest[1])}"


def holds(condition: Any, index: int, answer: Answer, shown: dict[int, dict[str, Any]]) -> Any:
    """Whether a condition is true of a record: True, False, or None where that is not shown.

    What a response does not say of who, person and what, it takes from the request it answers.
    """
    word, rest = condition[0], condition[1:]
    if word in ("and", "or"):
        results = [holds(part, index, answer, shown) for part in rest]
        decided = word == "or"
        return decided if decided in results else None if None in results else not decided
    if word == "not":
        inner = holds(rest[0], index, answer, shown)
        return None if inner is None else not inner
    if word == "stated":  # in the exporter's words: not for this program to judge
        return None
    if word == "half":  # of the other half of the exchange
        half = answer.halves.get(index)
        unknown = None if index in answer.not_shown else False
        return unknown if half is None else holds(rest[0], half, answer, shown)
    section, _, key = rest[0].partition(".")
    if not key:
        return compare(word, answer.leaves[index][section], rest[-1])
    places = [index]
    if section in SECTIONS[:3] and answer.leaves[index].get("re") is not None:
        places.append(answer.leaves[index]["re"])
    for place in places:
        value = shown.get(place, {}).get(section)
        leaf = answer.leaves.get(place)
        committed = leaf is None or leaf["sections"][SECTIONS.index(section)] is not None
        if value is None and committed:
            return None
        found = look_up(value, key)
        if found is not None:
            each = found if type(found) is list else [found]
            return any(compare(word, one, rest[-1]) for one in each)
    return False


def look_up(value: Any, key: str) -> Any:
    """The value under a key, or under the rest of the key in an object; ``None`` if not there."""
    while isinstance(value, dict) and key not in value:
        outer, _, key = key.partition(".")
        value = value.get(outer) if key else None
    return value.get(key) if isinstance(value, dict) else None


def compare(word: str, value: Any, wanted: Any) -> bool:
    """One comparison; a value of another type, or none, is not what is wanted."""
    types = {type(value), type(wanted)}
    fits = word in ("has", "is", "prefix") or types <= {int, float} or types == {str}
    return fits and bool(COMPARE[word](value, wanted))


# ---------------------------------------------------------------------------- the verdict
def read_manifest(members: dict[str, memoryview]) -> dict[str, Any]:
    """Parse ``manifest.json``; every other member is listed in it with its digest."""
    manifest = read_object(bytes(members["manifest.json"]), "manifest.json", MANIFEST)
    question, files = manifest["question"], manifest["files"]
    good = type(question) is dict and list(question) == QUESTION and type(files) is dict
    need(good and repr(manifest["v"]) == "1", "not-canonical", "The manifest asks no question.")
    chains, since, until = question["chains"], question["since"], question["until"]
    good = (
        type(chains) is list
        and all(type(c) is list and list(map(type, c)) == [str] * 3 for c in chains)
        and bool(chains) == (question["not_proved"] == "")
        and (since == "" or is_time(since))
        and sorted(set(map(tuple, chains))) == list(map(tuple, chains))
        and (is_time(until) or (until == "" and question["clock"] == "source"))
        and (since <= until or until == "")
        and question["clock"] in ("ledger", "source")
        and type(question["conditions"]) is list
        and all(map(is_condition, question["conditions"]))
        and question["show"] in ("records", "count")
    )
    if good and question["show"] == "count":  # which is of whole chains, by the ledger's clock
        good = bool(chains) and not question["conditions"] and question["clock"] == "ledger"
    need(good, "not-canonical", "The question of the manifest is malformed.")
    disclosed, sampling = manifest["disclosed"], manifest["sampling"]
    good = (
        (type(question["expression"]), type(question["not_proved"])) == (str, str)
        and (is_time(manifest["made"]), type(manifest["custody"])) == (True, list)
        and type(manifest["boundary"]) is type(manifest["retention"]) is type(disclosed) is dict
        and list(disclosed) == ["withhold", "content"]
        and type(disclosed["withhold"]) is list
        and all(type(name) is str for name in disclosed["withhold"])
        and type(disclosed["content"]) is str
    )
    if good and sampling is not None:  # a population is what a chain proves to be all
        good = type(sampling) is dict and bool(chains)
        good = good and list(sampling) == ["seed", "size", "population", "digest"]
        good = good and [type(value) for value in sampling.values()] == [str, int, int, str]
        good = good and sampling["seed"] and sampling["size"] > 0 and question["show"] != "count"
    need(good, "not-canonical", "What the manifest says of the export is malformed.")
    good = list(files) == sorted(set(members) - {"manifest.json"}) and set(files) >= set(REQUIRED)
    need(good, "altered-file", "The members are not those the manifest lists, or too few.")
    for name, listed in files.items():
        good = listed == b64u(hashlib.sha256(members[name]).digest())
        need(good, "altered-file", f"{name} is not the file the manifest lists.")
    return manifest


def check(data: bytes, policy: Policy, named: str = "", tools: Tools = NO_TOOLS) -> Verdict:
    """Check a bundle under a policy; without a log's key in it, against itself only.

    ``named``: the b64u digest that its manifest has to have, "" for any. Raises ``Refused`` at
    the first thing that is not as it has to be. ``facts["ok"]``: the policy is satisfied.
    """
    members = read_zip(data)
    digest = b64u(hashlib.sha256(members["manifest.json"]).digest())
    need(named in ("", digest), "wrong-manifest", f"The manifest is {digest}, not {show(named)}.")
    manifest = read_manifest(members)
    verdict: Verdict = judge(members, manifest, policy, tools)[0]
    counts, stated = show(verdict.facts["counts"]), show(manifest["counts"])
    need(counts == stated, "false-count", f"Found {counts}, stated {stated}.")
    verdict.facts["manifest_named"] = bool(named)
    unsaid = unchecked(manifest["question"], bool(named))
    return verdict._replace(manifest=digest, unchecked=unsaid)


def judge(members: dict[str, Any], manifest: Any, policy: Policy, tools: Tools) -> Any:
    """Check all but digests and counts; returns the verdict, the answer, and what is disclosed."""
    files = {name: bytes(body) for name, body in members.items() if name[:8] != "content/"}
    note = read_checkpoint(files["checkpoint"], policy, tools)
    good = show([note.origin, note.size]) == show([manifest["origin"], manifest["size"]])
    need(good, "wrong-key", "The checkpoint is not of the log and size that the manifest names.")
    stamps = read_stamps(files, note, policy, tools)
    question = manifest["question"]
    answer = Answer(files, question)
    hashes = read_hashes(files["proofs/inclusion"], "proofs/inclusion")
    lines = read_lines(files["leaves.jsonl"], "leaves.jsonl")
    leaves = [(index, lines[k]) for k, index in enumerate(answer.leaves)]
    good = note.size > max(answer.leaves, default=-1)
    good = good and batch_root(leaves, note.size, hashes) == note.root
    need(good, "bad-inclusion", "The leaves are not in the tree that the checkpoint signs.")
    check_times(answer.leaves, note, stamps)
    shown = read_disclosures(files["disclosures.jsonl"], answer)
    parts = f"{(number := check_content(members, shown))} part{'s'[number == 1 :]}"
    counts = count(answer, shown, question["conditions"])
    drawn, sample = check_sample(answer, shown, question["conditions"], manifest["sampling"])
    newest = answer.epochs[0][1] if answer.epochs else max(answer.leaves, default=0)
    facts = vouch(policy, note, stamps, newest)
    held = f"{len(leaves)} leaves, {sum(map(len, shown.values()))} sections and {parts}"
    integrity = f"{held} agree with one another; who recorded them was not checked"
    if policy.logs:
        held += f" are the bytes that {show(note.origin)} recorded"
        integrity = f"{held}, in its tree of size {note.size}"
    evaluated = QUESTION[1:-1] if answer.asked else ["chains", "conditions"]
    stated = {name: question[name] for name in QUESTION if name not in evaluated}
    stated.update({name: manifest[name] for name in ("made", "boundary", "disclosed")})
    facts["question"], facts["stated"] = {name: question[name] for name in evaluated}, stated
    facts["counts"], facts["records"] = counts, answer.records
    facts["counted"] = [[*chain, answer.counted[chain]] for chain in answer.asked]
    facts["gaps"], facts["open"], facts["sample"] = answer.gaps, answer.open, drawn
    facts["halves_not_shown"], replayed = answer.not_shown, facts["assurance"]["replayed"]
    told = counts if drawn is None else {**counts, "withheld": 0}  # the sample says of how many
    said = completeness(answer, question, told, sample + partly(answer, shown), replayed)
    who, how = assurance(policy, facts["assurance"]), coverage(answer)
    what, rest = about(answer, question["conditions"]), unchecked(question, False)
    return Verdict(integrity, said, who, how, what, "", rest, facts), answer, shown


def vouch(policy: Policy, note: Note, stamps: list[Stamp], newest: int) -> dict[str, Any]:
    """Facts of who vouches besides the log's key; ``newest``: the leaf on which the answer rests.

    ``seen``: when that leaf had been seen at the latest, "" if nobody whom the policy names saw it.
    """
    replayed: dict[str, int] = {}
    for one in (*(stamp.note for stamp in stamps), note):
        replayed.update({name: one.size for name in one.cosigned if name in policy.monitors})
    times = [time for size, time, who in outside_times(note, stamps) if who and size > newest]
    met = satisfied(policy, note.cosigned)
    found = {
        "witnesses": {name: moved(DAY_ONE, seconds) for name, seconds in note.cosigned.items()},
        "monitors": replayed,
        "timestamps": [[stamp.note.size, stamp.time, stamp.by] for stamp in stamps],
        "quorum": policy.quorum[0],
        "satisfied": met,
        "replayed": any(size > newest for size in replayed.values()),
        "seen": min(times, default=""),
        "newest": newest,
        "post_quantum": bool(note.post_quantum),
        "unchecked": note.unchecked,
    }
    facts = {"origin": note.origin, "size": note.size, "outside_key": bool(policy.logs)}
    return {**facts, "ok": bool(policy.logs) and met, "assurance": found}


def assurance(policy: Policy, found: dict[str, Any]) -> str:
    """The third line: who vouches, whether that is what the policy asks for, what is asserted."""
    if not policy.logs:
        return "self-consistent only: no key was given from outside the bundle"
    who = [f"witness {show(name)} at {time}" for name, time in found["witnesses"].items()]
    unclear = [f"ML-DSA-44 of {show(name)}" for name in found["unchecked"]]
    for size, time, by in found["timestamps"]:
        who += [f"timestamp {show(by)} of {time} over {size}"] if by else []
        unclear += [] if by else [f"the timestamp of {time}"]
    said = [f"besides the log's key: {', '.join(who)}" if who else "own key only"]
    if not (who or unclear or found["monitors"]):
        said[0] += ": no witness, no timestamp"
    if found["quorum"] != "none":
        met = "met" if found["satisfied"] else "NOT met, so by this policy nothing here is trusted"
        said.append(f"quorum {show(found['quorum'])} {met}")
    said += [f"monitor {show(m)} has replayed to size {n}" for m, n in found["monitors"].items()]
    said += [] if found["monitors"] else ["no monitor has replayed the chains"]
    if not found["replayed"]:
        said[-1] += ", so counts, heads and times are asserted"
    before = "" if found["replayed"] else ", and nothing shows how long before"
    there = f"leaf {found['newest']} was there by {found['seen']}{before}"
    said += [there] if found["seen"] else []
    said += [f"not checked here: {', '.join(unclear)}"] if unclear else []
    if policy.post_quantum and not found["post_quantum"]:
        said.append("classical only: no ML-DSA-44 signature of the log was checked")
    return "; ".join(said)


def count(answer: Answer, shown: dict[int, Any], conditions: list[Any]) -> dict[str, int]:
    """Count what the answer holds; where only a count is shown, what its numbers say."""
    results = [holds(["and", *conditions], index, answer, shown) for index in answer.records]
    hidden = [i for i in answer.records if i not in shown and any(answer.leaves[i]["sections"])]
    found = {
        "records": len(answer.records),
        "matching": results.count(True),
        "undetermined": results.count(None),
        "withheld": len(hidden),
        "unattributed": len(answer.unattributed),
        "gaps": len(answer.gaps),
        "open": len(answer.open),
        "halves_not_shown": len(answer.not_shown),
    }
    if answer.counting:
        ours = sum(answer.counted[chain] for chain in answer.asked)
        found.update(records=ours, matching=ours, unattributed=sum(answer.counted.values()) - ours)
    return found


def draw(answer: Answer, shown: dict[int, Any], conditions: Any, seed: str, size: int) -> Any:
    """Draw a sample: its leaves in the order drawn, how many it is from, and their digest.

    The population is every record that is not shown to fail the conditions; the digest is over
    their ids, each and LF. Drawn are those with the smallest HMAC-SHA-256 of id under seed.
    """
    results = {i: holds(["and", *conditions], i, answer, shown) for i in answer.records}
    ids = {i: answer.leaves[i]["id"].encode() for i, met in results.items() if met is not False}
    drawn = sorted(ids, key=lambda i: hmac.new(seed.encode(), ids[i], "sha256").digest())[:size]
    return drawn, len(ids), b64u(hashlib.sha256(b"".join(x + b"\n" for x in ids.values())).digest())


def check_sample(answer: Answer, shown: dict[int, Any], conditions: Any, stated: Any) -> Any:
    """Draw the sample again; returns its leaves, and the verdict's words for it."""
    if stated is None:
        return None, []
    drawn, *population = draw(answer, shown, conditions, stated["seed"], stated["size"])
    good = population == [stated["population"], stated["digest"]]
    need(good, "wrong-sample", f"The population found is {population}, not the one stated.")
    whole = {*drawn, *answer.gaps, *map(answer.halves.get, drawn)}
    needed = {name for name in SECTIONS if f'"{name}.' in json.dumps(conditions)}
    more = [i for i in sorted(set(shown) - whole) if not set(shown[i]) <= needed]
    need(not more, "wrong-sample", f"Shown is also what was not drawn: leaf {more[:1]}.")
    said = f"sample of {len(drawn)} of {population[0]} drawn by the seed {quoted(stated['seed'])}"
    said += f", {sum(i not in shown for i in drawn)} of them withheld"
    rest = len(set(answer.records) - {*drawn, *shown})
    return drawn, [said] + [f"{rest} not drawn and not shown"] * (rest > 0)


def partly(answer: Answer, shown: dict[int, Any]) -> list[str]:
    """Sections that records shown in part have and that are not disclosed: of how many records."""
    numbers = dict.fromkeys(SECTIONS, 0)
    for i in set(answer.records) & set(shown):
        for place, digest in enumerate(answer.leaves[i]["sections"]):
            numbers[SECTIONS[place]] += not (digest is None or SECTIONS[place] in shown[i])
    return [f"{name} of {number} not disclosed" for name, number in numbers.items() if number]


def completeness(answer: Answer, question: Any, counts: Any, hidden: list[str], sure: bool) -> str:
    """The second line: all records of what, from when to when, and what of them is not shown."""
    if not answer.asked:
        return f"not proved: {show(question['not_proved'])}; {counts['records']} records are shown"
    heads, first = answer.epochs[0][1], answer.epochs[-1][0]
    window, began = f", from {answer.since}" if answer.since else "", answer.leaves[first]["time"]
    if first == 0 and "" < answer.since < str(began):  # nothing was observed before that
        window += f" (the ledger begins at {began})"
    window += f", through {answer.until}" if answer.until else ""
    if answer.clock == "at":
        window += f" of source time, as recorded before leaf {heads} of "
        window += str(answer.leaves[heads]["time"])
    if answer.counting:
        each = [f"{(n := answer.counted[c])} record{'s'[: n != 1]} of {c}" for c in answer.asked]
        more = ", one by one" if len(answer.asked) > 1 else ""
        said = [f"{' and '.join(each)}, in this ledger{window}: counted{more}, none shown"]
        said += [f"{counts['unattributed']} unattributed, gaps, if any, among them"]
        return "; ".join([*said, "a monitor has replayed them" if sure else "asserted: no monitor"])
    chains = any_of(answer.asked)
    said = [f"all {counts['records']} records of {chains}, in this ledger{window}"]
    if question["conditions"]:
        said.append(f"{counts['matching']} of them are shown to meet the conditions")
    said += [f"{counts[name]} {words}" for name, words in COUNTED.items() if counts[name]]
    said += [*hidden, *([f"{counts['open']} open at {heads}"] if answer.open else [])]
    listed = ", ".join(map(str, answer.gaps[:LISTED]))
    more = f" and {len(answer.gaps) - LISTED} more" if len(answer.gaps) > LISTED else ""
    said += [f"gaps listed: leaf {listed}{more}" if answer.gaps else "no gaps"]
    return "; ".join(said)


def coverage(answer: Answer) -> str:
    """The fourth line: how the records were obtained, and what was not examined."""
    tiers = [answer.leaves[index]["tier"] for index in answer.records]
    said = ", ".join(f"{tiers.count(tier)} {tier}" for tier in TIERS if tier in tiers)
    said = "how the records were obtained is not shown" if answer.counting else said
    return f"{said or 'no records'}; traffic around the gateway not examined"


def about(answer: Answer, conditions: list[Any]) -> str:
    """What was evaluated: chains, window and conditions, in words made here."""
    said = ["no chain and no window: the records are those that the exporter picked"]
    if answer.asked:
        chains = any_of(answer.asked)
        until = answer.until or f"what leaf {answer.epochs[0][1]} knows"
        window = f"from {answer.since or 'the beginning'} through {until}"
        clock = "source" if answer.clock == "at" else "ledger"
        what = "how many records" if answer.counting else "records"
        said = [f"{what} of {chains}", f"{window}, {clock} time"]
    said += [f"conditions: {' and '.join(map(in_words, conditions)) or 'none'}"]
    return "; ".join(said)


def unchecked(question: dict[str, Any], named: bool) -> str:
    """The last line: what nothing vouches for, or whose word it is if the manifest was named."""
    words = question["expression"]
    cut = f" and {len(words) - MAX_WORDS} characters more" if len(words) > MAX_WORDS else ""
    theirs = f"the question as the exporter put it, {quoted(words[:MAX_WORDS])}{cut}"
    theirs += "" if question["chains"] else ", why completeness is not proved"
    theirs += ", the reader's boundary, the time of the export, what was chosen to be disclosed"
    said = f"nothing vouches for these, anybody may have rewritten them: {theirs}"
    if named:
        said = "the manifest is the one named, nothing was changed since its digest was taken;"
        said += f" the exporter's word only: {theirs}"
    return f"{said}; report.html, README.txt and both verifiers inside are for people, not evidence"


def check_proof(proof: bytes, leaf: bytes, policy: Policy, tools: Tools = NO_TOOLS) -> Verdict:
    """Check one leaf under a C2SP tlog-proof v1; raises ``Refused``."""
    head, _, text = proof.partition(b"\n\n")
    lines = head.decode("latin-1").split("\n")[1:]
    lines = lines[1:] if lines and lines[0].startswith("extra ") else lines
    stated = re.fullmatch(r"index (0|[1-9][0-9]{0,18})", lines[0]) if lines else None
    if stated is None:
        raise Refused("not-canonical", "This is not a tlog-proof.")
    note = read_checkpoint(text, policy, tools)
    index = int(stated.group(1))
    good = read_leaf(leaf)["index"] == index < note.size
    good = good and path_root(index, note.size, leaf, [*map(from_base64, lines[1:])]) == note.root
    need(good, "bad-inclusion", "The leaf is not in the tree at that index.")
    check_times({index: read_leaf(leaf)}, note, [])
    facts = {**vouch(policy, note, [], index), "index": index}
    held = f"leaf {index} is in the ledger {show(note.origin)} of size {note.size}"
    alone = "not proved: one leaf says nothing about others"
    who = assurance(policy, facts["assurance"])
    how, rest = "sections and content not examined", "what the leaf's digests stand for"
    return Verdict(held, alone, who, how, f"leaf {index}", "", rest, facts)


# ---------------------------------------------------------------------------- command line
def run(options: argparse.Namespace, policy: Policy, tools: Tools) -> Verdict:
    """Check what the command line names."""
    data, named = Path(options.file).read_bytes(), options.manifest
    if named is not None and not re.fullmatch(r"[A-Za-z0-9_-]{43}", named):
        raise WrongUse("--manifest takes a SHA-256 in base64url, 43 characters.")
    if data.startswith(b"{") and tools.receipt:
        return tools.receipt(data, policy)
    if not data.startswith(b"c2sp.org/tlog-proof@v1\n"):
        return check(data, policy, named or "", tools)
    if options.leaf is None or named is not None:
        raise WrongUse("A .tlog-proof needs the leaf it is about, --leaf FILE, and no manifest.")
    return check_proof(data, Path(options.leaf).read_bytes(), policy, tools)


def main(argv: list[str] | None = None, tools: Tools = NO_TOOLS) -> int:
    """Run the check from a command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Check an evidence bundle or a .tlog-proof.")
    parser.add_argument("file", help="the bundle, or the .tlog-proof")
    trust = parser.add_mutually_exclusive_group()
    trust.add_argument("--policy", help="file: log keys, witnesses and a quorum (tlog-policy)")
    trust.add_argument("--key", action="append", default=[], help="the log's key, or a file of it")
    parser.add_argument("--manifest", help="the digest that the bundle's manifest has to have")
    parser.add_argument("--leaf", help="for a .tlog-proof: the file with the leaf")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args(argv)
    try:
        policy = read_keys(options.key)
        if options.policy:
            policy = read_policy(Path(options.policy).read_text(encoding="utf-8"))
        verdict = run(options, policy, tools)
    except Refused as refused:
        report = {"ok": False, "refused": refused.name, "message": refused.sentence}
        lines = [f"REFUSED  {refused.name}", refused.sentence, f"({REASONS[refused.name]})"]
        sys.stdout.write((json.dumps(report) if options.json else "\n".join(lines)) + "\n")
        return 1
    except (WrongUse, OSError, UnicodeDecodeError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    report = {"ok": verdict.facts["ok"], **verdict._asdict()}
    said = [(name, getattr(verdict, name)) for name in verdict._fields[:-1]]
    lines = [f"{name.capitalize():<13} {text}" for name, text in said if text]
    sys.stdout.write((json.dumps(report) if options.json else "\n".join(lines)) + "\n")
    if not policy.logs:
        sys.stderr.write("Nothing is trusted without the log's key from outside: --policy, --key\n")
        return 2
    return 0 if verdict.facts["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())
