"""``affidavit retention run``: what is over its maximum goes now instead of within the day."""

import time
from typing import Annotated
from urllib.parse import urlencode

import typer

from affidavit.cli import options, output, retention
from affidavit.cli.client import Client
from affidavit.errors import UnavailableError

PAUSE = 0.3
"""Seconds between two looks at how it goes."""


def register(_: typer.Typer) -> None:
    """Add the verb to its group."""
    retention.app.command("run")(run)


def run(
    dry: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    today: Annotated[
        str,
        typer.Option(
            "--today", help="The machine's clock is right: it is this day (UTC).", metavar="DATE"
        ),
    ] = "",
    data: options.Data = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Take away what is over its maximum and not held. The system does it once a day by itself.

    Nothing below its minimum goes, whoever asks. It is recorded. Where the machine's clock is far
    ahead of any time that is vouched for, nothing goes until somebody says which day it is.

    Example: affidavit retention run --dry-run
    """
    client = Client(data, url)
    if dry:
        lines = [one for one in client.get("/api/retention/plan")["lines"] if one["goes"]]
        for line in lines:
            if json:
                output.json_line(line)
                continue
            goes = output.counted(line["left"] - line["held"], "record")
            output.plain(f"{line['retention_class']} of {line['day']}: {goes} would go.")
        if not lines and not json:
            output.plain("Nothing is over its maximum.")
        return
    said = f"?{urlencode({'today': today})}" if today else ""
    found = client.post(f"/api/retention/run{said}", {})
    while found["running"] and not found["problem"]:
        time.sleep(PAUSE)
        found = client.get("/api/retention/run")
    if found["problem"]:
        raise UnavailableError(f"It did not come to its end: {found['problem']}")
    if json:
        output.json_line(found)
        return
    records, buckets = (output.counted(found[f"{one}s"], one) for one in ("record", "bucket"))
    what = f"{records} of {buckets}" if found["buckets"] else ""
    output.plain(f"Gone: {what or 'nothing, as nothing is over its maximum'}.")
