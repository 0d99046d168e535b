"""A person is erased in a running installation, which is then killed: nothing of her is on disk.

Real processes, real traffic with canaries of the person in every form, and of others. After the
erasure is done, ``kill -9``; the files are scanned as they lie: raw, and opened with the keys of
then and with those of before, whoever kept a copy of ``keys.db``, its key-encryption key and the
wraps. No checkpoint and no VACUUM is issued here. Bundles of before still verify, and so does that
the erased records existed.
"""

import json
import shutil
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from affidavit.app import opening
from affidavit.app.paths import Paths
from affidavit.cli.sequencer import call
from affidavit.clock import SystemClock
from affidavit.record.keys import KeyEncryptionKey
from affidavit.vault.keyring import Keyring
from tests.e2e.canary_traffic import CONFIG, SECRETS
from tests.e2e.machine import Machine, run_cli
from tests.world import rawscan
from tests.world.audit import audit
from tests.world.canary import find
from tests.world.rawclient import RawClient, request
from tests.world.upstream import Upstream, whole

NAME, MAIL = "Qxzelda Canaryname", "qxzelda.canary@example.org"
PROMPT, OUTPUT = "qxpromptcanary vvv", "jxoutputcanary www"
SESSION, END_USER = "qxsession-canary-77", "qxenduser-canary-12"
HERS = [NAME, MAIL, "xpromptcanary", "xoutputcanary", SESSION, END_USER]
"""Without the letter that the index may share between neighbours."""
OTHERS = "bystandercanary"


def _call(machine: Machine, key: str, prompt: str, *, user: str, session: str) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": prompt}], "user": user}
    fields = (("content-type", "application/json"), ("affidavit-session", session))
    with RawClient(int(machine.gateway.rpartition(":")[2])) as client:
        data = json.dumps(body).encode()
        client.send(request("/injected/v1/chat/completions", data, key=key, headers=fields))
        assert client.answer().status == 200


def _answer(text: str) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}}
    document = {"id": "c", "object": "chat.completion", "model": "m", "choices": [choice]}
    return whole(json.dumps(document).encode())


def _api(machine: Machine, method: str, path: str, key: str, body: Any = None) -> Any:
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(f"{machine.console}{path}", data, headers, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            raise AssertionError(error.read().decode()) from None


def _keyring(root: Path) -> Keyring:
    return opening.keyring(Paths(root), SystemClock())


@pytest.mark.slow
def test_nothing_of_an_erased_person_is_on_disk(tmp_path: Path) -> None:
    """See the module; what is found before shows that it would have been found."""
    (tmp_path / "tmp").mkdir()
    data = tmp_path / "data"
    config = tmp_path / "config.yaml"
    with Upstream([]) as upstream:
        config.write_text(CONFIG.format(url=upstream.url))
        environ = {**SECRETS, "TMPDIR": str(tmp_path / "tmp")}
        machine = Machine(data, config=config, environ=environ)
        try:
            _story(machine, upstream, tmp_path)
        finally:
            if machine.process.poll() is None:
                machine.kill()
    assert "Traceback" not in machine.messages()


def _key(machine: Machine, name: str, role: str, *more: str) -> str:
    made = machine.cli("keys", "create", name, "--role", role, "--json", *more)
    token: str = json.loads(made.stdout)["token"]
    return token


def _story(machine: Machine, upstream: Upstream, room: Path) -> None:
    data, roots = machine.data, [machine.data, machine.log, room / "tmp"]
    alice = _key(machine, NAME, "caller", "--kind", "person", "--email", MAIL)
    ann = _key(machine, "Ann", "compliance", "--kind", "person")
    ben = _key(machine, "Ben", "auditor", "--kind", "person")
    for turn in range(4):
        upstream.play([_answer(f"{OUTPUT} {turn}")], [_answer(f"{OTHERS} {turn}")])
        _call(machine, alice, f"{PROMPT} {turn}", user=END_USER, session=SESSION)
        _call(machine, machine.key, f"{OTHERS} {turn}", user="bob", session="other")
    machine.wait_rows("type:exchange.response", 8)
    _api(machine, "PUT", "/api/saved/hers", ann, {"expression": f"actor:{MAIL}"})
    machine.cli("query", f"actor:{MAIL}")
    machine.cli("export", "model:m", "-o", str(room / "before.zip"), "--content", "full")
    assert find(HERS, roots) == [], "in the clear before"
    (hers, *_) = machine.rows(f"actor:{MAIL} type:exchange.request")
    keyring = _keyring(data)
    before = rawscan.in_databases(data, keyring, HERS)
    for file, word in (("state.db", MAIL), ("index.db", MAIL), ("text.db", "xpromptcanary")):
        assert [hit for hit in before if hit.startswith(file) and word[:8] in hit], (file, before)
    assert len(rawscan.in_vault(data, Paths(data).vault, keyring, HERS)) >= 8
    assert rawscan.in_journals(data, keyring, HERS), "the journals had nothing to lose"
    keyring.close()
    old = _kept(data, room)

    _left_behind(data)
    asked = {"kind": "subject", "target": MAIL, "basis": "GDPR Art. 17(1)(b)"}
    made = _api(machine, "POST", "/api/erasures", ann, asked)
    _api(machine, "POST", f"/api/approvals/{made['asked']}/grant", ben, {"reason": "checked"})
    until = time.monotonic() + 90
    while (found := _api(machine, "GET", f"/api/erasures/{made['id']}", ann))["state"] != "done":
        assert time.monotonic() < until, (found, machine.messages()[-2000:])
        time.sleep(0.05)
    machine.kill()
    _nothing_left(data, old, room, roots)

    machine.start()
    verified = run_cli("verify", str(room / "before.zip"), "--key", machine.vkey)
    assert "all 8" in verified.stdout or "all 16" in verified.stdout, verified.stdout
    machine.cli("export", "model:m", "-o", str(room / "after.zip"))
    after = run_cli("verify", str(room / "after.zip"), "--key", machine.vkey)
    assert "content of 8 not disclosed" in after.stdout, after.stdout
    certificate = room / "certificate.txt"
    machine.cli("erase", "certificate", made["id"], "-o", str(certificate))
    keys = json.loads(machine.cli("log", "keys", "--json").stdout)
    run_cli("verify", str(certificate), "--key", keys["certificate_vkey"])
    shown = machine.cli("show", hers["id"]).stdout
    assert made["id"] in shown.replace("\n", ""), shown
    revealed = machine.cli("reveal", hers["id"], "--reason", "a test").stdout
    assert f"erased something of this record: affidavit erase show {made['id']}" in revealed
    assert machine.rows(f"actor:{MAIL}") == []
    assert machine.rows('"qxpromptcanary"') == []
    assert len(machine.rows(f'"{OTHERS}"')) >= 8
    assert machine.stop() == 0, machine.messages()
    kept = audit(data, beside=room / "rebuilt", canaries=HERS)
    assert kept.types["retention.erased"] == 1
    assert not rawscan.in_vault(data, Paths(data).vault, _keyring(data), HERS)


def _left_behind(data: Path) -> None:
    """A backup's cut with keys whose client died, and an index that was being made anew."""
    answer = call(data, "backup.cut", {"keys": True})
    dead = data / "run" / "tmpdead"
    dead.mkdir()
    for name in ("index.db", "text.db"):
        shutil.copyfile(data / name, dead / name)
    assert (Path(answer["place"]) / "kek").exists()


def _kept(data: Path, room: Path) -> Path:
    """What somebody copied before: keys.db, the key-encryption key, and the wraps."""
    old = room / "old"
    (old / "keys").mkdir(parents=True)
    for path in data.glob("keys.db*"):
        shutil.copyfile(path, old / path.name)
    for path in (data / "keys").iterdir():
        shutil.copy(path, old / "keys" / path.name)
    shutil.copytree(data / "vault", old / "vault")
    return old


def _nothing_left(data: Path, old: Path, room: Path, roots: list[Path]) -> None:
    """Raw, and with the keys of now and of before."""
    now, then = _keyring(data), _keyring(old)
    try:
        assert find(HERS, roots) == []
        assert {path.name for path in data.rglob("*.db")} <= {
            "keys.db", "state.db", "index.db", "text.db"}  # fmt: skip
        assert sum(1 for _ in data.rglob("*.db")) == 4, "copies of databases"
        assert [path.parent for path in data.rglob("kek*")] == [data / "keys"]
        for keyring in (now, then):
            assert rawscan.in_databases(data, keyring, HERS) == []
            assert rawscan.in_vault(data, Paths(data).vault, keyring, HERS) == []
            assert rawscan.in_journals(data, keyring, HERS) == []
        stale = KeyEncryptionKey.load(Paths(old).key_encryption_key)
        assert not rawscan.opens(data / "keys.db", stale.derive("keys.db"))
        mixed = room / "mixed"  # the ciphertext of now beside the wraps of before
        shutil.copytree(data / "vault", mixed)
        for path in (old / "vault").rglob("*.wraps"):
            target = mixed / path.relative_to(old / "vault")
            if target.with_suffix(".seg").exists():
                shutil.copyfile(path, target)
        assert rawscan.in_vault(data, mixed, then, HERS) == []
        assert rawscan.in_vault(data, mixed, then, [OTHERS]), "the old keys open what is left"
    finally:
        now.close()
        then.close()
