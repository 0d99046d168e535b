"""One installation for each module, and HTTP clients to its console."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from affidavit.console.app import create_app
from affidavit.console.auth import Reader
from affidavit.query.boundary import for_identity
from tests.world.machine import Machine

BASE = "http://127.0.0.1:8788"
Client = Callable[[str], TestClient]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """An installation with three exchanges, two of them in one session."""
    path: Path = tmp_path_factory.mktemp("machine")
    made = Machine(path)
    made.exchange("What is a witness?", "Somebody who saw it.", session="my-session")
    made.exchange("And a monitor?", "A witness who counts.", session="my-session")
    made.exchange(
        "Fail, please.", "No.", model="demo-error", outcome={"http.response.status_code": 429}
    )
    made.settle()
    yield made
    made.close()


@pytest.fixture(scope="module")
def console(machine: Machine) -> Iterator[TestClient]:
    """An HTTP client to the console of this module."""
    app = create_app(machine.services())
    with TestClient(app, base_url=BASE, raise_server_exceptions=False) as one:
        yield one


@pytest.fixture
def client(console: TestClient, machine: Machine) -> Client:
    """Give the client the key of a role; ``""`` for no key."""

    def choose(role: str) -> TestClient:
        console.headers.pop("authorization", None)
        console.cookies.clear()
        if role:
            console.headers["authorization"] = f"Bearer {machine.keys[role]}"
        return console

    return choose


def reader_of(machine: Machine, role: str) -> Reader:
    """A reader as authentication makes one."""
    identity = machine.identity(role)
    return Reader(identity, "key", for_identity(identity), "127.0.0.1", "test")
