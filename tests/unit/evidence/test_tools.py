"""What ``affidavit verify`` checks beyond the standard library, with a real authority."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from affidavit.evidence import verify
from affidavit.evidence.bundle import Bundle
from affidavit.evidence.tools import ml_dsa, token, tools
from affidavit.ledger import timestamp
from affidavit.ledger.note import ML_DSA_44, Cosigner
from tests.attacks.world import World, by_model, members, pack
from tests.world.timestamp_authority import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority of OpenSSL's."""
    return Authority(tmp_path_factory.mktemp("tools") / "authority")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[World]:
    """A ledger whose checkpoint that authority stamped."""
    made = World(tmp_path_factory.mktemp("tools-log") / "log")
    made.exchange()
    made.heads()
    query = timestamp.query(made.reader.checkpoint_bytes())
    made.stamp(answer=authority.answer(query.der))
    made.exchange()
    yield made
    made.close()


@pytest.fixture(scope="module")
def bundled(world: World) -> Bundle:
    """The evidence."""
    return world.bundle(by_model())


def policy(world: World, root: bytes) -> verify.Policy:
    """Trust in the log and in one root for timestamps."""
    certificate = base64.b64encode(root).decode()
    return verify.read_policy(f"log {world.vkey}\n#timestamps tsa {certificate}\nquorum none\n")


def test_a_real_token_vouches_under_its_root(
    world: World, bundled: Bundle, authority: Authority
) -> None:
    """With the library it is checked; the verifier alone reads the same time and says so."""
    trust = policy(world, authority.root)
    checked = verify.check(bundled.data, trust, "", tools())
    ((size, time, by),) = checked.facts["assurance"]["timestamps"]
    assert (size, by) == (4, "tsa")
    assert f"timestamp tsa of {time} over 4" in checked.assurance
    assert "not checked here" not in checked.assurance
    alone = verify.check(bundled.data, trust)
    assert alone.facts["assurance"]["timestamps"] == [[4, time, ""]]
    assert f"not checked here: the timestamp of {time}" in alone.assurance
    place = members(bundled.data)
    note, answer = place["timestamps/4.checkpoint"], place["timestamps/4.tsr"]
    assert timestamp.verify(answer, note, [authority.root]) == time


def test_another_root_is_not_checked_and_another_signature_is_refused(
    world: World, bundled: Bundle, authority: Authority, tmp_path: Path
) -> None:
    """A token of an authority that is not named vouches for nothing; a broken one is refused."""
    other = Authority(tmp_path / "other", name="Other root")
    verdict = verify.check(bundled.data, policy(world, other.root), "", tools())
    assert "not checked here: the timestamp of" in verdict.assurance
    files = members(bundled.data)
    data = bytearray(files["timestamps/4.tsr"])
    data[-3] ^= 1
    files["timestamps/4.tsr"] = bytes(data)
    with pytest.raises(verify.Refused, match="bad-timestamp"):
        verify.check(pack(files), policy(world, authority.root), "", tools())


def test_what_is_no_token_and_what_is_no_key(authority: Authority) -> None:
    """Neither tool raises: each says no, and of what."""
    assert token(b"nonsense", b"note", authority.root) == "malformed"
    query = timestamp.query(b"note")
    answer = authority.answer(query.der)
    assert token(answer, b"note", authority.root) == ""
    assert token(answer, b"other", authority.root) == "imprint"
    assert token(answer, b"note", b"no certificate") == "malformed"
    made = Cosigner("a", ML_DSA_44, bytes(32))
    public = verify.read_key(made.vkey).public
    signature = made._private.sign(b"message")
    assert ml_dsa(public, b"message", signature)
    assert not ml_dsa(public, b"another", signature)
    assert not ml_dsa(public[:-1], b"message", signature)
    assert not ml_dsa(public, b"message", b"")
