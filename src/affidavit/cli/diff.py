"""``affidavit diff``: two records or exchanges side by side."""

from typing import Annotated, Any

import typer
from rich.text import Text

from affidavit.cli import options, output
from affidavit.cli.client import Client
from affidavit.console.visible import visible

_STYLES = {"-": "red", "+": "green", "…": "dim"}
_MARKS = {"-": ("[-", "-]"), "+": ("{+", "+}")}
_WHY = {"none": "there is none to compare", "withheld": "withheld: outside your boundary"}
_NO_REASON = "withheld: give a --reason, if your boundary shows content for one"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("diff")(diff)


def diff(
    first: Annotated[str, typer.Argument(help="Record id or #INDEX.", metavar="A")],
    second: Annotated[
        str, typer.Argument(help="The other; of a change it may be left out.", metavar="B")
    ] = "",
    reason: options.Reason = "",
    data: options.Data = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Show what differs: parameters and facts, then prompt and output, word by word.

    Of two exchanges, either half may be named. Of two changes, what came after is compared; of one
    change, before with after. In a changed line [-this-] is only in A and {+that+} only in B. It
    is recorded as a read of both.

    Example: affidavit diff '#12' '#31' --reason 'incident 4711'
    """
    asked = {"first": first, "second": second, "purpose": reason}
    told = Client(data, url).post("/api/diff", asked)
    if json:
        output.json_line(told)
        return
    _people(told, reason=reason)
    output.say(f"Recorded as {', '.join(told['recorded_as'])}.")


def _people(told: dict[str, Any], *, reason: str) -> None:
    alone = told["first"] == told["second"]
    pair = f"#{told['first']}" + ("" if alone else f" and #{told['second']}")
    output.title(f"{told['kind'].capitalize()} {pair}")
    evidence = ", ".join(f"#{one['index']} {one['evidence']}" for one in told["records"])
    output.indented(evidence, 2, "dim")
    if told["facts"]:
        rows = [(one["name"], *(_said(one[side]) for side in ("first", "second")))
                for one in told["facts"]]  # fmt: skip
        output.table(("Differs", "in A", "in B"), rows)
    elif not alone:
        output.plain("All facts that you may see are the same.")
    for text in told["texts"]:
        _text(text, reason=reason)


def _said(value: str | None) -> str:
    return "-" if value is None else value


def _text(text: dict[str, Any], *, reason: str) -> None:
    name = text["name"].capitalize()
    if text["same"] is None:
        why = _WHY.get(text["content"], text["content"])
        if text["content"] == "withheld" and not reason:
            why = _NO_REASON
        output.plain(f"{name}: {why}.")
        return
    if text["same"]:
        output.plain(f"{name}: the same words.")
        return
    output.title(f"{name}:")
    for line in text["lines"]:
        op = line["op"]
        shown = Text(f"{op} ", _STYLES.get(op, ""))
        for mark, words in line["pieces"]:
            before, after = _MARKS[mark] if op == "~" and mark in _MARKS else ("", "")
            shown.append(f"{before}{visible(words)}{after}", _STYLES.get(mark, ""))
        output.show(shown)
