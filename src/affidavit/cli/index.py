"""``affidavit index``: the part that can be thrown away and made again."""

import typer

from affidavit.cli import options, output

app = typer.Typer(help="The index, which is made from ledger and vault.", no_args_is_help=True)


@app.callback()
def _index() -> None:
    """The index, which is made from ledger and vault."""


@app.command("rebuild")
def rebuild(data: options.Data = None, json: options.Json = False) -> None:
    """Make the index anew from ledger and vault.

    Stop Affidavit before: the sequencer must not be running.

    Example: affidavit index rebuild --data /srv/affidavit
    """
    from affidavit import app as program

    count = program.rebuild_index(options.data_directory(data), None)
    if json:
        output.json_line({"records": count})
    else:
        output.plain(f"{count} records are in the index.")
