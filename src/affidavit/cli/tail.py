"""``affidavit tail``: records as they come."""

import contextlib
from typing import Annotated

import typer

from affidavit.cli import options, output, saved
from affidavit.cli.client import Client
from affidavit.cli.following import follow


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

    A connection that breaks is made again; no row is lost and none comes twice.

    Example: affidavit tail 'has:error'
    """
    client = Client(data, url)
    expression = saved.words(client, expression)
    with contextlib.suppress(KeyboardInterrupt), output.pointing(expression):
        if after is None:
            after = client.get("/api/status")["as_of"]["size"]
        rows = follow(client, after, expression=expression, purpose=reason or None)
        output.say(f"Following from leaf {after} on; Ctrl-C ends it.")
        for row in rows:
            if json:
                output.json_line(row)
            else:
                output.exchange(row)
