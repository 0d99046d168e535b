"""``affidavit subject``: what is held about a person."""

from json import loads
from pathlib import Path
from typing import Annotated

import typer

from affidavit.cli import bundles, options, output
from affidavit.cli.client import Client

app = typer.Typer(help="What is held about a person.", no_args_is_help=True)


@app.command("export")
def export(
    file: Annotated[Path, typer.Option("-o", "--output", help="File to write.", metavar="FILE")],
    who: Annotated[
        str, typer.Argument(help="act_…, a name, an e-mail; else yourself.", metavar="[WHO]")
    ] = "",
    force: bundles.Force = False,
    reason: options.Reason = "",
    data: options.Data = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Write all records of a person to FILE, with the proof that none is left out.

    Of records that somebody else caused, who that was is left out. Content is in it where you may
    see content: the person may, with a key of the role subject. It is recorded.

    Example: affidavit subject export alice@example.com -o alice.zip --reason 'request of 3 May'
    """
    bundles.check_free(file, force=force)
    client = Client(data, url, timeout=bundles.PATIENCE)
    asked = {"subject": who, "purpose": reason}
    bundle, headers = client.download("/api/subjects/export", asked)
    bundles.put(file, bundle, "The export is on record all the same.")
    told = {
        "file": str(file),
        "size": len(bundle),
        "subject": headers["affidavit-subject"],
        "records": int(headers["affidavit-records"]),
        "content": headers["affidavit-content"],
        "manifest": headers["affidavit-manifest"],
        "verdict": loads(headers["affidavit-verdict"]),
    }
    if json:
        output.json_line(told)
        return
    output.plain(f"{output.counted(told['records'], 'record')} of {told['subject']}: {file}")
    output.verdict(told["verdict"])
    if told["content"] != "full":
        output.say(
            "Content is outside your boundary, so it has digests alone. The person gets it with a "
            "key: affidavit keys create NAME --role subject --kind person"
        )
    output.say("Records that only name the person: affidavit query 'email:… OR end_user:…'")
