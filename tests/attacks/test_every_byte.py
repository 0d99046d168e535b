"""G10: evidence fails after any change of one byte."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from affidavit.evidence import bundle, verify, zipfile_canonical
from affidavit.evidence.bundle import Bundle, Choice
from tests.attacks.world import World, by_model, members, pack, refused

PEOPLE = {"report.html", "README.txt", "verify.py", "verify.html", "manifest.json"}
"""Members that are only digested (and the manifest, whose statements are checked one by one)."""


def small(data: bytes) -> bytes:
    """The same bundle with short files for people."""
    return pack({name: body if name not in PEOPLE or name == "manifest.json" else b"x"
                 for name, body in members(data).items()})  # fmt: skip


@pytest.mark.usefixtures("quick")
def test_a_change_of_any_single_byte_is_refused(world: World, good: Bundle) -> None:
    """Every byte of the file, changed by one bit and inverted: the bundle is refused."""
    data = bytearray(small(good.data))
    assert refused(bytes(data), world.vkey) == ""
    passed = []
    for place in range(len(data)):
        before = data[place]
        for change in (1 << place % 8, 0xFF):
            data[place] = before ^ change
            if refused(bytes(data), world.vkey) == "":
                passed.append((place, change))
        data[place] = before
    assert passed == []


@pytest.mark.usefixtures("quick")
def test_evidence_changed_under_fresh_digests_is_refused(world: World, good: Bundle) -> None:
    """A forger who makes the manifest fit still cannot change a byte of what is evidence."""
    files = members(small(good.data))
    passed = []
    for name in sorted(set(files) - PEOPLE):
        step = max(1, len(files[name]) // 100)
        for place in range(0, len(files[name]), step):
            body = bytearray(files[name])
            body[place] ^= 1 << place % 7
            if refused(pack({**files, name: bytes(body)}), world.vkey) == "":
                passed.append((name, place))
    assert passed == []


@pytest.mark.usefixtures("quick")
def test_every_statement_of_the_manifest_that_can_be_checked_is(world: World, good: Bundle) -> None:
    """Origin, size, chains, window, conditions and counts of the manifest are not free words."""
    files = members(small(good.data))
    manifest = json.loads(files["manifest.json"])
    other: list[dict[str, object]] = [
        {"chains": [["acme", "model", "gpt-b"]]},
        {"chains": [["other", "model", "gpt-a"]]},
        {"chains": []},
        {"chains": [], "not_proved": "because"},
        {"until": "2099-01-01T00:00:00.000000Z"},
        {"until": "yesterday"},
        {"since": "2026-11-23T12:00:05.000000Z"},
        {"clock": "mine"},
        {"conditions": [["is", "control.decision", "deny"]]},
        {"conditions": [["is", "secret.word", "deny"]]},
        {"conditions": "none"},
        {"not_proved": "because"},
    ]
    lies: list[dict[str, object]] = [
        {"v": 2},
        {"v": True},
        {"v": 1.0},
        {"size": float(manifest["size"])},
        {"origin": "ledger.example/other"},
        {"size": manifest["size"] + 1},
    ]
    lies += [{"counts": {**manifest["counts"], name: 99}} for name in manifest["counts"]]
    lies += [{"question": {**manifest["question"], **change}} for change in other]
    for lie in lies:
        changed = pack({**files, "manifest.json": bundle._json({**manifest, **lie})})
        assert refused(changed, world.vkey) != "", lie


def test_the_verifier_needs_nothing_of_the_project(
    tmp_path: Path, world: World, good: Bundle
) -> None:
    """``python -I`` with an empty environment and the copy in the bundle: the verdict, status 0."""
    files = members(good.data)
    (tmp_path / "verify.py").write_bytes(files["verify.py"])
    (tmp_path / "bundle.zip").write_bytes(good.data)
    (tmp_path / "key").write_text(world.vkey + "\n")
    command = [sys.executable, "-I", "-S", "verify.py", "bundle.zip", "--key", "key"]
    done = subprocess.run(command, cwd=tmp_path, env={}, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode().splitlines()
    assert [line.split()[0] for line in lines] == [
        "Integrity", "Completeness", "Assurance", "Coverage", "About", "Manifest", "Unchecked",
    ]  # fmt: skip
    assert "all 7 records of model=gpt-a, tenant acme, in this ledger" in lines[1]
    changed = bytearray(good.data)
    changed[len(changed) // 2] ^= 1
    (tmp_path / "bundle.zip").write_bytes(bytes(changed))
    done = subprocess.run(command, cwd=tmp_path, env={}, capture_output=True, check=False)
    assert done.returncode == 1
    assert done.stdout.startswith(b"REFUSED  not-canonical")


def test_the_verifier_runs_on_the_oldest_python_it_promises(
    tmp_path: Path, world: World, good: Bundle
) -> None:
    """Nothing in it is newer than the grammar of Python 3.9."""
    import ast

    source = Path(verify.__file__).read_text()
    ast.parse(source, feature_version=(3, 9))
    imported = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(source))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported - {"__future__"} <= set(sys.stdlib_module_names)


def test_the_same_answer_gives_the_same_bytes(world: World) -> None:
    """A bundle follows from the answer, the choice and the time: made twice, it is the same."""
    answer = world.answer(by_model())
    choice = Choice(content="full")
    first = world.bundle(by_model(), choice, answer)
    assert first == world.bundle(by_model(), choice, answer)
    assert zipfile_canonical.encode(members(first.data)) == first.data
