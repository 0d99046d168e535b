"""Saved queries on the command line: what ``@NAME`` stands for, and keeping, listing, forgetting.

Rules: ``@NAME`` alone stands for a saved query; its words are then asked as if they had been typed,
so the answer is the asker's and the record of the question holds them. Not here: who may see or
change a query, which the console decides.
"""

import re
from urllib.parse import quote

from affidavit.cli import output
from affidavit.cli.client import Client
from affidavit.errors import NotFoundError, UsageError

_REFERENCE = re.compile(r"@([A-Za-z0-9][A-Za-z0-9_.-]{0,63})")

_BESIDE = re.compile(r"(?:^|[\s(])(@[A-Za-z0-9][A-Za-z0-9_.-]*)")
_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"')


def words(client: Client, expression: str) -> str:
    """The expression that is meant: the words of a saved query if it is ``@NAME``."""
    named = _REFERENCE.fullmatch(expression.strip())
    if named is None:
        if beside := _BESIDE.search(_QUOTED.sub("", expression)):
            raise UsageError(
                f"{beside[1]} stands for a saved query only if it is all of the expression.",
                hint=f"Its words: affidavit query --saved; to look for the word: '\"{beside[1]}\"'",
            )
        return expression
    try:
        found = client.get(_path(named[1]))
    except NotFoundError as error:
        error.hint = f"affidavit query --saved; to look for the word: '\"{expression.strip()}\"'"
        raise
    output.say(f"@{named[1]}: {found['expression'] or 'everything'}")
    return str(found["expression"])


def save(client: Client, name: str, expression: str, scope: str) -> None:
    """Keep an expression under a name; ``@OTHER`` is kept as its words are now."""
    expression = words(client, expression)
    body = {"expression": expression, "scope": scope}
    with output.pointing(expression):
        client.put(_path(name), body)
    output.plain(f"Saved. Ask it with: affidavit query @{name}")


def forget(client: Client, name: str, scope: str) -> None:
    """Forget the query of a name."""
    client.delete(f"{_path(name)}?scope={quote(scope, safe='')}")
    output.plain(f"@{name} is forgotten; what was recorded of it stays.")


def listing(client: Client, *, json: bool) -> None:
    """All that the reader has or shares."""
    found = client.get("/api/saved")["saved"]
    if json:
        for one in found:
            output.json_line(one)
        return
    if not found:
        output.plain("Nothing is saved. affidavit query --save NAME 'EXPR'")
        return
    rows = [
        (f"@{one['name']}", one["scope"], output.moment(one["saved"])[:10],
         one["expression"] + ("" if one["askable"] else "  (outside your boundary)"))
        for one in found
    ]  # fmt: skip
    output.table(("Name", "Of", "Saved", "Expression"), rows)


def _path(name: str) -> str:
    return f"/api/saved/{quote(name, safe='')}"
