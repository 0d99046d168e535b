"""``affidavit hold``: what must be kept, whatever retention and erasure say."""

import shlex
from typing import Annotated, Any
from urllib.parse import quote

import typer

from affidavit.cli import approvals, options, output
from affidavit.cli.client import Client

app = typer.Typer(help="Legal holds: what must be kept.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(help="The hold's id.", metavar="ID")]


@app.command("place")
def place(
    expression: Annotated[str, typer.Argument(help="What is held.", metavar="EXPR")],
    matter: Annotated[str, typer.Option("--matter", help="The matter.", metavar="TEXT")],
    reason: options.Reason,
    owner: Annotated[
        str,
        typer.Option("--owner", help="Who answers for it; else whose key it is.", metavar="NAME"),
    ] = "",
    again: Annotated[
        str,
        typer.Option(
            "--again", help="A hold that a restore lost, as doctor names it.", metavar="ID"
        ),
    ] = "",
    dry: Annotated[bool, typer.Option("--dry-run", help="Only say how many it matches.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not ask, even if nobody could release it.")
    ] = False,
    data: options.Data = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Keep all that matches, what comes later too, until two persons release it. It is recorded.

    Example: affidavit hold place 'actor:alice@example.com' --matter 'Doe v. Acme' --reason 'suit'
    """
    asked = {"expression": expression, "matter": matter, "owner": owner, "reason": reason}
    asked |= {"again": again} if again else {}
    client = Client(data, url)
    plan = {} if yes and not dry else client.post("/api/holds", asked | {"dry_run": True})
    if dry:
        output.json_line(plan) if json else _planned(plan)
        return
    if plan and not plan["grantable"]:
        _alone()
        if not typer.confirm("Place it all the same?", err=True):
            output.say("Nothing is held.")
            raise typer.Exit(3)
    made = client.post("/api/holds", asked)
    if json:
        output.json_line(made)
        return
    output.plain(f"Held: {_on(made)}.")
    _nothing(made)
    release = f"affidavit hold release {made['id']}{options.same(data, url)} --reason TEXT"
    output.say(f"The hold is {made['id']}. To end it: {release}")
    if not plan and not made["grantable"]:
        _alone()


def _planned(plan: dict[str, Any]) -> None:
    output.plain(f"It would hold {_on(plan)}.")
    _nothing(plan)
    if not plan["grantable"]:
        _alone()
    output.say("Nothing is held. The same command without --dry-run places the hold.")


def _on(made: dict[str, Any]) -> str:
    return f"{made['expression'] or 'everything'}, for {made['matter']}: {_matched(made)}"


def _alone() -> None:
    """Say that who places a hold could not end it, and what to do first."""
    output.say(f"As it is, nobody could grant you its release: {approvals.NOBODY}")
    output.say(approvals.BOTH)


@app.command("list")
def listing(data: options.Data = None, url: options.Url = None, json: options.Json = False) -> None:
    """List the holds of which you may know, released ones included.

    Example: affidavit hold list
    """
    found = Client(data, url).get("/api/holds")["holds"]
    output.each(found, _tell, "There is no legal hold of which you may know.", json=json)


@app.command("show")
def show(
    hold: Id, data: options.Data = None, url: options.Url = None, json: options.Json = False
) -> None:
    """Show one hold.

    Example: affidavit hold show 0199c0de-…
    """
    found = Client(data, url).get(f"/api/holds/{quote(hold, safe='')}")
    output.json_line(found) if json else _tell(found)


@app.command("release")
def release(
    hold: Id,
    reason: options.Reason,
    data: options.Data = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Ask that a hold ends; another person has to grant it. It is recorded.

    Example: affidavit hold release 0199c0de-… --reason 'settled'
    """
    path = f"/api/holds/{quote(hold, safe='')}/release"
    made = Client(data, url).post(path, {"reason": reason})
    if json:
        output.json_line(made)
        return
    output.plain("Asked; the hold is in force until it is granted.")
    output.say(approvals.waits(made, options.same(data, url)))


def _matched(made: dict[str, Any]) -> str:
    """How many records it matches now, as far as they were counted."""
    if made["records"] is None:
        return "how many records match now was not counted, affidavit query does"
    least = "at least " if made["records_capped"] else ""
    match = "matches" if made["records"] == 1 else "match"
    return f"{least}{output.counted(made['records'], 'record')} {match} now"


def _nothing(made: dict[str, Any]) -> None:
    """A word that is misspelt makes a hold that holds nothing: say so where nothing matches."""
    if made["records"] == 0:
        output.say(
            "A hold that matches nothing keeps nothing until something comes that it matches. See "
            "whether names are spelt as records have them, and whether you may see them: "
            f"affidavit query {shlex.quote(made['expression'])}"
        )


def _tell(one: dict[str, Any]) -> None:
    output.title(one["id"])
    output.indented(f"matter: {one['matter']}", 2)
    output.indented(f"held: {one['expression'] or 'everything'}", 2)
    output.indented(f"owner: {one['owner']}; placed by {output.whom(one, one['actor'])}", 2)
    state = f"since {output.moment(one['placed'])} UTC"
    if one["released"]:
        state += f", released {output.moment(one['released'])} UTC"
    output.indented(state, 2)
    output.indented(f"reason: {one['reason']}", 2)
    if one["asked"]:
        output.indented(f"its release waits for a second person: {one['asked']}", 2)
