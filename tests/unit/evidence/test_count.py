"""A count: the ends of each chain and nothing between, and the same number as the whole answer."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from affidavit.clock import add_seconds
from affidavit.evidence import bundle, verify
from affidavit.ids import from_b64u
from affidavit.query.question import Question
from affidavit.record.model import DIMENSIONS, Chain
from tests.attacks.world import TENANT, World, by_model, members, pack, refused, without
from tests.paths import REPOSITORY


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two epochs of exchanges, records that nobody could attribute, gaps, equal times."""
    made = World(tmp_path_factory.mktemp("count") / "log")
    for turn in range(4):
        made.exchange(seconds=turn % 2)
        made.exchange(model="gpt-b")
        made.add(model=None)
    made.reopen((*DIMENSIONS, "region"))
    for turn in range(4):
        made.exchange(seconds=turn % 2)
        made.add("ledger.gap", model=None, actor=None, tenant="", body=None, who=None)
    made.heads()
    yield made
    made.close()


def links(data: bytes) -> list[tuple[int, int, int]]:
    """Leaf, n and prev of the links of the first chain that a bundle shows."""
    found = []
    first = b""
    for line in members(data)["links.jsonl"].splitlines():
        value = json.loads(line)
        _, chain, n, previous = struct.unpack(">17s16sQQ", from_b64u(value["link"]))
        first = first or chain
        if chain == first:
            found.append((value["leaf"], n, previous))
    return found


def check(world: World, data: bytes) -> verify.Verdict:
    """The verdict under the log's key."""
    return verify.check(data, verify.read_keys([world.vkey]))


def test_the_example_of_the_page_is_true(tmp_path: Path) -> None:
    """docs/format/evidence.md, A count: the links of five records in a window of four."""
    made = World(tmp_path / "log")
    for _ in range(5):
        made.add(actor=None, seconds=0.5)
    made.heads()
    since, until = (made.reader.decoded(index).time for index in (2, 5))
    data = made.bundle(by_model(since=since, until=until, count=True)).data
    page = (REPOSITORY / "docs" / "format" / "evidence.md").read_text()
    lines = page.partition("shows of the five links")[2].partition("```\n")[2].partition("```")[0]
    shown = [f"leaf {leaf}  n {n}  prev {previous}" for leaf, n, previous in links(data)]
    assert shown == lines.splitlines()[:-1]
    assert lines.splitlines()[-1] == f"counted  {check(made, data).facts['counted'][0][3]}"
    assert "begins" not in check(made, data).completeness
    early, began = "2020-07-01T00:00:00.000000Z", made.reader.decoded(0).time
    data = made.bundle(by_model(since=early, until=until)).data
    said = f"from {early} (the ledger begins at {began}), through {until}"
    assert said in check(made, data).completeness
    made.close()


def test_every_window_counts_what_the_whole_answer_holds(world: World) -> None:
    """For each pair of edges: the same number, four links at most an epoch, and nothing shown."""
    times = sorted({world.reader.decoded(index).time for index in range(world.log.published)})
    edges = ["", *times[4::9], add_seconds(times[-1], -0.5)]
    for since in edges:
        for until in ["", *edges[1:]]:
            if until and since > until:
                continue
            asked: dict[str, Any] = {"since": since, "until": until}
            whole = world.bundle(by_model(**asked))
            last = check(world, whole.data).facts["question"]["until"]
            counted = world.bundle(by_model(since=since, until=last, count=True))
            for name in ("records", "matching"):
                assert counted.counts[name] == whole.counts[name], asked
            beside = whole.counts["unattributed"] + whole.counts["gaps"]
            assert counted.counts["unattributed"] == beside
            assert (counted.counts["withheld"], counted.counts["gaps"]) == (0, 0)
            files = members(counted.data)
            assert files["disclosures.jsonl"] == b""
            chains = 3 * len(check(world, counted.data).facts["question"]["chains"])
            assert len(files["links.jsonl"].splitlines()) <= 4 * 2 * chains
            verdict = check(world, counted.data)
            number = counted.counts["records"]
            are = "record" if number == 1 else "records"
            said = f"{number} {are} of model=gpt-a, tenant acme, in this"
            assert verdict.completeness.startswith(said)
            assert "counted, none shown" in verdict.completeness
            assert verdict.completeness.endswith("asserted: no monitor")
            assert verdict.coverage.startswith("how the records were obtained is not shown")


def test_several_chains_are_counted_one_by_one(world: World) -> None:
    """A record of two chains is in both numbers, and the verdict says so."""
    chains = (Chain(TENANT, "model", "gpt-a"), Chain(TENANT, "model", "gpt-b"))
    made = world.bundle(Question("x", chains, count=True))
    verdict = check(world, made.data)
    assert "16 records of model=gpt-a, tenant acme and 8 records of model=gpt-b" in (
        verdict.completeness
    )
    assert "counted, one by one, none shown" in verdict.completeness
    assert verdict.facts["counted"] == [[*chains[0], 16], [*chains[1], 8]]
    assert made.counts["records"] == 24
    assert verdict.about.startswith("how many records of model=gpt-a")


def test_a_monitor_makes_it_more_than_an_assertion(world: World) -> None:
    """With a monitor that has replayed beyond the heads leaf, the count is not asserted."""
    from affidavit.ledger.note import COSIGNATURE, Cosigner

    monitor = Cosigner("m.example", COSIGNATURE, bytes([3]) * 32)
    world.witnesses = [monitor]
    made = world.bundle(by_model(count=True))
    world.witnesses = []
    text = f"log {world.vkey}\nwitness m {monitor.vkey}\n#monitor m\nquorum m\n"
    verdict = verify.check(made.data, verify.read_policy(text))
    assert verdict.completeness.endswith("a monitor has replayed them")
    assert "monitor m has replayed to size" in verdict.assurance
    assert "asserted" not in verdict.assurance + verdict.completeness


def test_no_link_of_a_count_can_be_left_out(world: World) -> None:
    """Without any one of the leaves of a count, it is refused."""
    times = [world.reader.decoded(index).time for index in range(world.log.published)]
    made = world.bundle(by_model(since=times[6], until=times[-8], count=True))
    leaves = [json.loads(line) for line in members(made.data)["leaves.jsonl"].splitlines()]
    tried = 0
    for leaf in leaves:
        if leaf["links"]:
            tried += 1
            assert refused(without(world, made.data, leaf["index"]), world.vkey) != "", leaf
    assert tried >= 8


def changed(world: World, data: bytes, **question: Any) -> str:
    """The refusal if the manifest asks another question."""
    files = members(data)
    manifest = json.loads(files["manifest.json"])
    manifest["question"].update(question)
    files["manifest.json"] = bundle._json(manifest)
    return refused(pack(files), world.vkey)


def test_a_count_is_not_passed_off_as_an_answer(world: World) -> None:
    """Asked for its records, a count is refused; so is one with conditions or by source time."""
    made = world.bundle(by_model(count=True))
    assert changed(world, made.data) == ""
    assert changed(world, made.data, show="records") == "omitted-record"
    assert changed(world, made.data, show="some") == "not-canonical"
    assert changed(world, made.data, clock="source") == "not-canonical"
    assert changed(world, made.data, conditions=[["and"]]) == "not-canonical"
    whole = world.bundle(by_model())
    assert changed(world, whole.data, show="count") in {"stray-piece", "false-count"}
