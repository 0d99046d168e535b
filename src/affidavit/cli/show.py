"""``affidavit show``: what happened, as a narrative."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from affidavit.cli import narrative, options, output
from affidavit.cli.client import Client

PAGE = 500
_BAD = ("corrupt", "missing")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("show")(show)


def show(
    name: Annotated[
        str,
        typer.Argument(
            help="Record id, #INDEX, session (yours or its pseudonym), trace id, actor or model, "
            "looked for in this order; session:, trace:, actor: or model: before it says which.",
            metavar="NAME",
        ),
    ],
    since: Annotated[
        str, typer.Option("--since", help="From then on: 7d, 2026-08-01.", metavar="TIME")
    ] = "",
    until: Annotated[
        str, typer.Option("--until", help="Before then: 1h, 2026-09-01.", metavar="TIME")
    ] = "",
    limit: Annotated[
        int, typer.Option("--limit", min=1, help="Lines at most.", metavar="N")
    ] = PAGE,
    cursor: Annotated[
        str, typer.Option("--cursor", help="Go on where a narrative ended.", metavar="TEXT")
    ] = "",
    reason: options.Reason = "",
    data: options.Data = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Show what happened, in order, and the evidence of each line.

    Beside the records themselves stand the changes, gaps and refusals that fell in between, and
    who read them. Exit code 1 if there is nothing of that name, or if a record is not what was
    recorded or is missing though nothing erased it.

    Example: affidavit show actor:act_… --since 7d
    """
    client = Client(data, url)
    asked = {"purpose": reason or None, "since": since or None, "until": until or None}
    shown, first, bad, began = 0, True, False, ""
    withheld: dict[str, Any] = {}
    while True:
        told = client.get(
            f"/api/show/{quote(name, safe='')}", **asked, cursor=cursor or None,
            limit=min(limit - shown, PAGE),
        )  # fmt: skip
        _page(told, first=first, json=json)
        first = False
        began = began or next((line["time"] for line in told["lines"]), "")
        shown += len(told["lines"])
        bad = bad or any(
            name in _BAD for line in told["lines"] for name in (line["evidence"], line["content"])
        )
        withheld = next((one for one in told["lines"] if one["content"] == "withheld"), withheld)
        cursor = told["cursor"]
        if not cursor or shown >= limit:
            break
    if not json:
        narrative.last(told, shown)
        if began and "what" not in told["withheld"]:
            narrative.other_reads(began)
        output.content_withheld([withheld], str(told.get("content_needs")))
    if cursor:
        output.say(f"More: the same with --cursor {cursor}")
    if bad:
        raise typer.Exit(1)


def _page(told: dict[str, Any], *, first: bool, json: bool) -> None:
    if json:
        for line in told["lines"]:
            output.json_line(line)
        return
    if first:
        narrative.title(told)
    narrative.page(told)
