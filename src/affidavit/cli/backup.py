"""``affidavit backup`` and ``affidavit restore``: copies that leave what was erased erased."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from affidavit.cli import options, output
from affidavit.errors import LockedError, UnavailableError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from affidavit.app.backup import Cut
    from affidavit.app.paths import Paths
    from affidavit.durable import Disk
    from affidavit.vault.moved import Moved

_KEYS_WARNING = (
    "Whoever has this copy can open the backup, and what is erased from now on, too: destroy it "
    "when something was erased, and make another."
)

_NAMED = 3
"""So many buckets are named."""


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("backup")(backup)
    app.command("restore")(restore)


def backup(
    target: Annotated[
        Path, typer.Option("-o", "--output", help="A directory to be made.", metavar="DIR")
    ],
    with_keys: Annotated[
        Path | None,
        typer.Option(
            "--with-keys",
            help="Another directory to be made, for keys.db, its key and the checkpoint of now.",
            metavar="DIR",
        ),
    ] = None,
    data: options.Data = None,
    json: options.Json = False,
) -> None:
    """Copy log, vault, state and configuration, while everything runs; keys and index not.

    What is in the backup opens with the keys of the installation alone, as they are when it is
    restored: what was erased by then stays erased. Journals are not in it: what is not ordered yet.
    Whoever may read the files makes it: AFFIDAVIT_KEY is not looked at.

    Example: affidavit backup -o /mnt/backup/monday
    """
    from affidavit.app.backup import Copying
    from affidavit.app.paths import Paths
    from affidavit.durable import Disk

    if os.environ.get("AFFIDAVIT_KEY"):
        output.say(
            "AFFIDAVIT_KEY is not looked at: whoever may read the files of an installation backs "
            "it up, and it is on record as done at the machine."
        )
    paths, disk = Paths(options.data_directory(data)), Disk()
    for path in (target, with_keys):
        if path is not None and path.exists():
            raise UsageError(f"{path} is there already.", hint="Name a directory to be made.")
    with _cut(paths, disk, keys=with_keys is not None) as cut:
        if with_keys is not None:
            _fetch(cut, with_keys, paths, disk)
        made = Copying(paths, cut, target, disk, lambda *_: None).run()
    if with_keys is not None:
        output.say(f"The keys are in {with_keys}. {_KEYS_WARNING}")
    size = sum(file.size for file in made.files)
    if json:
        output.json_line(
            {"leaves": made.size, "root": made.root, "files": len(made.files), "bytes": size}
        )
        return
    leaves, files = output.counted(made.size, "leaf"), output.counted(len(made.files), "file")
    output.plain(f"{leaves}, {files}, {size} bytes in {target}.")


def restore(
    source: Annotated[Path, typer.Argument(help="A backup.", metavar="BACKUP")],
    keys: Annotated[
        Path,
        typer.Option(
            "--keys",
            help="The data directory with the keys, or a copy by --with-keys; as they are now.",
            metavar="DIR",
        ),
    ],
    drill: Annotated[
        bool,
        typer.Option(
            "--drill", help="On trial: may be older than the log, is checked, and never runs."
        ),
    ] = False,
    data: options.Data = None,
    config: options.Config = None,
    json: options.Json = False,
) -> None:
    """Make a data directory from a backup and the keys as they are now.

    The directory is new or empty. What was erased since the backup stays erased; erasures that were
    asked for or granted since go on. A log that is older than one that the keys, witnesses or
    copies of checkpoints know of is refused. --drill takes it, to see whether the backup is good:
    what it makes can be checked and not started.

    Example: affidavit restore /mnt/backup/monday --keys /mnt/keys --data ./affidavit-data
    """
    from affidavit.app.restoring import Restoring
    from affidavit.clock import SystemClock
    from affidavit.durable import Disk

    directory = options.data_directory(data)
    environ = options.environment()
    restoring = Restoring(
        source, directory, keys, Disk(), SystemClock(), environ, config=config, drill=drill
    )
    done = restoring.run()
    if json:
        nested = {"sample": done.sample._asdict(), "moved": [one._asdict() for one in done.moved]}
        output.json_line(done._asdict() | nested)
        return
    leaves = output.counted(done.size, "leaf")
    output.plain(f"{leaves}, {done.records} of them in the new index, in {directory}.")
    sample = done.sample
    output.plain(
        f"A sample opened with these keys: {output.counted(sample.opened, 'record')},"
        f" {sample.content} of them with content; of {sample.gone} something"
        f" {'does not open' if done.moved else 'is erased'}."
    )
    if sample.damaged:
        output.say(
            f"{sample.damaged} of the sample are not what was recorded: fsck names the first."
        )
    if done.removed or done.forgotten:
        output.plain(
            f"Erased since: {output.counted(done.removed, 'segment')} that no key opens removed,"
            f" {output.counted(done.forgotten, 'identity')} without a name from now on."
        )
    if done.moved:
        output.say(_moved(done.moved))
    if done.requests:
        output.plain(
            f"Erasures that were asked for or granted since, taken up: {', '.join(done.requests)}"
        )
    for one in done.lost:
        output.say(f"The backup does not know whose key asked for this erasure; ask anew: {one}")
    check = f"affidavit fsck --deep --data {directory}"
    if drill:
        output.say(
            "On trial: it signs nothing and cannot be started, nor asked, as each read is a record"
            f" of its log. All of it is opened and checked by: {check}"
        )
        output.say("It has a copy of the keys: remove it when that is done.")
        return
    output.say(f"Look at it before it runs: {check}")
    if done.doubt:
        output.say(
            f"The newest time that it believes is {output.moment(done.doubt)} UTC: once it runs, no"
            " erasure goes on and nothing else is removed before somebody says which day it is, or"
            " an authority's timestamp does. To say it: affidavit retention run --today DATE"
            f" --data {directory}"
        )
    output.say("One directory alone may go on with a log: never start the one that this replaces.")
    since = "what was erased after this copy of the keys was made is back: erase it again"
    erased = f" erasures ({since});" if done.copied else ""
    output.say(
        f"It knows nothing that was decided after {output.moment(done.time)} UTC:{erased} holds"
        " placed; keys made or revoked: see docs/keys.md."
    )
    output.say(
        "keys/owner is in no backup. The local socket needs no key; for the browser make another: "
        f"affidavit keys create NAME --role owner --kind person --data {directory}"
    )


def _moved(moved: "Sequence[Moved]") -> str:
    """What does not open of an older backup though not all of it is erased, and what to do."""
    records = output.counted(sum(one.records for one in moved), "record")
    named = [f"{one.tenant or '-'}/{one.retention_class} {one.day}" for one in moved[:_NAMED]]
    more = f" and {len(moved) - _NAMED} more" if len(moved) > _NAMED else ""
    return (
        f"Of {records} of the backup not all opens, though not all of them were erased: something"
        f" of these days was erased since ({', '.join(named)}{more}), and what stayed is under new"
        " keys, which no backup from before has. Where the installation runs it opens; to have it"
        " in a backup, make a new one: affidavit backup -o DIR"
    )


def _fetch(cut: "Cut", target: Path, paths: "Paths", disk: "Disk") -> None:
    """Put the copies of the keys where they are asked for, and leave none behind."""
    from affidavit.app import opening
    from affidavit.app.backup import KEYS
    from affidavit.ledger.publish import CHECKPOINT, newest_head

    log = cut.place / "log"
    try:
        copies = [(target / name, (cut.place / name).read_bytes()) for name in KEYS]
        copies.append((target / CHECKPOINT, (log / newest_head(log)).read_bytes()))
    except FileNotFoundError:
        raise UnavailableError(
            "The keys were renewed meanwhile, or the cut was taken back.", hint="Try again."
        ) from None
    disk.make_dir(target)
    disk.write_files(copies)
    opening.destroy_copies(paths, disk)


@contextmanager
def _cut(paths: "Paths", disk: "Disk", *, keys: bool) -> Iterator["Cut"]:
    """Where the log ends, said by the sequencer, or by us if none runs; removed in the end."""
    from affidavit.app.backup import Cut, stopped
    from affidavit.app.leftovers import drop
    from affidavit.cli.sequencer import call
    from affidavit.clock import SystemClock

    if not paths.initialised:
        raise UnavailableError(f"{paths.root} is not a data directory.", hint="Give it by --data.")
    try:
        with disk.locked(paths.sequencer_lock, "backup"):
            cut = stopped(paths, disk, SystemClock(), keys=keys)
            try:
                yield cut
            finally:
                drop(paths, disk)
            return
    except LockedError:
        pass
    answer = call(paths.root, "backup.cut", {"keys": keys}, within=600.0)
    cut = Cut(**(answer | {"place": Path(answer["place"])}))
    try:
        yield cut
    finally:
        drop(paths, disk)
