"""Each attack by its name, and the name under which it is refused.

The attacker here has the log's files and can make proofs, counts and digests fit (``repaired``);
in the second half he has the log's key as well (``Forger``) and publishes a history of his own.
What he can then still do without being seen is named in the last tests: it takes a monitor.
"""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from affidavit import ids
from affidavit.evidence import bundle, verify
from affidavit.evidence.bundle import Bundle, Choice
from affidavit.ledger import note
from affidavit.query.question import Question
from affidavit.record.model import DIMENSIONS, Chain
from tests.attacks.forger import Forger
from tests.attacks.threat_table import written
from tests.attacks.world import (
    TENANT,
    World,
    by_model,
    edited,
    members,
    pack,
    refused,
    repaired,
    without,
)
from tests.paths import REPOSITORY

Lines = list[dict[str, Any]]


def sees(data: bytes, world: World, name: str) -> None:
    """The bundle is refused under this name."""
    assert refused(data, world.vkey) == name


def model_run(data: bytes) -> list[int]:
    """The leaves of the model's chain that a bundle shows."""
    answer = verify.Answer(members(data), json.loads(members(data)["manifest.json"])["question"])
    return answer.records


# ------------------------------------------------------------------ with the log's files


@pytest.mark.parametrize("place", [0, 2, -1], ids=["start", "middle", "end"])
def test_a_record_left_out(world: World, good: Bundle, place: int) -> None:
    """A record left out at the start, in between or at the end of the chain is missed."""
    sees(without(world, good.data, model_run(good.data)[place]), world, "omitted-record")


def test_all_records_left_out(world: World, good: Bundle) -> None:
    """The claim that a model was never used is refused if its chain has a head."""
    sees(without(world, good.data, *model_run(good.data)), world, "omitted-record")


def test_a_manifest_rewritten_on_the_way(world: World, good: Bundle) -> None:
    """Words that no key signs are refused under the digest that the export gave."""
    files = members(good.data)
    files["report.html"] = b"<h1>VERIFIED</h1>"
    with pytest.raises(verify.Refused) as found:
        verify.check(pack(files), verify.read_keys([world.vkey]), good.manifest_digest)
    assert found.value.name == "wrong-manifest"


def test_a_gap_left_out(world: World, good: Bundle) -> None:
    """What could not be attributed belongs to the answer, and is missed like any record."""
    gap = verify.Answer(
        members(good.data), json.loads(members(good.data)["manifest.json"])["question"]
    ).gaps[0]
    sees(without(world, good.data, gap), world, "omitted-record")


def test_a_record_named_twice(world: World, good: Bundle) -> None:
    """The same leaf or link twice is not the one form of the file."""
    for name in ("leaves.jsonl", "links.jsonl", "disclosures.jsonl", "chains.jsonl"):
        files = members(good.data)
        files[name] += files[name].splitlines(keepends=True)[-1]
        sees(pack(files), world, "not-canonical")


def test_lines_reordered(world: World, good: Bundle) -> None:
    """Leaves, links, openings and disclosures stand in one order."""
    for name in ("leaves.jsonl", "links.jsonl", "disclosures.jsonl", "chains.jsonl"):
        files = members(good.data)
        first, second, *rest = files[name].splitlines(keepends=True)
        files[name] = b"".join([second, first, *rest])
        sees(pack(files), world, "not-canonical")


def test_an_edited_leaf(world: World, good: Bundle) -> None:
    """A leaf that says something else is not in the tree."""

    def later(lines: Lines) -> None:
        lines[-2]["at"] = "2026-11-23T11:00:00.000000Z"

    sees(edited(world, good.data, "leaves.jsonl", later), world, "bad-inclusion")


def test_a_leaf_without_its_form(world: World, good: Bundle) -> None:
    """A leaf with a field more, less, or of another type is no leaf."""

    def change(field: str, value: Any) -> Callable[[Lines], None]:
        def edit(lines: Lines) -> None:
            lines[1][field] = value

        return edit

    for field, value in (
        ("index", -1), ("index", True), ("time", "2026-13-01T00:00:00.000000Z"),
        ("time", "2026-11-23"), ("at", None), ("id", 7), ("tier", "guessed"), ("src", ["x"]),
        ("src", ["x", -1]), ("sections", []), ("sections", [1] * 7), ("links", [None]),
        ("links", ["b", "a"]), ("links", {}), ("type", "ledger.heads"), ("type", ["x"]),
        ("re", 0), ("more", 1), ("v", 2),
    ):  # fmt: skip
        data = edited(world, good.data, "leaves.jsonl", change(field, value))
        assert refused(data, world.vkey) in {"bad-leaf", "not-canonical"}, (field, value)
    sees(edited(world, good.data, "leaves.jsonl", change("v", 2)), world, "bad-leaf")


def test_a_swapped_disclosure(world: World, good: Bundle) -> None:
    """A section of another record, or another section of this one, is not what was recorded."""

    def swap(lines: Lines) -> None:
        lines[0]["disclosure"], lines[1]["disclosure"] = (
            lines[1]["disclosure"],
            lines[0]["disclosure"],
        )

    sees(edited(world, good.data, "disclosures.jsonl", swap), world, "altered-disclosure")


def test_an_edited_disclosure(world: World, good: Bundle) -> None:
    """A section that was rewritten is not what was recorded, salt kept or not."""

    def rewrite(lines: Lines) -> None:
        value = json.loads(ids.from_b64u(lines[0]["disclosure"]))
        value[2]["actor"] = "act_mallory"
        lines[0]["disclosure"] = ids.b64u(json.dumps(value).encode())

    sees(edited(world, good.data, "disclosures.jsonl", rewrite), world, "altered-disclosure")


def test_edited_content(world: World, good: Bundle) -> None:
    """A prompt with a word changed, cut, or with another's salt is not what was recorded."""
    files = members(good.data)
    names = sorted(name for name in files if name.startswith("content/") and "-" in name)
    for body in (b"", files[names[0]][:-1], files[names[0]].replace(b"hello", b"jello")):
        sees(pack({**files, names[0]: body}), world, "altered-content")
    swapped = {**files, names[0]: files[names[1]], names[1]: files[names[0]]}
    if files[names[0]] != files[names[1]]:
        sees(pack(swapped), world, "altered-content")

    def salt(lines: Lines) -> None:
        lines[0]["salt"] = lines[1]["salt"]

    sees(edited(world, good.data, "content/salts.jsonl", salt), world, "altered-content")
    sees(edited(world, good.data, "content/salts.jsonl", lambda lines: lines[1:]), world,
         "altered-content")  # fmt: skip


def test_another_logs_checkpoint(
    world: World, good: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A checkpoint of another log, under its own key or under our name, is refused."""
    other = World(tmp_path_factory.mktemp("other") / "log", seed=bytes(32))
    other.exchange()
    other.heads()
    files = members(good.data)
    sees(pack({**files, "checkpoint": other.reader.checkpoint_bytes()}), world, "wrong-key")
    other.close()


def test_the_wrong_key(world: World, good: Bundle) -> None:
    """A bundle is not judged by a key that is not its log's."""
    stranger = note.Signer("ledger.example/test", bytes(32))
    assert refused(good.data, stranger.vkey) == "wrong-key"
    assert refused(good.data, note.Signer("elsewhere", bytes(range(32))).vkey) == "wrong-key"
    assert refused(good.data, world.vkey) == ""


def test_a_forged_signature(world: World, good: Bundle) -> None:
    """A signature under the right key id that does not verify is refused, not ignored."""
    files = members(good.data)
    text, _, line = files["checkpoint"].decode().rpartition(" ")
    blob = base64.b64decode(line)
    for broken in (blob[:20] + bytes([blob[20] ^ 1]) + blob[21:], blob[:4] + bytes(64), blob[:-1]):
        encoded = base64.b64encode(broken).decode()
        sees(pack({**files, "checkpoint": f"{text} {encoded}\n".encode()}), world, "bad-signature")


def test_an_older_checkpoint_of_the_same_log(world: World) -> None:
    """A checkpoint that does not reach the leaves shown is refused."""
    answer = world.answer(by_model())
    world.heads()
    made = world.bundle(by_model(), answer=answer)
    files = members(made.data)
    manifest = json.loads(files["manifest.json"])
    newer = world.reader.checkpoint_bytes()
    manifest["size"] = int(newer.split(b"\n")[1])
    changed = {**files, "checkpoint": newer, "manifest.json": bundle._json(manifest)}
    assert refused(pack(changed), world.vkey) in {"", "bad-inclusion"}
    changed = {**files, "checkpoint": newer}
    if newer != files["checkpoint"]:
        sees(pack(changed), world, "wrong-key")


def test_a_member_swapped_missing_or_added(world: World, good: Bundle) -> None:
    """The members are exactly those the manifest lists, each with its digest."""
    files = members(good.data)
    from affidavit.evidence.zipfile_canonical import encode

    sees(encode({**files, "README.txt": b"trust me"}), world, "altered-file")
    for name in ("README.txt", "links.jsonl", "verify.py", "content/salts.jsonl"):
        rest = {other: body for other, body in files.items() if other != name}
        sees(encode(rest), world, "altered-file")
    sees(encode({**files, "content/999-0": b"x"}), world, "altered-file")
    sees(pack({name: body for name, body in files.items() if name != "README.txt"}), world,
         "altered-file")  # fmt: skip


def test_a_wider_window_than_was_proved(world: World, good: Bundle) -> None:
    """Neither the start nor the end of the window reaches further than the proof."""
    answer = world.answer(by_model(since="2026-11-23T12:00:05.000000Z"))
    made = world.bundle(by_model(), answer=answer)

    def widen(data: bytes, **change: str) -> bytes:
        files = members(data)
        manifest = json.loads(files["manifest.json"])
        manifest["question"].update(change)
        files["manifest.json"] = bundle._json(manifest)
        return repaired(world, files)

    sees(widen(made.data, since="2026-11-23T12:00:01.000000Z"), world, "omitted-record")
    sees(widen(made.data, since=""), world, "omitted-record")
    sees(widen(good.data, until="2099-01-01T00:00:00.000000Z"), world, "missing-epoch")


def test_equal_times_at_the_edges_of_the_window(fresh: World) -> None:
    """Records at the very instant of an edge are inside, and are missed if left out."""
    for seconds in (1, 0, 0, 1, 0, 0, 1, 0):
        fresh.add(seconds=seconds)
    instant = fresh.clock.now()
    first = json.loads(fresh.reader.leaf(3))["time"] if fresh.log.published > 3 else None
    fresh.heads()
    first = json.loads(fresh.reader.leaf(4))["time"]
    assert json.loads(fresh.reader.leaf(5))["time"] == first
    made = fresh.bundle(by_model(since=first, until=instant))
    inside = model_run(made.data)
    assert len(inside) == 5
    for index in inside:
        sees(without(fresh, made.data, index), fresh, "omitted-record")
    exact = fresh.bundle(by_model(since=first, until=first))
    assert len(model_run(exact.data)) == 3
    boundary = min(i for i in json_leaves(exact.data) if i < inside[0] and i > 0)
    sees(without(fresh, exact.data, boundary), fresh, "omitted-record")


def json_leaves(data: bytes) -> list[int]:
    """The indices of all leaves in a bundle."""
    return [json.loads(line)["index"] for line in members(data)["leaves.jsonl"].splitlines()]


def test_a_skipped_epoch(fresh: World) -> None:
    """An answer over two epochs cannot leave one of them out."""
    fresh.exchange()
    fresh.reopen((*DIMENSIONS, "region"))
    fresh.exchange()
    made = fresh.bundle(by_model())
    assert made.counts["records"] == 4
    files = members(made.data)
    epochs = [json.loads(line)["epoch"] for line in files["chains.jsonl"].splitlines()]
    old, new = min(epochs), max(epochs)
    gone = [index for index in json_leaves(made.data) if index < new]
    for name in [name for name in files if name.startswith("heads/")]:
        if int(name[6:].partition("-")[0]) < new:
            del files[name]
    lines = files["chains.jsonl"].splitlines(keepends=True)
    files["chains.jsonl"] = b"".join(li for li in lines if json.loads(li)["epoch"] != old)
    sees(without(fresh, pack(files), *gone), fresh, "missing-epoch")


def test_a_response_hidden_and_its_request_called_open(world: World, good: Bundle) -> None:
    """A request is open only if the chain, shown to its head, holds no answer to it."""
    responses = [
        leaf["index"]
        for leaf in map(json.loads, members(good.data)["leaves.jsonl"].splitlines())
        if leaf["type"] == "exchange.response"
    ]
    for index in responses:
        sees(without(world, good.data, index), world, "omitted-record")


def test_a_response_outside_the_chain_is_not_called_open(world: World) -> None:
    """A chain that responses do not join never says open, but not shown."""
    asked = Question("type", (Chain(TENANT, "type", "exchange.request"),))
    made = world.bundle(asked)
    assert made.counts["open"] == 0
    assert made.counts["halves_not_shown"] == made.counts["records"] == 6
    assert "6 halves not shown" in made.verdict[1]


def test_names_that_confuse_parsers(world: World, good: Bundle) -> None:
    """A chain's name has one spelling; what two parsers could read differently is refused."""
    files = members(good.data)
    lines = files["chains.jsonl"].splitlines(keepends=True)
    line = next(line for line in lines if b'"gpt-a"' in line)
    for old, new in (
        (b'"gpt-a"', b'"gpt\\u002da"'),
        (b'"value":"gpt-a"', b'"value":"x","value":"gpt-a"'),
        (b'"gpt-a"', b'"gpt-a" '),
        (b'"gpt-a"', b'"gpt-a\\u0000"'),
        (b'"gpt-a"', b'"gpt-a\\ud800"'),
        (b'"acme"', b'"acme\\u0000model"'),
        (b'"epoch":0', b'"epoch":0.0'),
        (b'"epoch":0', b'"epoch":-0'),
        (b'"epoch":0', b'"epoch":false'),
        (b'"gpt-a"', b"NaN"),
        (b'"gpt-a"', b"9" * 5000),
        (b'"gpt-a"', b"[" * 100_000),
        (b'{"epoch"', b'\xef\xbb\xbf{"epoch"'),
    ):
        changed = line.replace(old, new)
        assert changed != line
        found = refused(
            pack({**files, "chains.jsonl": files["chains.jsonl"].replace(line, changed)}),
            world.vkey,
        )
        assert found in {"not-canonical", "wrong-opening"}, (old, new, found)


def test_odd_model_names_are_proved_like_any(fresh: World) -> None:
    """Whatever a model is called, its chain is proved, and the verdict stays on one line."""
    names = [
        'a"b', "a\nb", "\u202eevil", "a\x00b", "模型", "x" * 5000, " ", "../../etc", "<script>",
    ]  # fmt: skip
    for model in names:
        fresh.exchange(model=model)
    for model in names:
        made = fresh.bundle(by_model(model))
        assert made.counts["records"] == 2
        assert all(line.isascii() and "\n" not in line for line in made.verdict)
        sees(without(fresh, made.data, model_run(made.data)[0]), fresh, "omitted-record")


def test_a_chain_opened_under_another_name(world: World, good: Bundle) -> None:
    """The records of one model are not shown as those of another."""
    files = members(good.data)
    manifest = json.loads(files["manifest.json"])
    manifest["question"]["chains"] = [[TENANT, "model", "gpt-x"]]
    files["manifest.json"] = bundle._json(manifest)
    files["chains.jsonl"] = files["chains.jsonl"].replace(b'"gpt-a"', b'"gpt-x"')
    sees(repaired(world, files), world, "wrong-opening")


def test_a_bucket_of_another_heads_leaf(world: World, good: Bundle) -> None:
    """A bucket with an entry left out or changed is not in the map."""
    files = members(good.data)
    name = next(name for name in files if name.startswith("heads/"))
    bucket = json.loads(files[name])
    for entries in ("", bucket["entries"][:-4] + "AAAA"):
        body = bundle._json({**bucket, "entries": entries})
        sees(pack({**files, name: body}), world, "wrong-head")
    rest = {other: body for other, body in files.items() if other != name}
    sees(pack(rest), world, "wrong-head")


def test_a_link_of_another_leaf(world: World, good: Bundle) -> None:
    """A link is shown for the leaf that committed to it, and for no other."""

    def move(lines: Lines) -> None:
        lines[0]["link"], lines[1]["link"] = lines[1]["link"], lines[0]["link"]

    sees(edited(world, good.data, "links.jsonl", move), world, "wrong-chain")


def test_a_piece_with_no_place(world: World, good: Bundle) -> None:
    """Nothing travels in a bundle that the answer does not need."""
    files = members(good.data)
    extra = next(i for i in range(world.log.published) if i not in json_leaves(good.data))
    lines = [*files["leaves.jsonl"].splitlines(), world.reader.leaf(extra)]
    lines.sort(key=lambda line: int(json.loads(line)["index"]))
    files["leaves.jsonl"] = b"".join(line + b"\n" for line in lines)
    sees(repaired(world, files), world, "stray-piece")


def test_false_counts(world: World, good: Bundle) -> None:
    """The manifest counts what the bundle holds, and nothing else."""
    files = members(good.data)
    manifest = json.loads(files["manifest.json"])
    manifest["counts"]["gaps"] = 0
    sees(pack({**files, "manifest.json": bundle._json(manifest)}), world, "false-count")


def test_withheld_conditions_are_not_guessed(world: World) -> None:
    """Where the section a condition needs is withheld, the record counts as undetermined."""
    asked = by_model(conditions=(["is", "control.decision", "deny"],))
    shown = world.bundle(asked)
    assert (shown.counts["matching"], shown.counts["undetermined"]) == (1, 0)
    hidden = world.bundle(asked, Choice(withhold=("control",)))
    assert (hidden.counts["matching"], hidden.counts["undetermined"]) == (0, 1)
    assert "1 may meet them, which is not shown" in hidden.verdict[1]


# ------------------------------------------------------------------ with the log's key


@pytest.fixture
def forger(world: World, good: Bundle) -> Forger:
    """A forger who starts from the good bundle."""
    return Forger(world, good.data)


def test_the_forger_can_publish_what_is_true(forger: Forger) -> None:
    """Without a change the forger's tree verifies, so what follows is seen for its own sake."""
    assert refused(forger.publish(), forger.world.vkey) == ""


def test_two_records_with_one_number(forger: Forger) -> None:
    """Two records of a chain with the same number are seen."""
    chain = forger.chain()
    forger.relink(chain[3], n=3)
    sees(forger.publish(), forger.world, "duplicate-number")


def test_numbers_against_the_order_of_the_ledger(forger: Forger) -> None:
    """Numbers that go back while the ledger goes on are seen."""
    chain = forger.chain()
    forger.relink(chain[3], n=1, prev=2**64 - 1)
    sees(forger.publish(), forger.world, "reordered")


def test_a_fork_that_names_its_hidden_branch(forger: Forger) -> None:
    """A record whose predecessor is not the one shown before it betrays a second branch."""
    chain = forger.chain()
    forger.relink(chain[3], prev=chain[1][0])
    sees(forger.publish(), forger.world, "forked-chain")


def test_a_chain_that_starts_without_a_start(forger: Forger) -> None:
    """Number 1 has no predecessor, and whatever has none is number 1."""
    chain = forger.chain()
    forger.relink(chain[0], prev=0)
    sees(forger.publish(), forger.world, "forked-chain")


def test_a_heads_leaf_that_forgets_records(forger: Forger) -> None:
    """A heads leaf that ends a chain before records older than itself contradicts them."""
    chain = forger.chain()
    forger.head(chain[2])
    assert refused(forger.publish(), forger.world.vkey) in {"lying-head", "wrong-head"}


def test_a_heads_leaf_that_forgets_records_by_name(fresh: World) -> None:
    """The same, where all buckets are at hand: it is called what it is."""
    for _ in range(3):
        fresh.add(actor=None)
    made = fresh.bundle(by_model())
    question = json.loads(members(made.data)["manifest.json"])["question"]
    answer = verify.Answer(members(made.data), question)
    chain = ids_of(answer)
    name = next(name for name, bucket in answer.buckets.items() if chain in bucket)
    links = answer.links[chain]
    answer.buckets[name][chain] = links[0].as_head()
    with pytest.raises(verify.Refused) as found:
        answer._run(verify.Chain(TENANT, "model", "gpt-a"), 0, answer.epochs[0][1], "", "")
    assert found.value.name == "lying-head"


def ids_of(answer: verify.Answer) -> bytes:
    """The id of the model's chain."""
    return answer.ids[0, verify.Chain(TENANT, "model", "gpt-a")]


def test_time_that_goes_back(forger: Forger) -> None:
    """A later leaf with an earlier ledger time is seen."""
    forger.leaves[forger.chain()[2][0]]["time"] = "2026-11-23T11:00:00.000000Z"
    sees(forger.publish(), forger.world, "time-decreases")


def test_a_record_from_the_future(forger: Forger) -> None:
    """A source time more than five minutes after ledger time could hide from a window."""
    forger.leaves[forger.chain()[2][0]]["at"] = "2026-11-23T13:00:00.000000Z"
    sees(forger.publish(), forger.world, "bad-leaf")


def test_a_record_in_two_places(forger: Forger) -> None:
    """The same record, or the same number of a writer, under two leaves is seen."""
    chain = forger.chain()
    first, second = chain[0][0], chain[2][0]
    forger.leaves[second]["src"] = forger.leaves[first]["src"]
    sees(forger.publish(), forger.world, "repeated-record")
    forger.leaves[second]["src"] = ["other", 7]
    forger.leaves[second]["id"] = forger.leaves[first]["id"]
    sees(forger.publish(), forger.world, "repeated-record")


def test_a_request_answered_twice(forger: Forger) -> None:
    """Two answers to one request are seen."""
    answers = [leaf for leaf in forger.leaves if leaf["type"] == "exchange.response"]
    ours = [leaf for leaf in answers if leaf["re"] in {key[0] for key in forger.chain()}]
    ours[1]["re"] = ours[0]["re"]
    sees(forger.publish(), forger.world, "answered-twice")


def test_an_answer_to_what_is_no_request(forger: Forger) -> None:
    """A response that answers a response is seen."""
    answers = [leaf for leaf in forger.leaves if leaf["type"] == "exchange.response"]
    ours = [leaf for leaf in answers if leaf["re"] in {key[0] for key in forger.chain()}]
    ours[1]["re"] = ours[0]["index"]
    sees(forger.publish(), forger.world, "wrong-half")


def test_a_chain_hidden_under_a_false_head_needs_a_monitor(fresh: World) -> None:
    """What the log's own key can do unseen: forget the end of a chain, in heads and answer alike.

    No verifier of one bundle can see this; whoever has the links can, and the verdict says that
    nobody did.
    """
    for _ in range(3):
        fresh.add(actor=None)
    truth = fresh.answer(by_model())
    made = fresh.bundle(by_model(), answer=truth)
    liar = World(fresh.root.parent / "liar")
    for _ in range(2):
        liar.add(actor=None)
    lie = liar.bundle(by_model())
    assert refused(lie.data, fresh.vkey) == ""  # the same key signed both histories
    assert (made.counts["records"], lie.counts["records"]) == (3, 2)
    assert "own key only" in lie.verdict[2]
    assert (
        "no monitor has replayed the chains, so counts, heads and times are asserted"
        in (lie.verdict[2])
    )
    liar.close()


def test_every_refusal_is_provoked_by_an_attack() -> None:
    """No name in the verifier is there for show: each is the answer to an attack in a test.

    In one of these files, or in the table that the staged attacks make.
    """
    tests = REPOSITORY / "tests"
    files = [*(tests / "attacks").glob("*.py"), *(tests / "unit" / "evidence").glob("*.py")]
    named = "".join(path.read_text() for path in files) + written().replace("REFUSED ", '"')
    shown = {name for name in verify.REASONS if f'"{name}"' in named or f'"{name}:' in named}
    assert set(verify.REASONS) - shown == set()
