"""Options that several verbs share."""

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from affidavit.cli.client import DEFAULT_DATA

Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Data directory; its console is found by a local socket, which knows the owner by "
        "user id, unless AFFIDAVIT_KEY is set: that key counts then. "
        "Default: AFFIDAVIT_DATA, else ./affidavit-data.",
        show_default=False,
        metavar="DIR",
    ),
]
Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        help="A console elsewhere, http://HOST:PORT; its key is taken from AFFIDAVIT_KEY. "
        "Default: AFFIDAVIT_URL.",
        show_default=False,
        metavar="URL",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="JSON Lines on stdout, nothing else there.")]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="Configuration file. Default: config.yaml in the data directory.",
        show_default=False,
        metavar="FILE",
    ),
]
Reason = Annotated[
    str, typer.Option("--reason", help="Why; it is recorded.", metavar="TEXT", show_default=False)
]


DEMO_URL = "http://demo.invalid"
"""Stands for the demo provider's address, which ``up --demo`` chooses at every start."""


def environment(demo: str = "") -> dict[str, str]:
    """The environment as the configuration is read in; the demo's own variable is known.

    ``up --demo`` sets it for its processes alone, so it is not in the environment of other verbs.
    ``demo``: what it is in the one that runs, which counts more than what this shell has.
    """
    running = {"AFFIDAVIT_DEMO_URL": demo} if demo else {}
    return {"AFFIDAVIT_DEMO_URL": DEMO_URL, **os.environ, **running}


def same(data: Path | None, url: str | None) -> str:
    """What a command has to end with that is proposed as the next one: where this one went."""
    if url:
        return f" --url {shlex.quote(url)}"
    return f" --data {shlex.quote(str(data))}" if data else ""


def data_directory(given: Path | None) -> Path:
    """The data directory that an option, the environment or the default names."""
    return given or Path(os.environ.get("AFFIDAVIT_DATA", DEFAULT_DATA))
