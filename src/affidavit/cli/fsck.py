"""``affidavit fsck``: is what is on disk what was written; changes nothing, needs no server."""

from pathlib import Path
from typing import Annotated

import typer

from affidavit.cli import options, output
from affidavit.errors import AffidavitError, CorruptError, NotFoundError


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("fsck")(fsck)


def fsck(
    data: options.Data = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also read every section and content part.")
    ] = False,
    key: Annotated[
        str, typer.Option("--key", help="The log's verifier key, from outside.", metavar="VKEY")
    ] = "",
    json: options.Json = False,
) -> None:
    """Check tiles, leaves, links and checkpoint against each other. Exit code 1 at the first lie.

    Without --key the key beside the log is used, which whoever changed the log could change too.

    Example: affidavit fsck --data /srv/affidavit --deep
    """
    from affidavit.ledger.fsck import check
    from affidavit.ledger.note import read_vkeys

    directory = options.data_directory(data)
    log = directory / "log"
    if not (log / "checkpoint").is_file():
        raise NotFoundError(f"{directory} holds no published log.", hint="Give it with --data.")
    report = check(log, read_vkeys(key or (log / "log.vkey").read_text(encoding="utf-8")))
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


def _deep(directory: Path, size: int) -> list[str]:
    """Read every record from the vault; the sentences of those that are not what they were."""
    from affidavit.app.paths import Paths
    from affidavit.clock import SystemClock
    from affidavit.ledger.log_reader import LogReader
    from affidavit.record.keys import KeyEncryptionKey
    from affidavit.vault.keyring import Keyring
    from affidavit.vault.reader import VaultReader

    paths = Paths(directory)
    kek = KeyEncryptionKey.load(paths.key_encryption_key)
    keyring = Keyring.open(paths.key_database, kek, SystemClock(), read_only=True)
    reader = LogReader(paths.log)
    vault = VaultReader(paths.vault, keyring, reader.decoded)
    problems = []
    try:
        for index in range(size):
            try:
                vault.view(index)
            except CorruptError as error:
                problems.append(error.message)
            except AffidavitError as error:
                problems.append(f"Leaf {index}: {error.message}")
    finally:
        vault.close()
        keyring.close()
    return problems
