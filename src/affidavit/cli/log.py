"""``affidavit log``: the keys that sign the log's checkpoints, and pruning (``prune``).

The commands go to the sequencer by the socket in the data directory, which answers its owner alone.
"""

from typing import Annotated, Any

import typer

from affidavit.cli import options, output, prune
from affidavit.cli.sequencer import call

app = typer.Typer(help="The log's keys, and pruning.", no_args_is_help=True)
prune.register(app)


@app.command("keys")
def keys(data: options.Data = None, json: options.Json = False) -> None:
    """Show the keys in force, and the lines of a policy for all keys the log ever had.

    Example: affidavit log keys
    """
    _show(call(data, "log.keys", {}), json=json)


@app.command("rotate")
def rotate(
    data: options.Data = None,
    finish: Annotated[
        bool, typer.Option("--finish", help="End the overlap: the new key signs alone.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Begin to sign checkpoints with a new key beside the old one, or end that with --finish.

    Both sign in between, for as long as verifiers and witnesses need to learn the new key; each
    step is on record. The lines printed are for their policies.

    Example: affidavit log rotate
    """
    found = call(data, "log.rotate", {"finish": finish})
    _show(found, json=json)
    if not json:
        output.say(
            "Both keys sign now. When everybody has these lines: affidavit log rotate --finish"
            if found["rotating"]
            else "The new key signs alone now. It does not verify what was exported before "
            "affidavit log rotate: whoever gave --key log/log.vkey gives --policy log/log.policy."
        )


def _show(found: dict[str, Any], *, json: bool) -> None:
    if json:
        output.json_line(found)
        return
    output.say(
        f"The log {found['origin']} signs with {output.counted(len(found['vkeys']), 'key')}."
    )
    output.say(
        "Lines for the policies of verifiers and witnesses (#valid: for which sizes of the log, in"
        " leaves, a key counts; - is until further notice):"
    )
    for line in found["policy"]:
        output.plain(line)
    output.plain(f"# certificates of erasure: {found['certificate_vkey']}")  # no line of a policy
