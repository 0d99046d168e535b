"""One write for one idempotency key, for a day, also after a restart."""

from pathlib import Path

import apsw
import pytest

from affidavit import durable
from affidavit.control.idempotency import Answered, Once, once
from affidavit.errors import KeyReusedError
from tests.world.clock import FakeClock

ASKED = {"name": "bot", "groups": ["a"]}


def asked(key: str = "k1", account: str = "key_a", **params: object) -> Once:
    """A request to make a key."""
    return once("keys.create", {**ASKED, **params}, account=account, key=key)


def opened(path: Path) -> apsw.Connection:
    """``state.db`` as a process opens it."""
    return durable.open_database(path / "state.db", bytes(32))


def test_the_answer_is_kept_without_what_opens_doors(tmp_path: Path) -> None:
    """The second time it is the first answer, without token and names; so is the file."""
    connection = opened(tmp_path)
    answered = Answered(connection, FakeClock())
    assert answered.find(asked()) is None
    answered.keep(
        asked(),
        {"identity": {"id": "key_1"}, "token": "aff_secret", "named": {"expression": "Jane"}},
    )
    assert answered.find(asked()) == {"identity": {"id": "key_1"}}
    rows = connection.execute("select * from idempotency").fetchall()
    assert "aff_secret" not in repr(rows)
    assert "Jane" not in repr(rows)
    assert "k1" not in repr(rows)
    connection.close()


def test_it_holds_after_a_restart_and_ends_after_a_day(tmp_path: Path) -> None:
    """Kept in state.db; a day later the key is new again, and the old row is gone."""
    clock = FakeClock()
    connection = opened(tmp_path)
    Answered(connection, clock).keep(asked(), {"identity": {}})
    connection.close()
    connection = opened(tmp_path)
    answered = Answered(connection, clock)
    clock.advance(24 * 3600 - 1)
    assert answered.find(asked()) == {"identity": {}}
    with pytest.raises(KeyReusedError):
        answered.find(asked(name="other"))
    clock.advance(1)
    assert answered.find(asked()) is None
    assert answered.find(asked(name="other")) is None
    answered.keep(asked("k2"), {"identity": {}})
    assert connection.execute("select count(*) from idempotency").get == 1
    connection.close()


def test_what_makes_a_request_the_same() -> None:
    """The order of fields and how the asker was authenticated do not; everything else does."""
    turned = dict(reversed([*ASKED.items(), ("by", {"via": "socket"})]))
    assert once("keys.create", turned, account="key_a", key="k1") == asked()
    assert once("keys.revoke", ASKED, account="key_a", key="k1").request != asked().request
    assert asked(groups=["b"]).request != asked().request
    names = {asked("k1").name, asked("k2").name, asked("k1", "key_b").name, asked("", "k1").name}
    assert len(names) == 4


def test_answer_and_work_are_kept_together_or_not_at_all(tmp_path: Path) -> None:
    """A transaction that fails leaves no answer to something that was not done."""
    connection = opened(tmp_path)
    answered = Answered(connection, FakeClock())

    def work() -> None:
        with connection:
            answered.keep(asked(), {"identity": {}})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert answered.find(asked()) is None
    connection.close()
