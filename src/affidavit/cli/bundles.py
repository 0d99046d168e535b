"""What verbs that fetch a bundle have in common: the file, the printed page, what is told.

Rules: what could go wrong on this side is seen before anything is asked; a file is whole or not
there; of what was exported and not written, it is said that the export is on record. Not here: what
is asked for (``export``, ``report``).
"""

import shlex
import sys
from json import loads
from pathlib import Path
from typing import Annotated

import typer

from affidavit.cli import output
from affidavit.cli.client import Client
from affidavit.errors import UnavailableError, UsageError

PATIENCE = 1800.0
"""Seconds: a bundle of very many records takes minutes to make, and nothing comes before it is."""

Force = Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")]
Output = Annotated[Path, typer.Option("-o", "--output", help="File to write.", metavar="FILE")]
Pdf = Annotated[
    Path | None,
    typer.Option("--pdf", help="Print the report into this file, too.", metavar="FILE"),
]


def check_free(file: Path, *, force: bool) -> None:
    """``UsageError`` if a file is there that may not be replaced, or its directory is not."""
    from affidavit.app.guide import command

    if file.exists() and not force:
        again = f"{command()} {shlex.join([*sys.argv[1:], '--force'])}"
        raise UsageError(f"{file} is there already.", hint=f"Another name, or replace it: {again}")
    if not file.absolute().parent.is_dir():
        raise UsageError(f"There is no directory {file.parent}.", hint="Nothing was written.")


def put(file: Path, data: bytes, kept: str = "") -> None:
    """Write a file whole; ``UnavailableError`` says why not, and what was ``kept``."""
    from affidavit.durable import Disk

    try:
        Disk().write_file(file.absolute(), data)
    except OSError as error:
        raise UnavailableError(
            f"{file} could not be written: {error.strerror}.", kept=kept
        ) from error


def fetch(
    client: Client, asked: dict[str, object], file: Path, pdf: Path | None, *, json: bool
) -> None:
    """Ask for a bundle, write it, print its page if that is wanted, and say what it is."""
    from affidavit.evidence import pdf as printing

    browser = "" if pdf is None else printing.browser()
    with output.pointing(str(asked["expression"])):
        bundle, headers = client.download("/api/export", asked)
    put(file, bundle, "The export is on record all the same.")
    if pdf is not None:
        put(pdf, printing.printed(printing.report_of(bundle), browser), f"{file} is whole.")
    told = {
        "file": str(file),
        "size": len(bundle),
        "records": int(headers["affidavit-records"]),
        "manifest": headers["affidavit-manifest"],
        "verdict": loads(headers["affidavit-verdict"]),
    }
    if json:
        output.json_line(told)
        return
    shown = "counted, none shown" if asked.get("count") else f"{len(bundle)} bytes"
    if asked.get("report") == "attestation":  # whose numbers are of chains that overlap
        output.plain(f"An attestation, counted, none shown: {file}")
    else:
        output.plain(f"{output.counted(told['records'], 'record')}, {shown}: {file}")
    output.plain(f"Manifest {told['manifest']} (SHA-256, also in the record of this export)")
    if pdf is not None:
        output.plain(f"The report in it, printed: {pdf}")
    output.verdict(told["verdict"])
    if asked.get("content") == "digest" and asked["report"] == "records" and not asked["count"]:
        output.say(
            "Of prompts and outputs it has digests. --content full takes them along, as far as you "
            "may see content."
        )
    output.say(f"Check it anywhere: affidavit verify {file} --policy FILE, or --key VKEY")
