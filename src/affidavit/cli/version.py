"""``affidavit version``."""

import platform

import typer

from affidavit import __version__
from affidavit.cli import options, output


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("version")(version)


def version(json: options.Json = False) -> None:
    """Say which version this is.

    Example: affidavit version
    """
    if json:
        output.json_line({"version": __version__, "python": platform.python_version()})
    else:
        output.plain(f"affidavit {__version__}")
