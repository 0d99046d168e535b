"""What an installation trusts when it judges its own evidence, and how long it waits for others."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from affidavit.clock import to_unix_us
from affidavit.console import proofs, trust
from affidavit.console.app import create_app
from affidavit.evidence import verify
from affidavit.ledger.note import COSIGNATURE, Cosigner
from tests.unit.console.conftest import BASE
from tests.world.machine import Machine
from tests.world.timestamp_authority import Authority

WITNESS = Cosigner("w.example", COSIGNATURE, bytes([4]) * 32)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """An installation with an exchange."""
    made = Machine(tmp_path / "machine")
    made.exchange(model="demo-trust")
    made.settle()
    yield made
    made.close()


def reconfigure(machine: Machine, policy: Path, roots: Path) -> None:
    """Put these files into the configuration."""
    witnesses = machine.config.witnesses.model_copy(update={"policy": policy})
    timestamps = machine.config.timestamps.model_copy(update={"ca_file": roots})
    update = {"witnesses": witnesses, "timestamps": timestamps}
    machine.config = machine.config.model_copy(update=update)


def configure(machine: Machine, tmp_path: Path) -> None:
    """Witnesses and an authority, as an operator names them."""
    authority = Authority(tmp_path / "authority")
    text = f"log {machine.log.vkey}\nwitness w {WITNESS.vkey} https://w.example/\nquorum w\n"
    (tmp_path / "witnesses.policy").write_text(text)
    reconfigure(machine, tmp_path / "witnesses.policy", authority.root_pem)


def cosign(machine: Machine) -> None:
    """The witness cosigns what is published."""
    data = machine.reader_log.checkpoint_bytes()
    text = data.decode().partition("\n\n")[0] + "\n"
    line = WITNESS.cosign(text, to_unix_us(machine.clock.now()) // 1_000_000)
    (machine.root / "log" / "cosigned").write_bytes(data + line.encode())


def test_the_logs_own_keys_are_always_trusted(machine: Machine, tmp_path: Path) -> None:
    """By log.policy, with the sizes each key counts for; without that file, by those in force."""
    found = trust.policy(machine.services())
    assert [key.name for key in found.logs.values()] == [machine.log.origin]
    assert (found.quorum, found.witnesses, found.authorities) == (["none"], {}, {})
    (machine.root / "log" / "log.policy").unlink()
    assert list(trust.policy(machine.services()).logs.values()) == list(found.logs.values())
    assert trust.witnessed(machine.config) is False


def test_witnesses_and_authorities_are_those_of_the_configuration(
    machine: Machine, tmp_path: Path
) -> None:
    """Their names and the quorum are the policy file's; what cannot be read is left out."""
    configure(machine, tmp_path)
    found = trust.policy(machine.services())
    assert (list(found.witnesses), found.quorum) == (["w"], ["w"])
    assert list(found.authorities) == ["authority1"]
    assert trust.witnessed(machine.config) is True
    (tmp_path / "witnesses.policy").write_text("nonsense\n")
    reconfigure(machine, tmp_path / "witnesses.policy", tmp_path / "none.pem")
    found = trust.policy(machine.services())
    assert (found.witnesses, found.quorum, found.authorities) == ({}, ["none"], {})


def test_a_verdict_waits_for_the_witnesses(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they cosign in time is in the verdict; what they do not is said to be lacking."""
    configure(machine, tmp_path)
    app = create_app(machine.services())
    with TestClient(app, base_url=BASE, raise_server_exceptions=False) as console:
        headers = {"authorization": f"Bearer {machine.keys['owner']}"}

        def assurance() -> str:
            body = {"expression": "model:demo-trust", "prove": True}
            answer = console.post("/api/query", json=body, headers=headers)
            assert answer.status_code == 200, answer.text
            return str(answer.json()["proof"]["assurance"])

        monkeypatch.setattr(proofs, "WITNESS_SECONDS", 0.1)
        assert "quorum w NOT met" in assurance()
        monkeypatch.setattr(proofs, "WITNESS_SECONDS", 30.0)
        stop = threading.Event()

        def witness() -> None:
            while not stop.wait(0.05):
                cosign(machine)

        thread = threading.Thread(target=witness)
        thread.start()
        try:
            said = assurance()
        finally:
            stop.set()
            thread.join()
    assert said.startswith("besides the log's key: witness w at ")
    assert "; quorum w met; " in said
    assert verify.is_time(said.partition("witness w at ")[2][:27])
