"""``affidavit completion``: what the Tab key offers in bash, zsh and fish.

Rules: the scripts never evaluate what comes back, since values from records are among it; each
line is one word to put in place, with what it means behind a tab for fish. Whatever fails (no
console, no key), nothing is offered and the shell goes on as without. Not here: what expressions
may hold, which the console says within the reader's boundary.
"""

import contextlib
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import typer

from affidavit.cli import output
from affidavit.cli.client import Client
from affidavit.console.visible import visible
from affidavit.errors import AffidavitError

Shell = Literal["bash", "zsh", "fish"]

SECONDS = 2.0
"""How long somebody who pressed Tab waits for a console."""
ASKING = ("query", "tail", "export", "sums", "facets", "histogram")
"""Verbs whose argument is an expression."""

_BASH_BREAKS = " \t\n\"'@><=;|&(:"
"""What ends a word for bash, whose completion replaces the part behind it."""
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.,/:=@%+")

SCRIPTS: dict[Shell, str] = {
    "bash": """_affidavit() {
    mapfile -t COMPREPLY < <("$1" completion bash --line "${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
}
complete -o default -o nospace -F _affidavit affidavit""",
    "zsh": """#compdef affidavit
_affidavit() {
    local -a found
    local line="${(j: :)words[1,CURRENT-1]} ${(qq)${(Q)PREFIX}}"
    found=("${(@f)$("${words[1]}" completion zsh --line "$line" 2>/dev/null)}")
    if [[ -n "${found[1]}" ]]; then compadd -U -S '' -- "${found[@]}"; else _files; fi
}
compdef _affidavit affidavit""",
    "fish": """function __affidavit
    affidavit completion fish --line (commandline -cp | string collect) 2>/dev/null
end
complete -c affidavit -f -n 'count (__affidavit)' -a '(__affidavit)'""",
}


class Word(NamedTuple):
    """A word as the shell reads it; ``quote`` is the one still open at the end of the line."""

    text: str
    quote: str = ""


class Offer(NamedTuple):
    """A word to put in place, and what it means; ``ends`` if a blank follows it."""

    text: str
    help: str = ""
    ends: bool = True


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("completion")(completion)


def completion(
    context: typer.Context,
    shell: Annotated[Shell, typer.Argument(help="bash, zsh or fish.", metavar="SHELL")],
    line: Annotated[str | None, typer.Option("--line", hidden=True)] = None,
) -> None:
    """Print the script that lets the Tab key complete verbs, options and expressions.

    Example: affidavit completion bash >> ~/.bashrc
    """
    if line is None:
        output.plain(SCRIPTS[shell])
        return
    words = split(line)
    for offer in offers(words, context.find_root().command):
        sys.stdout.write(spelt(shell, words[-1], offer) + "\n")


def split(line: str) -> list[Word]:
    """The words of a line up to the cursor, as a POSIX shell reads them; the last is unfinished."""
    words, text, quote, begun = [], "", "", False
    letters = iter(line)
    for letter in letters:
        if quote != "'" and letter == "\\":
            following = next(letters, "")
            text += following if not quote or following in '"\\$`' else letter + following
            begun = True
        elif quote:
            if letter == quote:
                quote = ""
            else:
                text += letter
        elif letter in "'\"":
            quote, begun = letter, True
        elif letter.isspace():
            if begun:
                words.append(Word(text))
            text, begun = "", False
        else:
            text += letter
            begun = True
    return [*words, Word(text, quote)]


def spelt(shell: Shell, word: Word, offer: Offer) -> str:
    """One line of the answer: the offer as this shell takes it for the unfinished word."""
    if shell == "fish":
        return f"{offer.text}\t{visible(offer.help)}" if offer.help else offer.text
    if shell == "zsh":
        return offer.text
    if word.quote == "'":
        return offer.text.replace("'", "'\\''")
    if word.quote:
        return "".join(f"\\{c}" if c in '"\\$`' else c for c in offer.text)
    at = max((word.text.rfind(mark) for mark in _BASH_BREAKS), default=-1) + 1
    rest = offer.text[at:] if offer.text[:at] == word.text[:at] else offer.text
    escaped = "".join(c if c in _PLAIN or not c.isascii() else f"\\{c}" for c in rest)
    return escaped + (" " if offer.ends else "")


def offers(words: list[Word], command: Any) -> Iterator[Offer]:
    """What could stand in the place of the last word, on a line of that (root) command."""
    given = words[-1].text
    path = [word.text for word in words[1:-1]]
    while path and path[0] in getattr(command, "commands", {}):
        command = command.commands[path.pop(0)]
    waiting = _option(command, path[-1]) if path else None
    if waiting is not None and not waiting.is_flag:
        return  # the value of an option: a name of a file, a number
    if hasattr(command, "commands"):
        for name, child in command.commands.items():
            if name.startswith(given) and not child.hidden:
                yield Offer(name, child.get_short_help_str(80))
    elif given.startswith("-"):
        for option in command.params:
            for name in option.opts:
                if name.startswith("--") and name.startswith(given) and not option.hidden:
                    yield Offer(name, option.help or "")
    elif command.name in ASKING:
        yield from _expressions(command, path, given)


def _option(command: Any, name: str) -> Any:
    """The option of that name, ``None`` if there is none."""
    known = (one for one in command.params if one.param_type_name == "option")
    return next((one for one in known if name in one.opts), None)


def _expressions(command: Any, path: list[str], given: str) -> Iterator[Offer]:
    """The expression with each thing that the console offers for its end."""
    named = {
        option.name: value
        for name, value in itertools.pairwise(path)
        if (option := _option(command, name)) is not None
    }
    with contextlib.suppress(AffidavitError):
        data = Path(named["data"]) if "data" in named else None
        client = Client(data, named.get("url"), timeout=SECONDS)
        if given.startswith("@"):
            for one in client.get("/api/saved")["saved"]:
                if f"@{one['name']}".startswith(given):
                    yield Offer(f"@{one['name']}", one["expression"], ends=False)
            return
        found = client.get("/api/completion", expression=given)
        for one in found["suggestions"]:
            text = given[: found["start"]] + one["text"]
            if text.isprintable():
                yield Offer(text, str(one["help"]), ends=False)
