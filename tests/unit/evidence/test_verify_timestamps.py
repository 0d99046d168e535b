"""Timestamps in a bundle: the strict reader of tokens, older checkpoints, what refuses them."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affidavit.clock import add_seconds
from affidavit.errors import CorruptError
from affidavit.evidence import verify
from affidavit.evidence.bundle import Bundle
from affidavit.ids import b64u
from affidavit.ledger import merkle
from affidavit.query.completeness import Answer, build
from affidavit.query.prover import LogProver
from tests.attacks.world import World, by_model, members, pack
from tests.paths import shared
from tests.world import tokens

NOTE = b"a note\n"
TIME = "2026-11-23T12:00:07.250000Z"


def test_a_token_is_read() -> None:
    """The imprint and the time of a well-formed answer, with and without a fraction."""
    digest, time = verify.read_token(tokens.response(NOTE, TIME))
    assert (len(digest), time) == (32, TIME)
    whole = "2026-11-23T12:00:07.000000Z"
    assert verify.read_token(tokens.response(NOTE, whole))[1] == whole


@pytest.mark.parametrize(
    "change",
    [
        lambda token: tokens.response(NOTE, TIME, status=2),
        lambda token: tokens.response(NOTE, TIME, digest=bytes.fromhex("06052b0e03021a")),
        lambda token: token + b"\0",
        lambda token: token + b"\x05\x00",
        lambda token: token[:-1],
        lambda token: b"",
        lambda token: b"\x30\x80" + token[2:],
        lambda token: b"\x31" + token[1:],
        lambda token: b"\x30\x82\x00" + token[1:],
        lambda token: b"\x3f" + token[1:],
        lambda token: token.replace(tokens.SIGNED_DATA, bytes.fromhex("06092a864886f70d010701")),
        lambda token: token.replace(tokens.TST_INFO, tokens.TST_INFO[:-1] + b"\x05"),
        lambda token: token.replace(b"20261123120007.25Z", b"20261323120007.25Z"),
        lambda token: token.replace(b"20261123120007.25Z", b"20261123120007.20Z"),
        lambda token: token.replace(b"20261123120007.25Z", b"20261123120007.255"),
        lambda token: token.replace(b"20261123120007.25Z", b"20261123120007,25Z"),
    ],
)
def test_what_is_no_token(change: Callable[[bytes], bytes]) -> None:
    """Not granted, another digest, another encoding, another type, or no time: refused."""
    token = tokens.response(NOTE, TIME)
    changed = change(token)
    assert changed != token
    with pytest.raises(verify.Refused, match="bad-timestamp"):
        verify.read_token(changed)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 2**16), st.integers(0, 255))
def test_hostile_tokens_are_refused_by_name(noise: bytes, place: int, value: int) -> None:
    """Noise, and a token with a byte changed, never end in a traceback."""
    token = bytearray(tokens.response(NOTE, TIME))
    token[place % len(token)] = value
    for data in (noise, bytes(token)):
        try:
            digest, time = verify.read_token(data)
        except verify.Refused as refused:
            assert refused.name == "bad-timestamp"  # noqa: PT017 - either is good
        else:
            assert len(digest) <= 32
            assert verify.is_time(time)


def test_consistency_vectors_of_another_implementation() -> None:
    """The RFC 6962 consistency vectors: right proofs hold, wrong ones do not."""
    seen = {True: 0, False: 0}
    for line in shared("vectors", "merkle-consistency.jsonl").read_text().splitlines():
        case = json.loads(line)
        case = case.get("case", case)
        roots = [base64.b64decode(case[name] or "") for name in ("root1", "root2")]
        path = [base64.b64decode(node) for node in case["proof"] or []]
        if case["size1"] == 0 or any(len(node) != 32 for node in path):
            continue  # the caller wants a size above 0, and reads hashes of 32 bytes only
        older, newer = (verify.Note("", case[f"size{n}"], roots[n - 1], {}, [], []) for n in (1, 2))
        good = verify.consistent(older, newer, path)
        assert good == (not case["wantErr"]), case
        seen[good] += 1
    assert seen[True] > 5
    assert seen[False] > 40


def test_consistency_of_both_sides_agrees() -> None:
    """For every pair of sizes the ledger's proof holds here, and for no other size or root."""
    hashes = [merkle.leaf_hash(bytes([n])) for n in range(20)]

    def subtree(level: int, index: int) -> bytes:
        return merkle.root(hashes[index << level : (index + 1) << level])

    def tree(size: int) -> verify.Note:
        return verify.Note("", size, merkle.root(hashes[:size]), {}, [], [])

    for newer in range(1, 21):
        for older in range(1, newer + 1):
            path = merkle.consistency_path(older, newer, subtree) if older < newer else []
            assert verify.consistent(tree(older), tree(newer), path)
            assert not verify.consistent(tree(older), tree(newer), [*path, bytes(32)])
            other = tree(newer)._replace(root=bytes(32))
            assert not verify.consistent(tree(older), other, path)
            assert not path or not verify.consistent(tree(older), tree(newer), path[:-1])


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A ledger with an exchange that was stamped, and one after it."""
    made = World(tmp_path / "log")
    made.exchange()
    made.heads()
    made.stamp()
    made.exchange()
    yield made
    made.close()


@pytest.fixture
def bundled(world: World) -> Bundle:
    """The evidence, with the timestamp."""
    return world.bundle(by_model())


def check(world: World, data: bytes, tool: verify.Tools = verify.NO_TOOLS) -> verify.Verdict:
    """Judge under the log's key and one authority."""
    certificate = base64.b64encode(b"root").decode()
    text = f"log {world.vkey}\n#timestamps tsa {certificate}\nquorum none\n"
    return verify.check(data, verify.read_policy(text), "", tool)


def refused(world: World, files: dict[str, bytes]) -> str:
    """The name under which these members are refused; "" if they are not."""
    try:
        check(world, pack(files))
    except verify.Refused as found:
        return found.name
    return ""


def test_the_timestamp_travels_with_its_checkpoint_and_proof(world: World, bundled: Bundle) -> None:
    """Three members; unchecked, it is named so; checked, it vouches for when leaves were there."""
    files = members(bundled.data)
    assert [name for name in files if name[0] == "t"] == [
        "timestamps/4.checkpoint", "timestamps/4.consistency", "timestamps/4.tsr",
    ]  # fmt: skip
    alone = check(world, bundled.data).assurance
    assert "not checked here: the timestamp of 2026-11-23T12:00:07.000000Z" in alone
    assert "counts, heads and times are asserted" in alone
    asked: list[bytes] = []

    def token(response: bytes, text: bytes, certificate: bytes) -> str:
        asked.extend([response, text, certificate])
        return ""

    checked = check(world, bundled.data, verify.Tools(token=token)).assurance
    assert checked.startswith(
        "besides the log's key: timestamp tsa of 2026-11-23T12:00:07.000000Z over 4; "
    )
    assert asked == [files["timestamps/4.tsr"], files["timestamps/4.checkpoint"], b"root"]
    assert "times are asserted" in checked  # the newest heads leaf came after it


def again_through(world: World, until: str) -> Answer:
    """The answer through a time that heads cover already, so that nothing new is appended."""
    return build(world.reader, LogProver(world.log), by_model(until=until))


def test_a_timestamp_over_everything_vouches_for_the_time(world: World) -> None:
    """One over the very checkpoint of the bundle has no proof and covers the heads leaf."""
    answer = world.answer(by_model())
    size = world.stamp(3600.0)
    again = world.bundle(by_model(), answer=again_through(world, answer.question.until))
    assert size == answer.size
    assert members(again.data)[f"timestamps/{size}.consistency"] == b""
    tool = verify.Tools(token=lambda *_: "")
    verdict = check(world, again.data, tool)
    newest = verdict.facts["assurance"]["newest"]
    assert f"leaf {newest} was there by 2026-11-23T13:" in verdict.assurance
    assert ", and nothing shows how long before" in verdict.assurance
    assert "counts, heads and times are asserted" in verdict.assurance


def test_an_authority_that_the_policy_does_not_name_vouches_for_nothing(
    world: World, bundled: Bundle
) -> None:
    """It is said to be unchecked; a token that is broken under a known authority is refused."""
    tool = verify.Tools(token=lambda *_: "authority")
    assert "not checked here: the timestamp of" in check(world, bundled.data, tool).assurance
    with pytest.raises(verify.Refused, match="bad-timestamp"):
        check(world, bundled.data, verify.Tools(token=lambda *_: "signature"))


def test_what_is_changed_about_a_timestamp_is_refused(world: World, bundled: Bundle) -> None:
    """Not whole, over another note, of another size, without its proof: each by its name."""
    files = members(bundled.data)
    place = "timestamps/4"
    for name in [name for name in files if name.startswith(place)]:
        rest = {other: body for other, body in files.items() if other != name}
        assert refused(world, rest) == "bad-timestamp", name
    other = tokens.response(b"another note", TIME)
    assert refused(world, {**files, f"{place}.tsr": other}) == "bad-timestamp"
    empty = {**files, f"{place}.consistency": b""}
    assert refused(world, empty) == "bad-consistency"
    wrong = f"{b64u(bytes(32))}\n".encode()
    assert refused(world, {**files, f"{place}.consistency": wrong}) == "bad-consistency"
    moved = {name.replace("/4.", "/3."): body for name, body in files.items()}
    assert refused(world, moved) == "bad-timestamp"
    later = {name: body for name, body in files.items() if name[0] != "t"}
    newest = world.reader.checkpoint_bytes()
    world.heads()
    later["timestamps/9.checkpoint"] = world.reader.checkpoint_bytes()
    later["timestamps/9.tsr"] = tokens.response(world.reader.checkpoint_bytes(), TIME)
    later["timestamps/9.consistency"] = b""
    assert newest != world.reader.checkpoint_bytes()
    assert refused(world, later) == "bad-timestamp"


def test_few_timestamps_are_taken_and_the_last_among_them(tmp_path: Path) -> None:
    """Of many, those that cover the leaves earliest, 16 at most, the newest leaf's too."""
    world = World(tmp_path / "many")
    for _ in range(20):
        world.add()
        world.heads()
        last = world.stamp()
    made = world.bundle(by_model(until=world.clock.now()))
    sizes = sorted({int(name[11:].split(".")[0]) for name in members(made.data) if name[0] == "t"})
    assert len(sizes) == 16
    assert sizes[-1] == last
    few = world.bundle(by_model(until="2026-11-23T12:00:02.000000Z"))
    taken = [name for name in members(few.data) if name.endswith(".tsr")]
    assert taken[0] == "timestamps/3.tsr"
    assert len(taken) <= 4
    world.close()


def test_a_stamped_tree_that_this_log_does_not_have_stops_the_answer(
    world: World, tmp_path: Path
) -> None:
    """A log whose own stamped checkpoint contradicts it was rewritten: nothing is proved by it."""
    other = World(tmp_path / "other")
    other.exchange(model="gpt-x")
    other.heads()
    data = other.reader.checkpoint_bytes()
    (world.root / "timestamps" / "4.checkpoint").write_bytes(data)
    with pytest.raises(CorruptError, match="another tree of 4 leaves"):
        world.bundle(by_model())
    (world.root / "timestamps" / "4.checkpoint").write_bytes(b"nonsense")
    assert "timestamps/4.tsr" not in members(world.bundle(by_model()).data)
    other.close()


def test_times_are_compared_with_five_minutes_grace(world: World) -> None:
    """A heads leaf five minutes after somebody saw it passes; a microsecond more does not."""
    for late, good in ((-300.0, True), (-300.000001, False)):
        answer = world.answer(by_model())
        size = world.stamp(late)
        assert world.reader.decoded(size - 1).time == world.clock.now()
        made = again_through(world, answer.question.until)
        if good:
            assert f"timestamps/{size}.tsr" in members(world.bundle(by_model(), answer=made).data)
            continue
        with pytest.raises(CorruptError) as found:
            world.bundle(by_model(), answer=made)
        assert found.value.detail["refused"] == "bad-timestamp"


@pytest.mark.parametrize(
    ("wrong", "name", "said"),
    [
        ("", "dated-ahead", "; timestamp tsa saw it at "),
        ("authority", "bad-timestamp", "; a timestamp, unchecked, says "),
        (None, "bad-timestamp", "; a timestamp, unchecked, says "),
    ],
)
def test_a_token_accuses_the_log_only_when_it_is_checked(
    world: World, wrong: str | None, name: str, said: str
) -> None:
    """Anybody makes a token that says the log is ahead; a policy's authority alone shows it."""
    made = world.bundle(by_model())
    files = members(made.data)
    size = world.reader.checkpoint().size
    before = add_seconds(world.clock.now(), -3600.0)
    forged = {kind: f"timestamps/{size}.{kind}" for kind in ("checkpoint", "consistency", "tsr")}
    files = {name: data for name, data in files.items() if not name.startswith("timestamps/")}
    files[forged["checkpoint"]] = files["checkpoint"]
    files[forged["consistency"]] = b""
    files[forged["tsr"]] = tokens.response(files["checkpoint"], before)
    tools = verify.Tools() if wrong is None else verify.Tools(token=lambda *_: wrong)
    with pytest.raises(verify.Refused) as found:
        check(world, pack(files), tools)
    assert found.value.name == name
    assert said in found.value.sentence
