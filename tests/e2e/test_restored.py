"""A backup from before the erasure of a person does not bring her back: the whole way.

Real processes: traffic, a backup while it goes on, an erasure by two persons, keys copied after it,
the installation lost, a restore. What is restored is scanned as ``test_erased`` scans: raw, and
opened with the keys of now.
"""

import json
import shutil
import time
from pathlib import Path

import pytest

from affidavit.app import opening
from affidavit.app.checking import Checking
from affidavit.app.paths import Paths
from affidavit.clock import SystemClock
from tests.e2e.canary_traffic import CONFIG, SECRETS
from tests.e2e.machine import Machine, run_cli
from tests.e2e.test_erased import (
    END_USER,
    HERS,
    MAIL,
    NAME,
    OTHERS,
    OUTPUT,
    PROMPT,
    SESSION,
    _answer,
    _api,
    _call,
    _key,
)
from tests.world import rawscan
from tests.world.canary import find
from tests.world.upstream import Upstream


def _story(machine: Machine, upstream: Upstream, room: Path) -> None:
    alice = _key(machine, NAME, "caller", "--kind", "person", "--email", MAIL)
    ann = _key(machine, "Ann", "compliance", "--kind", "person")
    ben = _key(machine, "Ben", "auditor", "--kind", "person")
    for turn in range(3):
        upstream.play([_answer(f"{OUTPUT} {turn}")], [_answer(f"{OTHERS} {turn}")])
        _call(machine, alice, f"{PROMPT} {turn}", user=END_USER, session=SESSION)
        _call(machine, machine.key, f"{OTHERS} {turn}", user="bob", session="other")
    machine.wait_rows("type:exchange.response", 6)
    _api(machine, "PUT", "/api/saved/hers", ann, {"expression": f"actor:{MAIL}"})
    with pytest.MonkeyPatch.context() as patched:  # a caller's key, which is not looked at
        patched.setenv("AFFIDAVIT_KEY", alice)
        told = machine.cli(
            "backup", "-o", str(room / "then"), "--with-keys", str(room / "old-keys")
        )
    assert "AFFIDAVIT_KEY is not looked at" in told.stderr
    asked = {"kind": "subject", "target": MAIL, "basis": "GDPR Art. 17(1)(b)"}
    made = _api(machine, "POST", "/api/erasures", ann, asked)
    _api(machine, "POST", f"/api/approvals/{made['asked']}/grant", ben, {"reason": "checked"})
    until = time.monotonic() + 90
    while (found := _api(machine, "GET", f"/api/erasures/{made['id']}", ann))["state"] != "done":
        assert time.monotonic() < until, (found, machine.messages()[-2000:])
        time.sleep(0.05)
    machine.cli("backup", "-o", str(room / "after"), "--with-keys", str(room / "keys"))


def _hits(root: Path) -> list[str]:
    """Where the person is, in whatever opens with the keys that the directory has."""
    keyring = opening.keyring(Paths(root), SystemClock())
    try:
        found = rawscan.in_databases(root, keyring, HERS)
        found += rawscan.in_vault(root, Paths(root).vault, keyring, HERS)
        assert rawscan.in_vault(root, Paths(root).vault, keyring, [OTHERS])
    finally:
        keyring.close()
    return found


def _restored(room: Path, backup: str, keys: str, name: str) -> Path:
    data = room / name
    where = ["--keys", str(room / keys), "--data", str(data)]
    run_cli("restore", str(room / backup), *where, "--json")
    result = Checking(data, None, lambda *_: None, deep=True, anew=True).run()
    assert result.finding is None, result.finding
    return data


@pytest.mark.slow
def test_restored_from_before_an_erasure_nothing_of_the_person_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the keys of now; with those of then, which had to be destroyed, she would be."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    config = tmp_path / "config.yaml"
    with Upstream([]) as upstream:
        config.write_text(CONFIG.format(url=upstream.url))
        machine = Machine(tmp_path / "data", config=config, environ=SECRETS)
        try:
            _story(machine, upstream, tmp_path)
        finally:
            machine.kill()
    assert find(HERS, [tmp_path / "then", tmp_path / "after"]) == []
    shutil.rmtree(machine.data)
    for path in (tmp_path / "then", tmp_path / "after"):
        assert (path / "config.yaml").stat().st_mode & 0o77 == 0

    assert _hits(_restored(tmp_path, "then", "old-keys", "with-old-keys"))
    where = ["--keys", str(tmp_path / "keys"), "--data", str(tmp_path / "fork")]
    refused = run_cli("restore", str(tmp_path / "then"), *where, check=False)
    assert (refused.returncode, "fork" in refused.stderr) == (1, True)
    shutil.copytree(tmp_path / "keys", tmp_path / "unaware")  # of how long the log was by then
    shutil.copy(tmp_path / "then" / "log" / "checkpoint", tmp_path / "unaware")
    new = _restored(tmp_path, "then", "unaware", "new")
    assert _hits(new) == []
    assert find(HERS, [new]) == []
    latest = _restored(tmp_path, "after", "keys", "latest")
    assert _hits(latest) == []

    again = Machine(latest, config=config, environ=SECRETS)
    try:
        assert again.rows('"qxpromptcanary"') == []
        assert len(again.rows(f'"{OTHERS}"')) >= 6
        (erased,) = again.rows("type:retention.erased")
        assert json.dumps(erased)
        assert again.stop() == 0, again.messages()
    finally:
        if again.process.poll() is None:
            again.kill()
