"""G10: ``verify.html`` and ``verify.py`` say the same of good bundles and of bad ones.

Both are given the same bytes and the same outside trust, and the whole report is compared: the
lines, the facts, the name of a refusal and its sentence.
"""

import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from affidavit.evidence.bundle import Choice, Sample, _json
from affidavit.evidence.zipfile_canonical import encode
from affidavit.ledger import note
from affidavit.query.question import Question
from affidavit.record.model import DIMENSIONS, SECTIONS, Chain
from tests.attacks.forger import Forger
from tests.attacks.test_every_byte import small
from tests.attacks.world import TENANT, World, by_model, members, pack, staged_world, without
from tests.browser.node import Node, python

WITNESS = note.Cosigner("witness.example", note.COSIGNATURE, bytes([5]) * 32)
QUANTUM = note.Cosigner("quantum.example", note.ML_DSA_44, bytes([6]) * 32)
DENIED = ["is", "control.decision", "deny"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two epochs, gaps, what nobody could attribute, an open request, names that are hostile."""
    made = staged_world(tmp_path_factory.mktemp("agreement") / "log")
    made.heads()
    made.reopen((*DIMENSIONS, "region"))
    made.exchange(actor="act_alice")
    made.add(model="gpt-\u202e\U0001f600\ud7ff", person={"name": "\u05d0\u200b<script>"})
    made.exchange(control={"decision": "deny", "score": 1.5, "n": 2**60, "tiny": 1e-07})
    made.add("custom", actor=None, outcome={"labels": {"a.b": [1, "x", None]}})
    yield made
    made.close()


def policies(world: World) -> list[str]:
    """Outside trust of several kinds."""
    log = f"log {world.vkey}\n"
    seen = f"witness w {WITNESS.vkey}\nwitness q {QUANTUM.vkey}\n#monitor w\n"
    return [
        world.vkey,
        "",
        log + "quorum none\n",
        log + seen + "quorum w\n",
        log + seen + "group both all w q\n#post-quantum\nquorum both\n",
        f"log {note.Signer('other.example', bytes(32)).verifier().vkey}\nquorum none\n",
        "log nonsense\nquorum none\n",
        "nonsense",
    ]


def questions(world: World) -> dict[str, tuple[Question, Choice]]:
    """Questions of every kind, and choices of what is shown."""
    alice = Chain(TENANT, "actor", "act_alice")
    both = (alice, Chain(TENANT, "model", "gpt-b"))
    since, until = "2026-11-23T12:00:02.000000Z", "2026-11-23T12:00:08.000000Z"
    conditions = (DENIED, ["or", ["half", ["has", "outcome.outcome"]], ["stated", "x  y\n"]])
    numbers = (
        ["or", [">=", "control.n", 2**60], ["<", "outcome.gen_ai.usage.output_tokens", 7.5]],
    )
    full, hidden = Choice(content="full"), Choice(withhold=SECTIONS)
    many = tuple(Chain(TENANT, "model", f"m{n}") for n in range(9)) + both[:1]
    return {
        "content": (by_model(), full),
        "digests": (by_model(), Choice()),
        "no content": (by_model(), Choice(content="none", withhold=("person", "who"))),
        "withheld": (by_model(), hidden),
        "a window": (by_model(since=since, until=until), full),
        "before the ledger": (by_model(since="2026-01-01T00:00:00.000000Z", until=until), full),
        "source time": (by_model(since=since, until=until, source_time=True), full),
        "conditions": (by_model(conditions=conditions), Choice(selected={1})),
        "undetermined": (by_model(conditions=(["stated", "x"],)), Choice()),
        "numbers": (by_model(conditions=numbers), full),
        "several chains": (Question("x", both), full),
        "many chains": (Question("x", tuple(sorted(many))), full),
        "no such model": (by_model("gpt-z"), full),
        "hostile names": (by_model("gpt-\u202e\U0001f600\ud7ff"), full),
        "a count": (Question("x", both, since=since, until=until, count=True), Choice()),
        "values": (Question("x", (Chain(TENANT, "model.values", ""),)), full),
        "gaps": (Question("x", (Chain("", "unattributed", ""),)), full),
        "a sample": (by_model(conditions=(DENIED,)), Choice(sample=Sample(1, "S  \u202e"))),
        "a sample of all": (by_model(), Choice(sample=Sample(99, "s" * 70))),
        "a new dimension": (Question("x", (Chain(TENANT, "region", "eu"),)), full),
    }


@pytest.fixture(scope="module")
def bundles(world: World) -> dict[str, bytes]:
    """A bundle of each kind, the files for people cut short."""
    made = {}
    for name, (asked, choice) in questions(world).items():
        if name == "a new dimension":  # an epoch without it cannot be shown
            continue
        made[name] = small(world.bundle(asked, choice).data)
    picked = Question("provider:x", not_proved="no \u202e chain")
    answer = world.answer(picked, listed=[world.placed[0].index])
    made["picked"] = small(world.bundle(picked, Choice(), answer).data)
    world.stamp()
    world.witnesses = [WITNESS, QUANTUM]
    made["witnessed"] = small(world.bundle(by_model(), Choice()).data)
    world.witnesses = []
    return made


def agree(node: Node, data: bytes, trust: str, manifest: str = "") -> dict[str, Any]:
    """What both say."""
    said = python(data, trust, manifest)
    assert node.check(data, trust, manifest) == said
    return said


def test_good_bundles_have_the_same_verdict(
    node: Node, world: World, bundles: dict[str, bytes]
) -> None:
    """Of each kind of bundle, under the log's key."""
    for name, data in bundles.items():
        assert agree(node, data, world.vkey)["ok"] is True, name


def test_outside_trust_of_each_kind(node: Node, world: World, bundles: dict[str, bytes]) -> None:
    """Keys, policies, quorums, monitors, none of these, and what is no key."""
    said = [agree(node, bundles["witnessed"], trust) for trust in policies(world)]
    oks = [one.get("ok") for one in said]
    assert oks == [True, False, True, True, False, False, None, None]
    assert "monitor w has replayed to size" in said[3]["assurance"]
    assert "not checked here: ML-DSA-44 of q, the timestamp of" in said[4]["assurance"]
    manifest = said[0]["manifest"]
    assert agree(node, bundles["witnessed"], world.vkey, manifest)["facts"]["manifest_named"]
    other = agree(node, bundles["content"], world.vkey, manifest)
    assert other["refused"] == "wrong-manifest"


def test_what_a_thief_of_files_leaves_out(
    node: Node, world: World, bundles: dict[str, bytes]
) -> None:
    """Leaves left out, all else made to fit, of an answer, of several, of a count."""
    for name in ("content", "several chains", "a count", "source time"):
        data = bundles[name]
        lines = members(data)["leaves.jsonl"].splitlines()
        for line in lines[::4]:
            said = agree(node, without(world, data, json.loads(line)["index"]), world.vkey)
            assert said["ok"] is False


def forged(world: World) -> Iterator[bytes]:
    """Numbers, predecessors, times and forms that are wrong, signed by the log."""
    made = world.bundle(by_model(until="2026-11-23T12:00:08.000000Z"), Choice(content="none")).data
    rest = {name: body for name, body in members(made).items() if name[:11] != "timestamps/"}
    for deed in range(9):
        forger = Forger(world, pack(rest))
        chain = forger.chain()
        if deed < 4:
            change = ({"n": 3}, {"prev": chain[0][0]}, {"n": 9}, {"n": 1})[deed]
            forger.relink(chain[3], **change)
        if deed == 8:
            forger.relink(chain[2], prev=chain[2][0] - 1)
        earlier = forger.leaves[chain[1][0]]
        changes: list[dict[str, Any]] = [{}, {}, {}, {}, {"at": "2027-01-01T00:00:00.000000Z"}]
        changes += [{"v": True}, {"src": earlier["src"]}, {"time": earlier["at"], "tier": "x"}, {}]
        forger.leaves[chain[2][0]].update(changes[deed])
        yield forger.publish()


def test_what_the_logs_own_key_cannot_make_fit(node: Node, world: World) -> None:
    """Whoever holds the key publishes a tree of his own making; it is seen by both."""
    names = {agree(node, data, world.vkey)["refused"] for data in forged(world)}
    assert {"duplicate-number", "omitted-record", "bad-leaf", "repeated-record"} <= names


def test_a_change_of_single_bytes(node: Node, world: World, bundles: dict[str, bytes]) -> None:
    """A sample of all bytes of a small bundle, changed: refused by both, under one name."""
    data = bundles["witnessed"]
    assert agree(node, data, world.vkey)["ok"]
    draw = random.Random(1)
    changes = [(draw.randrange(len(data)), 1 << draw.randrange(8)) for _ in range(300)]
    compare_changes(node, data, world.vkey, changes)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_change_of_every_single_byte(node: Node, world: World, bundles: dict[str, bytes]) -> None:
    """Each byte, by one bit and inverted."""
    data = bundles["content"]
    every = [(n, change) for n in range(len(data)) for change in (1 << n % 8, 0xFF)]
    for start in range(0, len(every), 500):
        compare_changes(node, data, world.vkey, every[start : start + 500])


def compare_changes(node: Node, data: bytes, trust: str, changes: list[tuple[int, int]]) -> None:
    """Both refuse each change, under the same name."""
    names = []
    for place, change in changes:
        changed = bytearray(data)
        changed[place] ^= change
        names.append(python(bytes(changed), trust).get("refused", "verdict"))
    assert node.changed(data, trust, changes) == names
    assert "verdict" not in names


def test_evidence_changed_under_fresh_digests(
    node: Node, world: World, bundles: dict[str, bytes]
) -> None:
    """A manifest made to fit hides no change of what is evidence."""
    files = members(bundles["witnessed"])
    draw = random.Random(2)
    evidence = sorted(set(files) - {"report.html", "README.txt", "verify.py", "verify.html"})
    for name in evidence:
        for _ in range(1):
            body = bytearray(files[name])
            body[draw.randrange(len(body))] ^= 1 << draw.randrange(8)
            try:
                data = pack({**files, name: bytes(body)})
            except ValueError:  # a manifest that is none
                continue
            agree(node, data, world.vkey)


def _retold(data: bytes, **how: Any) -> bytes:
    """The members as the ordinary library writes them."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", **how) as archive:
        for name, body in members(data).items():
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type = how.get("compression", zipfile.ZIP_STORED)
            archive.writestr(info, body)
    return target.getvalue()


def _local(name: bytes, body: bytes, extra: bytes = b"", flags: int = 0, crc: int = 0) -> bytes:
    head = struct.pack("<HHHHHIIIHH", 20, flags, 0, 0, 33, zlib.crc32(body) ^ crc, len(body),
                       len(body), len(name), len(extra))  # fmt: skip
    return b"PK\x03\x04" + head + name + extra + body


def tricks(data: bytes) -> dict[str, bytes]:
    """Zips that two programs could unpack differently, and members that are not those listed."""
    files = members(data)
    first = data.index(b"PK\x03\x04", 4)
    end = data.rindex(b"PK\x05\x06")
    central = data.index(b"PK\x01\x02")
    swapped = {**files, "README.txt": files["checkpoint"], "checkpoint": files["README.txt"]}
    return {
        "nothing": b"",
        "a prefix": b"#!/bin/sh\n" + data,
        "a byte behind": data + b"\0",
        "a comment": data[:-2] + b"\x04\0note",
        "twice": data + data,
        "cut": data[:-1],
        "half": data[: len(data) // 2],
        "another program": _retold(data),
        "deflate": _retold(data, compression=zipfile.ZIP_DEFLATED),
        "an extra field": data[:first] + _local(b"checkpoint", b"x", b"\1\0\0\0") + data[first:],
        "a data descriptor": data[:first] + _local(b"checkpoint", b"x", flags=8) + data[first:],
        "a wrong sum": data[:first] + _local(b"checkpoint", b"x", crc=1) + data[first:],
        "a name twice": data[:first] + _local(b"checkpoint", b"x") + data[first:],
        "an unknown member": encode({**files, "evil.py": b"x"}),
        "a way out": encode({**files, "content/../x": b"x"}),
        "zip64": data[:end] + b"PK\x06\x06" + bytes(52) + b"PK\x06\x07" + bytes(16) + data[end:],
        "overlapping": data.replace(data[central + 42 : central + 46], b"\1\0\0\0"),
        "a wrong directory": data[:central] + data[central:].replace(b"checkpoint", b"checkpoinT"),
        "a size of the directory": data[: end + 12] + b"\xff" + data[end + 13 :],
        "a member added": encode({**files, "content/999-0": b"x"}),
        "a member dropped": encode({n: b for n, b in files.items() if n != "links.jsonl"}),
        "members swapped": encode(swapped),
        "a member renamed": encode(
            {("heads/1-1.json" if n == "report.html" else n): b for n, b in files.items()}
        ),
    }


def test_zip_tricks(node: Node, world: World, bundles: dict[str, bytes]) -> None:
    """Refused by both under one name, and none gets further than the manifest's digests."""
    for name, data in tricks(bundles["content"]).items():
        said = agree(node, data, world.vkey)
        assert said.get("refused") in ("not-canonical", "altered-file"), name


def test_another_sample_does_not_pass(node: Node, world: World, bundles: dict[str, bytes]) -> None:
    """Another seed, size or population, and more than was drawn: refused by both."""
    files = members(bundles["a sample"])
    manifest = json.loads(files["manifest.json"])
    for change in ({"seed": "T"}, {"size": 2}, {"population": 9}, {"digest": ""}, {"size": 2.0}):
        lie = {**manifest, "sampling": {**manifest["sampling"], **change}}
        agree(node, pack({**files, "manifest.json": _json(lie)}), world.vkey)
    files["manifest.json"] = _json({**manifest, "sampling": {**manifest["sampling"], "size": 0}})
    assert agree(node, pack(files), world.vkey)["refused"] == "not-canonical"
    whole = members(bundles["digests"])
    lie = json.loads(whole["manifest.json"]) | {"sampling": manifest["sampling"]}
    for population in ({}, {"conditions": manifest["question"]["conditions"]}):
        lie["question"] = {**lie["question"], **population}
        said = agree(node, pack({**whole, "manifest.json": _json(lie)}), world.vkey)
        assert said["refused"] == "wrong-sample"


def test_what_was_not_drawn_is_not_called_withheld(node: Node, world: World) -> None:
    """In the verdict and in the rows; the other half of what was drawn is shown."""
    made = world.bundle(by_model(), Choice(sample=Sample(1, "S")))
    said = agree(node, small(made.data), world.vkey)
    rows = {row["index"]: row for row in node.ask({"op": "rows", "start": 0, "number": 99})["rows"]}
    (drawn,) = said["facts"]["sample"]
    shown = {drawn, *(i for i, row in rows.items() if row["half"] == str(drawn))}
    rest = len(said["facts"]["records"]) - len(shown)
    assert f"0 of them withheld; {rest} not drawn and not shown;" in said["completeness"]
    hidden = {i for i, row in rows.items() if row["sections"] == "not drawn"}
    assert hidden == set(rows) - shown
    assert "withheld" not in {row["sections"] for row in rows.values()}


def test_records_are_shown_as_they_are(node: Node, world: World, bundles: dict[str, bytes]) -> None:
    """A page of rows, and one record with its sections and its content."""
    said = agree(node, bundles["hostile names"], world.vkey)
    assert " sections and 1 part are the bytes" in said["integrity"]
    index = said["facts"]["records"][0]
    (row,) = node.ask({"op": "rows", "start": 0, "number": 100})["rows"]
    assert (row["index"], row["model"]) == (index, "gpt-\u202e\U0001f600\ud7ff")
    assert row["sections"] == "who, person, what, content"
    assert set(questions(world)) - set(bundles) == {"a new dimension"}
