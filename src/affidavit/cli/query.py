"""``affidavit query``: search, newest first, with a proof on request."""

import re
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.text import Text

from affidavit.cli import options, output, saved
from affidavit.cli.client import Client
from affidavit.errors import UsageError

_SCOPES = ("own", "team", "tenant")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("query", epilog=_fields())(query)


def _fields() -> str:
    from affidavit.query.fields import FIELDS

    names = ", ".join(sorted(FIELDS))
    return (
        f"Fields: {names}. Times: since:90d, until:2026-09-01. Prefix: model:gpt-4*. docs/query.md."
    )


def query(
    expression: Annotated[
        str, typer.Argument(help="What to find; everything if left out.", metavar="EXPR")
    ] = "",
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=1000, help="Rows at most.", metavar="N")
    ] = 50,
    cursor: Annotated[
        str, typer.Option("--cursor", help="Go on where an answer ended.", metavar="TEXT")
    ] = "",
    prove: Annotated[
        bool, typer.Option("--prove", help="State what is proved about the answer.")
    ] = False,
    count: Annotated[
        bool, typer.Option("--count", help="Only how many, and show no record; --prove proves it.")
    ] = False,
    save: Annotated[
        str, typer.Option("--save", help="Keep EXPR as @NAME instead.", metavar="NAME")
    ] = "",
    forget: Annotated[
        str, typer.Option("--forget", help="Forget the saved @NAME instead.", metavar="NAME")
    ] = "",
    share: Annotated[
        str, typer.Option("--share", help="--save for, --forget of: own, team, tenant.")
    ] = "own",
    list_saved: Annotated[
        bool, typer.Option("--saved", help="List what is saved instead.")
    ] = False,
    reason: options.Reason = "",
    data: options.Data = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Search the records you may see, newest in the ledger first. The search is recorded.

    People see exchanges; --json gives one flat object per record on stdout, without prompts and
    outputs (show and reveal have those), and on stderr how many there are, as of when, and the
    --cursor to go on with. With --prove, exit code 1 if
    completeness is not proved. --count alone counts all that match, without a proof.

    @NAME alone is a query that was saved, asked within what you may see.

    Example: affidavit query 'model:gpt-4o since:90d' --prove
    """
    if share not in _SCOPES:
        raise UsageError(f"--share {share} is not own, team or tenant.")
    if share != "own" and not (save or forget):
        raise UsageError("--share says for whom a query is saved.", hint="--save NAME, too.")
    if save or forget or list_saved:
        client = Client(data, url)
        if save:
            saved.save(client, save, expression, share)
        elif forget:
            saved.forget(client, forget, share)
        else:
            saved.listing(client, json=json)
        return
    client = Client(data, url)
    expression = saved.words(client, expression)
    if count and not prove:
        _count(client, expression, reason, json=json)
        return
    asked = {
        "expression": expression,
        "limit": limit,
        "cursor": cursor,
        "purpose": reason,
        "prove": prove,
        "count": count,
        "view": "records" if json else "exchanges",
    }
    with output.pointing(expression):
        answer = client.post("/api/query", asked)
    if json:
        for row in answer["rows"]:
            output.json_line(row)
        output.say(output.as_of(answer, len(answer["rows"]), "record"))
        _more(answer)
    elif not count:
        _show(answer, expression)
    proof = answer.get("proof")
    if proof is not None:
        if json:
            output.json_line({"proof": proof})
        else:
            output.verdict(proof)
        if not proof["proved"]:
            raise typer.Exit(1)


def _count(client: Client, expression: str, reason: str, *, json: bool) -> None:
    """All records that match within the boundary, exactly, however many; on record as any read."""
    asked = {"expression": expression, "purpose": reason, "interval": "month", "exact": True}
    with output.pointing(expression):
        answer = client.post("/api/histogram", asked)
    if json:
        output.json_line({"count": answer["records"], "as_of": answer["as_of"]})
        return
    at = answer["as_of"]
    time = f", {output.moment(at['time'])} UTC" if at["time"] else ""
    halves = " (requests and responses counted apart)" if answer["records"] else ""
    records = output.counted(answer["records"], "record")
    output.plain(f"{records}{halves}, as of leaf {at['size']}{time}.")
    if answer["withheld"]:
        output.say(f"Withheld from your role: {', '.join(answer['withheld'])}.")


def _show(answer: dict[str, Any], expression: str) -> None:
    rows = answer["rows"]
    for row in rows:
        output.exchange(row, answer["names"])
    if not rows:
        output.plain("Nothing matches within what you may see.")
        for doubt in _doubts(expression, answer.get("withheld", ())):
            output.say(f"  {doubt}")
    output.show(Text(output.as_of(answer, len(rows), "shown"), "dim"))
    output.content_withheld(rows, str(answer.get("content_needs")))
    _more(answer)


def _more(answer: dict[str, Any]) -> None:
    if answer.get("cursor"):
        output.say(f"More: the same with --cursor {answer['cursor']}")


def _doubts(expression: str, withheld: Sequence[str]) -> list[str]:
    """What may have been meant otherwise in an expression that found nothing."""
    from affidavit.query.fields import FIELDS

    bare = re.sub(r'"[^"]*"', "", expression)
    doubts = [
        f"'{word}' was looked for as a word; the operator is {word.upper()}."
        for word in dict.fromkeys(re.findall(r"(?<!\S)(?:and|or|not)(?!\S)", bare))
    ]
    for name, value in re.findall(r"(\w+):([\w.]+)(?![\w.*])", bare):
        known = FIELDS[name].values if name in FIELDS else ()
        if known and value not in known and not value.isdecimal():
            doubts.append(f"{name}:{value} is not one of {', '.join(known)}.")
    if "person" in withheld:
        doubts += [
            f"{name}: is compared with pseudonyms ({name[:3]}_…), as section person is withheld."
            for name, begin in re.findall(r'\b(session|actor):"?(\w{1,4})', bare)
            if begin != f"{name[:3]}_"
        ]
    return doubts
