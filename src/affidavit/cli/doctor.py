"""``affidavit doctor``: is everything there that is needed, and if not, what to do."""

import os
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import typer

from affidavit.cli import options, output
from affidavit.cli.client import Client
from affidavit.errors import AffidavitError

_LOW_SPACE = 1 << 30
_LATE = ("problem", "due_records", "unknown_buckets", "damaged_buckets")


class Finding(NamedTuple):
    """One thing that was looked at: ``state`` is ok, warn or bad."""

    what: str
    state: str
    text: str


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("doctor")(doctor)


def doctor(data: options.Data = None, url: options.Url = None, json: options.Json = False) -> None:
    """Look at directory, configuration, disk and processes. Exit code 1 if something is bad.

    With --url only what that console says: nothing of this machine.

    Example: affidavit doctor
    """
    remote = url or os.environ.get("AFFIDAVIT_URL")
    found = [*_here(options.data_directory(data))] if not remote else []
    found += _console(data, url)
    if json:
        for finding in found:
            output.json_line(finding._asdict())
    else:
        marks = {"ok": "ok", "warn": "!", "bad": "BAD"}
        output.table(("", "", ""), [(marks[f.state], f.what, f.text) for f in found])
    if any(finding.state == "bad" for finding in found):
        raise typer.Exit(1)


def _here(directory: Path) -> Iterator[Finding]:
    """What the machine itself shows."""
    from affidavit.app import memory, opening, running, unfinished
    from affidavit.app.paths import Paths
    from affidavit.config import load
    from affidavit.record.keys import LOST

    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("Python", "ok", version)
    paths = Paths(directory)
    if left := unfinished.told(directory):
        yield Finding("Restore", "bad", f"{left} Restore again, or remove it by hand")
    if paths.key_lost:
        yield Finding("Key-encryption key", "bad", f"lost: keys/kek is not there. {LOST}")
        return
    if not paths.initialised:
        hint = f"not initialised; start it: affidavit up --data {directory}"
        yield Finding("Data directory", "bad", f"{directory}: {hint}")
        return
    if paths.drill.exists():
        text = f"{directory}: restored with --drill; it has a copy of the keys: remove it when done"
        yield Finding("Data directory", "warn", text)
    else:
        yield Finding("Data directory", "ok", str(directory.absolute()))
    if paths.restored.exists():
        text = "with a copy of the keys: what was erased after that copy was made is back. Erase it"
        yield Finding("Restored", "warn", f"{text} again; then remove {paths.restored}")
    for name in ("keys", "keys/kek", "keys/owner", "run"):
        path = directory / name
        if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
            text = f"others may read it; chmod go-rwx {path}"
            yield Finding(f"Permissions of {name}", "bad", text)
    try:
        kind = opening.key_file(paths).kind
    except AffidavitError as error:
        kind = ""
        yield Finding("Key-encryption key", "bad", f"{error.message} {error.hint}")
    free = shutil.disk_usage(directory).free
    state = "ok" if free >= _LOW_SPACE else "warn"
    yield Finding("Disk", state, f"{free / 2**30:.1f} GiB free; recording refuses when it is full")
    runs = running.find(directory)
    if runs and (swapped := memory.told_of(_sequencer(paths.sequencer_lock))):
        yield Finding("Memory", "warn", swapped)
    file = Path(runs.config) if runs else directory / "config.yaml"
    try:
        config = load(file, options.environment(runs.demo if runs else ""))
    except AffidavitError as error:
        yield Finding("Configuration", "bad", f"{error.message} {error.hint}".strip())
        return
    if kind and kind != config.keys.kind:
        text = f"of kind {kind}; {file} says keys: {{kind: {config.keys.kind}}}: write {kind} there"
        yield Finding("Key-encryption key", "warn", f"{text}, or affidavit keys rotate --to …")
    elif kind:
        yield Finding("Key-encryption key", "ok", f"of kind {kind}")
    why = runs.off if runs else {name: p.off for name, p in config.providers.items() if p.off}
    off = [f"{name} is off: {reason}" for name, reason in why.items()]
    whose = f"in the running process {runs.pid}" if runs else "by the environment of this shell"
    text = "; ".join(off) or ("every provider on" if config.providers else "no providers")
    state = "ok" if config.providers and not off else "warn"
    yield Finding("Configuration", state, f"{file}: {text} ({whose})")
    if runs and runs.hash != config.hash():
        text = f"{file} was changed since process {runs.pid} started: restart it"
        yield Finding("Configuration in force", "warn", text)


def _sequencer(lock: Path) -> int:
    """The process that holds a sequencer's lock, as the file says; 0 if it says none."""
    try:
        word = lock.read_text(encoding="ascii", errors="replace").rpartition(" ")[2].strip()
    except OSError:
        return 0
    return int(word) if word.isdigit() else 0


def _console(data: Path | None, url: str | None) -> Iterator[Finding]:
    """What the running console says."""
    try:
        status = Client(data, url).get("/api/status")
    except AffidavitError as error:
        yield Finding("Console", "bad", f"{error.message} {error.hint}".strip())
        return
    reader = status["reader"]
    said = f"version {status['version']}; you are {reader['role']} by {reader['authenticated_by']}"
    named = reader["boundary"].get("name")
    said += f", boundary {named}" if named else ""
    yield Finding("Console", "ok", said)
    recording = "ok" if status["recording"] else "bad"
    yield Finding("Recording", recording, status["recording_problem"] or "on")
    sequencer = "ok" if status["sequencer"] else "bad"
    yield Finding("Sequencer", sequencer, status["sequencer_problem"] or "running")
    for writer, sentence in (status.get("trouble") or {}).items():
        yield Finding(f"Journal {writer[:8]}", "bad", sentence)
    for glass in status.get("break_glass", []):
        text = f"boundary {glass['boundary']} of {glass['actor']} is widened until {glass['until']}"
        yield Finding("Broken glass", "warn", f"{text}; record {glass['id']}")
    if status.get("pruning_problem"):
        yield Finding("Pruning", "warn", f"not finished: {status['pruning_problem']}")
    if status.get("erasing_problem"):
        yield Finding("Erasure", "warn", f"waits, and is tried again: {status['erasing_problem']}")
    yield from _retention(status.get("retention") or {})
    yield from _anchors(status)
    as_of, size = status["as_of"], status.get("size", 0)
    behind = size - as_of["size"]
    text = f"{output.counted(size, 'leaf')}, searchable through {as_of['size']}"
    if status.get("minimum"):
        text += f"; those before {status['minimum']} were pruned"
    if status.get("index_rebuilding"):
        text += "; the index is of another version and is being made anew"
    yield Finding("Ledger", "warn" if behind > 1000 else "ok", text)


def _retention(told: dict[str, Any]) -> Iterator[Finding]:
    """What is kept longer than it may be, and what nobody says how long to keep."""
    if told.get("problem"):
        yield Finding("Retention", "warn", f"not counted: {told['problem']}")
    if told.get("due_records"):
        due = told["due_records"]
        are = "record is over its" if due == 1 else "records are over their"
        text = f"{due} {are} maximum, since {told['oldest']}"
        overdue = f"{text}, {told['overdue_records']} for more than a day"
        state = "bad" if told["overdue_records"] else "warn"
        yield Finding("Retention", state, f"{overdue}; affidavit retention plan")
    if told.get("unknown_buckets"):
        text = f"{told['unknown_buckets']} buckets are of classes that are not configured"
        yield Finding("Retention", "warn", f"{text}: nothing of them is removed")
    if told.get("damaged_buckets"):
        text = f"{told['damaged_buckets']} buckets over their maximum, or of no known class, are"
        yield Finding("Retention", "bad", f"{text} damaged and do not go; affidavit fsck")
    if told and not any(told.get(name) for name in _LATE):
        yield Finding("Retention", "ok", "nothing is kept longer than its maximum")


def _anchors(status: dict[str, Any]) -> Iterator[Finding]:
    """Who outside vouches for the log, and what is wrong with that."""
    if "anchored" not in status:
        return  # the sequencer does not answer
    for one in status["witnesses"]:
        state = "bad" if one["alarm"] else "warn" if one["error"] else "ok"
        seen = f"has cosigned {output.counted(one['size'], 'leaf')}"
        yield Finding(f"Witness {one['name']}", state, one["error"] or seen)
    for what, one in (("Timestamps", status["timestamp"]), ("Copies", status["copies"])):
        if one is not None:
            told = f"over {one['size']} leaves" + (f", {one['time']}" if one.get("time") else "")
            yield Finding(what, "warn" if one["error"] else "ok", one["error"] or told)
    if status["witnesses_required"] and status["waits_since"]:
        since = f"the checkpoint waits for witnesses since {status['waits_since']}"
        yield Finding("Publication", "warn", f"{since}; recording goes on")
    if status["anchor_advice"]:
        yield Finding("Anchors", "warn", status["anchor_advice"])
