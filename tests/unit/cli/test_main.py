"""What every verb has in common: help, exit codes, errors without tracebacks."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from affidavit.cli import main, output
from affidavit.errors import CheckFailedError, RefusedError, UnavailableError, UsageError
from tests.unit.cli.conftest import Command

NEED_A_SERVER = (
    ("query",), ("query", "model:x", "--prove"), ("show", "x"), ("tail",),
    ("reveal", "x", "--reason", "y"), ("export", "x", "-o", "f"), ("keys", "list"),
    ("keys", "create", "x"), ("keys", "revoke", "x"),
)  # fmt: skip


def verbs(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every verb, with the groups it is in."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path
        return
    for name, child in inner.items():
        yield from verbs(child, (*path, name))


VERBS = sorted(verbs(typer.main.get_command(main.app)))


def test_all_verbs_are_there() -> None:
    """The commands of the surface that this version has."""
    assert {path[0] for path in VERBS} == {
        "up", "gateway", "sequencer", "console", "query", "show", "tail", "reveal", "export",
        "verify", "fsck", "index", "keys", "log", "config", "doctor", "version", "demo-provider",
        "witness", "demo", "completion", "diff", "pivot", "record", "approvals", "break-glass",
        "hold", "retention", "backup", "restore", "report", "erase", "subject",
        "sums", "facets", "histogram",
    }  # fmt: skip


@pytest.mark.parametrize("path", VERBS, ids=" ".join)
def test_every_verb_answers_help_with_an_example(command: Command, path: tuple[str, ...]) -> None:
    """--help says what the verb does and shows one call of it, on stdout, with code 0."""
    result = command(*path, "--help")
    assert (result.code, result.err) == (0, "")
    assert f"Example: affidavit {' '.join(path)}" in " ".join(result.out.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",), ("query", "--limit", "0"), ("query", "--limit", "x"), ("show",),
        ("query", "--colour"), ("reveal", "x"), ("export", "x"), ("keys", "nonsense"),
        ("export", "x", "-o", "f", "--content", "some"), ("verify", "nothing.zip"),
        ("query", "--url", "ftp://x"), ("up", "--gateway", "nonsense"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_wrong_use_is_2(
    command: Command, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    """A command line that means nothing: code 2, one sentence on stderr, nothing on stdout."""
    monkeypatch.setenv("AFFIDAVIT_KEY", "x")
    result = command(*arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("affidavit: ")


@pytest.mark.parametrize("arguments", [(), ("keys",), ("index",), ("config",)], ids=str)
def test_a_group_without_a_verb_shows_its_help(
    command: Command, arguments: tuple[str, ...]
) -> None:
    """Help on stderr and code 2, as nothing was asked."""
    result = command(*arguments)
    assert (result.code, result.out) == (2, "")
    assert "Commands:" in result.err


@pytest.mark.parametrize("arguments", NEED_A_SERVER, ids=" ".join)
def test_without_a_server_it_is_4_and_says_how_to_start_it(
    command: Command, arguments: tuple[str, ...]
) -> None:
    """No console: code 4, and the command that starts one."""
    result = command(*arguments, "--data", "elsewhere")
    assert (result.code, result.out) == (4, "")
    assert "affidavit up --data elsewhere" in result.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("It is wrong."), 2),
        (RefusedError("It is refused."), 3),
        (UnavailableError("It is away."), 4),
        (CheckFailedError("It is broken."), 1),
        (KeyError("surprise"), 4),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_become_codes(
    command: Command, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    """Each kind of error has its exit code and never a traceback."""

    def fail(**_: Any) -> None:
        raise error

    monkeypatch.setattr(output, "plain", lambda _: fail())
    if isinstance(error, BrokenPipeError):
        monkeypatch.setattr(sys.stderr, "close", lambda: None)
    assert command("version").code == code


def test_the_process_exits_with_the_code() -> None:
    """The installed entry point, run as a process: version on stdout and code 0; 2 otherwise."""
    program = [sys.executable, "-c", "from affidavit.cli.main import main; main()"]
    good = subprocess.run([*program, "version"], capture_output=True, text=True, check=False)
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout.startswith("affidavit ")
    bad = subprocess.run([*program, "nonsense"], capture_output=True, text=True, check=False)
    assert (bad.returncode, bad.stdout) == (2, "")


def test_a_reader_that_leaves_is_no_error() -> None:
    """Output into a pipe that is closed early ends quietly."""
    script = (
        "from affidavit.cli import output, version\n"
        "from affidavit.cli.main import run\n"
        "def many(text):\n"
        "    for _ in range(100000):\n"
        "        output.sys.stdout.write(text + '\\n')\n"
        "    output.sys.stdout.flush()\n"
        "output.plain = many\n"
        "import sys; sys.exit(run(['version']))\n"
    )
    shell = f'"{sys.executable}" -c "$0" | head -1'
    result = subprocess.run(
        ["bash", "-o", "pipefail", "-c", shell, script],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in result.stderr
    assert "Error" not in result.stderr


def test_starting_is_quick() -> None:
    """Importing the command line does not import servers, databases or cryptography."""
    code = (
        "import sys; import affidavit.cli.main; "
        "print([m for m in ('fastapi', 'apsw', 'cryptography', 'uvicorn') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_demo_is_started_as_the_demo(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its configuration has no provider without it: the way is --demo, not a variable."""
    monkeypatch.delenv("AFFIDAVIT_DEMO_URL", raising=False)
    (tmp_path / "config.yaml").write_text('providers: {a: {base_url: "${AFFIDAVIT_DEMO_URL}"}}\n')
    assert main.run(["up", "--data", str(tmp_path)]) == 2
    assert f"affidavit up --demo --data {tmp_path}" in capsys.readouterr().err
