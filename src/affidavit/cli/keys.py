"""``affidavit keys``: who may call and who may read."""

from typing import Annotated, Any
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
            help="caller (gateway only), monitor (reads the log only), or owner, administrator, "
            "auditor, responder, compliance, member, subject.",
            metavar="ROLE",
        ),
    ] = "caller",
    kind: Annotated[
        str, typer.Option("--kind", help="person, service or agent.", metavar="KIND")
    ] = "service",
    email: Annotated[str, typer.Option("--email", help="E-mail of a person.", metavar="TEXT")] = "",
    tenant: Annotated[
        str,
        typer.Option("--tenant", help="Tenant, if not yours; an owner names one.", metavar="NAME"),
    ] = "",
    team: Annotated[
        str, typer.Option("--team", help="Team; sessions are per team.", metavar="TEXT")
    ] = "",
    group: Annotated[
        list[str] | None, typer.Option("--group", help="Group; may be repeated.", metavar="TEXT")
    ] = None,
    boundary: Annotated[
        str, typer.Option("--boundary", help="A boundary of the configuration.", metavar="NAME")
    ] = "",
    until: Annotated[
        str,
        typer.Option(
            "--until", help="When its right to read ends: a time, or 30d.", metavar="TIME"
        ),
    ] = "",
    label: Annotated[
        list[str] | None,
        typer.Option("--label", help="Label for rules of retention; repeatable.", metavar="TEXT"),
    ] = None,
    jurisdiction: Annotated[
        str,
        typer.Option("--jurisdiction", help="Whose law its records are under.", metavar="TEXT"),
    ] = "",
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
        "tenant": tenant,
        "team": team,
        "groups": group or [],
        "boundary": boundary,
        "until": until,
        "labels": label or [],
        "jurisdiction": jurisdiction,
    }
    made = Client(data, url).post("/api/keys", asked)
    if json:
        output.json_line(made)
        return
    output.plain(made["token"])
    whose = f"{name} ({role}{f', tenant {tenant}' if tenant else ''})"
    output.say(f"This is the key {made['id']} of {whose}. It is not shown again.")


@app.command("list")
def listing(data: options.Data = None, url: options.Url = None, json: options.Json = False) -> None:
    """List all keys, revoked ones included; never the keys themselves.

    Example: affidavit keys list
    """
    found = Client(data, url).get("/api/keys")["keys"]
    output.each(found, _tell, "There is no key of which you may know.", json=json)


def _tell(key: dict[str, Any]) -> None:
    output.title(f"{key['id']}  {key['name']}, {key['role']}: {_state(key)}")
    boundary = f"boundary {key['applies']}" if key["applies"] else ""
    boundary += f" through the group {key['through']}" if key["through"] else ""
    known = [("team", key["team"]), ("groups", ", ".join(key["groups"])),
             ("labels", ", ".join(key["labels"])),
             ("jurisdiction", key["jurisdiction"])]  # fmt: skip
    told = [f"tenant {key['tenant']}", boundary, key["email"]]
    told += [f"{what} {value}" for what, value in known if value]
    made = f"made {output.moment(key['created'])[:10]}"
    output.indented("; ".join([*filter(None, told), made]), 2)


def _state(key: dict[str, Any]) -> str:
    if key["revoked"]:
        return f"revoked {output.moment(key['revoked'])[:10]}"
    return f"until {output.moment(key['until'])[:10]}" if key["until"] else "in force"


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


@app.command("rotate")
def rotate(
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help="How the new key is kept: file, passphrase or aws-kms. Default: as the old one.",
            metavar="KIND",
        ),
    ] = "",
    reason: options.Reason = "",
    data: options.Data = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Put all keys under a new key-encryption key and destroy the old one, while all runs.

    Content, state and index stay as they are. Copies of keys.db that were made before are worthless
    afterwards, unless somebody kept the old key. On record, by whom.

    Example: affidavit keys rotate --reason 'once a year'
    """
    client = Client(data, url, timeout=600.0)
    made = client.post("/api/keys/rotate", {"to": to or None, "reason": reason})
    if json:
        output.json_line(made)
        return
    before, after = made["before"], made["after"]
    output.plain(
        f"{made['keys']} keys are under {after['id']} ({after['kind']}) now; "
        f"{before['id']} ({before['kind']}) is destroyed."
    )


@app.command("give-up")
def give_up(
    reason: options.Reason = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; there is no way back.")] = False,
    data: options.Data = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Hand over to administrators: owners' keys are worthless from then on, for good.

    Administrators make keys and see what administration did, and no other record. Somebody has to
    hold such a key before; on this machine the socket acts as an administrator's afterwards.

    Example: affidavit keys give-up --yes
    """
    client = Client(data, url)
    if not yes and not typer.confirm("Nobody can read as owner again. Give up?", err=True):
        output.say("Nothing was given up.")
        raise typer.Exit(3)
    gone = client.post("/api/keys/give-up", {"reason": reason})
    if json:
        output.json_line(gone)
        return
    output.plain(f"Given up: {', '.join(gone['owners'])}. Keys of administrators in force: "
                 f"{', '.join(gone['administrators'])}.")  # fmt: skip
