"""What goes into a bundle, what stays out, and what is refused before it leaves."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from affidavit.durable import Disk
from affidavit.errors import CorruptError
from affidavit.evidence import bundle, verify
from affidavit.evidence.bundle import Choice, Shown
from affidavit.record.model import SECTIONS
from tests.attacks.world import World, by_model, members


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two exchanges of one model, one of them denied, each with a person behind it."""
    made = World(tmp_path_factory.mktemp("bundle") / "log")
    made.exchange(person={"email": "alice@example.com"}, control={"decision": "allow"})
    made.exchange(person={"email": "bob@example.com"}, control={"decision": "deny"})
    yield made
    made.close()


def disclosed(data: bytes) -> dict[int, set[str]]:
    """Leaf → the sections a bundle shows of it."""
    found: dict[int, set[str]] = {}
    for line in members(data)["disclosures.jsonl"].splitlines():
        value = json.loads(line)
        found.setdefault(value["leaf"], set()).add(value["section"])
    return found


def manifest_of(data: bytes) -> dict[str, Any]:
    """The manifest of a bundle."""
    value: dict[str, Any] = json.loads(members(data)["manifest.json"])
    return value


def test_a_withheld_section_is_nowhere_in_the_file(world: World) -> None:
    """What is withheld is not in any member, the report included; its leaf is."""
    made = world.bundle(by_model(), Choice(withhold=("person",), content="full"))
    assert all("person" not in sections for sections in disclosed(made.data).values())
    assert b"alice@" not in made.data
    assert b"hello" in made.data
    assert made.counts["records"] == 4
    assert made.counts["withheld"] == 0
    everything = world.bundle(by_model(), Choice(withhold=SECTIONS))
    assert everything.counts["withheld"] == 4
    assert "4 withheld" in everything.verdict[1]
    assert disclosed(everything.data) == {}


@pytest.mark.parametrize("content", ["none", "digest", "full"])
def test_content_is_left_out_digested_or_whole(world: World, content: Any) -> None:
    """``none`` shows not even sizes, ``digest`` no bytes, ``full`` the bytes with their salts."""
    made = world.bundle(by_model(), Choice(content=content))
    assert ("content" in disclosed(made.data)[world.pairs[0][0]]) == (content != "none")
    bodies = [name for name in members(made.data) if name.startswith("content/")]
    assert bool(bodies) == (content == "full")
    assert (b"hello" in made.data) == (content == "full")


def test_of_records_not_selected_only_the_conditions_are_shown(world: World) -> None:
    """A record of the chain that did not match shows the section that says so, and no more."""
    asked = by_model(conditions=(["is", "control.decision", "deny"],))
    made = world.bundle(asked, Choice(selected=set(world.pairs[1])))
    shown = disclosed(made.data)
    assert shown[world.pairs[0][0]] == {"control"}
    assert shown[world.pairs[1][0]] >= {"who", "person", "what", "control"}
    assert (made.counts["records"], made.counts["matching"]) == (4, 1)
    assert made.counts["undetermined"] == 0


def test_what_the_reader_may_not_see_is_not_shown(world: World) -> None:
    """The bundle shows no more than ``show`` gives, and counts the rest as withheld."""

    def blind(index: int) -> Shown:
        return bundle.NOTHING if index in world.pairs[0] else world.show(index)

    answer = world.answer(by_model())
    made = bundle.make(
        answer,
        blind,
        choice=Choice(),
        boundary={},
        made=world.clock.now(),
        policy=verify.read_keys([world.vkey]),
    )
    assert set(disclosed(made.data)) == set(world.pairs[1])
    assert made.counts["withheld"] == 2


def test_erased_content_leaves_the_proof_whole(world: World) -> None:
    """Parts whose keys are gone are left out; all that remains verifies."""

    def erased(index: int) -> Shown:
        kept = world.show(index)
        return Shown((*kept.disclosures[:1], None, *kept.disclosures[2:]), (None,))

    answer = world.answer(by_model())
    made = bundle.make(
        answer,
        erased,
        choice=Choice(content="full"),
        boundary={},
        made=world.clock.now(),
        policy=verify.read_keys([world.vkey]),
    )
    assert made.counts["records"] == 4
    assert not [name for name in members(made.data) if name.startswith("content/")]


def test_the_manifest_says_what_was_asked_and_chosen(world: World) -> None:
    """Question, boundary, choices, time and a digest of every other member."""
    made = world.bundle(by_model(), Choice(withhold=("person",)))
    manifest = manifest_of(made.data)
    assert list(manifest) == verify.MANIFEST
    assert manifest["question"]["expression"] == "model:gpt-a"
    assert manifest["boundary"] == {"role": "auditor"}
    assert manifest["disclosed"] == {"withhold": ["person"], "content": "digest"}
    assert set(manifest["files"]) == set(members(made.data)) - {"manifest.json"}
    assert made.manifest_digest == bundle._digest(members(made.data)["manifest.json"])


def test_the_verifier_in_the_bundle_is_the_one_that_checked_it(world: World) -> None:
    """``verify.py`` and ``verify.html`` travel byte for byte."""
    made = world.bundle(by_model())
    for name in ("verify.py", "verify.html"):
        assert members(made.data)[name] == Path(verify.__file__).with_name(name).read_bytes()


def test_an_answer_that_proves_nothing_says_so(world: World) -> None:
    """Without a chain: the records are shown, completeness is not proved, and why."""
    from affidavit.query.question import Question

    question = Question('"hello"', not_proved="the expression names no chain")
    made = world.bundle(question, answer=world.answer(question, listed=world.pairs[0]))
    verdict = verify.check(made.data, verify.read_keys([world.vkey]))
    assert verdict.completeness.startswith("not proved: ")
    assert "the expression names no chain" in verdict.completeness
    assert verdict.facts["counts"]["records"] == 2


def test_what_the_vault_changed_never_leaves(world: World) -> None:
    """A disclosure or body that is not what was recorded stops the export with a name."""
    first, second = world.pairs[0][0], world.pairs[1][0]

    def swapped(index: int) -> Shown:
        return world.show(second if index == first else index)

    def changed(index: int) -> Shown:
        kept = world.show(index)
        parts = [(salt, b"x" + body) for salt, body in filter(None, kept.parts)]
        return Shown(kept.disclosures, tuple(parts))

    answer = world.answer(by_model())
    for show, name in ((swapped, "altered-disclosure"), (changed, "altered-content")):
        with pytest.raises(CorruptError) as found:
            bundle.make(
                answer,
                show,
                choice=Choice(content="full"),
                boundary={},
                made=world.clock.now(),
                policy=verify.read_keys([world.vkey]),
            )
        assert found.value.detail["refused"] == name


def test_a_bundle_is_written_whole(tmp_path: Path, world: World) -> None:
    """``write`` puts the bytes in place and returns the digest for the ledger's own record."""
    made = world.bundle(by_model())
    assert bundle.write(Disk(), tmp_path / "evidence.zip", made) == made.manifest_digest
    assert (tmp_path / "evidence.zip").read_bytes() == made.data
