"""Keys: hashed at rest, found with constant work, read from the headers SDKs send."""

import hmac
from pathlib import Path
from typing import Any, Literal

import pytest

from affidavit import durable
from affidavit.clock import SystemClock
from affidavit.control import identity as module
from affidavit.control.identity import (
    ROLES,
    Directory,
    Identity,
    check_caller,
    hash_key,
    presented_key,
)
from affidavit.control.store import IdentityStore
from affidavit.errors import NotFoundError, RefusedError, UnauthenticatedError, UsageError


@pytest.fixture
def store(tmp_path: Path) -> IdentityStore:
    """An identity store on an encrypted file."""
    return IdentityStore(durable.open_database(tmp_path / "state.db", bytes(32)), SystemClock())


def create(store: IdentityStore, **arguments: Any) -> tuple[Identity, str]:
    """Draft and store a key."""
    identity, token = store.draft(**{"tenant": "t", "name": "bot", **arguments})
    store.put(identity)
    return identity, token


def test_a_key_is_shown_once_and_only_its_digest_is_kept(
    store: IdentityStore, tmp_path: Path
) -> None:
    """The token finds its identity; the stored form does not contain it."""
    created, token = create(store, role="caller")
    assert token.startswith("aff_")
    assert Directory(store.all()).find(token) == created
    assert created.key_hash == hash_key(token)
    for path in tmp_path.iterdir():
        assert token.encode() not in path.read_bytes()


def test_one_name_keeps_its_actor_over_several_keys(store: IdentityStore) -> None:
    """Two keys of one person are one actor; another tenant's person of that name is not."""
    first, _ = create(store, name="alice", kind="person")
    second, _ = create(store, name="alice", kind="person")
    other, _ = create(store, tenant="u", name="alice", kind="person")
    assert first.actor == second.actor != other.actor
    assert first.id != second.id


def test_one_name_with_two_e_mails_is_two_people(store: IdentityStore) -> None:
    """Each keeps the own actor, however the e-mail is spelt; the name alone says not which."""
    plain, _ = create(store, name="John Smith")
    john, _ = create(store, name="John Smith", email="john1@example.com")
    again, _ = create(store, name="John Smith", email="JOHN1@example.com")
    only, _ = create(store, name="John Smith")
    assert plain.actor == john.actor == again.actor == only.actor
    other, _ = create(store, name="John Smith", email="john2@example.com")
    assert other.actor != john.actor
    with pytest.raises(UsageError, match=r"john1@example.com; john2@example.com"):
        create(store, name="John Smith")
    more, _ = create(store, name="John Smith", email="john2@example.com", role="subject")
    assert more.actor == other.actor


def test_revoked_and_unknown_keys_are_refused(store: IdentityStore) -> None:
    """Who holds a revoked key is told so, whoever holds another is not; the version changes."""
    created, token = create(store)
    before = store.version
    store.put(store.revoked(created.id))
    assert store.find(created.id).revoked == store.revoked(created.id).revoked is not None
    assert store.version == before + 1
    directory = Directory(store.all())
    for presented, said in (
        (token, "was revoked"), ("aff_wrong", "not known"), (token[:-1], "not known"),
        ("", "No key"), (None, "No key"), ("\udcff", "not known"),
    ):  # fmt: skip
        with pytest.raises(UnauthenticatedError, match=said):
            directory.find(presented)
    with pytest.raises(NotFoundError):
        store.revoked("key_none")


def test_wrong_kind_role_or_name_is_refused(store: IdentityStore) -> None:
    """What is not in the lists is a usage error."""
    for arguments in ({"kind": "robot"}, {"role": "root"}, {"name": " "}, {"team": "a\0b"}):
        with pytest.raises(UsageError):
            create(store, **arguments)


def test_hit_and_miss_compare_alike(store: IdentityStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look-up makes exactly one constant-time comparison of 32 bytes."""
    _, token = create(store)
    calls: list[tuple[int, int]] = []

    def spy(a: bytes, b: bytes) -> bool:
        calls.append((len(a), len(b)))
        return a == b

    monkeypatch.setattr(module, "hmac", type("m", (), {"compare_digest": staticmethod(spy)}))
    directory = Directory(store.all())
    directory.find(token)
    with pytest.raises(UnauthenticatedError):
        directory.find("aff_other")
    assert calls == [(32, 32), (32, 32)]
    assert hmac.compare_digest(b"a", b"a")


def test_a_monitor_calls_nobody(store: IdentityStore) -> None:
    """Every other role may."""
    for role in ROLES:
        made, _ = create(store, role=role)
        if role == "monitor":
            with pytest.raises(RefusedError, match="role monitor"):
                check_caller(made)
        else:
            check_caller(made)


@pytest.mark.parametrize(
    ("headers", "credential", "expected"),
    [
        ([(b"authorization", b"Bearer k1")], "inject", "k1"),
        ([(b"authorization", b"bearer  k1 ")], "inject", "k1"),
        ([(b"authorization", b"Basic k1")], "inject", None),
        ([(b"x-api-key", b"k2")], "inject", "k2"),
        ([(b"api-key", b"k3")], "inject", "k3"),
        ([(b"x-goog-api-key", b"k4")], "inject", "k4"),
        ([(b"authorization", b"Bearer p"), (b"affidavit-key", b"k5")], "inject", "k5"),
        ([(b"authorization", b"Bearer p")], "pass", None),
        ([(b"authorization", b"Bearer p"), (b"affidavit-key", b"k6")], "pass", "k6"),
        ([], "inject", None),
    ],
)
def test_presented_key(
    headers: list[tuple[bytes, bytes]], credential: Literal["inject", "pass"], expected: Any
) -> None:
    """Our key is read where each SDK puts it, and never from the provider's own header."""
    assert presented_key(headers, credential) == expected
