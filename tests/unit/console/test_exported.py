"""What leaves is on record before it could be erased; and the leaves that this record names."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from affidavit.console import exported
from affidavit.console.access import Access
from affidavit.console.app import create_app
from affidavit.errors import PrunedError
from affidavit.evidence import bundle, verify
from affidavit.ledger.log_reader import LogReader
from affidavit.vault.erase import Eraser
from affidavit.vault.segments import Bucket
from tests.unit.console.conftest import BASE
from tests.world.machine import TENANT, Machine

SHOWN, OTHERS = [1, 2], [3, 4]
EXPORT = {"expression": "session:run", "content": "full"}


@pytest.fixture
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Two exchanges, of which a bundle shows one."""
    made = Machine(tmp_path_factory.mktemp("exported"))
    made.exchange("shown", session="run")
    made.exchange("other", session="walk")
    made.settle()
    yield made
    made.close()


def _erase(machine: Machine, indexes: list[int]) -> None:
    bucket = Bucket(TENANT, "default", machine.clock.now()[:10])
    machine.vault.retire([bucket])
    eraser = Eraser(machine.disk, machine.root / "vault", machine.keyring, machine.clock)
    assert [*eraser.records(bucket, indexes, "content").indexes] == indexes


def _export(machine: Machine, **more: object) -> Any:
    with TestClient(create_app(machine.services()), base_url=BASE) as console:
        headers = {"authorization": f"Bearer {machine.keys['owner']}"}
        return console.post("/api/export", json=EXPORT | more, headers=headers)


def _shows(answer: Any) -> list[str]:
    """The parts of content in a bundle."""
    members = verify.read_zip(answer.content)
    return sorted(name for name in members if name.startswith("content/") and "salts" not in name)


@pytest.mark.parametrize(
    ("indexes", "status"), [(SHOWN[:1], 503), (SHOWN, 503), (OTHERS, 200)], ids=str
)
def test_what_is_erased_while_a_bundle_is_made_does_not_leave_in_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, indexes: list[int], status: int
) -> None:
    """It would leave after the certificate that lists bundles; of others' records it may be."""
    whole = bundle.make

    def make(*args: Any, **more: Any) -> bundle.Bundle:
        made = whole(*args, **more)
        _erase(machine, indexes)
        return made

    with monkeypatch.context() as patch:
        patch.setattr(bundle, "make", make)
        answer = _export(machine)
    assert answer.status_code == status
    assert len(machine.records("access.export")) == (status == 200)
    if status == 200:
        assert _shows(answer) == ["content/1-0", "content/2-0"]
        return
    assert "erased while the bundle was made" in answer.json()["detail"]
    again = _export(machine)
    assert (again.status_code, len(_shows(again))) == (200, 2 - len(indexes))


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        ({"content": "digest"}, 503),
        ({"content": "none"}, 200),
        ({"content": "digest", "withhold": ["content"]}, 200),
        ({"withhold": ["content"]}, 200),
        ({"expression": "type:exchange.*", "content": "digest", "sample": 1, "seed": "c"}, 200),
    ],
    ids=str,
)
def test_what_a_bundle_leaves_out_may_be_erased_while_it_is_made(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, wanted: dict[str, Any], status: int
) -> None:
    """It was read and is not in the bundle, so nothing of it leaves; so with what is not drawn."""
    whole = bundle.make

    def make(*args: Any, **more: Any) -> bundle.Bundle:
        made = whole(*args, **more)
        given = verify.read_zip(made.data)["disclosures.jsonl"]
        lines = [json.loads(line) for line in bytes(given).splitlines()]
        shown = {one["leaf"] for one in lines if one["section"] == "content"}
        assert bool(shown) == ("sample" in wanted or status == 503)
        left_out = [index for index in SHOWN + OTHERS if index not in shown]
        _erase(machine, SHOWN if status == 503 else left_out)
        return made

    monkeypatch.setattr(bundle, "make", make)
    assert _export(machine, **wanted).status_code == status


def test_it_leaves_after_its_record_or_not_at_all(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Erased between the check and the record: the record is there, and nobody got the bundle."""
    whole = Access.read

    async def read(self: Access, kind: str, *rest: Any) -> str:
        if kind == "access.export":
            _erase(machine, SHOWN)
        return await whole(self, kind, *rest)

    monkeypatch.setattr(Access, "read", read)
    answer = _export(machine)
    assert answer.status_code == 503
    assert json.loads(answer.content)["kept"].startswith("nothing of it was handed out")
    assert len(machine.records("access.export")) == 1


def test_what_is_pruned_meanwhile_is_gone_as_what_is_erased(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The export is asked for again: it is not that nothing of its name was there."""
    whole = bundle.make

    def pruned(_: LogReader, index: int) -> Any:
        raise PrunedError(f"Leaf {index} was pruned.")

    def make(*args: Any, **more: Any) -> bundle.Bundle:
        made = whole(*args, **more)
        _erase(machine, OTHERS)
        monkeypatch.setattr(LogReader, "decoded", pruned)
        return made

    monkeypatch.setattr(bundle, "make", make)
    answer = _export(machine)
    assert answer.status_code == 503
    assert "erased while the bundle was made" in answer.json()["detail"]


@pytest.mark.parametrize("step", [1, 3])
def test_the_record_of_an_export_names_every_leaf_in_few_runs(step: int) -> None:
    """However scattered: never more than so many runs, and no leaf outside of them."""
    leaves = list(range(5, 20_000, step))
    found = exported.runs(leaves)
    assert len(found) <= exported.MAX_RUNS
    assert all(any(first <= leaf <= last for first, last in found) for leaf in leaves[::997])
    assert found[0][0] == leaves[0]
    assert found[-1][1] == leaves[-1]
    assert exported.runs([]) == []
