"""``affidavit erase``: what is to be destroyed, by two persons, under a certificate."""

import shlex
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from affidavit.cli import approvals, options, output
from affidavit.cli.client import Client
from affidavit.errors import NotFoundError, UsageError

app = typer.Typer(help="Erasure under a certificate.", invoke_without_command=True)
Id = Annotated[str, typer.Argument(help="The request's id.", metavar="ID")]
_KINDS = ("subject", "session", "record", "tenant", "expression")


@app.callback()
def erase(
    context: typer.Context,
    subject: Annotated[
        str, typer.Option("--subject", help="A person: act_…, a name, an e-mail.", metavar="WHO")
    ] = "",
    session: Annotated[str, typer.Option("--session", help="A session.", metavar="NAME")] = "",
    record: Annotated[
        str, typer.Option("--record", help="A record, with its other half.", metavar="ID")
    ] = "",
    tenant: Annotated[str, typer.Option("--tenant", help="A whole tenant.", metavar="NAME")] = "",
    expression: Annotated[
        str, typer.Option("--expression", help="All that matches.", metavar="EXPR")
    ] = "",
    basis: Annotated[str, typer.Option("--basis", help="The legal basis.", metavar="TEXT")] = "",
    content: Annotated[
        bool, typer.Option("--content-only", help="Of other records than a person's.")
    ] = False,
    dry: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    due: Annotated[
        bool, typer.Option("--when-due", help="Ask also if nothing may go yet.")
    ] = False,
    data: options.Data = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Ask that records are erased for good; another person has to grant it. It is recorded.

    Of a person: what identifies the person, and content, and the keys end; of anything else, all
    sections. What is below its minimum or under a hold goes when it may.

    Example: affidavit erase --subject alice@example.com --basis 'GDPR Art. 17(1)(b)' --dry-run
    """
    if context.invoked_subcommand is not None:
        return
    given = [(kind, value) for kind, value in zip(
        _KINDS, (subject, session, record, tenant, expression), strict=True) if value]  # fmt: skip
    if len(given) != 1:
        raise UsageError("Say what is to be erased.", hint=f"One of --{', --'.join(_KINDS)}")
    if not basis.strip():
        raise UsageError("An erasure needs a legal basis.", hint="--basis 'GDPR Art. 17(1)(b)'")
    ((kind, target),) = given
    body = {"kind": kind, "target": target, "basis": basis, "dry_run": dry, "when_due": due}
    made = Client(data, url).post(
        "/api/erasures", body | {"what": "content" if content else "sections"}
    )
    if json:
        output.json_line(made)
        return
    every = output.counted(made["records"], "record")
    goes = "goes" if made["now"] == 1 else "go"
    output.plain(
        f"{made['now']} of {every} would go now."
        if dry
        else f"{made['now']} of {every} {goes} once somebody else grants it, and nothing before."
    )
    _later(made["later"])
    _exports(made["exports"])
    ends = "would be revoked" if dry else "is revoked once it is granted"
    for key in made["keys"]:
        output.indented(f"the key {key} {ends}", 2)
    if kind == "subject":
        output.say(_named(made["named"]))
    if dry:
        output.say(_dry(made, due=due))
        if not made["grantable"]:
            output.say(
                f"As it is, nobody could grant you that: {approvals.NOBODY} {approvals.BOTH}"
            )
        return
    where = options.same(data, url)
    output.say(approvals.waits(made, where))
    output.say(f"How it goes: affidavit erase show {made['id']}{where}")


@app.command("list")
def listing(data: options.Data = None, url: options.Url = None, json: options.Json = False) -> None:
    """List the erasure requests of which you may know.

    Example: affidavit erase list
    """
    client = Client(data, url)
    found = client.get("/api/erasures")["erasures"]

    def tell(one: dict[str, Any]) -> None:
        _tell(one)
        if one["state"] == "waiting":
            _later(client.get(f"/api/erasures/{quote(one['id'], safe='')}")["later"])

    output.each(found, tell, "There is no erasure of which you may know.", json=json)


@app.command("show")
def show(
    erasure: Id, data: options.Data = None, url: options.Url = None, json: options.Json = False
) -> None:
    """Show one request: what went, what is left and until when.

    Example: affidavit erase show 0199c0de-…
    """
    found = Client(data, url).get(f"/api/erasures/{quote(erasure, safe='')}")
    if json:
        output.json_line(found)
        return
    _tell(found)
    if found["certified"] > 1 and found["exports"]:
        output.indented("of what went last; of the rest, each certificate has its own:", 2)
    _exports(found["exports"])
    _later(found["later"])


@app.command("certificate")
def certificate(
    erasure: Id,
    out: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where to put it.", metavar="FILE")
    ] = None,
    run: Annotated[
        int | None, typer.Option("--run", help="Which of several: 1 is the first.", min=1)
    ] = None,
    data: options.Data = None,
    url: options.Url = None,
) -> None:
    """Fetch the certificate of what went; affidavit verify checks it.

    What had to wait goes in a run of its own and has a certificate of its own: without --run it is
    the latest one.

    Example: affidavit erase certificate 0199c0de-… -o erased.txt
    """
    from affidavit.durable import Disk

    path = f"/api/erasures/{quote(erasure, safe='')}/certificate"
    try:
        text, headers = Client(data, url).fetch(path, run=run)
    except NotFoundError as error:
        if "certificates" not in error.detail:
            raise
        there = int(error.detail["certificates"])
        if not there:
            raise UsageError("Nothing went yet.", hint=f"affidavit erase show {erasure}") from error
        hint = f"--run 1 to {there}" if there > 1 else "There is one so far: --run 1"
        raise UsageError(f"There is no certificate {run}.", hint=hint) from error
    every = int(headers.get("affidavit-certificates", 1))
    if run is None and every > 1:
        output.say(
            f"This is the latest of {every} certificates, of what went last. Each other one: "
            f"affidavit erase certificate {erasure}{options.same(data, url)} --run N, from 1 to "
            f"{every - 1}."
        )
    if out is None:
        output.plain(text.decode().rstrip("\n"))
        return
    Disk().write_file(out, text)
    output.say(
        f"The certificate is in {out}. Check it: affidavit verify {out} --key VKEY. VKEY is the "
        "key for certificates, in the last line of affidavit log keys: not the log's, log/log.vkey."
    )


def _named(named: dict[str, Any]) -> str:
    """What of others names the person, as far as it was searched, and what may be done with it."""
    said = "Texts of others that mention the person are no part of it"
    find = f"affidavit query {shlex.quote(named['expression'])}"
    if named["records"] is None:
        said += f", and were not searched: {named['why']}."
        if not named["expression"]:
            return said
        return (
            f"{said} Somebody who may see content finds them: {find} --reason TEXT; do it before "
            "the erasure, with it the names are gone here. --expression erases what it finds; who "
            "may not see content asks by --record ID for each, once somebody has found them."
        )
    least = "at least " if named["capped"] else ""
    said += f": {least}{output.counted(named['records'], 'record')} that you may see."
    return (
        f"{said} To find them: {find}; to erase them: --expression. It finds the person's own as "
        "well, and both halves of an exchange go."
    )


def _dry(made: dict[str, Any], *, due: bool) -> str:
    """What the same command would do without --dry-run."""
    if made["now"] or due:
        return "Nothing was asked. The same command without --dry-run asks."
    return (
        "Nothing was asked. Without --dry-run it is refused, as nothing of it may go yet: "
        "--when-due asks for it all the same."
    )


def _tell(one: dict[str, Any]) -> None:
    output.title(one["id"])
    of = output.whom(one, one["target"]) or one["expression"]
    output.indented(f"{one['kind']} {of}: {one['state']}", 2)
    output.indented(
        f"asked by {output.whom(one, one['actor'])} {output.moment(one['asked'])} UTC", 2
    )
    output.indented(f"legal basis: {one['basis']}", 2)
    if one["approver"]:
        when = output.moment(one["approved"])
        output.indented(f"approved by {output.whom(one, one['approver'])} {when} UTC", 2)
    if one["certified"]:
        gone = output.counted(one["went"], "record")
        runs = f" in {one['certified']} runs" if one["certified"] > 1 else ""
        when = f" by {output.moment(one['finished'])} UTC" if one["finished"] else " so far"
        output.indented(f"{gone} went{runs}{when}", 2)
    elif one["state"] == "asked":
        are = "is" if one["planned"] == 1 else "are"
        output.indented(f"{output.counted(one['planned'], 'record')} {are} meant", 2)
        for key in one["keys"]:
            output.indented(f"the key {key} is revoked once it is granted", 2)


def _exports(exports: list[dict[str, Any]]) -> None:
    for one in exports:
        when = output.moment(one["time"])
        output.indented(
            f"{one['records']} of them were exported {when} UTC by {one['by']} "
            f"(manifest {one['manifest']})", 2
        )  # fmt: skip


def _later(later: list[dict[str, Any]]) -> None:
    for one in later:
        stay = "stays" if one["records"] == 1 else "stay"
        until = f" until {one['until']}" if one["until"] else ""
        records = output.counted(one["records"], "record")
        output.indented(f"{records} {stay}{until}: {one['why']}", 2)
