"""Whose names a run of an erasure takes, and where."""

import asyncio
import contextlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from affidavit.app import erasure_run, system
from affidavit.app.erasure_run import Runs
from affidavit.config import Config
from affidavit.control.erasures import Portion, Tally
from affidavit.control.holds import HoldStore
from affidavit.control.idempotency import Answered
from affidavit.control.saved import SavedQueries, SavedQuery
from affidavit.errors import UsageError
from affidavit.record.model import Record
from affidavit.vault.erase import _not_retired as not_retired
from tests.unit.app.test_restored_erasures import CLOCK, _Host
from tests.world.erasures import NOW


def test_a_tenants_names_go_there_and_not_for_late_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another tenant may have an Ann of its own; who came since the first run is not meant.

    Nor is a key of theirs ended: of those whose keys had ended, and of nobody else.
    """
    monkeypatch.setattr(erasure_run, "KNOWN_SECONDS", 0.0)
    made = _Host(tmp_path)
    owner, theirs = made.person("default", "Own"), made.person("acme", "Ann")
    made.person("default", "Ann")
    saved, retired = SavedQueries(made.state), list[str]()
    records = list[Record]()
    system.prepare(made.state)
    for tenant in ("acme", "default"):
        saved.put(SavedQuery(tenant, "team", "red", "q", "actor:Ann", owner.actor, NOW))
    erasure = made.ask("e", owner.id, "tenant", "acme", state="running", run=1, names=("Ann",))

    async def ask(work: Any) -> Any:
        return work()

    async def record(told: Record) -> None:
        records.append(told)

    host: Any = SimpleNamespace(
        clock=CLOCK, config=Config(), state=made.state, identities=made.identities, saved=saved,
        holds=HoldStore(made.state), answered=Answered(made.state, CLOCK), erasures=made.erasures,
        vault=SimpleNamespace(
            retire_tenant=lambda name: retired.append(f"all of {name}"),
            retire_returned=lambda name: retired.append(f"returned to {name}"),
        ),
        ask=ask, record=record, tell_changed=lambda: None, deciding=asyncio.Lock(),
    )  # fmt: skip
    unused: Any = None
    runs = Runs(host, unused, unused, unused, unused, unused)
    assert asyncio.run(runs._names(replace(erasure, late=True))).revoked == ()
    assert [one.tenant for one in saved.all()] == ["acme", "default"]
    assert asyncio.run(runs._names(erasure)).revoked == (theirs.id,)
    assert [one.tenant for one in saved.all()] == ["default"]
    assert [one.name for one in made.identities.all()] == ["Own", "", "Ann"]
    assert (retired, len(records)) == (["returned to acme", "all of acme"], 1)
    made.close()


def test_a_run_that_begins_has_neither_a_tally_nor_an_end(tmp_path: Path) -> None:
    """Those of the run before are in its certificate."""
    made = _Host(tmp_path)
    owner = made.person("default", "Own")
    erasure = made.ask(
        "e", owner.id, "session", "ses_x", state="waiting", run=1, certificates=("c",), open=(7,),
        tally=Tally(records=3), finished=NOW,
    )  # fmt: skip

    async def ask(work: Any) -> Any:
        return work()

    host: Any = SimpleNamespace(
        clock=CLOCK, holds=HoldStore(made.state), erasures=made.erasures, ask=ask,
        log=SimpleNamespace(open_requests=dict),
    )  # fmt: skip
    select = SimpleNamespace(divided=lambda *_: None, unanswered=lambda *_: [])
    worker: Any = SimpleNamespace(do=ask, select=lambda: select)
    unused: Any = None
    asyncio.run(Runs(host, unused, worker, unused, unused, unused).again(erasure, every=False))
    begun = made.erasures.find("e")
    assert (begun.state, begun.run, begun.late) == ("running", 2, True)
    assert (begun.tally, begun.finished) == (Tally(), "")
    made.close()


@pytest.mark.parametrize("comes", [True, False])
def test_only_what_came_meanwhile_is_looked_for_again(tmp_path: Path, *, comes: bool) -> None:
    """A question that is too much for the index is told, instead of being asked for ever."""
    made = _Host(tmp_path)
    running = made.ask("e", "k", "session", "ses_x", state="running", run=1, selected=True)
    made.erasures.put_parts("e", [Portion("acme", "default", "2026-11-23", "", now=(7,))])
    error = UsageError("The question takes longer than 10 seconds.", reason="time")

    async def ask(work: Any) -> Any:
        return work()

    def hold(*_: object) -> None:
        raise not_retired("a day") if comes else error

    host: Any = SimpleNamespace(
        clock=CLOCK, holds=HoldStore(made.state), erasures=made.erasures, ask=ask
    )
    unused: Any = None
    worker: Any = SimpleNamespace(do=ask)
    runs: Any = Runs(host, unused, worker, unused, unused, unused)
    runs._choosing.hold = hold
    with contextlib.nullcontext() if comes else pytest.raises(UsageError, match="10 seconds"):
        asyncio.run(runs.carry_out(running))
    assert made.erasures.find("e").selected != comes
    made.close()


def test_what_waits_for_its_day_is_not_read_between_days(tmp_path: Path) -> None:
    """Where answers are waited for, only these are looked for, every few seconds."""
    made = _Host(tmp_path)
    waits = made.ask("e", "k", "tenant", "acme", state="waiting", run=1, open=(7, 8))
    made.erasures.put_parts("e", [Portion("acme", "default", "2026-11-23", "", later=(7, 8))])
    looked = list[str]()

    def watched(name: str, work: Any) -> Any:
        looked.append(name)
        return work()

    def erasures(name: str) -> Any:
        return lambda *one: watched(name, lambda: getattr(made.erasures, name)(*one))

    async def ask(work: Any) -> Any:
        return work()

    async def unanswered(requests: tuple[int, ...]) -> list[int]:
        return [one for one in requests if one not in come]

    host: Any = SimpleNamespace(
        clock=CLOCK, holds=HoldStore(made.state), ask=ask,
        erasures=SimpleNamespace(parts=erasures("parts"), put=erasures("put")),
    )  # fmt: skip
    nothing: Any = SimpleNamespace(divided=lambda one, *_: one)
    worker: Any = SimpleNamespace(do=ask, select=lambda: nothing)
    unused: Any = None
    runs: Any = Runs(host, unused, worker, unused, unused, unused)
    runs._choosing.unanswered = unanswered
    come = {7}
    asyncio.run(runs.again(waits, every=False))
    assert looked == []
    asyncio.run(runs.again(waits, every=True))
    assert looked == ["parts", "put"]
    looked.clear()
    come = {7, 8}
    asyncio.run(runs.again(waits, every=False))
    assert looked == ["put"]
    begun = made.erasures.find("e")
    assert (begun.state, begun.run, begun.late) == ("running", 2, True)
    made.close()
