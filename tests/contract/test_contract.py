"""The API does what its OpenAPI document says, judged by Schemathesis (``scripts/contract``).

A real console with a small real ledger behind it, all checks, once with the key of an owner and
once with that of a member: first every systematic case of every operation, however long it takes,
then drawn ones and sequences for a while. Not examined: ``/api/tail``, whose answer does not end
(its tests are in ``tests/unit/console/test_tails.py``), and giving up, after which no owner reads.
"""

import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.machine import Machine
from tests.paths import REPOSITORY, not_proven
from tests.world.audit import assert_deep, assert_fsck

PROGRAM = REPOSITORY / ".venv" / "contract" / "bin" / "schemathesis"
SECONDS = int(os.environ.get("AFFIDAVIT_CONTRACT_SECONDS", "60"))
"""How long each of the two goes on beyond its systematic cases."""
PHASES = {
    "systematic": ("--phases", "examples,coverage"),
    "drawn": ("--phases", "fuzzing,stateful", "--max-time", str(SECONDS)),
}
LIMITS = (
    "console:\n  limits: {reads_per_minute: 1000000, failed_per_minute: 1000000, "
    "expensive_at_once: 64}\n"
)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """The demo's installation with its traffic, without limits that a test would hit."""
    if not PROGRAM.exists():
        not_proven("schemathesis is not installed (scripts/contract), so it judged nothing of ours")
    one = Machine(tmp_path_factory.mktemp("contract") / "d", demo=True)
    one.wait_rows("type:exchange.*", 2)
    erasure = _make_what_is_named(one)
    one.stop()
    with (one.data / "config.yaml").open("a") as file:
        file.write(LIMITS)
    one.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AFFIDAVIT_CONTRACT_ERASURE", erasure)
        yield one
    assert one.stop() == 0
    assert_fsck(one.data)
    assert_deep(one.data)


def _key(one: Machine, name: str, role: str, *more: str) -> str:
    made = one.cli("keys", "create", name, "--role", role, *more, "--json")
    return str(json.loads(made.stdout)["token"])


def _ask(url: str, key: str, body: dict[str, Any] | None = None, **said: str) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    headers |= {name.replace("_", "-"): value for name, value in said.items()}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def _make_what_is_named(one: Machine) -> str:
    """A person and a session of the document's examples; returns an erasure that was done."""
    alice = _key(one, "Alice Doe", "caller", "--kind", "person", "--email", "alice@example.com")
    first, second = _key(one, "Ann", "compliance"), _key(one, "Ben", "auditor")
    asked = {"model": "demo-chat", "messages": [{"role": "user", "content": "Hello."}]}
    for session in ("support-17", "support-18"):
        url = f"{one.gateway}/openai/v1/chat/completions"
        _ask(url, alice, asked, affidavit_session=session)
        one.wait_rows(f"session:{session}", 2)
    api, wanted = f"{one.console}/api", {"kind": "session", "target": "support-18", "basis": "test"}
    made = _ask(f"{api}/erasures", first, wanted)
    _ask(f"{api}/approvals/{made['asked']}/grant", second, {})
    until = time.monotonic() + 60
    while _ask(f"{api}/erasures/{made['id']}", first)["state"] != "done":
        assert time.monotonic() < until, one.messages()
        time.sleep(0.2)
    return str(made["id"])


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("phases", PHASES)
@pytest.mark.parametrize("role", ["owner", "member"])
def test_the_api_is_what_its_document_says(
    machine: Machine, tmp_path: Path, role: str, phases: str
) -> None:
    """No undocumented status, type or shape, no error of ours, nothing accepted that is wrong."""
    key = _key(machine, f"the {role}", role, "--team", "t")
    report = tmp_path / "report.json"
    words = [
        PROGRAM, f"--config-file={Path(__file__).parent / 'schemathesis.toml'}", "run",
        f"{machine.console}/api/openapi.json", "--checks", "all",
        "--exclude-path", "/api/tail", "--exclude-path", "/api/keys/give-up",
        "--header", f"Authorization: Bearer {key}",
        *PHASES[phases], "--max-examples", "20", "--seed", "1", "--continue-on-failure",
        "--request-timeout", "30", "--no-color", "--generation-database", "none",
        "--report", "json", "--report-json-path", report,
    ]  # fmt: skip
    ended = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert ended.returncode == 0, ended.stdout[-12_000:]
    told = json.loads(report.read_text())
    operations = told["operations"]
    print(f"{role}, {phases}: {operations}, {told['test_cases']}")
    if phases == "systematic":
        assert told["complete"]
        assert operations["tested"] == operations["selected"] == operations["total"] - 2
