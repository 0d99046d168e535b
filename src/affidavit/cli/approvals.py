"""``affidavit approvals`` and ``break-glass``: a second person, and the way around in need."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from affidavit.cli import options, output
from affidavit.cli.client import Client
from affidavit.errors import UsageError

app = typer.Typer(help="What waits for a second person.", no_args_is_help=True)
_ASKED = {"release": "release of the hold", "erase": "erasure"}
_STATES = {"pending": "asked"}
"""The word that ``erase list`` has for the same."""
_WHAT = {
    "person": "what identifies the person, and content", "content": "content",
    "sections": "all sections and content",
}  # fmt: skip
NOBODY = (
    "no other person has a key that approves, sees all of it, and neither made yours nor was made "
    "with yours."
)
"""Why nobody can grant what somebody asks …"""
BOTH = (
    "Have an owner make two keys, and ask with the first (AFFIDAVIT_KEY=… before the command): "
    "affidavit keys create NAME --kind person --role compliance, affidavit keys create NAME --kind "
    "person --role auditor. For other tenants, or several, see docs/erasure.md."
)
"""… and what to do."""
Id = Annotated[str, typer.Argument(help="The approval's id.", metavar="ID")]


def register(main: typer.Typer) -> None:
    """Add the verbs."""
    main.add_typer(app, name="approvals")
    main.command("break-glass")(break_glass)


@app.command("list")
def listing(data: options.Data = None, url: options.Url = None, json: options.Json = False) -> None:
    """List what you asked for, and what you may answer.

    Example: affidavit approvals list
    """
    found = Client(data, url).get("/api/approvals")["approvals"]
    none = "Nothing waits for a second person within what you may see."
    output.each(found, _tell, none, json=json)


def _tell(one: dict[str, Any]) -> None:
    output.title(one["id"])
    until = f"{output.moment(one['until'])} UTC"
    state = _STATES.get(one["state"], one["state"])
    output.indented(f"{_what(one)}: {state}, until {until}", 2)
    output.indented(
        f"asked by {output.whom(one, one['actor'])}{' (yours)' if one['yours'] else ''}", 2
    )
    output.indented(f"reason: {one['reason']}", 2)
    for record in one["records"]:
        output.indented(f"record {record}", 2)
    if one.get("hold"):
        _hold(one["hold"])
    if one["erasure"]:
        _erasure(one["erasure"], output.whom(one, one["erasure"]["of"]))


@app.command("grant")
def grant(
    approval: Id,
    reason: options.Reason = "",
    data: options.Data = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Agree: records are revealed for an hour, a hold ends, an erasure begins. It is recorded.

    Example: affidavit approvals grant 0199c0de-…
    """
    _answer(Client(data, url), approval, "grant", reason, json=json)


@app.command("deny")
def deny(
    approval: Id,
    reason: options.Reason = "",
    data: options.Data = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Refuse, or take back your own question. It is recorded.

    Example: affidavit approvals deny 0199c0de-…
    """
    _answer(Client(data, url), approval, "deny", reason, json=json)


def _answer(client: Client, approval: str, verb: str, reason: str, *, json: bool) -> None:
    path = f"/api/approvals/{quote(approval, safe='')}/{verb}"
    made = client.post(path, {"reason": reason})
    if json:
        output.json_line(made)
    elif made["state"] == "granted":
        until = output.moment(made["until"])
        ends = f", until {until} UTC" if made["records"] else ""
        output.plain(f"Granted: {_what(made)}{ends}.")
    else:
        output.plain(f"Denied: {_what(made)}.")


def waits(made: dict[str, Any], where: str) -> str:
    """How a question about a hold or an erasure goes on; if nobody can grant it, what to do.

    ``where``: as ``options.same``.
    """
    asked, until = f"{made['asked']}{where}", output.moment(made["until"])
    if made["grantable"]:
        return f"Until {until} UTC somebody else may grant it: affidavit approvals grant {asked}"
    return (
        f"But nobody can grant it: {NOBODY} Take it back: affidavit approvals deny {asked}. {BOTH}"
    )


def _erasure(told: dict[str, Any], of: str) -> None:
    """What an erasure is ``of``: on that somebody decides."""
    output.indented(f"of the {told['kind']} {of}: {_WHAT[told['what']]}", 2)
    were = "was" if told["records"] == 1 else "were"
    records = output.counted(told["records"], "record")
    output.indented(f"{records} {were} meant when it was asked", 2)
    for key in told["keys"]:
        output.indented(f"the key {key} is revoked once it is granted", 2)


def _hold(told: dict[str, Any]) -> None:
    """What a hold is on that is to be released: on that somebody decides."""
    output.indented(f"matter: {told['matter']}", 2)
    output.indented(f"held: {told['expression'] or 'everything'}", 2)
    if told["records"] is None:
        output.indented("how many records match now was not counted", 2)
        return
    least = "at least " if told["records_capped"] else ""
    match = "matches" if told["records"] == 1 else "match"
    records = output.counted(told["records"], "record")
    output.indented(f"{least}{records} that you may see {match} now", 2)


def _what(one: dict[str, Any]) -> str:
    """What is asked, in words."""
    if one["target"]:
        return f"{_ASKED[one['kind']]} {one['target']}"
    return f"reveal of content of {output.counted(len(one['records']), 'record')}"


def break_glass(
    reason: options.Reason = "",
    end: Annotated[bool, typer.Option("--end", help="End it before its time.")] = False,
    data: options.Data = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Widen your own boundary for a while, where it allows that; every read then names it.

    Example: affidavit break-glass --reason 'incident 4711: on call alone'
    """
    client = Client(data, url)
    if end:
        glass = client.delete("/api/break-glass")
    elif reason.strip():
        glass = client.post("/api/break-glass", {"reason": reason})
    else:
        raise UsageError("Breaking the glass needs a reason.", hint="--reason 'incident 4711: …'")
    if json:
        output.json_line(glass | {"ended": end})
    else:
        output.plain(_said(glass, ended=end))


def _said(glass: dict[str, Any], *, ended: bool) -> str:
    if ended:
        return f"Ended; your boundary is {glass['boundary']} again. Recorded under {glass['id']}."
    until = output.moment(glass["until"])
    return (
        f"Your boundary {glass['boundary']} is widened until {until} UTC. "
        f"Recorded as {glass['id']}, which every read until then names. End it with --end."
    )
