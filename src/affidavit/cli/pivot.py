"""``affidavit pivot``: what a value is, and where to go from there."""

from typing import Annotated, Any

import typer

from affidavit.cli import options, output
from affidavit.cli.client import Client


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("pivot")(pivot)


def pivot(
    value: Annotated[
        str,
        typer.Argument(
            help="An id, pseudonym, key id, trace, model, tool, digest, e-mail …", metavar="VALUE"
        ),
    ],
    reason: options.Reason = "",
    data: options.Data = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Say what a value is: its fields, how many records you may see have it, and since when.

    Prints commands to go on with. Exit code 1 if it is nowhere within what you may see.

    Example: affidavit pivot act_mfrggzdfmztwq2lkmfrggzdfmz
    """
    told = Client(data, url).get("/api/pivot", value=value, purpose=reason or None)
    if json:
        output.json_line(told)
    else:
        _people(told)
    if not told["places"]:
        raise typer.Exit(1)


def _people(told: dict[str, Any]) -> None:
    if told["places"]:
        rows = [
            (one["field"], f"{'at least ' if one['capped'] else ''}{one['count']}",
             f"{output.moment(one['first_time'])} #{one['first']}",
             f"{output.moment(one['last_time'])} #{one['last']}")
            for one in told["places"]
        ]  # fmt: skip
        output.table(("Field", "Records", "First", "Last"), rows)
        output.show()
        for command in told["commands"]:
            output.plain(f"  {command}")
    else:
        output.plain("It is nowhere within what you may see.")
    if told["looked_at"] is not None:
        output.say(f"As a digest it was looked for in the newest {told['looked_at']} records.")
    if told["withheld"]:
        output.say(f"Not looked for, withheld from your role: {', '.join(told['withheld'])}.")
