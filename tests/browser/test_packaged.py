"""``verify.html`` is made from ``ui/verify``, can reach nothing, and writes no markup."""

import base64
import hashlib
import re
import subprocess
import sys

from tests.browser.node import PAGE
from tests.paths import REPOSITORY

TEXT = PAGE.read_text(encoding="utf-8")


def inside(tag: str) -> str:
    """What stands in the only element of this name."""
    (found,) = re.findall(rf"<{tag}>(.*?)</{tag}>", TEXT, re.DOTALL)
    return str(found)


def test_it_is_what_the_modules_give() -> None:
    """``scripts/verify_page.py`` makes these very bytes."""
    command = [sys.executable, str(REPOSITORY / "scripts" / "verify_page.py"), "--check"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_stale_file_is_noticed() -> None:
    """The check compares, and does not only run."""
    source = (REPOSITORY / "scripts" / "verify_page.py").read_text(encoding="utf-8")
    names: dict[str, object] = {"__file__": str(REPOSITORY / "scripts" / "verify_page.py")}
    exec(compile(source.replace("__name__ ==", "'' =="), "verify_page.py", "exec"), names)
    page = names["page"]
    assert callable(page)
    assert page() == TEXT
    assert page() != TEXT.replace("not-canonical", "not_canonical", 1)


def test_nothing_outside_is_allowed() -> None:
    """The policy allows this script and this style by digest, and a worker of the page's own."""
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', TEXT)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    for tag, rule in (("script", "script-src"), ("style", "style-src")):
        digest = base64.b64encode(hashlib.sha256(inside(tag).encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    assert rules["worker-src"] == "blob:"
    assert rules["require-trusted-types-for"] == "'script'"
    assert set(rules) == {
        "default-src", "script-src", "style-src", "worker-src", "base-uri", "form-action",
        "require-trusted-types-for", "trusted-types",
    }  # fmt: skip


def test_nothing_outside_is_named() -> None:
    """No address, no resource, no handler in markup, nothing that writes markup or runs text."""
    markup = TEXT.replace(inside("script"), "").replace(inside("style"), "")
    assert not re.search(r"""\b(src|href|srcset|action|style|on\w+)=""", markup)
    assert not re.search(r"https?:|//[a-z]|url\(|@import", TEXT.replace("// ----", ""))
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|\beval\(|Function\(", TEXT)
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|importScripts|sendBeacon)\b", TEXT)
