"""``affidavit fsck``: is what is on disk what was written; changes nothing, needs no server."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from affidavit.cli import options, output
from affidavit.errors import AffidavitError, UsageError

if TYPE_CHECKING:
    from affidavit.app.checking import Result, Told
    from affidavit.ledger.note import Verifier

_LINE_SECONDS = 1.0
_NOT_EXAMINED = (
    "Not examined: journals, staging files and what else is not published yet; the configuration;"
    " without --policy, cosignatures and the signatures of timestamps."
)


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("fsck")(fsck)


def fsck(
    data: options.Data = None,
    deep: Annotated[
        bool,
        typer.Option("--deep", help="Also vault, keys, state.db, index, cosigned heads, stamps."),
    ] = False,
    key: Annotated[
        str,
        typer.Option(
            "--key", help="The log's verifier key or a file of it, from outside.", metavar="VKEY"
        ),
    ] = "",
    policy: Annotated[
        Path | None,
        typer.Option(
            "--policy", help="Whose cosignatures and stamps to verify (deep).", metavar="FILE"
        ),
    ] = None,
    without_keys: Annotated[
        bool, typer.Option("--without-keys", help="Open nothing that is sealed (deep).")
    ] = False,
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume",
            help="Where a deep check that is stopped is kept. Default: run/fsck.progress.",
            metavar="FILE",
        ),
    ] = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="Begin at leaf 0, whatever was checked before (deep).")
    ] = False,
    json: options.Json = False,
) -> None:
    """Check tiles, leaves, links, chain rules and checkpoint. Exit code 1 at the first lie.

    Without --key the key beside the log is used, which whoever changed the log could change too.
    A deep check may be stopped with Ctrl-C; the same command goes on from there.

    Example: affidavit fsck --data /srv/affidavit --deep
    """
    from affidavit import app

    directory = options.data_directory(data)
    if not (directory / "log").is_dir():
        raise UsageError(f"{directory} holds no published log.", hint="Give it with --data.")
    with _signals() as asked, _lines() if json else _bar() as told:
        result = app.fsck(
            directory,
            _vkeys(key) if key else None,
            told,
            lambda: bool(asked),
            deep=deep,
            policy=policy,
            keys=not without_keys,
            kept=resume,
            anew=anew,
        )
    if json:
        output.json_line(_as_json(result, deep=deep, key=key))
    else:
        _show(result, deep=deep, key=key)
    if result.stopped:
        raise typer.Exit(130)
    if result.finding is not None:
        raise typer.Exit(1)


def _vkeys(given: str) -> "list[Verifier]":
    """Of the key itself, or of the file of that name; ``UsageError`` if it is neither."""
    from affidavit.ledger.note import read_vkeys

    try:
        is_file = Path(given).is_file()
    except (OSError, ValueError):  # longer than a name can be, as some keys are
        is_file = False
    try:
        return read_vkeys(Path(given).read_text(encoding="ascii") if is_file else given)
    except (AffidavitError, OSError, ValueError) as error:
        what = "holds no verifier key" if is_file else "is neither a verifier key nor a file"
        raise UsageError(f"{given} {what}.", hint="A key is NAME+HASH+KEY, in one line.") from error


def _as_json(result: "Result", *, deep: bool, key: str) -> dict[str, Any]:
    found = result.finding
    return {
        "ok": found is None and not result.stopped,
        "size": result.size,
        "leaves": result.leaves,
        "deep": deep,
        "key": "given" if key else "beside the log",
        "finding": None
        if found is None
        else {"object": found.object, "wrong": found.wrong, "means": found.means, "do": found.do},
        "stopped": result.stopped,
        "went_on_at": result.went_on,
        "since": result.since or None,
        "counts": result.counts,
        "remarks": list(result.remarks),
    }


def _show(result: "Result", *, deep: bool, key: str) -> None:
    if result.went_on:
        began = output.moment(result.since)
        output.say(f"Leaves below {result.went_on} were checked by a run that began {began} UTC.")
    if result.stopped:
        output.plain(f"Stopped at leaf {result.leaves} of {result.size}.")
        if deep:
            output.say("The same command goes on from there.")
        return
    found = result.finding
    if found is not None:
        output.facts(
            [
                ("First bad object", found.object),
                ("What is wrong", found.wrong),
                ("It means", found.means),
                ("What to do", found.do),
            ]
        )
        output.plain(
            f"{result.leaves} of {output.counted(result.size, 'leaf')} were good before it."
        )
    else:
        what = f"{output.counted(result.size, 'leaf')}, with links, tiles and checkpoint"
        counts = result.counts
        if deep and "blobs" in counts:
            of = output.counted(counts["records"], "record")
            what += f"; {counts['blobs']} sections and parts of {of}"
        output.plain(f"{what}: as they were written.")
        for name, said in _GONE.items():
            if result.counts.get(name):
                output.plain(f"{result.counts[name]} {said}.")
    for remark in result.remarks:
        output.say(remark)
    if deep:
        output.say(_NOT_EXAMINED)
    if not key:
        output.say("Checked with the key beside the log; --key VKEY uses one from outside.")


_GONE = {
    "erased": "sections and parts are sealed under keys that were destroyed",
    "held": "sections and parts are erased but for a hold, which has the keys",
    "gone": "records have nothing in the vault any more",
    "absent": "parts are listed by their record and were lost with a damaged journal",
}


# how it goes


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Signals that ask for a stop: the check ends after the bundle it is at."""
    asked: list[int] = []

    def ask(number: int, _: object) -> None:
        if asked:
            raise KeyboardInterrupt  # the second time at once
        asked.append(number)

    heard = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGINT, signal.SIGTERM) if heard else ()
    before = {number: signal.signal(number, ask) for number in numbers}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _lines() -> "Iterator[Told]":
    """One line of JSON a second, and one when another stage begins."""
    last, stage_before = 0.0, ""

    def told(stage: str, done: int, of: int) -> None:
        nonlocal last, stage_before
        if stage != stage_before or time.monotonic() - last >= _LINE_SECONDS:
            last, stage_before = time.monotonic(), stage
            output.json_line({"stage": stage, "done": done, "of": of})

    yield told


@contextmanager
def _bar() -> "Iterator[Told]":
    """A bar on a terminal, nothing elsewhere."""
    with output.progress() as bar:
        task = bar.add_task("", total=None)

        def told(stage: str, done: int, of: int) -> None:
            bar.update(task, description=stage, completed=done, total=of)

        yield told
