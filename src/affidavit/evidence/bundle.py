"""Writing an evidence bundle: an answer, what may be seen of it, and how to check it.

Rules: the bytes of leaves, links and disclosures are those that were recorded, nothing is
re-serialised; a section is shown whole or not at all; of records that the reader did not select
only the sections are shown on which the conditions are decided. The bundle is checked by the
verifier it carries before anybody gets it. Its manifest lists every other member by digest; the
manifest's own digest goes into the ``access.export`` record, which the caller writes first. Not
here: what the reader may see (the caller hands in no more than that), the proof
(``query.completeness``), the report's looks (``report``).
"""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from affidavit.durable import Disk
from affidavit.errors import CorruptError, UsageError
from affidavit.evidence import report, verify, zipfile_canonical
from affidavit.ids import b64u
from affidavit.query.anchors import Stamp
from affidavit.query.completeness import Answer
from affidavit.query.question import sections_needed
from affidavit.record.model import SECTIONS

Content = Literal["none", "digest", "full"]

FORMAT = 1
SALT_BYTES = 16


class Shown(msgspec.Struct, frozen=True):
    """What the reader may see of a record.

    ``disclosures``: the seven disclosures exactly as recorded, ``None`` where absent, erased or
    out of bounds. ``parts``: beside the parts of ``content``, each (salt, bytes) or ``None``.
    """

    disclosures: tuple[str | None, ...]
    parts: tuple[tuple[bytes, bytes] | None, ...] = ()


NOTHING = Shown((None,) * len(SECTIONS))


class Sample(msgspec.Struct, frozen=True):
    """So many records, at least one, drawn by a seed, which is not empty."""

    size: int
    seed: str


class Choice(msgspec.Struct, frozen=True):
    """What the exporter discloses.

    ``withhold``: sections not shown at all. ``content``: ``none``: not even the digests;
    ``digest``: names, sizes and digests of the parts; ``full``: their bytes too. ``selected``: the
    records to show, ``None`` for all; of the others only what the conditions need. ``sample``:
    those to show are drawn (docs/format/evidence.md, "Samples"), whatever is selected.
    """

    withhold: tuple[str, ...] = ()
    content: Content = "digest"
    selected: Collection[int] | None = None
    sample: Sample | None = None


class Bundle(msgspec.Struct, frozen=True):
    """A bundle that passed its own verifier: its bytes, b64u manifest digest, and the verdict.

    ``records``: the leaves of which it may disclose something, ascending.
    """

    data: bytes
    manifest_digest: str
    verdict: tuple[str, str, str, str]
    counts: dict[str, int]
    records: tuple[int, ...] = ()


def make(
    answer: Answer,
    show: Callable[[int], Shown],
    *,
    choice: Choice,
    boundary: Mapping[str, Any],
    made: str,
    policy: verify.Policy,
    tools: verify.Tools = verify.NO_TOOLS,
    retention: Mapping[str, Any] | None = None,
    custody: Sequence[Mapping[str, Any]] = (),
    render: Callable[..., str] = report.render,
    told: Callable[[int, Shown], None] | None = None,
) -> Bundle:
    """Make the bundle of ``answer``.

    ``show`` gives what the reader may see of a leaf; ``boundary`` is what the manifest says of
    that; ``made`` the time; ``policy`` what this installation trusts, under which the bundle is
    checked with ``tools`` (it is not in the bundle). ``retention`` and ``custody``: what the
    manifest says of them. ``render`` makes the page, as ``report.render`` does. ``told`` is told
    of each leaf what the bundle discloses of it, and nothing that was only read. A timestamp that
    would be refused is left out. ``CorruptError`` if the bundle would not verify; ``UsageError`` if
    it would be too large, or if a sample is wanted of what no chain proves to be all.
    """
    members = _proof_members(answer)
    question = _question(answer)
    try:
        sampling, choice = _sampled(members, question, answer, show, choice)
        disclosures, content = _disclosed(answer, show, choice, told)
        members["disclosures.jsonl"] = b"".join(disclosures)
        del disclosures  # of very many records it is as large as the member
        members.update(content)
        for stamp in answer.stamps:
            members.update(_stamped(stamp, answer.checkpoint, policy, tools))
        manifest: dict[str, Any] = {
            "v": FORMAT,
            "made": made,
            "origin": answer.origin,
            "size": answer.size,
            "question": question,
            "boundary": dict(boundary),
            "disclosed": {"withhold": sorted(choice.withhold), "content": choice.content},
            "sampling": sampling,
            "retention": dict(retention or {}),
            "custody": [dict(entry) for entry in custody],
        }
        verdict, checked, shown = verify.judge(members, manifest, policy, tools)
        manifest["counts"] = verdict.facts["counts"]
        members["report.html"] = render(manifest, verdict, checked, shown, content).encode()
        del checked, shown  # most of the memory, and the zip takes some more
        members["verify.py"] = Path(verify.__file__).read_bytes()
        members["verify.html"] = Path(verify.__file__).with_name("verify.html").read_bytes()
        members["README.txt"] = report.readme(manifest).encode()
        manifest["files"] = {name: _digest(members[name]) for name in sorted(members)}
        members["manifest.json"] = _json(manifest)
        data = zipfile_canonical.encode(members)
        _check(data, members)
    except verify.Refused as refused:
        raise CorruptError(
            f"The evidence does not verify: {refused.sentence}",
            hint="Run affidavit fsck; the ledger or the vault is not what was written.",
            refused=refused.name,
        ) from refused
    lines = (verdict.integrity, verdict.completeness, verdict.assurance, verdict.coverage)
    records = () if answer.question.count else {*answer.records, *answer.halves.values()}
    digest = _digest(members["manifest.json"])
    return Bundle(data, digest, lines, manifest["counts"], tuple(sorted(records)))


def _check(data: bytes, judged: Mapping[str, bytes]) -> None:
    """What is left to check of a bundle whose members were judged before they were put together."""
    read = verify.read_zip(data)
    verify.read_manifest(read)
    if read != judged:
        raise verify.Refused("altered-file", "The zip holds something else than was put into it.")


def write(disk: Disk, path: Path, bundle: Bundle) -> str:
    """Put a bundle at ``path``, whole or not at all; returns the manifest's digest."""
    disk.write_file(path, bundle.data)
    return bundle.manifest_digest


def _sampled(
    members: Mapping[str, bytes],
    question: Mapping[str, Any],
    answer: Answer,
    show: Callable[[int], Shown],
    choice: Choice,
) -> tuple[dict[str, Any] | None, Choice]:
    """What the manifest says of the sample, and the choice of the records that were drawn."""
    sample = choice.sample
    if sample is None:
        return None, choice
    if not question["chains"] or answer.question.count:
        raise UsageError(
            f"No sample is drawn: {question['not_proved'] or 'only how many is asked'}.",
            hint="A sample needs a population that a chain proves to be all.",
        )
    decided = Choice(choice.withhold, choice.content, selected=())
    lines, _ = _disclosed(answer, show, decided)
    checked = verify.Answer(dict(members), dict(question))
    shown = verify.read_disclosures(b"".join(lines), checked)
    drawn, population, digest = verify.draw(
        checked, shown, question["conditions"], sample.seed, sample.size
    )
    stated = {
        "seed": sample.seed,
        "size": sample.size,
        "population": population,
        "digest": digest,
    }
    return stated, msgspec.structs.replace(choice, selected=frozenset(drawn))


def _proof_members(answer: Answer) -> dict[str, bytes]:
    """All members that are evidence and disclose nothing."""
    links = sorted((index, b64u(link)) for index, link in answer.links)
    members = {
        "checkpoint": answer.checkpoint,
        "leaves.jsonl": b"".join(leaf + b"\n" for leaf in answer.leaves.values()),
        "links.jsonl": b"".join(_line({"leaf": index, "link": link}) for index, link in links),
        "chains.jsonl": b"".join(
            _line(
                {
                    "epoch": opening.epoch,
                    "tenant": opening.tenant,
                    "dimension": opening.dimension,
                    "value": opening.value,
                    "salt": b64u(opening.salt),
                    "path": [b64u(node) for node in opening.path],
                }
            )
            for opening in answer.openings
        ),
        "proofs/inclusion": b"".join(b64u(node).encode() + b"\n" for node in answer.proof),
    }
    for head in answer.heads:
        members[f"heads/{head.index}-{head.number}.json"] = _json(
            {
                "heads": head.index,
                "bucket": head.number,
                "entries": b64u(head.bucket),
                "path": [b64u(node) for node in head.path],
            }
        )
    return members


def _stamped(
    stamp: Stamp, checkpoint: bytes, policy: verify.Policy, tools: verify.Tools
) -> dict[str, bytes]:
    """The members of a timestamp; none if it is by a key unknown here, or no timestamp at all."""
    place = f"timestamps/{stamp.size}"
    members = {
        f"{place}.checkpoint": stamp.note,
        f"{place}.consistency": b"".join(b64u(node).encode() + b"\n" for node in stamp.proof),
        f"{place}.tsr": stamp.token,
    }
    try:
        note = verify.read_checkpoint(checkpoint, policy, tools)
        verify.read_stamps(members, note, policy, tools)
    except verify.Refused as refused:
        if refused.name in ("wrong-key", "bad-timestamp"):
            return {}
        raise
    return members


def _disclosed(
    answer: Answer, show: Callable[[int], Shown], choice: Choice,
    told: Callable[[int, Shown], None] | None = None,
) -> tuple[list[bytes], dict[str, bytes]]:  # fmt: skip
    """The lines of ``disclosures.jsonl``, and the members of ``content/``."""
    whole = set(SECTIONS) - set(choice.withhold)
    whole -= {"content"} if choice.content == "none" else set()
    needed = whole & sections_needed(answer.question.conditions)
    wanted: dict[int, set[str]] = dict.fromkeys(answer.gaps, whole)
    for index in answer.records:
        sections = whole if choice.selected is None or index in choice.selected else needed
        for half in (index, answer.halves.get(index, index)):
            wanted[half] = wanted.get(half, set()) | sections
    lines: list[bytes] = []
    salts: list[bytes] = []
    content: dict[str, bytes] = {}
    for index in sorted(wanted):
        seen = _only(wanted[index], show(index), choice)
        if told is not None:
            told(index, seen)
        for name, text in zip(SECTIONS, seen.disclosures, strict=True):
            if text is not None:
                lines.append(_line({"leaf": index, "section": name, "disclosure": text}))
        for number, part in enumerate(seen.parts):
            if part is not None:
                salt, body = part
                salts.append(_line({"leaf": index, "part": number, "salt": b64u(salt)}))
                content[f"content/{index}-{number}"] = body
    if salts:
        content["content/salts.jsonl"] = b"".join(salts)
    return lines, content


def _only(wanted: Collection[str], seen: Shown, choice: Choice) -> Shown:
    """What of that which may be seen of a leaf is in the bundle; parts with their section alone."""
    disclosures = tuple(
        text if name in wanted else None
        for name, text in zip(SECTIONS, seen.disclosures, strict=True)
    )
    parts = seen.parts if choice.content == "full" and disclosures[-1] is not None else ()
    return Shown(disclosures, parts)


def _question(answer: Answer) -> dict[str, Any]:
    """The question as the manifest states it."""
    asked = answer.question
    return {
        "expression": asked.expression,
        "chains": [list(chain) for chain in asked.chains],
        "since": asked.since,
        "until": asked.until if asked.until or asked.source_time else _last(answer),
        "clock": "source" if asked.source_time else "ledger",
        "conditions": list(asked.conditions),
        "show": "count" if asked.count else "records",
        "not_proved": asked.not_proved,
    }


def _last(answer: Answer) -> str:
    """For an answer that proves nothing: the time of its last leaf, no earlier than its window."""
    leaves: Sequence[bytes] = list(answer.leaves.values())
    last = json.loads(leaves[-1])["time"] if leaves else "1970-01-01T00:00:00.000000Z"
    return max(str(last), answer.question.since)


def _digest(data: bytes) -> str:
    return b64u(hashlib.sha256(data).digest())


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _line(value: dict[str, Any]) -> bytes:
    return _json(value) + b"\n"
