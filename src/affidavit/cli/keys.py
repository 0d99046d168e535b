"""``affidavit keys``: who may call and who may read."""

from typing import Annotated
from urllib.parse import quote

import typer

from affidavit.cli import options, output
from affidavit.cli.client import Client

app = typer.Typer(help="Keys of callers and readers.", no_args_is_help=True)


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Whom the key stands for.", metavar="NAME")],
    role: Annotated[
        str,
        typer.Option(
            "--role",
            help="caller (gateway only), monitor (reads the log only), or owner, auditor, "
            "responder, compliance, member.",
            metavar="ROLE",
        ),
    ] = "caller",
    kind: Annotated[
        str, typer.Option("--kind", help="person, service or agent.", metavar="KIND")
    ] = "service",
    email: Annotated[str, typer.Option("--email", help="E-mail of a person.", metavar="TEXT")] = "",
    team: Annotated[
        str, typer.Option("--team", help="Team; sessions are per team.", metavar="TEXT")
    ] = "",
    group: Annotated[
        list[str] | None, typer.Option("--group", help="Group; may be repeated.", metavar="TEXT")
    ] = None,
    data: options.Data = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Make a key and show it, this once; only its digest is kept.

    Example: affidavit keys create 'Alice Doe' --role auditor --kind person
    """
    asked = {
        "name": name,
        "email": email,
        "kind": kind,
        "role": role,
        "team": team,
        "groups": group or [],
    }
    made = Client(data, url).post("/api/keys", asked)
    if json:
        output.json_line(made)
        return
    output.plain(made["token"])
    output.say(f"This is the key {made['id']} of {name} ({role}). It is not shown again.")


@app.command("list")
def listing(data: options.Data = None, url: options.Url = None, json: options.Json = False) -> None:
    """List all keys, revoked ones included; never the keys themselves.

    Example: affidavit keys list
    """
    found = Client(data, url).get("/api/keys")["keys"]
    if json:
        for key in found:
            output.json_line(key)
        return
    rows = [
        (key["id"], key["name"], key["role"], key["team"], output.moment(key["created"])[:10],
         f"revoked {output.moment(key['revoked'])[:10]}" if key["revoked"] else "in force")
        for key in found
    ]  # fmt: skip
    output.table(("Id", "Name", "Role", "Team", "Created", "State"), rows)


@app.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id.", metavar="ID")],
    data: options.Data = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Make a key worthless, everywhere within a second.

    Example: affidavit keys revoke key_7q2m…
    """
    revoked = Client(data, url).delete(f"/api/keys/{quote(key_id, safe='')}")["revoked"]
    if json:
        output.json_line(revoked)
    elif revoked.get("already"):
        when = output.moment(revoked["revoked"])
        output.plain(f"{revoked['id']} of {revoked['name']} was revoked before, at {when} UTC.")
    else:
        output.plain(f"{revoked['id']} of {revoked['name']} is revoked.")
