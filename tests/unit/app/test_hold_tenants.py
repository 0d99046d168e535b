"""Of whose records a hold is, and who decides about its end."""

import msgspec
import pytest

from affidavit.app import hold_tenants
from affidavit.control.holds import Hold
from affidavit.control.identity import Identity
from affidavit.query import language
from affidavit.query.boundary import compliance, inject, owner
from affidavit.query.tree import Tree
from tests.world.erasures import NOW


def _hold(tree: Tree, on: str | None) -> Hold:
    body = msgspec.json.encode(tree)
    return Hold("h", "default", "m", "o", "r", "", "", body, NOW, "k", "act_a", on=on)


@pytest.mark.parametrize(
    ("words", "by_owner", "on", "owned", "given_up"),
    [
        ("model:x", False, "default", ("default", "default"), ("default", "default")),
        ("model:x", True, "", ("", ""), ("default", "default")),
        ("tenant:acme model:x", True, "acme", ("acme", ""), ("acme", "acme")),
        ("tenant:default model:y", True, "default", ("default", "default"), ("default", "default")),
        ("tenant:acme OR tenant:default", True, "", ("", ""), ("default", "default")),
        ("tenant:default*", True, "", ("", ""), ("default", "default")),
    ],
)
def test_who_sees_and_who_decides(
    words: str, by_owner: bool, on: str, owned: tuple[str, str], given_up: tuple[str, str]
) -> None:
    """An owner alone where a hold is on what is not its tenant's; somebody after giving up."""
    asked = language.parse(words, NOW)
    tree = inject(asked, owner("act_a") if by_owner else compliance("act_a", "default"), "r")
    assert hold_tenants.of(tree) == on
    for hold in (_hold(tree, on), _hold(tree, None)):
        found = [
            (hold_tenants.sees(hold, owned=one), hold_tenants.decides(hold, owned=one))
            for one in (True, False)
        ]
        assert found == [owned, given_up]


def test_where_there_is_one_tenant_all_is_of_it() -> None:
    """So that the hold of an only owner can be released by the second person that there is."""

    def key(tenant: str, role: str, given_up: str = "") -> Identity:
        return Identity(
            "k", tenant, "act_a", "person", role, "", (), "Ann", "", b"", NOW, given_up=given_up
        )

    assert hold_tenants.owned([key("a", "owner"), key("b", "auditor")])
    assert not hold_tenants.owned([key("a", "owner"), key("a", "auditor")])
    assert not hold_tenants.owned([key("a", "owner", NOW), key("b", "auditor")])


def test_of_an_old_hold_without_its_tree_the_tenant_counts() -> None:
    """One that was released and has forgotten its words."""
    hold = msgspec.structs.replace(_hold(language.parse("model:x", NOW), None), tree=b"")
    assert hold_tenants.sees(hold, owned=True) == "default"
