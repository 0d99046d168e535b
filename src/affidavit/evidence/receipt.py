"""What a caller's receipt is worth: the answer of a gateway's ``/receipts/<id>``, checked offline.

Rules, in this order: the promise is canonical JSON (RFC 8785), about the record of the receipt, and
signed by the receipt key it names (type 01, ``<origin>/receipts``). Without halves that is all: the
log owes a leaf, and the promise shows an omission if, after its deadline, there is none. With
halves, each leaf is in the tree of the log that the promise names, by its own .tlog-proof; the
first is the promised record with the promised digest, the second answers it; every disclosure and
link is one that its leaf committed to. The receipt key counts if this very key was given from
outside, under its name, like the log's. Checked with the standalone verifier's own functions;
``verify.Refused`` under its names. Not here: making receipts (``capture``).
"""

import hashlib
import json
from typing import Any

from affidavit.evidence import verify
from affidavit.evidence.verify import NO_TOOLS, Policy, Tools, Verdict, need, show

PROMISE = ["deadline", "digest", "id", "origin", "time"]
_HALF = {"index", "type", "leaf", "proof", "cose", "disclosures", "links"}


def check(data: bytes, policy: Policy, tools: Tools = NO_TOOLS) -> Verdict:
    """The verdict on a receipt; ``Refused`` at the first thing that is not as it has to be."""
    receipt = verify.parse(data, "The receipt")
    need(_is_text(receipt), "not-canonical", "The receipt holds what is no text in UTF-8.")
    good = isinstance(receipt, dict) and set(receipt) in (
        {"id", "promise", "signature", "key"},
        {"id", "promise", "signature", "key", "halves"},
    )
    need(good, "not-canonical", "This is no receipt: it holds a promise, and halves if sequenced.")
    promise, key = _promise(receipt)
    halves = receipt.get("halves", [])
    trusted = key[:4] in {known[:4] for known in policy.logs.values()}  # all but the sizes
    who = "by the receipt key that was given" if trusted else "by a key that only the receipt names"
    if not halves:
        return _owed(promise, who, ok=trusted)
    good = type(halves) is list and len(halves) in (1, 2) and all(map(_is_half, halves))
    need(good, "not-canonical", "The receipt's halves are not a request and at most one answer.")
    proofs = [_proved(half, policy, tools) for half in halves]
    same = {proof.facts["origin"] for proof in proofs} == {promise["origin"]}
    need(same, "wrong-key", "A leaf is in another log than the one that the promise names.")
    request, *answers = [verify.read_leaf(half["leaf"].encode()) for half in halves]
    digest = hashlib.sha256(_json(request["sections"])).digest()
    same = (request["id"], verify.b64u(digest)) == (receipt["id"], promise["digest"])
    need(same, "altered-disclosure", "The leaf is not the record that was promised.")
    answered = [answer.get("re") for answer in answers]
    need(answered in ([], [request["index"]]), "wrong-half", "The answer is to another request.")
    shown = sum(_opened(half) for half in halves)
    late = trusted and request["time"] > promise["deadline"]  # by a stranger's word nobody is late
    facts = {**proofs[0].facts, "id": receipt["id"], "promise": promise, "receipt_key": trusted}
    facts["ok"] = all(proof.facts["ok"] for proof in proofs)
    held = " and ".join(f"leaf {half['index']} ({half['type']})" for half in halves)
    return Verdict(
        f"{held} are in the ledger {show(promise['origin'])}, promised {who}"
        + (", later than was promised" if late else ""),
        "not proved: a receipt speaks of one exchange"
        + ("" if answers else ", whose answer is not here"),
        proofs[0].assurance,
        f"{shown} sections shown are those that were recorded",
        f"the exchange {show(receipt['id'])}",
        "",
        "content, which a receipt does not hold; the COSE receipts, which are for other tools",
        facts,
    )


def _promise(receipt: dict[str, Any]) -> tuple[dict[str, str], verify.Key]:
    text, signature = receipt["promise"], receipt["signature"]
    need(type(text) is type(signature) is str, "not-canonical", "The promise is malformed.")
    promise = verify.read_object(text.encode(), "The promise", PROMISE)
    good = all(type(value) is str for value in promise.values())
    good = good and verify.is_time(promise["time"]) and verify.is_time(promise["deadline"])
    need(good, "not-canonical", "The promise is malformed.")
    need(promise["id"] == receipt["id"], "wrong-half", "The promise is about another record.")
    try:
        key = verify.read_key(str(receipt["key"]))
    except verify.WrongUse as error:
        raise verify.Refused("wrong-key", "The receipt names no key.") from error
    good = (key.kind, key.name) == (1, f"{promise['origin']}/receipts")
    need(good, "wrong-key", "The promise is signed with another key than the log's for receipts.")
    good = verify.ed25519(key.public, text.encode(), verify.from_b64u(signature, 64, "A signature"))
    need(good, "bad-signature", "The signature of the promise does not verify.")
    return promise, key


def _owed(promise: dict[str, str], who: str, *, ok: bool) -> Verdict:
    origin, digest = show(promise["origin"]), show(promise["digest"])
    return Verdict(
        f"a promise, signed {who}: {origin} owes a leaf whose sections have the digest {digest}",
        f"not proved: the leaf is due by {promise['deadline']}; an answer that is complete through"
        " a later time and lacks it shows that it was left out",
        "the receipt key only" if ok else "self-consistent only: no key was given from outside",
        "sections and content not examined",
        f"the record {show(promise['id'])}",
        "",
        "everything but the promise",
        {"ok": ok, "id": promise["id"], "promise": promise, "receipt_key": ok},
    )


def _is_half(half: Any) -> bool:
    return (
        isinstance(half, dict)
        and set(half) == _HALF
        and all(type(half[name]) is str for name in ("leaf", "proof", "type", "cose"))
        and type(half["disclosures"]) is type(half["links"]) is list
    )


def _is_text(value: Any) -> bool:
    """Whether all text in parsed JSON is Unicode: an escape can stand for half a character."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return False
    return True


def _proved(half: dict[str, Any], policy: Policy, tools: Tools) -> Verdict:
    """The half's leaf under its own proof, and the receipt says of it what it is."""
    found = verify.check_proof(half["proof"].encode(), half["leaf"].encode(), policy, tools)
    leaf = verify.read_leaf(half["leaf"].encode())
    same = (leaf["index"], leaf["type"]) == (half["index"], half["type"])
    need(same, "bad-leaf", "The receipt calls a leaf something that it is not.")
    return found


def _opened(half: dict[str, Any]) -> int:
    """How many sections are shown; each one, and each link, is one that the leaf committed to."""
    leaf = verify.read_leaf(half["leaf"].encode())
    links = [verify.from_b64u(link, 49, "A link") for link in half["links"]]
    digests = sorted(verify.b64u(hashlib.sha256(link).digest()) for link in links)
    need(digests == leaf["links"], "wrong-chain", "The links are not those of the leaf.")
    texts = half["disclosures"]
    need(len(texts) == len(leaf["sections"]), "stray-piece", "There are not seven sections.")
    shown = 0
    for text, digest in zip(texts, leaf["sections"], strict=True):
        if text is None:
            continue
        found = verify.b64u(hashlib.sha256(str(text).encode()).digest())
        need(found == digest, "altered-disclosure", "A section is not what was recorded.")
        shown += 1
    return shown


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
