"""``affidavit fsck``: is what is on disk what was written; changes nothing, needs no server."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from affidavit.cli import options, output
from affidavit.errors import AffidavitError, CorruptError, UsageError

if TYPE_CHECKING:
    from affidavit.ledger.note import Verifier


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("fsck")(fsck)


def fsck(
    data: options.Data = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also read every section and content part.")
    ] = False,
    key: Annotated[
        str,
        typer.Option(
            "--key", help="The log's verifier key or a file of it, from outside.", metavar="VKEY"
        ),
    ] = "",
    json: options.Json = False,
) -> None:
    """Check tiles, leaves, links and checkpoint against each other. Exit code 1 at the first lie.

    Without --key the key beside the log is used, which whoever changed the log could change too.

    Example: affidavit fsck --data /srv/affidavit --deep
    """
    from affidavit.ledger.fsck import check

    directory = options.data_directory(data)
    log = directory / "log"
    if not (log / "checkpoint").is_file():
        raise UsageError(f"{directory} holds no published log.", hint="Give it with --data.")
    report = check(log, _vkeys(key or str(log / "log.vkey")))
    problems = list(report.problems)
    records = _deep(directory, report.size) if deep and report.ok else []
    problems += records
    told = {
        "ok": not problems,
        "size": report.size,
        "deep": deep,
        "key": "given" if key else "beside the log",
        "problems": problems,
    }
    if json:
        output.json_line(told)
    else:
        for problem in problems:
            output.plain(problem)
        depth = "leaves, links, tiles" + (", sections and content" if deep else "")
        result = "as they were written" if not problems else f"{len(problems)} problems"
        output.plain(f"{report.size} {depth}: {result}.")
        if not key:
            output.say("Checked with the key beside the log; --key VKEY uses one from outside.")
    if problems:
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


def _deep(directory: Path, size: int) -> list[str]:
    """Read every record from the vault; the sentences of those that are not what they were.

    What cannot be read because its key was destroyed is no problem: that is how content is erased.
    """
    from affidavit.app.paths import Paths
    from affidavit.clock import SystemClock
    from affidavit.ledger.log_reader import LogReader
    from affidavit.record.keys import KeyEncryptionKey
    from affidavit.vault.keyring import Keyring
    from affidavit.vault.reader import NOT_THERE, REMOVED, VaultReader

    paths = Paths(directory)
    kek = KeyEncryptionKey.load(paths.key_encryption_key)
    keyring = Keyring.open(paths.key_database, kek, SystemClock(), read_only=True)
    reader = LogReader(paths.log)
    vault = VaultReader(paths.vault, keyring, reader.decoded)
    unaccounted = {NOT_THERE, REMOVED}
    problems = []
    try:
        for index in range(size):
            try:
                vault.view(index)
                # Erasing destroys keys; what is gone while its key is there, somebody took away.
                taken = {why for why in vault.missing(index).values() if why in unaccounted}
                problems += [f"Leaf {index}: {why}" for why in sorted(taken)]
            except CorruptError as error:
                problems.append(error.message)
            except AffidavitError as error:
                problems.append(f"Leaf {index}: {error.message}")
    finally:
        vault.close()
        keyring.close()
    return problems
