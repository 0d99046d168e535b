"""What an erasure forgets of a person goes by whole words."""

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from affidavit.app import forgetting
from affidavit.clock import SystemClock
from affidavit.control.holds import Hold, HoldStore
from affidavit.control.idempotency import Answered
from affidavit.control.saved import SavedQueries, SavedQuery
from affidavit.control.store import IdentityStore
from affidavit.durable import open_database

NOW = "2026-11-23T12:00:00.000000Z"


@pytest.mark.parametrize(
    ("expression", "named"),
    [
        ("actor:al", True), ("actor:AL@example.com", True), ('"ask al today"', True),
        ("model:alpha", False), ("model:al", False), ('"already"', False),
        ("(actor:al OR model:x)", True),
        ("actor:al (", True), ("model:alpha (", False), ('"alpha, al-2"', True),
    ],
)  # fmt: skip
def test_a_name_is_found_as_words_of_its_own(expression: str, named: bool) -> None:
    """Also in what is no expression any more; a short name takes nobody else's query."""
    assert forgetting._Called({"al"}).in_words(expression, NOW) is named


class _State:
    """A ``state.db`` with Alice of acme, who placed a hold, and holds and queries of others."""

    def __init__(self, path: Path) -> None:
        clock = SystemClock()
        self.db = open_database(path / "s.db", bytes(32))
        self.identities, self.holds = IdentityStore(self.db, clock), HoldStore(self.db)
        self.saved, self.answered = SavedQueries(self.db), Answered(self.db, clock)
        mail = "alice@example.com"
        self.alice, _ = self.identities.draft(tenant="acme", name="Alice Doe", email=mail)
        self.identities.put(self.alice)
        self._hold("hers", "acme", "Alice Doe", "model:m", self.alice.actor)
        self._hold("on", "acme", "the law firm", f'"{mail}"', "act_o")
        self._hold("far", "other", "Alice Doe", f'"{mail}"', "act_o")
        for tenant, scope, name, words in (
            ("acme", "tenant", "about", f"actor:{mail}"), ("acme", "team", "alice-doe", "model:m"),
            ("acme", "team", "costs", "model:m"), ("other", "tenant", "about", f"actor:{mail}"),
        ):  # fmt: skip
            self.saved.put(SavedQuery(tenant, scope, "", name, words, "act_o", NOW))  # type: ignore[arg-type] # of three words

    def _hold(self, name: str, tenant: str, owner: str, words: str, actor: str) -> None:
        self.holds.put(
            Hold(name, tenant, "m", owner, "r", words, f"hidden {name}", b"{}", NOW, "k", actor)
        )

    def forget(self, names: set[str], **where: str) -> None:
        forgetting.forget(
            self.db, self.identities, self.saved, self.holds, self.answered, [self.alice], names,
            NOW, **where,
        )  # fmt: skip

    def seen(self) -> dict[str, Any]:
        """Who answers for each hold and its words, and what is saved."""
        found: dict[str, Any] = {one.id: (one.owner, one.expression) for one in self.holds.all()}
        return found | {"saved": {f"{one.tenant} {one.name}" for one in self.saved.all()}}


def test_holds_and_queries_lose_a_name_in_the_tenant_that_erases(tmp_path: Path) -> None:
    """Who answers for a hold at once, its words with its release; another tenant's stay."""
    state = _State(tmp_path)
    before = state.seen()
    state.forget({"Alice Doe", "alice@example.com"}, within="acme")
    after = state.seen()
    assert after["hers"] == (state.alice.actor, "model:m")
    assert after["on"] == before["on"], "in force: what it holds is known by its words"
    assert after["far"] == before["far"]
    assert after["saved"] == {"acme costs", "other about"}
    on = state.holds.find("on").over(NOW, "a", "act_b")
    assert (on.expression, on.tree, on.releaser) == ("hidden on", b"", "act_b")
    hers = state.holds.find("hers").over(NOW)
    assert (hers.expression, hers.tree) == ("model:m", b"{}")
    state.holds.put(msgspec.structs.replace(state.holds.find("far"), released=NOW))
    state.forget({"Alice Doe", "alice@example.com"})
    assert state.seen()["far"] == (state.alice.actor, "hidden far")
    assert state.seen()["saved"] == {"acme costs"}
    state.db.close()


def test_what_a_tenant_saved_and_its_holds_say_goes_with_it(tmp_path: Path) -> None:
    """Whomever it names, as its people are nobody's any more; a name without a key is nobody's."""
    state = _State(tmp_path)
    state.forget({"the law firm"}, tenant="acme")
    after = state.seen()
    assert after["saved"] == {"other about"}
    assert after["on"] == (forgetting.NOBODY, '"alice@example.com"')
    assert state.holds.find("on").over(NOW).expression == "hidden on"
    assert state.holds.find("hers").over(NOW).expression == "hidden hers"
    assert state.holds.find("far").over(NOW).expression == '"alice@example.com"'
    state.db.close()


def test_the_names_of_a_large_tenant_take_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ordering waits for it; what other tenants saved is not even read for names."""
    state = _State(tmp_path)
    crowd = {f"{first} Person {number}" for number in range(1500) for first in ("Ann", "Bo")}
    mine = [f"mine {number}" for number in range(20)]
    for number, name in enumerate(mine):
        words = f'"person {number}" OR "ann person {number}x" OR actor:bo@example.com'
        state.saved.put(SavedQuery("acme", "team", "", name, words, "act_o", NOW))
        state._hold(name, "acme", f"Bo Person {number} of the firm", words, "act_o")
        state.saved.put(SavedQuery("other", "team", "", name, words, "act_o", NOW))
    state.saved.put(SavedQuery("acme", "team", "", "told", '"ann person 7 said"', "act_o", NOW))
    read = list[str]()
    words_of = forgetting._words

    def noted(expression: str, now: str) -> list[str]:
        read.append(expression)
        return words_of(expression, now)

    monkeypatch.setattr(forgetting, "_words", noted)
    began = time.thread_time()
    state.forget(crowd, within="acme")
    took = time.thread_time() - began
    assert took < 1.0, "each of 3,000 names by itself takes many times as long"
    after = state.seen()
    assert {after[name][0] for name in mine} == {forgetting.NOBODY}
    assert "acme told" not in after["saved"]
    assert {f"acme {name}" for name in mine} <= after["saved"]
    assert len(read) == sum(one.tenant == "acme" for one in state.holds.all()) + 24
    state.db.close()
