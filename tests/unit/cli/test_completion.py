"""The Tab key: verbs, options, and expressions within the reader's boundary; nothing evaluated."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from affidavit.cli.completion import SCRIPTS, Offer, Word, spelt, split
from tests.unit.cli.conftest import Command, Site

PROGRAM = Path(sys.executable).with_name("affidavit")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("affidavit qu", [Word("affidavit"), Word("qu")]),
        ("affidavit query ", [Word("affidavit"), Word("query"), Word("")]),
        ("affidavit query 'a b", [Word("affidavit"), Word("query"), Word("a b", "'")]),
        ('affidavit query "a \\"b', [Word("affidavit"), Word("query"), Word('a "b', '"')]),
        ("a 'x'y\\ z", [Word("a"), Word("xy z")]),
        ("a '' ", [Word("a"), Word(""), Word("")]),
        ("a 'it'\\''s", [Word("a"), Word("it's", "'")]),
        ("a b\\", [Word("a"), Word("b")]),
    ],
)
def test_a_line_is_split_as_a_shell_does(line: str, words: list[Word]) -> None:
    """Quotes may be open at the end; then the last word says which."""
    assert split(line) == words


@pytest.mark.parametrize(
    ("word", "offer", "found"),
    [
        (Word("mod"), Offer("model:", ends=False), "model:"),
        (Word("model:gp"), Offer("model:gpt-4o", ends=False), "gpt-4o"),
        (Word("model:gp", "'"), Offer("model:it's", ends=False), "model:it'\\''s"),
        (Word("x:", '"'), Offer('x:"$(id)`id`"', ends=False), 'x:\\"\\$(id)\\`id\\`\\"'),
        (Word("model:"), Offer('model:"a;$(id) b"', ends=False), '\\"a\\;\\$\\(id\\)\\ b\\"'),
        (Word("tokens"), Offer("tokens>", ends=False), "tokens\\>"),
        (Word("que"), Offer("query"), "query "),
    ],
)
def test_bash_gets_a_word_that_it_does_not_evaluate(word: Word, offer: Offer, found: str) -> None:
    """In quotes and without, whatever stands in a record is put in place as text."""
    assert spelt("bash", word, offer) == found


def test_verbs_and_options_are_offered(command: Command) -> None:
    """Groups, verbs in them, options; no value of an option, and nothing that is hidden."""
    assert command("completion", "zsh", "--line", "affidavit qu").out == "query\n"
    assert command("completion", "fish", "--line", "affidavit keys cr").out.startswith("create\t")
    offered = command("completion", "zsh", "--line", "affidavit query --").out.split()
    assert {"--limit", "--prove", "--json"} <= set(offered)
    assert command("completion", "zsh", "--line", "affidavit query --limit ").out == ""
    assert "--line" not in command("completion", "zsh", "--line", "affidavit completion --").out


def test_expressions_are_offered_within_the_boundary(
    command: Command, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the socket as the owner, by a key as its reader; hostile values are left out."""
    line = f"affidavit query --data {site.data} 'type:exchange.* model:demo-"
    assert command("completion", "zsh", "--line", line).out.splitlines() == [
        "type:exchange.* model:demo-chat",
        "type:exchange.* model:demo-error",
    ]
    line = f"affidavit tail --url {site.url} 'em"
    monkeypatch.setenv("AFFIDAVIT_KEY", site.machine.keys["auditor"])
    assert command("completion", "fish", "--line", line).out == ""
    monkeypatch.setenv("AFFIDAVIT_KEY", site.machine.keys["responder"])
    assert command("completion", "fish", "--line", line).out.startswith("email:\t")


def test_without_a_console_nothing_is_said(command: Command) -> None:
    """The shell goes on as without completion."""
    found = command("completion", "bash", "--line", "affidavit query 'mod")
    assert (found.code, found.out, found.err) == (0, "", "")
    assert command("completion", "csh").code == 2


def shell(name: str, script: str, directory: Path) -> str:
    """What a shell prints; the program is found by its name."""
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not here, so its script is not run")
    path = f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [name, "-c", script], capture_output=True, text=True, timeout=60, check=True,
        cwd=directory, env={"PATH": path, "HOME": str(directory), "TERM": "dumb"},
    )  # fmt: skip
    return done.stdout


def test_the_script_of_bash_works(site: Site, tmp_path: Path) -> None:
    """Bash loads it, and its function fills the replies, one for each line."""
    line = f"affidavit query --data {site.data} 'model:demo-"
    call = f"""{SCRIPTS["bash"]}
    COMP_LINE={line!r}; COMP_POINT=${{#COMP_LINE}}
    _affidavit affidavit; printf '<%s>' "${{COMPREPLY[@]}}"; complete -p affidavit"""
    found = shell("bash", call, tmp_path)
    assert "<model:demo-chat><model:demo-error>" in found
    assert "-F _affidavit affidavit" in found


def test_the_script_of_fish_works(site: Site, tmp_path: Path) -> None:
    """Fish offers what the console offers."""
    line = f"affidavit query --data {site.data} 'model:demo-"
    call = f'{SCRIPTS["fish"]}\ncomplete -C "{line}"'
    assert "model:demo-chat" in shell("fish", call, tmp_path)


def test_the_script_of_zsh_is_read(tmp_path: Path) -> None:
    """Zsh reads it without complaint."""
    call = f"autoload -Uz compinit; compinit -u; {SCRIPTS['zsh']}\nprint $_comps[affidavit]"
    assert shell("zsh", call, tmp_path).strip() == "_affidavit"
