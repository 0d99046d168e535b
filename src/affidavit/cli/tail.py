"""``affidavit tail``: records as they come."""

import contextlib
from typing import Annotated

import typer

from affidavit.cli import options, output, saved
from affidavit.cli.client import Client


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("tail")(tail)


def tail(
    expression: Annotated[
        str, typer.Argument(help="What to follow; everything if left out.", metavar="EXPR")
    ] = "",
    after: Annotated[
        int | None,
        typer.Option(
            "--after", min=0, help="Begin at this ledger index instead of now.", metavar="N"
        ),
    ] = None,
    reason: options.Reason = "",
    data: options.Data = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Follow the records you may see as they are made, until Ctrl-C. It is recorded.

    Example: affidavit tail 'has:error'
    """
    client = Client(data, url)
    expression = saved.words(client, expression)
    with contextlib.suppress(KeyboardInterrupt), output.pointing(expression):
        if after is None:
            after = client.get("/api/status")["as_of"]["size"]
        asked = {"expression": expression, "after": after, "purpose": reason or None}
        rows = client.events("/api/tail", **asked)
        output.say(f"Following from leaf {after} on; Ctrl-C ends it.")
        for row in rows:
            if json:
                output.json_line(row)
            else:
                output.exchange(row)
