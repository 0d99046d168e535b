"""Saved queries at rest: one of a name for each holder, and nobody else's."""

from typing import Any

import apsw
import pytest

from affidavit.control.saved import NAME, SavedQueries, SavedQuery, Scope, holder
from affidavit.errors import UsageError


def query(scope: Scope, held_by: str, name: str, words: str = "model:x", tenant: str = "t") -> Any:
    """A query as it is stored."""
    return SavedQuery(tenant, scope, held_by, name, words, "act_1", "2026-11-23T12:00:00.000000Z")


def test_each_sees_its_own_its_teams_and_its_tenants() -> None:
    """In this order, by name; nothing of another tenant, team or actor."""
    store = SavedQueries(apsw.Connection(":memory:"))
    mine = query("own", "act_1", "b")
    team = query("team", "red", "a")
    all_of_it = query("tenant", "", "a")
    others = [query("own", "act_2", "a"), query("team", "blue", "a")]
    elsewhere = [query("tenant", "", "a", tenant="u"), query("own", "act_1", "a", tenant="u")]
    for one in (all_of_it, team, mine, *others, *elsewhere):
        store.put(one)
    assert store.seen_by("t", "act_1", "red") == [mine, team, all_of_it]
    assert store.seen_by("t", "act_3", "") == [all_of_it]


def test_a_name_is_saved_once_and_forgotten() -> None:
    """Saving again replaces; forgetting twice is no error; another store sees the same file."""
    connection = apsw.Connection(":memory:")
    store = SavedQueries(connection)
    store.put(query("own", "act_1", "a", "one"))
    store.put(query("own", "act_1", "a", "two"))
    (found,) = SavedQueries(connection).seen_by("t", "act_1", "")
    assert found.expression == "two"
    store.remove(found)
    store.remove(found)
    assert store.seen_by("t", "act_1", "") == []


def test_who_has_no_team_shares_with_none() -> None:
    """The empty team is not a team that all without one are in."""
    assert holder("own", "act_1", "") == "act_1"
    assert holder("tenant", "act_1", "red") == ""
    with pytest.raises(UsageError):
        holder("team", "act_1", "")


@pytest.mark.parametrize("name", ["", "-a", ".a", "a b", "a\n", "ä", "a" * 65, "@a"])
def test_names_are_plain(name: str) -> None:
    """What is typed behind an @ and stands in addresses."""
    assert NAME.fullmatch(name) is None
