"""``affidavit show``: a record, an exchange, a session or a trace, as a narrative."""

from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.text import Text

from affidavit.cli import options, output
from affidavit.cli.client import Client
from affidavit.console.visible import visible

_STYLES = {"verified": "green", "corrupt": "bold red", "gap": "bold red", "erased": "yellow"}


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("show")(show)


def show(
    name: Annotated[
        str,
        typer.Argument(
            help="Record id, #INDEX, session (yours or its pseudonym), trace id.", metavar="NAME"
        ),
    ],
    reason: options.Reason = "",
    data: options.Data = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Show what happened, in order, and the evidence of each line.

    Exit code 1 if there is nothing of that name, or if a record is not what was recorded.

    Example: affidavit show my-first-session
    """
    path = f"/api/show/{quote(name, safe='')}"
    told = Client(data, url).get(path, purpose=reason or None)
    if json:
        for line in told["lines"]:
            output.json_line(line)
    else:
        _people(told)
    if any(line["evidence"] == "corrupt" for line in told["lines"]):
        raise typer.Exit(1)


def _people(told: dict[str, Any]) -> None:
    output.show(Text(f"{told['kind'].capitalize()} {visible(told['name'])}", "bold"))
    for line in told["lines"]:
        evidence = str(line["evidence"])
        head = Text()
        head.append(f"{output.moment(line['time'])}  ", "dim")
        head.append(f"{evidence:<10}", _STYLES.get(evidence, "dim"))
        head.append(visible(line["text"]))
        output.show(head)
        detail = [f"tokens {output.tokens(line)}" if output.tokens(line) else ""]
        detail += [f"tools: {', '.join(line['tools'])}" if line["tools"] else ""]
        detail += [f"#{line['index']}", line["id"]]
        output.indented(" · ".join(part for part in detail if part), 4, "dim")
        for name, value in (line.get("details") or {}).items():
            for one in value if isinstance(value, list) else [value]:
                output.indented(f"{name.replace('_', ' ')}: {one}", 4)
        for mark, key in (("›", "prompt"), ("‹", "output")):
            if line.get(key):
                output.indented(f"{mark} {line[key]}", 4)
    more = " The first lines only; there are more." if told.get("more") else ""
    withheld = ", ".join(told["withheld"])
    hidden = f" Withheld from your role: {withheld}." if withheld else ""
    size = told["as_of"]["size"]
    output.show(
        Text(
            f"{output.counted(len(told['lines']), 'line')}, as of leaf {size}.{more}{hidden}", "dim"
        )
    )
