"""Receipts: what was promised, what was kept, and every way in which one is not what it says."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from affidavit.capture.receipts import PromiseSigner
from affidavit.cli.main import run
from affidavit.evidence import receipt, verify
from affidavit.evidence.tools import tools
from affidavit.ids import b64u
from affidavit.ledger.note import ML_DSA_44, Cosigner, Signer
from affidavit.ledger.proof import encode_proof
from tests.attacks.world import ORIGIN, World

SEED = bytes(range(32, 64))
VKEY = Signer(f"{ORIGIN}/receipts", SEED).vkey
NOTHING = verify.read_keys([])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A ledger with two exchanges."""
    made = World(tmp_path_factory.mktemp("receipts") / "log")
    made.exchange()
    made.exchange()
    made.heads()
    yield made
    made.close()


def _half(world: World, index: int) -> dict[str, Any]:
    reader = world.reader
    path = reader.inclusion(index, reader.checkpoint().size)
    return {
        "index": index,
        "type": reader.decoded(index).type,
        "leaf": reader.leaf(index).decode(),
        "proof": encode_proof(index, path, reader.checkpoint_bytes()),
        "cose": "AA",
        "disclosures": list(world.kept[index].disclosures),
        "links": [b64u(link) for link in reader.links(index)],
    }


def _made(world: World, pair: int = 0, *, halves: int = 2) -> dict[str, Any]:
    """A receipt as a gateway gives it."""
    request = world.reader.decoded(world.pairs[pair][0])
    leaf = json.loads(world.reader.leaf(request.index))
    sections = json.dumps(leaf["sections"], separators=(",", ":")).encode()
    digest = b64u(hashlib.sha256(sections).digest())
    made = PromiseSigner(ORIGIN, SEED, VKEY).promise(request.id, digest, request.at)
    found = [_half(world, index) for index in world.pairs[pair][:halves]]
    return {"id": request.id, **made, **({"halves": found} if found else {})}


def _check(made: dict[str, Any], *keys: str) -> verify.Verdict:
    return receipt.check(json.dumps(made).encode(), verify.read_keys(list(keys)))


def test_both_halves_are_in_the_ledger_as_promised(world: World) -> None:
    """By the log's key alone, or with the receipt key from outside, too."""
    request, response = world.pairs[0]
    verdict = _check(_made(world), world.vkey)
    assert verdict.facts["ok"]
    assert f"leaf {request} (exchange.request) and leaf {response}" in verdict.integrity
    assert "by a key that only the receipt names" in verdict.integrity
    assert "own key only" in verdict.assurance
    assert "by the receipt key that was given" in _check(_made(world), world.vkey, VKEY).integrity
    assert "whose answer is not here" in _check(_made(world, halves=1), world.vkey).completeness


def test_a_promise_alone_says_what_is_owed(world: World) -> None:
    """And until when; without the receipt key from outside it stands for itself only."""
    made = _made(world, halves=0)
    verdict = _check(made, VKEY)
    assert verdict.facts["ok"]
    assert verdict.facts["promise"]["deadline"] in verdict.completeness
    alone = _check(made)
    assert not alone.facts["ok"]
    assert alone.assurance.startswith("self-consistent only")


def _edit(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def edit(made: dict[str, Any]) -> None:
        *outer, last = [int(p) if p.isdecimal() else p for p in path.split(".")]
        place: Any = made
        for part in outer:
            place = place[part]
        place[last] = value(place[last]) if callable(value) else value

    return edit


WRONG: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "another id": (_edit("id", "0199"), "wrong-half"),
    "a promise with another time": (_edit("promise", lambda t: t.replace("2026", "2027")),
                                    "bad-signature"),
    "a promise that is not canonical": (_edit("promise", lambda t: t.replace(":", ": ", 1)),
                                        "not-canonical"),
    "a signature cut": (_edit("signature", lambda t: t[:-2]), "not-canonical"),
    "a key of another log": (_edit("key", Signer("other/receipts", SEED).vkey), "wrong-key"),
    "no key": (_edit("key", "x"), "wrong-key"),
    "a key that did not sign": (_edit("key", Signer(f"{ORIGIN}/receipts", bytes(32)).vkey),
                                "bad-signature"),
    "a leaf edited": (_edit("halves.0.leaf", lambda t: t.replace("2026", "2025", 1)),
                      "bad-inclusion"),
    "another type": (_edit("halves.0.type", "tool.call"), "bad-leaf"),
    "a section edited": (_edit("halves.0.disclosures.0", "WyJ4Il0"), "altered-disclosure"),
    "a section more": (_edit("halves.0.disclosures", lambda d: [*d, None]), "stray-piece"),
    "a link left out": (_edit("halves.0.links", lambda d: d[1:]), "wrong-chain"),
    "a field more": (_edit("halves.0.more", lambda *_: 1), "not-canonical"),
    "halves swapped": (_edit("halves", lambda h: h[::-1]), "altered-disclosure"),
    "three halves": (_edit("halves", lambda h: [*h, h[1]]), "not-canonical"),
    "no halves in the list": (_edit("halves", 5), "not-canonical"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_as_it_says_is_refused(world: World, name: str) -> None:
    """Each under the name that bundles are refused under."""
    edit, reason = WRONG[name]
    made = _made(world)
    if name == "a field more":
        made["halves"][0]["more"] = 0
    edit(made)
    with pytest.raises(verify.Refused) as found:
        _check(made, world.vkey)
    assert found.value.name == reason


def test_the_answer_of_another_exchange_is_refused(world: World) -> None:
    """Though it is in the ledger, too."""
    made, other = _made(world), _made(world, 1)
    made["halves"][1] = other["halves"][1]
    with pytest.raises(verify.Refused, match="another request"):
        _check(made, world.vkey)
    made["halves"][0] = other["halves"][0]
    with pytest.raises(verify.Refused, match="not the record that was promised"):
        _check(made, world.vkey)


def _by(world: World, seed: bytes, origin: str) -> dict[str, Any]:
    """A receipt over the same leaves whose promise somebody else made for ``origin``."""
    made = _made(world)
    vkey = Signer(f"{origin}/receipts", seed).vkey
    promise = json.loads(made["promise"])
    signer = PromiseSigner(origin, seed, vkey)
    return made | signer.promise(promise["id"], promise["digest"], promise["time"])


def test_the_halves_are_in_the_log_that_the_promise_names(world: World) -> None:
    """Genuine leaves of one log are no receipt of another one, which the verdict would name."""
    with pytest.raises(verify.Refused, match="another log") as found:
        _check(_by(world, bytes(32), "other.example/log"), world.vkey)
    assert found.value.name == "wrong-key"


def test_a_key_given_for_another_log_makes_no_promise_of_this_one(world: World) -> None:
    """The same public key under another name is another key."""
    other = Signer("other.example/log", bytes(32)).vkey
    made = _by(world, bytes(32), ORIGIN)
    assert "only the receipt names" in _check(made, world.vkey, other).integrity
    del made["halves"]
    assert not _check(made, world.vkey, other).facts["ok"]


def test_only_a_key_from_outside_says_that_the_log_was_late(world: World) -> None:
    """Whoever passes a receipt on could make a promise that nobody gave."""
    made = _made(world)
    promise = json.loads(made["promise"])
    early = PromiseSigner(ORIGIN, SEED, VKEY)
    made |= early.promise(promise["id"], promise["digest"], "2020-01-01T00:00:00.000000Z")
    assert "later than was promised" in _check(made, world.vkey, VKEY).integrity
    assert "later" not in _check(made, world.vkey).integrity


@pytest.mark.parametrize("place", ["key", "promise", "signature", "halves.0.leaf", "halves.0.cose"])
def test_half_a_character_is_refused(world: World, place: str) -> None:
    """JSON can hold it, UTF-8 cannot."""
    made = _made(world)
    _edit(place, lambda text: text + "\ud800")(made)
    with pytest.raises(verify.Refused) as found:
        _check(made, world.vkey)
    assert found.value.name == "not-canonical"


def test_ml_dsa_counts_under_a_receipt_too(world: World) -> None:
    """With the tools of this program a quorum of such a witness is met."""
    cosigner = Cosigner("w.example", ML_DSA_44, bytes(32))
    made = _made(world)
    for half in made["halves"]:
        text = half["proof"].split("\n\n", 1)[1].partition("\n\n")[0] + "\n"
        half["proof"] += cosigner.cosign(text, 1_795_435_200 + 3600)
    lines = [f"log {world.vkey}", f"witness w {cosigner.vkey}", "quorum w", ""]
    policy = verify.read_policy("\n".join(lines))
    check = tools().receipt
    assert check is not None
    assert check(json.dumps(made).encode(), policy).facts["ok"]


@pytest.mark.parametrize("data", [b"{}", b"[]", b'{"id":1,"status":"not sequenced yet"}', b"{"])
def test_what_is_no_receipt_is_refused(data: bytes) -> None:
    """As JSON that is not one of ours."""
    with pytest.raises(verify.Refused):
        receipt.check(data, NOTHING)


def test_the_command_line_takes_a_receipt(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same four lines and exit codes as for a bundle."""
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps(_made(world)))
    assert run(["verify", str(file), "--key", world.vkey]) == 0
    assert capsys.readouterr().out.startswith("Integrity     leaf ")
    assert run(["verify", str(file)]) == 2
    capsys.readouterr()
    file.write_text(json.dumps(_made(world) | {"id": "x"}))
    assert run(["verify", str(file), "--key", world.vkey]) == 1
    assert "REFUSED  wrong-half" in capsys.readouterr().out
