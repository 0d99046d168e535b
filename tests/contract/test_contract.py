"""The API does what its OpenAPI document says, judged by Schemathesis (``scripts/contract``).

A real console with a small real ledger behind it, all checks, once with the key of an owner and
once with that of a member: first every systematic case of every operation, however long it takes,
then drawn ones and sequences for a while. Not examined: ``/api/tail``, whose answer does not end
(its tests are in ``tests/unit/console/test_tails.py``), and giving up, after which no owner reads.
"""

import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

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
    _make_what_examples_name(one)
    one.stop()
    with (one.data / "config.yaml").open("a") as file:
        file.write(LIMITS)
    one.start()
    yield one
    assert one.stop() == 0
    assert_fsck(one.data)
    assert_deep(one.data)


def _make_what_examples_name(one: Machine) -> None:
    """A person and a session of the document's examples, so that these find something."""
    made = one.cli(
        "keys", "create", "Alice Doe", "--email", "alice@example.com", "--role", "caller",
        "--kind", "person", "--json",
    )  # fmt: skip
    said = {
        "authorization": f"Bearer {json.loads(made.stdout)['token']}",
        "content-type": "application/json",
        "affidavit-session": "support-17",
    }
    asked = {"model": "demo-chat", "messages": [{"role": "user", "content": "Hello."}]}
    url = f"{one.gateway}/openai/v1/chat/completions"
    request = urllib.request.Request(url, json.dumps(asked).encode(), said)
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 200
    one.wait_rows("session:support-17", 2)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("phases", PHASES)
@pytest.mark.parametrize("role", ["owner", "member"])
def test_the_api_is_what_its_document_says(
    machine: Machine, tmp_path: Path, role: str, phases: str
) -> None:
    """No undocumented status, type or shape, no error of ours, nothing accepted that is wrong."""
    made = machine.cli("keys", "create", f"the {role}", "--role", role, "--team", "t", "--json")
    report = tmp_path / "report.json"
    words = [
        PROGRAM, f"--config-file={Path(__file__).parent / 'schemathesis.toml'}", "run",
        f"{machine.console}/api/openapi.json", "--checks", "all",
        "--exclude-path", "/api/tail", "--exclude-path", "/api/keys/give-up",
        "--header", f"Authorization: Bearer {json.loads(made.stdout)['token']}",
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
