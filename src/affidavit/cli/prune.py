"""``affidavit log prune``: leaves whose time is over go, and the tree stays as it is."""

import time
from typing import Annotated, Any

import typer

from affidavit.cli import options, output
from affidavit.cli.sequencer import call
from affidavit.errors import UnavailableError

PAUSE = 0.2
"""Seconds between two looks at how it goes."""


def prune(
    before: Annotated[
        str,
        typer.Option(
            "--before", help="An index, or a time: 2026-01-01, 2026-01-01T12:00Z.", metavar="WHEN"
        ),
    ],
    data: options.Data = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it; without this it is only said what would go.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Remove leaves and links that need not be kept any longer, in whole bundles of 256.

    All proofs about leaves behind them, and chains that end before them, stay; so do the tree and
    every checkpoint. What the vault holds of them is not touched. It is put on record.

    Example: affidavit log prune --before 2020-01-01 --yes
    """
    found = call(data, "log.prune", {"before": before, "really": yes})
    if not yes:
        _say(found, json=json)
        return
    with output.progress() as bar:
        task = bar.add_task("", total=None)
        while found["stage"]:
            bar.update(task, description=found["stage"], completed=found["done"], total=found["of"])
            time.sleep(PAUSE)
            found = call(data, "log.prune", {})
    _end(found, json=json)


def _say(found: dict[str, Any], *, json: bool) -> None:
    if json:
        output.json_line(found)
        return
    until = output.moment(found["until"])
    output.plain(
        f"Leaves {found['first']} to {found['before'] - 1} would go, the last of {until} UTC."
    )
    output.say("Nothing was removed. The same command with --yes does it; there is no way back.")


def _end(found: dict[str, Any], *, json: bool) -> None:
    error = found["error"]
    if json:
        output.json_line(found)
    if error is not None:
        what = "The log was not pruned"
        if found["minimum"] >= (found["before"] or 0):
            what = f"The log begins with leaf {found['minimum']} now, and not all files are gone"
        raise UnavailableError(f"{what}: {error['message']}", hint=error.get("hint", ""))
    if not json:
        output.plain(f"The log begins with leaf {found['minimum']} now.")
        output.say("Searches still find what went, until: affidavit index rebuild")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("prune")(prune)
