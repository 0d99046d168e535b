"""A key-encryption key in the KMS of moto, which is not ours (``scripts/kms``)."""

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from affidavit.app import aws_kms, opening
from affidavit.app.aws_kms import AwsKms
from affidavit.app.paths import Paths
from affidavit.clock import SystemClock
from affidavit.config import Config
from affidavit.durable import Disk
from affidavit.errors import AffidavitError, CheckFailedError, NotFoundError, UnavailableError
from affidavit.ids import b64u
from affidavit.vault.renewal import Renewal
from tests.e2e.machine import Machine, run_cli
from tests.world.audit import audit
from tests.world.kms import ENVIRONMENT

REPOSITORY = Path(__file__).parents[2]
PROGRAM = REPOSITORY / ".venv" / "kms" / "bin" / "moto_server"
SECRET = bytes(range(32))
LEDGER = "test.example/log"


class Moto:
    """moto's KMS in a process of its own."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.environment = {
            **ENVIRONMENT, "AWS_ENDPOINT_URL_KMS": f"http://127.0.0.1:{self.port}",
            "NO_PROXY": "127.0.0.1",
        }  # fmt: skip
        self.process = subprocess.Popen(
            [PROGRAM, "-H", "127.0.0.1", "-p", str(self.port)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert time.monotonic() < until, "moto does not serve"
                time.sleep(0.1)
            else:
                return

    def stop(self) -> None:
        """End it; whoever asks then finds nobody."""
        self.process.kill()
        self.process.wait()


@pytest.fixture
def moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[Moto]:
    """A fresh one."""
    if not PROGRAM.exists():
        print("not proven against moto: it is not installed (scripts/kms)")
        pytest.skip("moto is not installed (scripts/kms)")
    one = Moto()
    for name, value in one.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(aws_kms, "ATTEMPTS", 1)
    yield one
    one.stop()


def _client() -> Any:
    return boto3.client("kms")


def _key() -> str:
    return str(_client().create_key()["KeyMetadata"]["Arn"])


def test_wrap_unwrap_and_wrong_key(moto: Moto) -> None:
    """Under its key and for its ledger alone; an alias leads to the key's ARN."""
    first, second = _key(), _key()
    _client().create_alias(AliasName="alias/affidavit", TargetKeyId=first)
    source = AwsKms("alias/affidavit", lambda: LEDGER)
    sealed = source.seal(SECRET)
    assert first.encode() in sealed
    assert AwsKms("", lambda: LEDGER).open(sealed) == SECRET
    with pytest.raises(CheckFailedError, match="of the ledger"):
        AwsKms("", lambda: "other.example/log").open(sealed)
    words = sealed.split(b" ")
    words[2] = b64u(b"other.example/log").encode()
    with pytest.raises(AffidavitError):
        AwsKms("", lambda: "").open(b" ".join(words))
    with pytest.raises(AffidavitError):
        AwsKms("", lambda: "").open(sealed.replace(first.encode(), second.encode()))
    missing = first[:-4] + "0000"
    with pytest.raises(NotFoundError, match="knows no key"):
        AwsKms(missing, lambda: LEDGER).seal(SECRET)
    del moto


def test_an_outage(moto: Moto) -> None:
    """Told. As moto encrypts under disabled keys, too, ``test_aws_kms`` has these."""
    source = AwsKms(_key(), lambda: LEDGER)
    sealed = source.seal(SECRET)
    moto.stop()
    with pytest.raises(UnavailableError, match="does not answer"):
        source.open(sealed)
    with pytest.raises(UnavailableError, match="does not answer"):
        source.seal(SECRET)


def test_an_installation_lives_under_kms(moto: Moto, tmp_path: Path) -> None:
    """Started, renewed, outlived by what runs in an outage; not started in one."""
    key = _key()
    config = tmp_path / "config.yaml"
    config.write_text(f"keys: {{kind: aws-kms, aws_kms_key: '{key}'}}\n")
    machine = Machine(tmp_path / "data", config=config, environ=moto.environment)
    try:
        kek = machine.data / "keys" / "kek"
        before = kek.read_bytes()
        assert before.startswith(f"affidavit-kek-aws-kms-1 {key} ".encode())
        for pid, name in machine.children().items():
            shown = Path(f"/proc/{pid}/environ").read_bytes()
            assert (b"AWS_SECRET_ACCESS_KEY" in shown) == (name != "gateway"), name
        machine.cli("keys", "rotate")
        assert kek.read_bytes() != before
        machine.cli("keys", "create", "bot")
        audit_keys = opening.keyring(Paths(machine.data), SystemClock())
        audit_keys.close()
        assert machine.stop() == 0, machine.messages()
        audit(machine.data, beside=tmp_path / "beside")
        machine.start()
        moto.stop()
        machine.cli("keys", "create", "bot in an outage")
        failed = machine.cli("keys", "rotate", check=False)
        assert (failed.returncode, "does not answer" in failed.stderr) == (4, True)
        machine.wait_rows("type:change.key", 4)
        assert machine.stop() == 0, machine.messages()
    finally:
        if machine.process.poll() is None:
            machine.kill()
    none = run_cli("up", "--data", str(machine.data), "--config", str(config), check=False)
    assert (none.returncode, "does not answer" in none.stderr) == (4, True)


def test_the_key_of_kms_is_changed(moto: Moto, tmp_path: Path) -> None:
    """Renewed under another KMS key; the first one is needed no more."""
    del moto
    first, second = _key(), _key()
    paths, disk = Paths(tmp_path), Disk()
    paths.create(disk)

    def file_under(key: str) -> Any:
        made = Config.model_validate({"keys": {"kind": "aws-kms", "aws_kms_key": key}})
        return opening.key_file(paths, config=made)

    file = file_under(first)
    file.create(disk, "aws-kms")
    opening.owner(paths, disk, SystemClock(), file).close()
    file = file_under(second)
    keyring = opening.owner(paths, disk, SystemClock(), file)
    secret = keyring.secret("log/seed")
    Renewal(disk, paths.key_database, file, keyring).run()
    keyring.close()
    assert second.encode() in paths.key_encryption_key.read_bytes()
    assert first.encode() not in paths.key_encryption_key.read_bytes()
    reader = opening.keyring(paths, SystemClock())
    assert reader.secret("log/seed") == secret
    reader.close()
