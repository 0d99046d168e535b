"""The script of ``verify.html``, run by Node as a browser's worker would run it."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from affidavit.evidence import verify
from tests.paths import not_proven

PAGE = Path(verify.__file__).with_name("verify.html")
DRIVER = Path(__file__).with_name("driver.mjs")
UNITS = Path(__file__).with_name("units.mjs")


class Process:
    """A script in Node that answers a line of JSON with one."""

    def __init__(self, *arguments: Path) -> None:
        node = shutil.which("node")
        if node is None:
            not_proven("verify.html agrees with verify.py (there is no node)")
        command = [node, *map(str, arguments)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def close(self) -> None:
        """End it."""
        self._process.communicate()

    def ask(self, request: Any) -> Any:
        """Send a message, get the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


class Node(Process):
    """``verify.html`` in one process for many bundles; ``place`` is a folder for them."""

    def __init__(self, place: Path, page: Path = PAGE) -> None:
        super().__init__(DRIVER, page)
        self._file = place / "bundle.zip"

    def check(self, data: bytes, trust: str, manifest: str = "") -> dict[str, Any]:
        """What the page says of a bundle, in the shape of ``verify.py --json``."""
        self._file.write_bytes(data)
        found = self.ask({"path": str(self._file), "trust": trust, "manifest": manifest})
        if found["op"] == "refused":
            assert found["reason"] == verify.REASONS[found["name"]]
            return {"ok": False, "refused": found["name"], "message": found["sentence"]}
        if found["op"] == "wrong":
            return {"wrong": found["sentence"]}
        assert found["op"] == "verdict", found
        return {"ok": found["verdict"]["facts"]["ok"], **found["verdict"]}

    def changed(self, data: bytes, trust: str, changes: Sequence[tuple[int, int]]) -> list[str]:
        """The name under which each change of one byte is refused; "verdict" if it is not."""
        self._file.write_bytes(data)
        request = {"path": str(self._file), "trust": trust, "manifest": "", "changes": changes}
        return [str(name) for name in self.ask(request)]


def keys_of(text: str) -> verify.Policy:
    """What ``--key FILE`` gives for a file of this text; nothing for none."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(text.encode())
        file.flush()
        return verify.read_keys([file.name] if text else [])


def python(data: bytes, trust: str, manifest: str = "") -> dict[str, Any]:
    """What ``verify.py`` says of a bundle, likewise."""
    is_policy = any(line.split()[:1] == ["log"] for line in trust.splitlines())
    try:
        policy = verify.read_policy(trust) if is_policy else keys_of(trust)
        verdict = verify.check(data, policy, manifest)
    except verify.Refused as refused:
        return {"ok": False, "refused": refused.name, "message": refused.sentence}
    except verify.WrongUse as wrong:
        return {"wrong": str(wrong)}
    report: dict[str, Any] = json.loads(
        json.dumps({"ok": verdict.facts["ok"], **verdict._asdict()})
    )
    return report
