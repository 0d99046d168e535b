"""``affidavit report``: the report of a bundle as a page or as PDF, and that of a period."""

from pathlib import Path
from typing import Annotated

import typer

from affidavit.cli import bundles, options, output
from affidavit.cli.client import Client
from affidavit.errors import UsageError

PERIOD = "period"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("report")(report)


def report(
    what: Annotated[
        str, typer.Argument(help="A bundle's file, or the word period.", metavar="BUNDLE|period")
    ],
    file: bundles.Output,
    since: Annotated[str, typer.Option(help="Of a period: from when.", metavar="TIME")] = "",
    until: Annotated[str, typer.Option(help="Of a period: until when.", metavar="TIME")] = "",
    tenant: Annotated[str, typer.Option(help="Of a period: of this tenant.", metavar="NAME")] = "",
    pdf: bundles.Pdf = None,
    force: bundles.Force = False,
    reason: options.Reason = "",
    data: options.Data = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Take the report out of a bundle, for people; or make a bundle about a period.

    Of a bundle, the file to write is .html or .pdf; no server, no network. A PDF is printed by
    Chromium, which has to be there: on the PATH, or named in AFFIDAVIT_BROWSER. The report is not
    evidence; affidavit verify checks the bundle.

    Of a period, a bundle (.zip) is made of all that says how the installation was run: gaps,
    changes of configuration, keys, roles and policies, approvals, retention, erasure, holds.

    Example: affidavit report evidence.zip -o evidence.pdf
    """
    for one in (file, pdf):
        if one is not None:
            bundles.check_free(one, force=force)
    if what == PERIOD:
        if file.suffix in (".pdf", ".html"):
            raise UsageError(f"{file} is to be a bundle.", hint="-o period.zip --pdf period.pdf")
        words = (("since", since), ("until", until), ("tenant", tenant))
        expression = " ".join(f"{name}:{value}" for name, value in words if value)
        asked: dict[str, object] = {"expression": expression, "purpose": reason, "report": PERIOD}
        client = Client(data, url, timeout=bundles.PATIENCE)
        bundles.fetch(client, asked, file, pdf, json=json)
        return
    if since or until or tenant or pdf is not None:
        raise UsageError("--since, --until, --tenant and --pdf are of a period.")
    _taken_out(Path(what), file, json=json)


def _taken_out(bundle: Path, file: Path, *, json: bool) -> None:
    """The page of a bundle, or a PDF of it."""
    from affidavit.evidence import pdf

    if file.suffix not in (".pdf", ".html"):
        raise UsageError(f"{file} is neither .pdf nor .html.", hint="-o report.pdf")
    try:
        data = bundle.read_bytes()
    except OSError as error:
        raise UsageError(f"{bundle} cannot be read: {error.strerror}.") from error
    page = pdf.report_of(data)
    made = pdf.printed(page, pdf.browser()) if file.suffix == ".pdf" else page
    bundles.put(file, made)
    if json:
        output.json_line({"file": str(file), "size": len(made)})
    else:
        output.plain(f"{len(made)} bytes: {file} (for people; affidavit verify checks {bundle})")
