"""``affidavit witness``: watch a log from elsewhere, and vouch for what it shows everybody."""

from pathlib import Path
from typing import Annotated

import typer

from affidavit.cli import options


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("witness")(witness)


def witness(
    data: Annotated[
        Path,
        typer.Option(
            "--data", help="Directory of this witness: its keys, what it saw.", metavar="DIR"
        ),
    ],
    listen: Annotated[
        str, typer.Option("--listen", help="HOST:PORT to listen on.", metavar="HOST:PORT")
    ] = "127.0.0.1:8789",
    name: Annotated[
        str,
        typer.Option(
            "--name",
            help="Name of its keys, a URL without the scheme; for good. "
            "Default: this host's name and /witness or /monitor.",
            show_default=False,
            metavar="NAME",
        ),
    ] = "",
    policy: Annotated[
        Path | None,
        typer.Option(
            "--policy",
            help="C2SP tlog-policy that names the logs (its log lines).",
            show_default=False,
            metavar="FILE",
        ),
    ] = None,
    log: Annotated[
        list[str] | None,
        typer.Option(
            "--log",
            help="Verifier key of a log, and for a monitor where it is; may be repeated.",
            show_default=False,
            metavar="VKEY[@URL]",
        ),
    ] = None,
    monitor: Annotated[
        bool,
        typer.Option("--monitor", help="Replay every leaf and link before cosigning."),
    ] = False,
    post_quantum: Annotated[
        bool, typer.Option("--post-quantum", help="Cosign with ML-DSA-44, too.")
    ] = False,
    key_file: Annotated[
        Path | None,
        typer.Option(
            "--key-file",
            help="The monitor's key for the log. Default: AFFIDAVIT_KEY.",
            show_default=False,
            metavar="FILE",
        ),
    ] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option(
            "--ca-file",
            help="Another trust anchor for the log's https URL.",
            show_default=False,
            metavar="FILE",
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Run a witness of a log (C2SP tlog-witness), best on a machine that others operate.

    It needs no other part of Affidavit. With --monitor it also replays the log, without content.

    Example: affidavit witness --data /srv/witness --name w.example/1 --log VKEY
    """
    from affidavit import app

    raise typer.Exit(
        app.witness(
            data,
            listen,
            name=name,
            policy=policy,
            logs=tuple(log or ()),
            monitor=monitor,
            post_quantum=post_quantum,
            key_file=key_file,
            ca_file=ca_file,
            as_json=json,
        )
    )
