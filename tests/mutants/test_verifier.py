"""Each check of the verifier that is weakened lets an attack pass, or refuses what is honest.

The corpus is every bundle that the staged attacks put before the verifier, and honest and forged
ones about timestamps, cosignatures and counts; of each is known what has to be said. A mutant of
``verify.py`` that says the same of all of them would be one that no attack here notices.
"""

import json
import types
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from affidavit.evidence import bundle, verify
from tests.attacks import staged, threat_table
from tests.attacks.forger import Forger
from tests.attacks.world import (
    World,
    by_model,
    edited,
    members,
    pack,
    repaired,
    staged_world,
    without,
)
from tests.world import tokens

SOURCE = Path(verify.__file__).read_text(encoding="utf-8")


class Case(NamedTuple):
    """A bundle, the policy it is judged under, and what the verifier says."""

    data: bytes
    policy: str
    said: str


def outcome(module: Any, data: bytes, policy: str) -> str:
    """What a verifier says in short: the refusal, or what it counts and whom it believes."""
    try:
        verdict = module.check(data, module.read_policy(policy))
    except module.Refused as found:
        return str(found.name)
    except Exception as error:  # noqa: BLE001 - a mutant that falls over is noticed, too
        return f"falls over: {error!r}"
    facts = verdict.facts
    told = [facts["ok"], facts["counts"], facts["counted"], verdict.assurance, verdict.completeness]
    return json.dumps(told)


def _plain(world: World) -> list[bytes]:
    """All of a model, and what is wrong with numbers, links and windows in nobody's table."""
    good = world.bundle(by_model()).data
    forger = Forger(world, good)
    forger.relink(forger.chain()[3], n=1, prev=2**64 - 1)

    def swap(lines: list[dict[str, Any]]) -> None:
        lines[0]["link"], lines[1]["link"] = lines[1]["link"], lines[0]["link"]

    late = members(good)
    manifest = json.loads(late["manifest.json"])
    manifest["question"]["until"] = "2099-01-01T00:00:00.000000Z"
    late["manifest.json"] = bundle._json(manifest)
    swapped = edited(world, good, "links.jsonl", swap)
    return [good, forger.publish(), swapped, repaired(world, late)]


def _stamped(world: World) -> list[tuple[bytes, str]]:
    """About timestamps and cosignatures: honest, and each thing about them that can be wrong."""
    world.exchange()
    world.heads()
    size = world.stamp()
    world.exchange()
    world.witnesses = [staged.WITNESS, staged.MONITOR]
    good = world.bundle(by_model()).data
    files = members(good)
    witnesses = (
        f"witness w {staged.WITNESS.vkey}", f"witness m {staged.MONITOR.vkey}", "#monitor m",
        "group both all w m", "group some 1 w m",
    )  # fmt: skip
    place = f"timestamps/{size}"
    early = tokens.response(files[f"{place}.checkpoint"], "2026-11-23T11:00:00.000000Z")
    text = files["checkpoint"].decode()
    alone = "".join(text.splitlines(keepends=True)[:5]).encode()
    single = "".join(text.splitlines(keepends=True)[:6]).encode()
    swapped = text.replace("witness.example", "w.").encode()
    forged = text[:-6] + ("A" if text[-6] != "A" else "B") + text[-5:]
    old = files[f"{place}.checkpoint"].decode()
    behind = old + staged.WITNESS.cosign(old.partition("\n\n")[0] + "\n", 1_700_000_000)
    moment = 1_795_435_207  # 2026-11-23T12:00:07Z, when it was stamped
    before = old + staged.MONITOR.cosign(old.partition("\n\n")[0] + "\n", moment)
    watched = {
        f"{place}.checkpoint": before.encode(),
        f"{place}.tsr": tokens.response(before.encode(), "2026-11-23T12:00:07.000000Z"),
    }
    both = staged.policy_of(world, *witnesses, quorum="both")
    one = staged.policy_of(world, *witnesses, quorum="some")
    aged = staged.policy_of(world, f"#valid {world.vkey} 0 5")
    found: list[tuple[dict[str, bytes], str]] = [
        (files, both), (files, one), (files, aged), (files, staged.policy_of(world)),
        ({**files, "checkpoint": alone}, both), ({**files, "checkpoint": alone}, one),
        ({**files, "checkpoint": single}, both), ({**files, "checkpoint": single}, one),
        ({**files, **watched, "checkpoint": alone}, staged.policy_of(world, *witnesses)),
        ({**files, "checkpoint": swapped}, both), ({**files, "checkpoint": forged.encode()}, both),
        ({**files, f"{place}.tsr": early}, both),
        ({**files, f"{place}.tsr": tokens.response(b"x", "2026-11-23T12:00:07.000000Z")}, both),
        ({**files, f"{place}.tsr": files[f"{place}.tsr"] + b"\x05\0"}, both),
        ({**files, f"{place}.tsr": b"\x31" + files[f"{place}.tsr"][1:]}, both),
        ({**files, f"{place}.consistency": b""}, both),
        ({**files, f"{place}.checkpoint": behind.encode(),
          f"{place}.tsr": tokens.response(behind.encode(), "2026-11-23T12:00:07.000000Z")}, both),
        ({name: body for name, body in files.items() if name != f"{place}.tsr"}, both),
    ]  # fmt: skip
    return [(pack(one_), policy) for one_, policy in found]


def _counts(world: World) -> list[tuple[bytes, str]]:
    """Counts: honest ones, without each of their links, and with numbers that do not fit."""
    for _ in range(6):
        world.exchange(seconds=1.0)
    world.heads()
    times = [world.reader.decoded(index).time for index in range(world.log.published)]
    asked = by_model(since=times[4], until=times[-6], count=True)
    data = world.bundle(asked).data
    policy = staged.policy_of(world)
    shown = [json.loads(line) for line in members(data)["leaves.jsonl"].splitlines()]
    found = [(data, policy)]
    found += [(without(world, data, leaf["index"]), policy) for leaf in shown if leaf["links"]]
    keys = Forger(world, data).chain()
    for change in ({"prev": keys[1][0]}, {"prev": keys[2][0]}, {"n": 10_000}):
        forger = Forger(world, data)
        forger.relink(keys[2], **change)
        found.append((forger.publish(), policy))
    whole = world.bundle(by_model(since=times[4], until=times[-6])).data
    run = [index for index, _ in Forger(world, whole).chain()]
    found += [(whole, policy), (without(world, whole, run[0]), policy)]
    for question in ({"since": times[2]}, {"until": times[-5]}, {"show": "records"}):
        files = members(data)
        manifest = json.loads(files["manifest.json"])
        manifest["question"].update(question)
        files["manifest.json"] = bundle._json(manifest)
        found.append((repaired(world, files), policy))
    return found


def _samples(world: World) -> list[tuple[bytes, str]]:
    """Samples: honest ones, and each with a manifest that says another thing of what was drawn."""
    policy = staged.policy_of(world)
    for _ in range(6):
        world.exchange()
    world.add(who=None)
    actor = ["is", "who.actor", "act_alice"]
    sample = bundle.Sample(3, "2026-Q3")
    found = []
    for question in (by_model(), by_model(conditions=(actor,))):
        data = world.bundle(question, bundle.Choice(sample=sample)).data
        whole = members(world.bundle(question).data)
        withheld = bundle.Choice(("who",), sample=sample)
        found += [(data, policy), (world.bundle(question, withheld).data, policy)]
        files = members(data)
        manifest = json.loads(files["manifest.json"])
        stated = manifest["sampling"]
        for change in ({"seed": "2026-Q4"}, {"size": 2}, {"population": 3}, {"digest": "x"}):
            files["manifest.json"] = bundle._json({**manifest, "sampling": {**stated, **change}})
            found.append((repaired(world, dict(files)), policy))
        whole["manifest.json"] = bundle._json(manifest)
        found.append((repaired(world, whole), policy))
    return found


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    """Every bundle that is put before the verifier, and what it says of each."""
    put: list[tuple[bytes, str]] = []
    judged = staged.judged

    def kept(data: bytes, policy: str) -> str:
        put.append((data, policy))
        return judged(data, policy)

    staged.judged = kept
    try:
        world = staged_world(tmp_path_factory.mktemp("mutants") / "log")
        places = (tmp_path_factory.mktemp("mutant") for _ in range(len(staged.ATTACKS)))
        threat_table.stage_all(world, places)
        put += [(data, staged.policy_of(world)) for data in _plain(world)]
        world.close()
    finally:
        staged.judged = judged
    for name, more in (("stamped", _stamped), ("counts", _counts), ("samples", _samples)):
        world = World(tmp_path_factory.mktemp(name) / "log")
        put += more(world)
        world.close()
    return [Case(data, policy, outcome(verify, data, policy)) for data, policy in put]


WRONG = [
    ("need(link.n != before.n,", "need(True,"),
    ("need(link.n > before.n,", "need(True,"),
    ("good = self.counting and self.inside(before.leaf) and self.inside(link.leaf)",
     "good = self.inside(before.leaf) and self.inside(link.leaf)"),
    ("good = self.counting and self.inside(before.leaf) and self.inside(link.leaf)",
     "good = self.counting"),
    ("good = before.leaf + left_out <= link.previous < link.leaf", "good = True"),
    ("good = before.leaf + left_out <= link.previous < link.leaf",
     "good = before.leaf <= link.previous < link.leaf"),
    ("good = good and (left_out > 0 or link.previous == before.leaf)", "good = True"),
    ('good = links[0].n == 1 or self.leaves[links[0].leaf]["time"] < since', "good = True"),
    ('good = links[0].n == 1 or self.leaves[links[0].leaf]["time"] < since',
     'good = links[0].n == 1 or self.leaves[links[0].leaf]["time"] <= since'),
    ("good = at_head or head not in (None, *(link.as_head() for link in links))", "good = True"),
    ('good = at_head or (until and self.leaves[last.leaf]["time"] > until)', "good = True"),
    ('good = at_head or (until and self.leaves[last.leaf]["time"] > until)',
     'good = at_head or (until and self.leaves[last.leaf]["time"] >= until)'),
    ("need(head is None,", "need(True,"),
    ("[*self.asked, *unattributed(self.asked)]", "[*self.asked]"),
    ('late = closing and (not until or self.leaves[closing[epoch]]["time"] > until)',
     "late = closing"),
    ("good = good and (not self.epochs or heads == self.epochs[-1][0] - 1)", "good = good"),
    ('leaf["previous"] if leaf["time"] >= since else -1',
     'leaf["previous"] if leaf["time"] > since else -1'),
    ('leaf["previous"] if leaf["time"] >= since else -1', "-1"),
    ("inside[-1].n - inside[0].n + 1 if inside", "inside[-1].n - inside[0].n if inside"),
    ("need(time >= before,", "need(True,"),
    ('good = moved(leaf["at"], -300) <= time', "good = True"),
    ("if index < size and claim > limit:", "if index < size - 1 and claim > limit:"),
    ("if index < size and claim > limit:", "if False:"),
    ("limit = moved(time, 300)", "limit = moved(time, 300_000_000)"),
    ("    for one in (note, *(stamp.note for stamp in stamps)):\n        seen =",
     "    for one in (note,):\n        seen ="),
    ("found = [(s.note.size, s.time, s.by and", "found = [(0, s.time, s.by and"),
    ("same = older.size != note.size or older.root == note.root", "same = True"),
    ("good = consistent(older, note, read_hashes(proof, place))", "good = True"),
    ("good = digest == hashlib.sha256(text).digest()", "good = True"),
    ("need(set(names) <= set(files),", "need(True,"),
    ("good = len(values) > place and values[place][0] == tag",
     "good = len(values) > place"),
    ("granted = granted and len(der_values(response)) == 1", "pass"),
    ("good = ed25519(key.public, text, signature)", "good = True"),
    ('b"cosignature/v1\\ntime %d\\n" % moment + text', 'b"cosignature/v1\\n" + text'),
    ("if (key.name, key.key_id) != (name, data[:4]):", "if key.name != name:"),
    ("if key.first <= found.size <= key.last]", "]"),
    ("have[name] = sum(have[member] for member in members) >= needed", "have[name] = True"),
    ("have[name] = sum(have[member] for member in members) >= needed",
     "have[name] = all(have[member] for member in members)"),
    ("return have.get(policy.quorum[0], True)", "return True"),
    ("for name in one.cosigned if name in policy.monitors}", "for name in one.cosigned}"),
    ("if who and size > newest]", "if who]"),
    ('"replayed": any(size > newest for size in replayed.values()),',
     '"replayed": bool(replayed),'),
    ("good = good and batch_root(leaves, note.size, hashes) == note.root", "good = good"),
    ('need(b64u(root) == leaf["salts"],', "need(True,"),
    ('in leaves[index]["links"]', "in str(leaves)"),
    ('good = digest == answer.leaves[index]["sections"][place]', "good = True"),
    ("need(not stray,", "need(True,"),
    ("need(signed,", "need(True,"),
    ('good = population == [stated["population"], stated["digest"]]', "good = True"),
    ("need(not more,", "need(True,"),
    ("if met is not False}", "if met}"),
    ("*map(answer.halves.get, drawn)}", "}"),
    ("key=lambda i: hmac.new(seed.encode(), ids[i],", "key=lambda i: hmac.new(b'x', ids[i],"),
]  # fmt: skip
"""What is weakened, one at a time."""


def mutant(right: str, wrong: str) -> types.ModuleType:
    """The verifier with one passage replaced."""
    assert SOURCE.count(right) == 1, right
    made = types.ModuleType("verify")
    exec(compile(SOURCE.replace(right, wrong), "verify.py", "exec"), vars(made))
    return made


@pytest.mark.slow
@pytest.mark.parametrize(("right", "wrong"), WRONG, ids=[right[:40] for right, _ in WRONG])
def test_a_weakened_verifier_is_noticed(corpus: list[Case], right: str, wrong: str) -> None:
    """At least one bundle of the corpus is judged otherwise."""
    weakened = mutant(right, wrong)
    assert any(outcome(weakened, case.data, case.policy) != case.said for case in corpus)


@pytest.mark.slow
def test_the_verifier_itself_is_not_one_of_them(corpus: list[Case]) -> None:
    """Unchanged, a copy says the same of everything; half of the corpus is refused."""
    copy = mutant("need(signed,", "need(signed,")
    assert all(outcome(copy, case.data, case.policy) == case.said for case in corpus)
    refused = [case for case in corpus if case.said in verify.REASONS]
    assert len(corpus) // 3 < len(refused) < len(corpus)
