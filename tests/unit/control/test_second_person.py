"""Who cannot be the second person: whoever asked, however the name is written this time."""

import pytest

from affidavit.control.approvals import check_second
from affidavit.control.identity import Identity
from affidavit.errors import RefusedError


def identity(name: str, email: str = "", actor: str = "", tenant: str = "acme") -> Identity:
    """A key of somebody, as it is stored."""
    actor = actor or f"act_{name}"
    return Identity("key_", tenant, actor, "person", "auditor", "", (), name, email, b"", "")


@pytest.mark.parametrize(
    "second",
    [
        identity("Ada", actor="act_Ada"),
        identity("ADA"),
        identity(" ada "),
        identity("A\u200bda"),
        identity("\uff21da"),
        identity("Ada", tenant="other", actor="act_of another tenant"),
        identity("Somebody", " ADA@example.com"),
    ],
    ids=["actor", "case", "blanks", "unseen", "width", "tenant", "mail"],
)
def test_another_spelling_is_no_other_person(second: Identity) -> None:
    """One person is one, also by a key whose name looks the same or is written otherwise."""
    with pytest.raises(RefusedError, match="second person"):
        check_second(identity("Ada", "ada@example.com", actor="act_Ada"), second)


def test_somebody_else_is_the_second_person() -> None:
    """Others are others, also where neither has an address."""
    asker = identity("Ada")
    for second in (identity("Grace"), identity("Ada Byron", "ada.b@example.com")):
        check_second(asker, second)
        assert second.actor != asker.actor
