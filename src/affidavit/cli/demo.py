"""``affidavit demo attack``: tampers in front of the user and shows what each verdict says."""

import base64
import subprocess
import tempfile
from collections.abc import Iterator
from json import loads
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from affidavit.cli import output

CONFLICT = 409
"""A witness's answer to a checkpoint that does not go on from what it has seen; with its size."""
app = typer.Typer(help="Demonstrations with the demo's own data.", no_args_is_help=True)
EXPRESSION = "model:demo-chat"


class Shown(NamedTuple):
    """One attack: its name, what was done, who sees it, and the words of the verdict."""

    attack: str
    done: str
    seen: str
    verdict: str
    anchor: bool


@app.command("attack")
def attack(
    json: Annotated[bool, typer.Option("--json", help="JSON Lines for programs.")] = False,
) -> None:
    """Attack a private copy of the demo, and show which attack is seen by whom.

    Starts a demo of its own in a temporary directory; yours is not touched.

    Example: affidavit demo attack
    """
    with tempfile.TemporaryDirectory(prefix="affidavit-attack-") as name:
        unseen = 0
        for shown in _attacks(Path(name)):
            unseen += shown.seen == ""
            if json:
                output.json_line(shown._asdict())
            else:
                _tell(shown)
    if not json:
        output.plain(
            "Everything the log's own key can sign, its holder can forge. What a witness has seen,"
            " or a timestamp covers, cannot be taken back: docs/operations.md, Anchors."
        )
    raise typer.Exit(1 if unseen else 0)


def _tell(shown: Shown) -> None:
    output.plain("")
    output.title(shown.attack)
    output.indented(shown.done, 2)
    seen = f"Seen by {shown.seen}, which says:" if shown.seen else "NOT SEEN. What is said:"
    output.indented(seen, 2, "green" if shown.seen else "red")
    output.indented(shown.verdict.strip(), 4)
    anchor = "Yes" if shown.anchor else "No"
    output.indented(f"Is an outside anchor needed to see it? {anchor}.", 2)


def _attacks(place: Path) -> Iterator[Shown]:
    """The attacks one after another, each on its own copy."""
    from affidavit.demo.attack import Victim

    with Victim(place) as victim:
        victim.wait("traffic", lambda: len(victim.rows(EXPRESSION)) >= 6)
        good = place / "evidence.zip"
        victim.run("export", EXPRESSION, "-o", good, "--data", victim.data)
        honest = victim.run("verify", good, "--key", victim.vkey)
        yield Shown(
            "No attack",
            "An export of the demo's records is checked with the key that was noted beforehand.",
            "the verifier as whole" if honest.returncode == 0 else "",
            honest.stdout,
            anchor=False,
        )
        yield from _on_disk(place, victim)
        yield from _in_the_bundle(place, victim, good)
        yield _killed(victim)
        yield from _by_the_operator(victim, good)


def _refused(found: subprocess.CompletedProcess[str], who: str) -> tuple[str, str]:
    """Who has seen it, if anybody, and in which words."""
    return (who if found.returncode == 1 else ""), found.stdout + found.stderr


def _on_disk(place: Path, victim: Any) -> Iterator[Shown]:
    from affidavit.demo.tamper import flipped
    from affidavit.durable import Disk

    copy, disk = place / "copy", Disk()
    files = [path for path in (victim.data / "log").rglob("*") if path.is_file()]
    entries = max((path for path in files if "entries" in path.parts), key=_leaves_in)
    for path in files:
        data = path.read_bytes()
        target = copy / path.relative_to(victim.data)
        disk.make_dir(target.parent)
        disk.write_file(target, flipped(data, 100) if path == entries else data)
    found = victim.run("fsck", "--data", copy, "--json")
    seen, verdict = ("affidavit fsck" if found.returncode == 1 else ""), _finding(found.stdout)
    done = "One bit of a record's leaf was changed on the disk: here, in a copy of the log."
    yield Shown("A flipped byte on the disk", done, seen, verdict, anchor=False)


def _finding(lines: str) -> str:
    """What fsck has found, a line for each part of it, to be folded once."""
    finding = loads((lines.splitlines() or ["{}"])[-1]).get("finding") or {}
    titles = {"object": "First bad object", "wrong": "What is wrong", "means": "It means",
              "do": "What to do"}  # fmt: skip
    return "\n".join(f"{title}: {finding[name]}" for name, title in titles.items() if finding)


def _leaves_in(tile: Path) -> int:
    """How many leaves an entry bundle holds, by its name."""
    return int(tile.name) if tile.parent.suffix == ".p" else 256


def _in_the_bundle(place: Path, victim: Any, good: Path) -> Iterator[Shown]:
    from affidavit.demo import tamper
    from affidavit.durable import Disk
    from affidavit.ledger.log_reader import LogReader

    data, bad = good.read_bytes(), place / "forged.zip"
    check = ("verify", bad, "--key", victim.vkey)
    Disk().write_file(bad, tamper.flipped(data, len(data) // 2))
    seen, verdict = _refused(victim.run(*check), "the verifier")
    done = "One bit in the middle of the exported file was changed."
    yield Shown("A flipped byte in evidence", done, seen, verdict, anchor=False)
    leaf = min(row["index"] for row in victim.rows(f"{EXPRESSION} type:exchange.response"))
    Disk().write_file(bad, tamper.without(data, LogReader(victim.data / "log"), leaf))
    seen, verdict = _refused(victim.run(*check), "the verifier")
    done = f"Leaf {leaf} was left out of the answer; counts, digests and proofs were made to fit."
    yield Shown("A dropped record", done, seen, verdict, anchor=False)


def _killed(victim: Any) -> Shown:
    record, arrived = victim.stream("Tell me a long story, slowly.", 5)
    victim.wait("outcome", lambda: victim.rows(f"parent:{record} status:interrupted"))
    found = victim.run(
        "reveal", record, "--reason", "demonstration", "--json", "--data", victim.data
    )
    kept = _response(found.stdout)
    told = victim.run("show", record, "--data", victim.data).stdout
    done = (
        "The gateway worker was killed (SIGKILL) in the middle of a stream. The caller had"
        f" received {len(arrived)} bytes; the record holds {len(kept)}, and these begin with them."
    )
    seen = "the sweep (the record is closed as interrupted)" if kept.startswith(arrived) else ""
    return Shown("A process killed in the middle of a stream", done, seen, told, anchor=False)


def _response(lines: str) -> bytes:
    for line in lines.splitlines():
        for part in loads(line).get("parts", []):
            if part["name"] == "response.body" and "base64" in part:
                return base64.b64decode(part["base64"])
    return b""


def _by_the_operator(victim: Any, good: Path) -> Iterator[Shown]:
    from affidavit.demo import tamper
    from affidavit.ledger import note, witness
    from affidavit.ledger.log_reader import LogReader
    from affidavit.ledger.policy import LogKey

    verifier = note.Verifier.from_vkey(victim.vkey)
    log = LogReader(victim.data / "log", verifier)
    now, older = log.checkpoint(), _checkpoint_of(good)
    logs = witness.logs_of([LogKey(verifier)])
    seen = witness.Head(now.size, now.root, log.checkpoint_bytes())

    def ask(old: int, signed: bytes) -> tuple[str, str]:
        asked = witness.read(tamper.submission(old, [], signed), logs)
        answer = asked if isinstance(asked, witness.Answer) else witness.check(asked, seen)
        assert answer is not None
        return "a witness", _refusal(answer.status, answer.body.decode().strip())

    alone = victim.run("verify", good, "--key", victim.vkey)
    done = (
        f"The operator took everything behind leaf {older.size - 1} away and answers as if it had"
        " never been. Whoever has the log's key alone sees a perfect answer:\n"
        + alone.stdout.splitlines()[2]
        + f"\nA witness that had cosigned {now.size} leaves is shown the shorter log:"
    )
    yield Shown("A rollback", done, *ask(older.size, older.note), anchor=True)
    seed = _operators_seed(victim.data)
    forged = tamper.head(verifier.name, seed, now.size, bytes(32))
    done = f"The operator signed a second tree of {now.size} leaves with the log's own key."
    yield Shown("A fork", done, *ask(now.size, forged), anchor=True)


def _refusal(status: int, body: str) -> str:
    """What a witness answers, and what that means."""
    said = f"HTTP {status}: {body}"
    if status != CONFLICT:
        return said
    return (
        f"{said}. It has cosigned the first {body} leaves of this log, and cosigns nothing that is"
        " not shown to begin with them."
    )


class _Checkpoint(NamedTuple):
    size: int
    note: bytes


def _checkpoint_of(bundle: Path) -> _Checkpoint:
    from affidavit.evidence import verify
    from affidavit.ledger import note

    data = bytes(verify.read_zip(bundle.read_bytes())["checkpoint"])
    return _Checkpoint(note.open_checkpoint(data, None).size, data)


def _operators_seed(data: Path) -> bytes:
    """The log's signing key, as somebody with root on the machine can have it."""
    from affidavit.app import opening
    from affidavit.app.paths import Paths
    from affidavit.clock import SystemClock

    keyring = opening.keyring(Paths(data), SystemClock())
    try:
        return keyring.secret("log/seed")
    finally:
        keyring.close()
