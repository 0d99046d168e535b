"""``affidavit reveal``: content, for a reason that is recorded."""

from typing import Annotated, Any

import typer
from rich.text import Text

from affidavit.cli import options, output
from affidavit.cli.client import Client
from affidavit.console.visible import visible


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("reveal")(reveal)


def reveal(
    name: Annotated[str, typer.Argument(help="Record id or #INDEX.", metavar="ID")],
    reason: Annotated[str, typer.Option("--reason", help="Why; it is recorded.", metavar="TEXT")],
    data: options.Data = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Show the bytes of a record, or of both halves of an exchange.

    Where your boundary asks for two persons, the first time asks (exit code 3), and shows it within
    an hour after somebody else granted it.

    --json has the bytes in base64; for people, content encodings are undone and hidden
    characters made visible.

    Example: affidavit reveal 0199c0de-… --reason 'incident 4711'
    """
    answer = Client(data, url).post("/api/reveal", {"id": name, "reason": reason})
    if "asked" in answer:
        if json:
            output.json_line({"asked": answer["asked"]})
        asked = answer["asked"]["id"]
        output.say(f"Asked: needs a second person (approval {asked}).", "bold")
        output.say(f"  Somebody else: affidavit approvals grant {asked}; then the same again.")
        raise typer.Exit(3)
    for record in answer["records"]:
        if json:
            output.json_line(record)
        else:
            _people(record)
    if not json:
        output.say(f"Recorded as {answer['recorded_as']}.")


def _people(record: dict[str, Any]) -> None:
    output.show(Text(f"{record['type']} {record['id']} (leaf {record['index']})", "bold"))
    if record.get("erased_under"):
        under = f"affidavit erase show {record['erased_under']}"
        output.plain(f"A request erased something of this record: {under}")
    for part in record["parts"]:
        title = f"{part['name']}, {part['media_type'] or 'unknown type'}, {part['size']} bytes"
        output.show(Text(visible(title), "dim"))
        if "missing" in part:
            output.plain(part["missing"])
        elif part["text"] is None:
            output.plain("Not text; --json has the bytes.")
        else:
            output.plain(part["text"])
