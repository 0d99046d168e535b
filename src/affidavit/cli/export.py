"""``affidavit export``: an evidence bundle that verifies offline."""

import shlex
import sys
from json import loads
from pathlib import Path
from typing import Annotated

import typer

from affidavit.cli import options, output, report, saved
from affidavit.cli.client import Client
from affidavit.errors import UsageError

PATIENCE = 1800.0
"""Seconds: a bundle of very many records takes minutes to make, and nothing comes before it is."""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("export")(export)


def export(
    expression: Annotated[str, typer.Argument(help="What to export.", metavar="EXPR")],
    file: Annotated[Path, typer.Option("-o", "--output", help="File to write.", metavar="FILE")],
    withhold: Annotated[
        list[str] | None,
        typer.Option(
            "--withhold", help="Section to leave out; may be repeated.", metavar="SECTION"
        ),
    ] = None,
    content: Annotated[
        str, typer.Option("--content", help="none, digest or full.", metavar="HOW")
    ] = "digest",
    count: Annotated[
        bool, typer.Option("--count", help="Only prove how many there are, and show no record.")
    ] = False,
    sample: Annotated[
        int, typer.Option("--sample", min=0, help="Show so many of the records.", metavar="N")
    ] = 0,
    seed: Annotated[
        str, typer.Option("--seed", help="What the sample is drawn by; any text.", metavar="S")
    ] = "",
    pdf: Annotated[
        Path | None,
        typer.Option("--pdf", help="Print the report into this file, too.", metavar="FILE"),
    ] = None,
    force: report.Force = False,
    reason: options.Reason = "",
    data: options.Data = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Write evidence to FILE: what matches, and the proof of it.

    The export is recorded. With --sample and --seed some of the records are drawn and shown, and
    the others proved to exist; from the same records the same seed draws the same.

    Example: affidavit export 'model:gpt-4o since:90d' -o evidence.zip
    """
    from affidavit.app.guide import command
    from affidavit.evidence import pdf as printing

    if content not in ("none", "digest", "full"):
        raise UsageError(f"--content {content} is not none, digest or full.")
    if (sample > 0) != bool(seed):
        raise UsageError("--sample and --seed belong together.", hint="--sample 25 --seed 2026-Q3")
    if file.exists() and not force:
        again = f"{command()} {shlex.join([*sys.argv[1:], '--force'])}"
        raise UsageError(f"{file} is there already.", hint=f"Another name, or replace it: {again}")
    report.check_free(file, force=True)
    browser = ""
    if pdf is not None:
        report.check_free(pdf, force=force)
        browser = printing.browser()
    client = Client(data, url, timeout=PATIENCE)
    expression = saved.words(client, expression)
    asked = {
        "expression": expression,
        "withhold": withhold or [],
        "content": content,
        "purpose": reason,
        "count": count,
        "sample": sample,
        "seed": seed,
    }
    with output.pointing(expression):
        bundle, headers = client.download("/api/export", asked)
    kept = "The export is on record all the same."
    report.put(file, bundle, kept)
    if pdf is not None:
        report.put(pdf, printing.printed(printing.report_of(bundle), browser), f"{file} is whole.")
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
    shown = "counted, none shown" if count else f"{len(bundle)} bytes"
    output.plain(f"{told['records']} records, {shown}: {file}")
    output.plain(f"Manifest {told['manifest']} (SHA-256, also in the record of this export)")
    if pdf is not None:
        output.plain(f"The report in it, printed: {pdf}")
    output.verdict(told["verdict"])
    output.say(f"Check it anywhere: affidavit verify {file} --policy FILE, or --key VKEY")
