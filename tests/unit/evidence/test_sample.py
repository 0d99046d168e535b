"""Samples: drawn as the format says, shown and nothing else, and no other one passes for it."""

import hmac
import json
from collections.abc import Iterator
from typing import Any

import pytest

from affidavit.errors import UsageError
from affidavit.evidence import bundle, verify
from affidavit.evidence.bundle import Choice, Sample
from affidavit.query.question import Question, sampling, unproved
from tests.attacks.world import World, by_model, members, refused, repaired

OF_ALICE = ["is", "who.actor", "act_alice"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Exchanges of two people, a gap, and a request that nobody answered."""
    made = World(tmp_path_factory.mktemp("sample") / "log")
    for turn in range(10):
        made.exchange(actor="act_alice" if turn % 2 else "act_bob")
    made.add("ledger.gap", model=None, actor=None, tenant="", body=None, who=None)
    made.add()
    yield made
    made.close()


def drawn(world: World, data: bytes) -> tuple[verify.Verdict, dict[int, set[str]]]:
    """The verdict, and which sections of which leaf are shown."""
    shown: dict[int, set[str]] = {}
    for line in map(json.loads, members(data)["disclosures.jsonl"].splitlines()):
        shown.setdefault(line["leaf"], set()).add(line["section"])
    return verify.check(data, verify.read_keys([world.vkey])), shown


def expected(world: World, population: list[int], seed: str, size: int) -> list[int]:
    """What the format says is drawn, worked out apart from the verifier."""
    ids = {index: json.loads(world.reader.leaf(index))["id"] for index in population}
    rank = {i: hmac.digest(seed.encode(), name.encode(), "sha256") for i, name in ids.items()}
    return sorted(population, key=rank.__getitem__)[:size]


def test_a_sample_is_drawn_shown_and_drawn_again(world: World) -> None:
    """The records are those of the format, whole with their other halves; of the rest, nothing."""
    made = world.bundle(by_model(), Choice(content="full", sample=Sample(4, "S")))
    verdict, shown = drawn(world, made.data)
    records = verdict.facts["records"]
    assert verdict.facts["sample"] == expected(world, records, "S", 4)
    stated = json.loads(members(made.data)["manifest.json"])["sampling"]
    assert (stated["size"], stated["population"]) == (4, len(records))
    pairs = dict(world.pairs) | {response: request for request, response in world.pairs}
    whole = set(verdict.facts["sample"])
    whole |= {pairs[index] for index in whole if index in pairs} | set(verdict.facts["gaps"])
    assert set(shown) == whole
    said = f'sample of 4 of {len(records)} drawn by the seed "S", 0 of them withheld'
    assert said in verdict.completeness
    rest = len(set(records) - whole)
    assert f"{said}; {rest} not drawn and not shown" in verdict.completeness
    assert verdict.facts["counts"]["withheld"] == rest
    assert f"; {rest} withheld" not in verdict.completeness
    content = {name for name in members(made.data) if name.startswith("content/")}
    assert {int(name[8:].partition("-")[0]) for name in content - {"content/salts.jsonl"}} <= whole
    again = world.bundle(by_model(), Choice(content="full", sample=Sample(4, "S")))
    assert drawn(world, again.data)[0].facts["sample"] == verdict.facts["sample"]


def test_more_than_there_are_is_all_of_them(world: World) -> None:
    """A sample larger than its population shows the population."""
    made = world.bundle(by_model("gpt-a"), Choice(sample=Sample(1_000, "S")))
    verdict, _ = drawn(world, made.data)
    assert sorted(verdict.facts["sample"]) == verdict.facts["records"]
    assert "not drawn" not in verdict.completeness


def test_of_what_is_not_drawn_only_what_conditions_need_is_shown(world: World) -> None:
    """The population is what is not shown to fail; what decides that is shown of everything."""
    question = by_model(conditions=(OF_ALICE,))
    verdict, shown = drawn(world, world.bundle(question, Choice(sample=Sample(2, "S"))).data)
    assert verdict.facts["counts"]["undetermined"] == 0
    assert len(verdict.facts["sample"]) == 2
    part = [index for index, names in shown.items() if names == {"who"}]
    assert len(part) > 5
    hidden, _ = drawn(world, world.bundle(question, Choice(("who",), sample=Sample(2, "S"))).data)
    assert hidden.facts["counts"]["undetermined"] == len(hidden.facts["records"])
    population = hidden.facts["records"]
    assert hidden.facts["sample"] == expected(world, population, "S", 2)


def test_what_is_drawn_and_not_shown_is_counted(world: World) -> None:
    """A reader who may see nothing of a drawn record cannot make it go away."""
    answer = world.answer(by_model())
    gone = expected(world, list(answer.records), "S", 3)[0]
    kept = dict(world.kept)
    world.kept[gone] = bundle.NOTHING
    try:
        made = world.bundle(by_model(), Choice(sample=Sample(3, "S")))
    finally:
        world.kept.update(kept)
    assert "1 of them withheld" in drawn(world, made.data)[0].completeness


@pytest.mark.parametrize("change", [{"population": 20}, {"digest": "A" * 43}], ids=str)
def test_another_population_is_refused(world: World, change: dict[str, Any]) -> None:
    """Whatever else the manifest says of the population is not what the chain holds."""
    files = members(world.bundle(by_model(), Choice(sample=Sample(3, "S"))).data)
    assert refused(restated(world, files, **change), world.vkey) == "wrong-sample"


def restated(world: World, files: dict[str, bytes], **change: Any) -> bytes:
    """The bundle with something else said of its sample."""
    manifest = json.loads(files["manifest.json"])
    stated = {**manifest["sampling"], **change}
    files["manifest.json"] = bundle._json({**manifest, "sampling": stated})
    return repaired(world, files)


def test_another_draw_is_refused(world: World) -> None:
    """A seed that draws other exchanges, or fewer of them, does not fit what is shown."""
    pairs = {response: request for request, response in world.pairs}
    records = list(world.answer(by_model()).records)

    def exchanges(seed: str, size: int = 3) -> set[int]:
        return {pairs.get(index, index) for index in expected(world, records, seed, size)}

    seed = next(name for name in "STUVWXYZ" if len(exchanges(name)) == 3)
    other = next(name for name in "abcdefgh" if not exchanges(seed) <= exchanges(name))
    made = world.bundle(by_model(), Choice(sample=Sample(3, seed)))
    for change in ({"seed": other}, {"size": 2}):
        assert refused(restated(world, members(made.data), **change), world.vkey) == "wrong-sample"


def test_no_record_is_slipped_in_beside_the_sample(world: World) -> None:
    """Sections of records that were not drawn are refused, though they are genuine."""
    files = members(world.bundle(by_model(), Choice(sample=Sample(3, "S"))).data)
    whole = members(world.bundle(by_model()).data)
    files["disclosures.jsonl"] = whole["disclosures.jsonl"]
    assert refused(repaired(world, files), world.vkey) == "wrong-sample"


def test_there_is_no_sample_of_what_is_not_proved(world: World) -> None:
    """No chain, a count, or words that no section decides: refused before anything is drawn."""
    listed = unproved(by_model(), "no chain")
    with pytest.raises(UsageError, match="No sample is drawn: no chain"):
        world.bundle(listed, Choice(sample=Sample(1, "S")), world.answer(listed, listed=[1]))
    for question in (listed, Question("x", (), conditions=(["not", ["stated", "words"]],))):
        with pytest.raises(UsageError, match="No sample of this can be drawn"):
            sampling(question)
    sampling(by_model(conditions=(OF_ALICE,)))
