#!/usr/bin/env python3
"""Joins ui/verify into the one file src/affidavit/evidence/verify.html.

    scripts/verify_page.py            writes it
    scripts/verify_page.py --check    says whether it is what the modules give; status 1 if not

The modules are put one after another, in the order in which they need one another, without their
``import`` lines and the word ``export``; nothing else is changed. A name stands in one module only,
every name that is imported is exported by a module before, and no module uses what writes markup.
The page's content security policy allows this script and this style by their digests.
"""

import base64
import hashlib
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE, TARGET = ROOT / "ui" / "verify", ROOT / "src" / "affidavit" / "evidence" / "verify.html"
IMPORT = re.compile(r'^import \{ ([\w, ]+) \} from "\./(\w+)\.mjs";\n', re.MULTILINE)
NAMED = re.compile(
    r"^(export )?(?:const|let|class|function|async function|function\*) (?:\[([\w, ]+)\]|(\w+))",
    re.MULTILINE,
)
MARKUP = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function")


def order(name: str, done: list[str]) -> list[str]:
    """``done`` with a module behind those it needs."""
    if name not in done:
        for _, needed in IMPORT.findall((SOURCE / f"{name}.mjs").read_text("utf-8")):
            done = order(needed, done)
        done = [*done, name]
    return done


def script() -> str:
    """All modules as one classic script."""
    pieces, owner, exported = [], {}, {}
    for name in order("main", []):
        text = (SOURCE / f"{name}.mjs").read_text("utf-8")
        for words, needed in IMPORT.findall(text):
            missing = set(words.split(", ")) - exported[needed]
            if missing:
                sys.exit(f"{name}.mjs imports {missing}, which {needed}.mjs does not export")
        exported[name] = set()
        for public, several, one in NAMED.findall(text):
            for found in several.split(", ") if several else [one]:
                if found in owner:
                    sys.exit(f"{name}.mjs and {owner[found]}.mjs both name {found}")
                owner[found] = name
                exported[name] |= {found} if public else set()
        if MARKUP.search(text) or "</script" in text:
            sys.exit(f"{name}.mjs uses what writes markup or runs text")
        body = re.sub(r"^export ", "", IMPORT.sub("", text), flags=re.MULTILINE)
        if re.search(r"^(import|export)\b", body, re.MULTILINE):
            sys.exit(f"{name}.mjs has an import or export of another form")
        pieces.append(f"// ---- {name}.mjs\n{body.rstrip()}\n")
    return '\n"use strict";\n{\n' + "\n".join(pieces) + "}\n"


def digest(text: str) -> str:
    """A text's digest as a content security policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def page() -> str:
    """The whole file."""
    code, style = script(), "\n" + (SOURCE / "style.css").read_text("utf-8")
    policy = (
        f"default-src 'none'; script-src {digest(code)}; style-src {digest(style)};"
        " worker-src blob:; base-uri 'none'; form-action 'none';"
        " require-trusted-types-for 'script'; trusted-types worker"
    )
    text = (SOURCE / "page.html").read_text("utf-8")
    for mark, value in (("{policy}", policy), ("{style}", style), ("{script}", code)):
        text = text.replace(mark, value)
    return text


def main() -> int:
    """Write the file, or compare it."""
    made = page()
    if sys.argv[1:] == ["--check"]:
        same = TARGET.is_file() and TARGET.read_text("utf-8") == made
        if not same:
            sys.stderr.write(
                "verify.html is not what ui/verify gives: run scripts/verify_page.py\n"
            )
        return 0 if same else 1
    TARGET.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
