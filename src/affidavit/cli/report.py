"""``affidavit report``: the report of a bundle, as a page or as PDF."""

from pathlib import Path
from typing import Annotated

import typer

from affidavit.cli import options, output
from affidavit.errors import UnavailableError, UsageError

Force = Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("report")(report)


def report(
    bundle: Annotated[Path, typer.Argument(help="An evidence bundle.", metavar="BUNDLE")],
    file: Annotated[
        Path,
        typer.Option(
            "-o", "--output", help="File to write: .pdf, or .html for the page.", metavar="FILE"
        ),
    ],
    force: Force = False,
    json: options.Json = False,
) -> None:
    """Take the report out of a bundle, for people; no server, no network.

    A PDF is printed by Chromium, which has to be there: on the PATH, or named in
    AFFIDAVIT_BROWSER. It gets no network and runs no script. The report is not evidence; affidavit
    verify checks the bundle.

    Example: affidavit report evidence.zip -o evidence.pdf
    """
    from affidavit.evidence import pdf

    if file.suffix not in (".pdf", ".html"):
        raise UsageError(f"{file} is neither .pdf nor .html.", hint="-o report.pdf")
    check_free(file, force=force)
    try:
        data = bundle.read_bytes()
    except OSError as error:
        raise UsageError(f"{bundle} cannot be read: {error.strerror}.") from error
    page = pdf.report_of(data)
    made = pdf.printed(page, pdf.browser()) if file.suffix == ".pdf" else page
    put(file, made)
    if json:
        output.json_line({"file": str(file), "size": len(made)})
    else:
        output.plain(f"{len(made)} bytes: {file} (for people; affidavit verify checks {bundle})")


def check_free(file: Path, *, force: bool) -> None:
    """``UsageError`` if a file is there that may not be replaced, or its directory is not."""
    if file.exists() and not force:
        raise UsageError(f"{file} is there already.", hint="Another name, or --force.")
    if not file.absolute().parent.is_dir():
        raise UsageError(f"There is no directory {file.parent}.", hint="Nothing was written.")


def put(file: Path, data: bytes, kept: str = "") -> None:
    """Write a file whole; ``UnavailableError`` says why not, and what was ``kept``."""
    from affidavit.durable import Disk

    try:
        Disk().write_file(file.absolute(), data)
    except OSError as error:
        raise UnavailableError(
            f"{file} could not be written: {error.strerror}.", kept=kept
        ) from error
