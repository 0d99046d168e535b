"""``up``, ``gateway``, ``sequencer``, ``console``: running the program itself."""

import os
import shlex
from typing import Annotated

import typer

from affidavit.cli import options
from affidavit.cli.client import is_demo
from affidavit.errors import UsageError

_Listen = Annotated[
    str | None,
    typer.Option("--listen", help="HOST:PORT to listen on.", metavar="HOST:PORT"),
]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("up")(up)
    app.command("gateway")(gateway)
    app.command("sequencer")(sequencer)
    app.command("console")(console)


def up(
    data: options.Data = None,
    config: options.Config = None,
    gateway: Annotated[
        str | None, typer.Option("--gateway", help="Where callers connect.", metavar="HOST:PORT")
    ] = None,
    console: Annotated[
        str | None, typer.Option("--console", help="Where readers connect.", metavar="HOST:PORT")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", help="Gateway processes.", min=1, max=64, metavar="N")
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="With a local demo provider and a little traffic.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Run everything on this machine, and print what to do next.

    The data directory is made on the first start. Ctrl-C stops everything.

    Example: affidavit up --demo
    """
    from affidavit import app

    directory = options.data_directory(data)
    alone = not demo and config is None and "AFFIDAVIT_DEMO_URL" not in os.environ
    if alone and is_demo(directory):
        again = f"affidavit up --demo --data {shlex.quote(str(directory))}"
        raise UsageError(f"{directory} is the data of the demo.", hint=again)
    raise typer.Exit(app.run_up(data, config, gateway, console, workers, demo=demo, as_json=json))


def gateway(
    data: options.Data = None, config: options.Config = None, listen: _Listen = None
) -> None:
    """Run one gateway worker, for clusters; "up" runs them all.

    Example: affidavit gateway --data /srv/affidavit --listen 0.0.0.0:8787
    """
    from affidavit import app

    raise typer.Exit(app.run_gateway(options.data_directory(data), config, listen))


def sequencer(data: options.Data = None, config: options.Config = None) -> None:
    """Run the sequencer of a data directory, for clusters.

    Example: affidavit sequencer --data /srv/affidavit
    """
    from affidavit import app

    raise typer.Exit(app.run_sequencer(options.data_directory(data), config))


def console(
    data: options.Data = None, config: options.Config = None, listen: _Listen = None
) -> None:
    """Run the console of a data directory, for clusters.

    Example: affidavit console --data /srv/affidavit --listen 127.0.0.1:8788
    """
    from affidavit import app

    raise typer.Exit(app.run_console(options.data_directory(data), config, listen))
