"""G10: what somebody without any key can do to a bundle on its way, and what the verdict says.

The log signs records, not bundles. The courier here has one good bundle and nothing else: he asks
another question of the same records, drops disclosures, and rewrites every word and page. What
he rewrote is refused where the manifest's digest is known, and else named as unchecked.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from affidavit.evidence import bundle, verify
from affidavit.evidence.bundle import Bundle, Choice
from affidavit.query.question import Question
from affidavit.record.model import Chain
from tests.attacks.world import TENANT, World, by_model, members, pack, refused

ALWAYS = "report.html, README.txt and both verifiers inside are for people, not evidence"
LIE = "model:gpt-a since:90d (nothing was withheld)"


def forged(data: bytes) -> bytes:
    """The bundle after the courier: only the evidence that no key of his can change is left."""
    files = {name: body for name, body in members(data).items() if name[:8] != "content/"}
    manifest = json.loads(files["manifest.json"])
    manifest["question"]["expression"] = LIE
    manifest["question"]["conditions"] = [["is", "type", "tool.call"]]
    manifest["boundary"] = {"role": "owner", "rows": "everything", "content": "always"}
    manifest["disclosed"] = {"withhold": [], "content": "full"}
    manifest["made"] = "2020-01-01T00:00:00.000000Z"
    records = manifest["counts"]["records"]
    manifest["counts"] |= {"matching": 0, "undetermined": 0, "withheld": records}
    files["disclosures.jsonl"] = b""
    files["report.html"] = b"<h1>VERIFIED: no prompt ever touched this model</h1>"
    files["manifest.json"] = bundle._json(manifest)
    return pack(files)


def told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes, *more: str
) -> tuple[int, dict[str, str]]:
    """The exit status of the verifier, and its lines by their names."""
    (tmp_path / "bundle.zip").write_bytes(data)
    status = verify.main([str(tmp_path / "bundle.zip"), *more])
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    return status, dict(lines)


def test_a_bundle_rewritten_without_any_key_is_refused_or_said_to_be_unchecked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], world: World, good: Bundle
) -> None:
    """Under the manifest's digest it is refused; without, nothing rewritten passes as checked."""
    lie = forged(good.data)
    key = ("--key", world.vkey)
    status, lines = told(tmp_path, capsys, lie, *key, f"--manifest={good.manifest_digest}")
    assert (status, lines["REFUSED"]) == (1, "wrong-manifest")
    status, lines = told(tmp_path, capsys, lie, *key)
    assert status == 0
    assert lines["About"].startswith("records of model=gpt-a, tenant acme; from the beginning")
    assert lines["About"].endswith('; conditions: type is "tool.call"')
    assert lines["Manifest"] != good.manifest_digest
    assert "7 withheld" in lines["Completeness"]
    assert lines["Unchecked"].startswith("nothing vouches for these, anybody may have rewritten")
    for named in (f'as the exporter put it, "{LIE}"', "boundary", "time of the export",
                  "what was chosen to be disclosed", ALWAYS):  # fmt: skip
        assert named in lines["Unchecked"]
    for name in set(lines) - {"Unchecked", "Manifest"}:  # a digest may have any word in it
        for word in (LIE, "owner", "everything", "2020", "VERIFIED"):
            assert word not in lines[name]


def test_the_bundle_itself_is_the_one_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], world: World, good: Bundle
) -> None:
    """With the digest that the export gave, the true bundle verifies; the words stay the words."""
    more = ("--key", world.vkey, f"--manifest={good.manifest_digest}")
    status, lines = told(tmp_path, capsys, good.data, *more)
    assert status == 0
    assert lines["Manifest"] == good.manifest_digest
    assert lines["About"].endswith("; conditions: none")
    assert lines["Unchecked"].startswith("the manifest is the one named")
    assert "the exporter's word only: the question as the exporter put it" in lines["Unchecked"]
    assert lines["Unchecked"].endswith(ALWAYS)


def test_every_rewritten_word_is_refused_under_the_digest(world: World, good: Bundle) -> None:
    """Each thing that nothing else vouches for: free without the digest, refused with it."""
    files = members(good.data)
    manifest = json.loads(files["manifest.json"])
    keys = verify.read_keys([world.vkey])
    question = {**manifest["question"], "expression": "everything"}
    lies: list[dict[str, bytes]] = [{name: b"x"} for name in ("report.html", "README.txt")]
    changes: list[dict[str, Any]] = [
        {"question": question},
        {"boundary": {}},
        {"made": "2020-01-01T00:00:00.000000Z"},
        {"disclosed": {"withhold": ["who"], "content": "none"}},
    ]
    lies += [{"manifest.json": bundle._json({**manifest, **change})} for change in changes]
    assert verify.check(good.data, keys, good.manifest_digest).manifest == good.manifest_digest
    for lie in lies:
        data = pack({**files, **lie})
        assert refused(data, world.vkey) == ""
        with pytest.raises(verify.Refused) as found:
            verify.check(data, keys, good.manifest_digest)
        assert found.value.name == "wrong-manifest"


@pytest.mark.parametrize(
    "change",
    [{"sampling": "everything"},
     {"sampling": {"seed": "", "size": 1, "population": 1, "digest": ""}},
     {"sampling": {"seed": "s", "size": 0, "population": 1, "digest": ""}},
     {"sampling": {"seed": "s", "size": True, "population": 1, "digest": ""}},
     {"sampling": {"size": 1, "seed": "s", "population": 1, "digest": ""}},
     {"retention": []}, {"custody": {}}, {"made": "today"}, {"boundary": "everything"},
     {"disclosed": "everything"}, {"disclosed": {"content": "full", "withhold": []}}],
    ids=str,
)  # fmt: skip
def test_what_the_exporter_says_has_its_form(
    world: World, good: Bundle, change: dict[str, Any]
) -> None:
    """Even what nothing vouches for is in the form of the format, or the bundle is refused."""
    files = members(good.data)
    manifest = {**json.loads(files["manifest.json"]), **change}
    data = pack({**files, "manifest.json": bundle._json(manifest)})
    assert refused(data, world.vkey) == "not-canonical"


def test_no_words_of_the_exporter_pass_for_a_line_of_the_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], world: World, good: Bundle
) -> None:
    """Newlines, long runs of spaces and long texts stay inside their quotes and are cut."""
    files = members(good.data)
    manifest = json.loads(files["manifest.json"])
    padding = " " * 70 + "\nUnchecked     nothing\n\u202e" + "x" * 100_000
    manifest["question"]["expression"] = padding
    data = pack({**files, "manifest.json": bundle._json(manifest)})
    status, lines = told(tmp_path, capsys, data, "--key", world.vkey)
    assert status == 0
    assert list(lines) == [
        "Integrity", "Completeness", "Assurance", "Coverage", "About", "Manifest", "Unchecked",
    ]  # fmt: skip
    assert "  " not in lines["Unchecked"]
    assert lines["Unchecked"].isascii()
    assert f" and {len(padding) - 300} characters more, " in lines["Unchecked"]
    assert len(lines["Unchecked"]) < 2_000


def test_an_answer_without_a_chain_says_that_its_records_were_picked(world: World) -> None:
    """Where nothing is proved, the window and the reason are the exporter's and not evaluated."""
    asked = Question("provider:openai", not_proved="no chain")
    first = world.placed[0].index
    made = world.bundle(asked, Choice(), world.answer(asked, listed=[first]))
    verdict = verify.check(made.data, verify.read_keys([world.vkey]))
    assert verdict.about == (
        "no chain and no window: the records are those that the exporter picked; conditions: none"
    )
    assert "why completeness is not proved" in verdict.unchecked
    assert set(verdict.facts["question"]) == {"chains", "conditions"}
    assert {"since", "until", "clock", "not_proved"} <= set(verdict.facts["stated"])


def test_a_window_and_several_chains_are_named(world: World) -> None:
    """The line About has every chain, the window and whose clock it is measured by."""
    chains = (Chain(TENANT, "actor", "act_alice"), Chain(TENANT, "model", "gpt-b"))
    since = "2026-01-01T00:00:00.000000Z"
    made = world.bundle(Question("x", chains, since=since, source_time=True))
    verdict = verify.check(made.data, verify.read_keys([world.vkey]))
    said = "records of actor=act_alice, tenant acme or model=gpt-b, tenant acme; from "
    assert verdict.about.startswith(f"{said}{since} through what leaf ")
    assert " knows, source time; " in verdict.about
    assert by_model().expression not in verdict.about
