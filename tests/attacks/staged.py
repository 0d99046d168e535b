"""Every attack by its name: what the attacker has, what is said about it, and what it takes to see.

Each one is staged against real ledgers and judged by the standalone verifier. Where an outside
anchor is needed, the attack is staged twice: without the anchor it passes, and the verdict says
what is then only asserted; with the anchor it is refused, or the policy is not satisfied. The table
in docs/threat-model.md is made from what happens here (``python -m tests.attacks.threat_table``).
"""

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from affidavit import ids
from affidavit.capture.sections import request_chains
from affidavit.errors import AffidavitError
from affidavit.evidence import bundle, verify
from affidavit.evidence.bundle import Bundle
from affidavit.ledger import note, witness
from affidavit.ledger.leaf import decode
from affidavit.ledger.policy import LogKey
from affidavit.ledger.rules import Replay
from affidavit.providers.openai import OpenAI
from affidavit.query.completeness import build, unattributed
from affidavit.query.language import parse
from affidavit.query.question import Question, question, unproved
from affidavit.record.model import DIMENSIONS, Chain
from tests.attacks.forger import Forger
from tests.attacks.world import TENANT, World, by_model, edited, members, pack, repaired, without
from tests.world import tokens
from tests.world.machine import Machine, PatientProver

WITNESS = note.Cosigner("witness.example", note.COSIGNATURE, bytes([5]) * 32)
MONITOR = note.Cosigner("monitor.example", note.COSIGNATURE, bytes([6]) * 32)

BUNDLE = "a bundle"
FILES = "the log's files"
KEY = "the log's signing key"
MACHINE = "the machine"

NOTHING = "the log's public key"
TIMED = "a timestamp or a cosignature"
WITNESSED = "a witness in the quorum"
MONITORED = "a monitor in the quorum"


class Stage(NamedTuple):
    """Where an attack takes place: a ledger nobody changes, all of one model's evidence, a place.

    ``world``: exchanges of two models, one record that nobody could attribute, a gap, an open
    request. ``place`` is an empty directory of the attack's own.
    """

    world: World
    good: Bundle
    place: Path

    def run(self) -> list[int]:
        """The leaves of the model's chain, in order."""
        files = members(self.good.data)
        return verify.Answer(files, json.loads(files["manifest.json"])["question"]).records

    def fresh(self, name: str = "log", **how: Any) -> World:
        """A ledger that the attack may do with as it likes."""
        return World(self.place / name, **how)


class Seen(NamedTuple):
    """What is said of the attack with what it takes to see it, without, and by whom it takes."""

    said: str
    without: str = ""
    by: str = ""


class Attack(NamedTuple):
    """One attack: its name, what the attacker has, what it takes to see it, and the deed."""

    name: str
    has: str
    takes: str
    deed: Callable[[Stage], Seen]


def policy_of(world: World, *lines: str, quorum: str = "none") -> str:
    """A policy that trusts the log's key, with more lines, and a quorum."""
    return "\n".join([f"log {world.vkey}", *lines, f"quorum {quorum}"]) + "\n"


def judged(data: bytes, policy: str) -> str:
    """What a user of the verifier reads first: the refusal, or the lines that are about trust."""
    try:
        verdict = verify.check(data, verify.read_policy(policy))
    except verify.Refused as found:
        return f"REFUSED {found.name}: {found.sentence}"
    return f"{verdict.completeness} | {verdict.assurance}"


def plainly(stage: Stage, data: bytes) -> Seen:
    """Judged under the key of the stage's log."""
    return Seen(judged(data, policy_of(stage.world)))


# ------------------------------------------------------------------ what a bundle leaves out


def _dropped(place: int) -> Callable[[Stage], Seen]:
    def deed(stage: Stage) -> Seen:
        return plainly(stage, without(stage.world, stage.good.data, stage.run()[place]))

    return deed


def response_hidden(stage: Stage) -> Seen:
    """The response goes, so that its request looks unanswered."""
    response = next(
        index
        for index in stage.run()
        if stage.world.reader.decoded(index).type == "exchange.response"
    )
    return plainly(stage, without(stage.world, stage.good.data, response))


def gap_hidden(stage: Stage) -> Seen:
    """The interval in which something could not be recorded goes."""
    gap = next(
        index
        for index in range(stage.world.log.published)
        if stage.world.reader.decoded(index).type == "ledger.gap"
    )
    return plainly(stage, without(stage.world, stage.good.data, gap))


def edges(stage: Stage) -> Seen:
    """Of records with the very times at which the window begins and ends, one goes."""
    world = stage.fresh()
    for seconds in (1, 0, 0, 1, 0, 0):
        world.add(seconds=seconds)
    world.heads()
    times = [world.reader.decoded(index).time for index in range(world.log.published)]
    since, until = times[1], times[5]
    made = world.bundle(by_model(since=since, until=until))
    inside = [index for index, time in enumerate(times[:7]) if since <= time <= until]
    said = {judged(without(world, made.data, i), policy_of(world)).split(":")[0] for i in inside}
    world.close()
    assert said == {"REFUSED omitted-record"}
    return Seen(judged(without(world, made.data, inside[-2]), policy_of(world)))


def epoch_skipped(stage: Stage) -> Seen:
    """Everything of the first of two epochs goes, its opening, heads and leaves."""
    world = stage.fresh()
    world.exchange()
    world.reopen((*DIMENSIONS, "region"))
    world.exchange()
    made = world.bundle(by_model())
    said = judged(_without_first_epoch(world, made.data), policy_of(world))
    world.close()
    return Seen(said)


def _without_first_epoch(world: World, data: bytes) -> bytes:
    """The bundle without anything of the epochs before the newest one."""
    new = world.log.epoch.index
    files = members(data)
    for name in [name for name in files if name.startswith("heads/")]:
        if int(name[6:].partition("-")[0]) < new:
            del files[name]
    lines = files["chains.jsonl"].splitlines(keepends=True)
    files["chains.jsonl"] = b"".join(line for line in lines if json.loads(line)["epoch"] == new)
    gone = [
        index
        for line in files["leaves.jsonl"].splitlines()
        if (index := json.loads(line)["index"]) < new
    ]
    return without(world, pack(files), *gone)


def epoch_skipped_at_the_edge(stage: Stage) -> Seen:
    """The first epoch ends with a record that has the very time at which the window begins."""
    world = stage.fresh()
    world.exchange()
    world.reopen((*DIMENSIONS, "region"))
    since = world.reader.decoded(world.log.epoch.index).time
    assert since == world.reader.decoded(2).time
    world.exchange()
    made = world.bundle(by_model(since=since))
    said = judged(_without_first_epoch(world, made.data), policy_of(world))
    world.close()
    return Seen(said)


def epoch_closed_early(stage: Stage) -> Seen:
    """An epoch is shown to an older heads leaf, and what it recorded after that is left out."""
    world = stage.fresh()
    world.exchange()
    world.heads()
    early = world.log.published - 1
    chains = [Chain(TENANT, "model", "gpt-a"), *unattributed([Chain(TENANT, "model", "gpt-a")])]
    epoch = world.log.epoch
    now = [world.log.prove_head(chain) for chain in chains]
    world.exchange()
    world.reopen((*DIMENSIONS, "region"))
    world.exchange()
    made = world.bundle(by_model())
    files = members(made.data)
    closing = {int(name[6:].partition("-")[0]) for name in files if name.startswith("heads/")}
    closed = min(closing)
    for name in [name for name in files if name.startswith(f"heads/{closed}-")]:
        del files[name]
    for proof in now:
        entry = {
            "heads": early, "bucket": proof.number, "entries": ids.b64u(proof.bucket),
            "path": [ids.b64u(node) for node in proof.path],
        }  # fmt: skip
        files[f"heads/{early}-{proof.number}.json"] = bundle._json(entry)
    leaves = {json.loads(line)["index"]: line for line in files["leaves.jsonl"].splitlines()}
    gone = [index for index in leaves if early < index < closed] + [closed]
    leaves[early] = world.reader.leaf(early)
    files["leaves.jsonl"] = b"".join(leaves[index] + b"\n" for index in sorted(leaves))
    assert epoch.index == 0
    said = judged(without(world, pack(files), *gone), policy_of(world))
    world.close()
    return Seen(said)


def count_cut(stage: Stage) -> Seen:
    """Of a count, the record before the window goes, so that the window seems to begin earlier."""
    world = stage.fresh()
    for _ in range(6):
        world.add(seconds=1.0)
    world.heads()
    since = world.reader.decoded(3).time
    made = world.bundle(by_model(since=since, count=True))
    first = min(
        index
        for line in members(made.data)["leaves.jsonl"].splitlines()
        if (index := json.loads(line)["index"]) > 0
    )
    said = judged(without(world, made.data, first), policy_of(world))
    world.close()
    return Seen(said)


# ------------------------------------------------------------------ what a bundle changes


def leaf_edited(stage: Stage) -> Seen:
    """A leaf says another type of tier."""

    def edit(lines: list[dict[str, Any]]) -> None:
        lines[2]["tier"] = "reported"

    return plainly(stage, edited(stage.world, stage.good.data, "leaves.jsonl", edit))


def source_time_moved(stage: Stage) -> Seen:
    """The time a source claimed is set back an hour, out of the window that is asked about."""

    def edit(lines: list[dict[str, Any]]) -> None:
        lines[2]["at"] = "2026-11-23T11:00:00.000000Z"

    return plainly(stage, edited(stage.world, stage.good.data, "leaves.jsonl", edit))


def leaf_deleted(stage: Stage) -> Seen:
    """A line of the leaves goes, and nothing else is touched."""
    files = members(stage.good.data)
    lines = files["leaves.jsonl"].splitlines(keepends=True)
    files["leaves.jsonl"] = b"".join([*lines[:2], *lines[3:]])
    return plainly(stage, pack(files))


def leaf_inserted(stage: Stage) -> Seen:
    """A leaf that was never recorded is put between two that were."""
    world = stage.world
    shown = [
        json.loads(li)["index"] for li in members(stage.good.data)["leaves.jsonl"].splitlines()
    ]
    index = next(i for i in range(1, world.log.published) if i not in shown)

    def edit(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        asked = next(line for line in lines if line["type"] == "exchange.request")
        time = max(line["time"] for line in lines if line["index"] < index)
        made = {**asked, "index": index, "time": time, "at": time, "src": ["x" * 22, 1]}
        made["id"] = ids.record_id()
        return sorted([*lines, made], key=lambda line: int(line["index"]))

    return plainly(stage, edited(world, stage.good.data, "leaves.jsonl", edit))


def leaves_reordered(stage: Stage) -> Seen:
    """Two records change places, each under the index of the other."""

    def edit(lines: list[dict[str, Any]]) -> None:
        one, other = lines[2], lines[3]
        for name in ("id", "src", "sections"):
            one[name], other[name] = other[name], one[name]

    return plainly(stage, edited(stage.world, stage.good.data, "leaves.jsonl", edit))


def two_openings_of_a_section(stage: Stage) -> Seen:
    """A section is disclosed twice, as it was and as it would suit."""

    def edit(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        salt, name, value = json.loads(ids.from_b64u(lines[0]["disclosure"]))
        other = json.dumps([salt, name, {**value, "actor": "act_mallory"}]).encode()
        return [lines[0], {**lines[0], "disclosure": ids.b64u(other)}, *lines[1:]]

    return plainly(stage, edited(stage.world, stage.good.data, "disclosures.jsonl", edit))


def two_salts(stage: Stage) -> Seen:
    """A value is opened under the salt of another slot, which would be another chain."""

    def edit(lines: list[dict[str, Any]]) -> None:
        one = next(line for line in lines if line["value"] == "gpt-a")
        other = next(line for line in lines if line["value"] != "gpt-a")
        one["salt"], one["path"] = other["salt"], other["path"]

    return plainly(stage, edited(stage.world, stage.good.data, "chains.jsonl", edit))


def two_logs(stage: Stage) -> Seen:
    """The answer of another log, which has what is wanted, stands on this one's checkpoint."""
    other = stage.fresh(seed=bytes(32))
    other.exchange()
    made = other.bundle(by_model())
    other.close()
    mine = members(stage.good.data)
    files = {**members(made.data), "checkpoint": mine["checkpoint"]}
    manifest = json.loads(files["manifest.json"])
    manifest["size"] = json.loads(mine["manifest.json"])["size"]
    files["manifest.json"] = bundle._json(manifest)
    return plainly(stage, repaired(stage.world, files))


def anchors_swapped(stage: Stage) -> Seen:
    """All of it is signed by a key of the attacker's own, under the log's name."""
    mallory = stage.fresh(seed=bytes([66]) * 32)
    mallory.exchange()
    made = mallory.bundle(by_model())
    mallory.close()
    carried = {**members(made.data), "trust.policy": policy_of(mallory).encode()}
    added = judged(pack(carried), policy_of(stage.world))
    assert added.startswith("REFUSED not-canonical"), added
    return plainly(stage, made.data)


def passed_off(stage: Stage) -> Seen:
    """The records of one model are shown as those of another."""
    files = members(stage.good.data)
    manifest = json.loads(files["manifest.json"])
    manifest["question"]["chains"] = [[TENANT, "model", "gpt-x"]]
    files["manifest.json"] = bundle._json(manifest)
    files["chains.jsonl"] = files["chains.jsonl"].replace(b'"gpt-a"', b'"gpt-x"')
    return plainly(stage, repaired(stage.world, files))


# ------------------------------------------------------------------ with the log's key


def _forged(deed: Callable[[Forger], None]) -> Callable[[Stage], Seen]:
    def forge(stage: Stage) -> Seen:
        forger = Forger(stage.world, stage.good.data)
        deed(forger)
        return plainly(stage, forger.publish())

    return forge


def _duplicate(forger: Forger) -> None:
    forger.relink(forger.chain()[3], n=3)


def _fork(forger: Forger) -> None:
    chain = forger.chain()
    forger.relink(chain[3], prev=chain[1][0])


def _jump(forger: Forger) -> None:
    chain = forger.chain()
    for number, key in enumerate(chain[3:], 5):
        forger.relink(key, n=number)


def _back_in_time(forger: Forger) -> None:
    forger.leaves[forger.chain()[2][0]]["time"] = "2026-11-23T11:00:00.000000Z"


def _false_map(forger: Forger) -> None:
    forger.head(forger.chain()[2])


def lying_heads(stage: Stage) -> Seen:
    """Heads leaf and answer forget the end of the chain alike; a monitor has the links."""
    world = stage.fresh()
    for _ in range(3):
        world.add(actor=None, seconds=0.5)
    prover, tip = world.log._prover, world.log._tip
    last = tip.changed()
    model = world.log.epoch.key(Chain(TENANT, "model", "gpt-a"))
    world.add(actor=None, seconds=0.5)
    true = tip.changed
    tip.changed = lambda: {**true(), model: last[model]}  # type: ignore[method-assign]
    then = tip.head_then
    tip.head_then = lambda key: last[model] if key == model else then(key)  # type: ignore[method-assign]
    made = world.answer(by_model())
    assert len(made.records) == 3
    assert prover.newest is not None
    data = world.bundle(by_model(), answer=made).data
    monitor = policy_of(world, f"witness m {MONITOR.vkey}", "#monitor m", quorum="m")
    world.close()
    replay = Replay()
    refusal = ""
    try:
        for index in range(world.log.published):
            replay.feed(decode(world.reader.leaf(index)), world.reader.links(index))
    except AffidavitError as error:
        refusal = error.message
    assert "claims heads that do not follow from the links before it" in refusal
    without = judged(data, policy_of(world))
    return Seen(judged(data, monitor), without, f"the monitor: {refusal}")


def tail_cut(stage: Stage) -> Seen:
    """After a witness saw the log, its end is cut off and written anew, signed by its own key."""
    world = stage.fresh()
    world.exchange()
    world.witnesses = [WITNESS]
    before = world.bundle(by_model())
    world.close()
    rewritten = stage.fresh("rewritten")
    rewritten.add(actor=None)
    after = rewritten.bundle(by_model())
    rewritten.close()
    demand = policy_of(world, f"witness w {WITNESS.vkey}", quorum="w")
    assert "quorum w met" in judged(before.data, demand)
    return Seen(judged(after.data, demand), judged(after.data, policy_of(world)))


def rollback(stage: Stage) -> Seen:
    """The log is put back and grows on otherwise, and the witness is asked to cosign that."""
    world = stage.fresh()
    world.exchange()
    world.heads()
    asked = _asked(world, 0)
    head = witness.cosign(asked, [WITNESS], 1_795_435_200)[1]
    world.close()
    again = stage.fresh("again")
    again.add(actor=None)
    made = again.bundle(by_model())
    assert again.reader.checkpoint().size >= head.size
    said = []
    for old in (0, head.size):  # nothing that it may be asked leads from what it has seen
        answer = witness.check(_asked(again, old), head)
        assert answer is not None
        said.append(f"{answer.status}: {answer.body.decode().strip()}")
    again.close()
    assert [line[:4] for line in said] == ["409:", "422:"]
    demand = policy_of(again, f"witness w {WITNESS.vkey}", quorum="w")
    without = judged(made.data, policy_of(again))
    return Seen(judged(made.data, demand), without, f"the witness: {'; '.join(said)}")


def _asked(world: World, old: int) -> witness.Request:
    """What a log asks a witness that has seen ``old`` leaves."""
    newer = world.reader.checkpoint().size
    proof = world.reader.consistency(old, newer) if 0 < old < newer else []
    lines = [f"old {old}", *(base64.b64encode(node).decode() for node in proof), "", ""]
    body = "\n".join(lines).encode() + world.reader.checkpoint_bytes()
    logs = witness.logs_of([LogKey(world.signer.verifier())])
    found = witness.read(body, logs)
    assert isinstance(found, witness.Request), found
    return found


def two_checkpoints(stage: Stage) -> Seen:
    """The log signs two trees of one size; the one that an authority stamped travels along."""
    one, other = stage.fresh("one"), stage.fresh("other")
    for world, actor in ((one, "act_alice"), (other, "act_bob")):
        world.exchange(actor=actor)
    other.answer(by_model())
    stamped = other.reader.checkpoint_bytes()
    made = one.bundle(by_model())
    size = one.reader.checkpoint().size
    assert other.reader.checkpoint().size == size
    files = members(made.data) | {
        f"timestamps/{size}.checkpoint": stamped,
        f"timestamps/{size}.consistency": b"",
        f"timestamps/{size}.tsr": tokens.response(stamped, one.clock.now()),
    }
    one.close()
    other.close()
    return Seen(judged(pack(files), policy_of(one)), judged(made.data, policy_of(one)))


def heads_dated_ahead(stage: Stage) -> Seen:
    """The log closes the year in November: what comes in December is outside every window."""
    world = stage.fresh()
    world.exchange()
    now = world.clock.now()
    world.clock.jump(40 * 86_400.0)
    answer = world.answer(by_model())
    made = world.bundle(by_model(), answer=answer)
    world.clock.jump(-40 * 86_400.0)
    note_ = world.cosign(WITNESS)
    size = world.reader.checkpoint().size
    policy = policy_of(world, f"witness w {WITNESS.vkey}")
    stamped = members(made.data) | {
        f"timestamps/{size}.checkpoint": members(made.data)["checkpoint"],
        f"timestamps/{size}.consistency": b"",
        f"timestamps/{size}.tsr": tokens.response(members(made.data)["checkpoint"], now),
    }
    assert judged(pack(stamped), policy_of(world)).startswith("REFUSED bad-timestamp")
    cosigned = pack(members(made.data) | {"checkpoint": note_})
    world.close()
    return Seen(judged(cosigned, policy), judged(made.data, policy_of(world)))


def invented_timestamp(stage: Stage) -> Seen:
    """Somebody who was given a bundle adds a token of nobody's, to make the log look ahead."""
    world = stage.fresh()
    before = world.clock.now()
    world.clock.jump(3600.0)
    world.exchange()
    made = world.bundle(by_model())
    size = world.reader.checkpoint().size
    files = members(made.data)
    stamped = files | {
        f"timestamps/{size}.checkpoint": files["checkpoint"],
        f"timestamps/{size}.consistency": b"",
        f"timestamps/{size}.tsr": tokens.response(files["checkpoint"], before),
    }
    policy = policy_of(world)
    world.close()
    return Seen(judged(pack(stamped), policy))


def source_time_in_the_future(stage: Stage) -> Seen:
    """The log gives a record a source time that had not come, so that no window finds it."""
    forger = Forger(stage.world, stage.good.data)
    forger.leaves[forger.chain()[2][0]]["at"] = "2026-12-23T12:00:00.000000Z"
    return plainly(stage, forger.publish())


# ------------------------------------------------------------------ names


def confusing_body(stage: Stage) -> Seen:
    """A body in which one parser reads model X and another Y: it may be of either."""
    body = b'{"model":"gpt-a","messages":[{"role":"user","content":"x"}],"model":"gpt-b"}'
    facts = OpenAI().request("POST", "/v1/chat/completions", [], body)
    assert (facts.model, facts.parsed) == ("gpt-b", "unparsed: duplicate key")
    caller = SimpleNamespace(tenant=TENANT, actor="act_alice", id="key_1")
    asked: Any = SimpleNamespace(
        identity=caller, facts=facts, attribution=SimpleNamespace(session=None)
    )
    world = stage.fresh()
    world.exchange()
    world.add(model=facts.model, body=body, also=request_chains(asked))
    made = world.bundle(by_model())
    world.close()
    return Seen(judged(made.data, policy_of(world)))


def model_called_star(stage: Stage) -> Seen:
    """A model is called ``*``, so that a question about it would seem to be one about all."""
    world = stage.fresh()
    world.exchange(model="*")
    world.exchange()
    asked = question(parse('model:"*"', world.clock.now()), [TENANT])
    assert asked.chains == (Chain(TENANT, "model", "*"),)
    every = question(parse("model:*", world.clock.now()), [TENANT])
    assert every.chains == ()
    made = world.bundle(asked)
    world.close()
    return Seen(judged(made.data, policy_of(world)))


# ------------------------------------------------------------------ with the machine


def segment_deleted(stage: Stage) -> Seen:
    """A gateway's journal is deleted before the sequencer has read what is new in it."""
    machine = Machine(stage.place / "machine")
    machine.exchange(model="gpt-a")
    machine.settle()
    machine.exchange(model="gpt-a")
    machine._gateway.abandon()
    shutil.rmtree(machine.root / "journal" / machine._gateway.incarnation)
    machine.clock.advance(3600.0)
    machine.settle()
    chain = Chain("acme", "model", "gpt-a")
    made = build(machine.reader_log, PatientProver(machine), Question("model:gpt-a", (chain,)))
    trust = verify.read_keys([machine.log.vkey])
    choice = bundle.Choice(content="none")
    data = bundle.make(
        made, lambda _: bundle.NOTHING, choice=choice, boundary={}, made=machine.clock.now(),
        policy=trust,
    ).data  # fmt: skip
    machine.close()
    return Seen(judged(data, f"log {machine.log.vkey}\nquorum none\n"))


def called_pruned(stage: Stage) -> Seen:
    """Nothing was pruned, and whoever is asked says that it was."""
    world = stage.world
    asked = unproved(by_model(), f"pruned before {world.reader.decoded(8).time}")
    return plainly(stage, world.bundle(asked, answer=world.answer(asked)).data)


ATTACKS = [
    Attack("a record dropped at the start of an answer", FILES, NOTHING, _dropped(0)),
    Attack("a record dropped in the middle", FILES, NOTHING, _dropped(2)),
    Attack("a record dropped at the end", FILES, NOTHING, _dropped(-1)),
    Attack("a record dropped that has the very time of the window's edge", FILES, NOTHING, edges),
    Attack("a response hidden, and its request called open", FILES, NOTHING, response_hidden),
    Attack("a gap hidden", FILES, NOTHING, gap_hidden),
    Attack("an epoch skipped", FILES, NOTHING, epoch_skipped),
    Attack(
        "an epoch skipped that ends with the window's edge",
        FILES,
        NOTHING,
        epoch_skipped_at_the_edge,
    ),
    Attack(
        "an epoch shown to an older heads leaf than its last", FILES, NOTHING, epoch_closed_early
    ),
    Attack("the record before the window dropped from a count", FILES, NOTHING, count_cut),
    Attack("a leaf edited", FILES, NOTHING, leaf_edited),
    Attack("a leaf deleted", FILES, NOTHING, leaf_deleted),
    Attack("a leaf inserted", FILES, NOTHING, leaf_inserted),
    Attack("leaves reordered", FILES, NOTHING, leaves_reordered),
    Attack("a source time moved", FILES, NOTHING, source_time_moved),
    Attack("two openings of one section", BUNDLE, NOTHING, two_openings_of_a_section),
    Attack("two salts for one value", FILES, NOTHING, two_salts),
    Attack("the records of one model shown as another's", FILES, NOTHING, passed_off),
    Attack("a bundle that mixes two logs", FILES, NOTHING, two_logs),
    Attack("trust anchors swapped inside a bundle", BUNDLE, NOTHING, anchors_swapped),
    Attack("a timestamp that nobody vouches for", BUNDLE, NOTHING, invented_timestamp),
    Attack("a duplicate number in a chain", KEY, NOTHING, _forged(_duplicate)),
    Attack("a jump in the numbers of a chain", KEY, NOTHING, _forged(_jump)),
    Attack("a fork of a chain", KEY, NOTHING, _forged(_fork)),
    Attack("ledger time that goes back", KEY, NOTHING, _forged(_back_in_time)),
    Attack("a source time that had not come", KEY, NOTHING, source_time_in_the_future),
    Attack("heads that contradict the records shown", KEY, NOTHING, _forged(_false_map)),
    Attack("heads and answer that forget the end of a chain alike", KEY, MONITORED, lying_heads),
    Attack("a heads leaf dated ahead", KEY, TIMED, heads_dated_ahead),
    Attack("two checkpoints of one size", KEY, TIMED, two_checkpoints),
    Attack("the tail of the log cut off and signed anew", KEY, WITNESSED, tail_cut),
    Attack("a rollback shown to a witness", KEY, WITNESSED, rollback),
    Attack(
        "a body that parsers read differently names the model", MACHINE, NOTHING, confusing_body
    ),
    Attack("a journal deleted before it was sequenced", MACHINE, NOTHING, segment_deleted),
    Attack("a model called *", MACHINE, NOTHING, model_called_star),
    Attack("records called pruned that are not", MACHINE, NOTHING, called_pruned),
]
