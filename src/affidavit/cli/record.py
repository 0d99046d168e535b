"""``affidavit record``: what a script changed, put on record."""

import json as json_text
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from affidavit.cli import options, output
from affidavit.cli.client import Client
from affidavit.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("record")(record)


def record(
    kind: Annotated[
        str,
        typer.Option(
            "--type",
            help="change.model, change.alias, change.prompt, change.policy, change.source or "
            "change.deployment.",
            metavar="TYPE",
        ),
    ],
    file: Annotated[
        str,
        typer.Option(
            "--json-file",
            help="An object with target, before, after, reason, by, models, at; - for stdin.",
            metavar="FILE",
        ),
    ],
    data: options.Data = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Report a change that was made elsewhere, as deploy pipelines do.

    The record says that it was reported, and by which key (AFFIDAVIT_KEY: an owner or a caller).

    Example: affidavit record --type change.alias --json-file alias.json
    """
    made = Client(data, url).post("/api/records", {**_read(file), "type": kind})
    if json:
        output.json_line(made)
    else:
        output.plain(f"{made['id']} ({made['type']}, {made['tier']})")


def _read(file: str) -> dict[str, Any]:
    """The object in a file; ``UsageError`` if there is none."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        found = json_text.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        why = getattr(error, "strerror", None) or "it is not JSON"
        raise UsageError(f"{file} was not read: {why}.") from error
    if not isinstance(found, dict):
        raise UsageError(f"{file} holds no object.", hint='{"target": …, "before": …, "after": …}')
    return found
