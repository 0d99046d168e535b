"""The entry point: all verbs, and what becomes of errors.

Rules: importing this module is cheap, a verb imports what it needs when it runs. Whatever
happens, a person gets one sentence and a hint on stderr, and the exit code says what kind it
was. Not here: what verbs do.
"""

import sys
from typing import Annotated

import typer
import typer.exceptions

from affidavit.cli import (
    approvals,
    backup,
    completion,
    config,
    demo,
    demo_provider,
    diff,
    doctor,
    erase,
    export,
    fsck,
    hold,
    index,
    keys,
    log,
    output,
    pivot,
    processes,
    query,
    record,
    report,
    retention,
    retention_run,
    reveal,
    show,
    subject,
    sums,
    tail,
    verify,
    version,
    witness,
)
from affidavit.errors import AffidavitError

app = typer.Typer(
    name="affidavit",
    help="Verifiable records for generative AI: record, search, show, prove.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(asked: bool) -> None:
    if asked:
        version.version()
        raise typer.Exit


@app.callback()
def _all(
    version: Annotated[
        bool,
        typer.Option("--version", help="Say which version this is.", callback=_version,
                     is_eager=True),
    ] = False,
) -> None:  # fmt: skip
    """Verifiable records for generative AI: record, search, show, prove."""
    del version  # answered by its callback


for module in (
    processes,
    query,
    sums,
    show,
    tail,
    pivot,
    diff,
    reveal,
    record,
    approvals,
    export,
    report,
    verify,
    fsck,
    doctor,
    backup,
    version,
    witness,
    demo_provider,
    completion,
    retention_run,
):
    module.register(app)
app.add_typer(erase.app, name="erase")
app.add_typer(hold.app, name="hold")
app.add_typer(subject.app, name="subject")
app.add_typer(index.app, name="index")
app.add_typer(keys.app, name="keys")
app.add_typer(log.app, name="log")
app.add_typer(config.app, name="config")
app.add_typer(retention.app, name="retention")
app.add_typer(demo.app, name="demo")


def run(arguments: list[str] | None = None) -> int:
    """Run one command line and return its exit code; never raises, never shows a traceback."""
    output.terminal_safe_environment()
    command = typer.main.get_command(app)
    try:
        code = command.main(arguments, prog_name="affidavit", standalone_mode=False)
    except AffidavitError as error:
        _tell(error.message, error.kept, error.hint)
        return error.exit_code
    except typer.Exit as ended:
        return ended.exit_code
    except typer.exceptions.TyperException as error:
        message = error.format_message()
        if message.startswith("Usage:"):  # a group without a verb: its help is the answer
            output.say(message)
        else:
            _tell(message, "", _way_out(error, message))
        return 2
    except (typer.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone; there is nobody to tell
        return 0
    except Exception as error:  # noqa: BLE001 - the last line of defence of every verb
        _tell(f"Something failed that was not foreseen: {type(error).__name__}.", "", "")
        return 4
    return code if isinstance(code, int) else 0


def _path(error: Exception) -> str:
    """The command that was not understood, as far as it was."""
    context = getattr(error, "ctx", None)
    return "affidavit" if context is None else str(context.command_path)


def _way_out(error: Exception, message: str) -> str:
    """What to type instead."""
    path = _path(error)
    if "unexpected extra argument" in message and path.rpartition(" ")[2] in completion.ASKING:
        return f"Quote the whole expression: {path} 'model:gpt-4o since:90d'"
    if message.startswith("No such option") and path.rpartition(" ")[2] in completion.ASKING:
        return f"{path} --help; an expression that begins with - goes last, after --"
    return f"{path} --help"


def _tell(message: str, kept: str, hint: str) -> None:
    output.say(f"affidavit: {message}", "bold")
    for line in (kept, hint):
        if line:
            output.say(f"  {line}")


def main() -> None:
    """Run the command line of this process and exit."""
    sys.exit(run())
