"""Who cannot be the second person: whoever asked, however the name is written this time."""

from collections.abc import Sequence

import msgspec
import pytest

from affidavit.app import deciding
from affidavit.config import Config
from affidavit.control import approvals
from affidavit.control.approvals import check_second, second_persons
from affidavit.control.identity import Identity
from affidavit.errors import RefusedError

NOW = "2026-11-23T12:00:00.000000Z"


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
        check_second(identity("Ada", "ada@example.com", actor="act_Ada"), second, NOW, ())


def test_somebody_else_is_the_second_person() -> None:
    """Others are others, also where neither has an address."""
    asker = identity("Ada")
    for second in (identity("Grace"), identity("Ada Byron", "ada.b@example.com")):
        check_second(asker, second, NOW, ())
        assert second.actor != asker.actor


def test_a_key_that_the_asker_made_or_that_came_later_is_no_second_person() -> None:
    """Whoever makes keys could invent somebody; who has a key from others before is somebody."""
    asker = identity("Ada")
    invented = msgspec.structs.replace(identity("Bob Invented"), made_by=asker.actor)
    with pytest.raises(RefusedError, match="made this key"):
        check_second(asker, invented, NOW, ())
    later = msgspec.structs.replace(identity("Grace"), created="2026-11-23T12:00:00.000001Z")
    with pytest.raises(RefusedError, match="after the question"):
        check_second(asker, later, NOW, ())
    check_second(asker, msgspec.structs.replace(later, created=NOW, made_by="act_admin"), NOW, ())


def _made(name: str, role: str, made_by: str) -> Identity:
    return msgspec.structs.replace(identity(name), role=role, made_by=made_by)


@pytest.mark.parametrize(
    ("asker", "second", "why"),
    [
        ("Carla", "Ben", "You made the key that asked"),
        ("Ben", "Carla", "Whoever asked made this key"),
        ("Dora", "Ben", "You made the key that asked"),
        ("Ben", "Dora", "Whoever asked made this key"),
        ("Ben", "Own", "You made the key that asked"),
        ("Carla", "Own", None),
        ("Dora", "Carla", None),
    ],
)
def test_no_two_are_two_of_whom_one_made_the_other(
    asker: str, second: str, why: str | None
) -> None:
    """Either way, and by an administrator between; the first owner only made what it made itself.

    Own, the first owner, made Ben's key; Ben made Carla's and an administrator's, who made Dora's.
    """
    every = {
        one.name: one
        for one in (
            _made("Own", "owner", ""), _made("Ben", "owner", "act_Own"),
            _made("Carla", "compliance", "act_Ben"), _made("Adam", "administrator", "act_Ben"),
            _made("Dora", "compliance", "act_Adam"),
        )
    }  # fmt: skip
    try:
        check_second(every[asker], every[second], NOW, [*every.values()])
        said = None
    except RefusedError as error:
        said = error.message
    assert (said or "").startswith(why or "")
    assert (said is None) == (why is None)


def test_what_nobody_can_ever_grant_is_known_when_it_is_asked() -> None:
    """Of two whose keys the first owner made, either asks and the other one grants.

    The owner who made all keys asks in vain; a key that calls, or is revoked, is nobody's word.
    """
    own, ben = _made("Own", "owner", ""), _made("Ben", "compliance", "act_Own")
    cleo = _made("Cleo", "auditor", "act_Own")
    every = [own, ben, cleo]
    assert [[*second_persons(one, NOW, every)] for one in every] == [[], [cleo], [ben]]
    gone = msgspec.structs.replace(cleo, revoked=NOW)
    assert not [*second_persons(ben, NOW, [own, ben, gone, _made("App", "caller", "act_Own")])]


def test_of_many_who_can_grant_it_one_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is compared with all keys; nobody else is needed."""
    asked: list[str] = []

    def check(asker: Identity, second: Identity, at: str, every: Sequence[Identity]) -> None:
        asked.append(second.name)
        check_second(asker, second, at, every)

    monkeypatch.setattr(approvals, "check_second", check)
    own, ben = _made("Own", "owner", ""), _made("Ben", "compliance", "act_Own")
    crowd = [_made(f"Cleo {number}", "auditor", "act_Own") for number in range(50)]
    every = [own, ben, *crowd]
    assert deciding.grantable(Config(), ben, NOW, every, ["acme"])
    assert asked == ["Own", "Ben", "Cleo 0"]
