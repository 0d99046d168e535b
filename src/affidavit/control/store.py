"""Identities at rest: one table in ``state.db``, owned by the sequencer process.

Rules: only the SHA-256 of a key is stored; a revoked identity stays, with the time; every change
raises ``version``, by which snapshots are recognised as new. Not here: the record of a change,
which ``app.questions`` makes: of a new key before it is
stored, of a revoked one after.
"""

from collections.abc import Sequence

import apsw
import msgspec

from affidavit.clock import Clock
from affidavit.control.identity import KINDS, OWNER, ROLES, Identity, hash_key, mails_of
from affidavit.control.wiping import written_anew
from affidavit.errors import NotFoundError, RefusedError, UsageError
from affidavit.ids import pseudonym, token

_SCHEMA = """
create table if not exists identities (
  id text primary key, actor text not null, body blob not null
) strict;
create table if not exists identity_version (only integer primary key check (only = 0), version int)
strict;
insert or ignore into identity_version values (0, 1);
"""


def read_identities(connection: apsw.Connection) -> tuple[Identity, ...]:
    """Every identity ever made, oldest first; needs no right to write."""
    rows = connection.execute("select body from identities order by rowid")
    return tuple(msgspec.msgpack.decode(row[0], type=Identity) for row in rows)


class IdentityStore:
    """The identities of this installation; one thread at a time."""

    def __init__(self, connection: apsw.Connection, clock: Clock) -> None:
        self._db = connection
        self._clock = clock
        connection.execute(_SCHEMA)

    @property
    def version(self) -> int:
        """Grows with every change."""
        return int(self._db.execute("select version from identity_version").get)

    def all(self) -> tuple[Identity, ...]:
        """Every identity ever made, revoked ones included, oldest first."""
        return read_identities(self._db)

    def draft(
        self,
        *,
        tenant: str,
        name: str,
        email: str = "",
        kind: str = "service",
        role: str = "caller",
        team: str = "",
        groups: tuple[str, ...] = (),
        boundary: str = "",
        until: str = "",
        labels: tuple[str, ...] = (),
        jurisdiction: str = "",
        made_by: str = "",
    ) -> tuple[Identity, str]:
        """Make a key, not stored yet: the identity, and the key itself, which is never kept.

        Between this and ``put`` the change is recorded.

        A name that is known in the tenant keeps its actor pseudonym, so one person may hold
        several keys; with another e-mail it is another person's. ``UsageError`` for an unknown kind
        or role, an empty name, or a name that alone does not say which of several people it is;
        ``RefusedError`` for an owner where ownership was given up, whoever asks.
        """
        if kind not in KINDS or role not in ROLES:
            raise UsageError(
                f"kind must be one of {', '.join(KINDS)}; role one of {', '.join(ROLES)}."
            )
        if not name.strip() or "\0" in tenant + name + team:
            raise UsageError("An identity needs a name, without NUL.")
        every = self.all()
        if role == OWNER and any(identity.given_up for identity in every):
            raise RefusedError("Ownership of this installation was given up, for good.")
        known = [i for i in every if i.tenant == tenant and i.name == name]
        actor = _actor(known, email) or pseudonym("act_")
        secret = token("aff_")
        identity = Identity(
            id=pseudonym("key_"),
            tenant=tenant,
            actor=actor,
            kind=kind,
            role=role,
            team=team,
            groups=groups,
            name=name,
            email=email,
            key_hash=hash_key(secret),
            created=self._clock.now(),
            boundary=boundary,
            until=until,
            labels=labels,
            jurisdiction=jurisdiction,
            made_by=made_by,
        )
        return identity, secret

    def find(self, identity_id: str) -> Identity:
        """Return the identity of that id; ``NotFoundError`` if there is none."""
        row = self._db.execute("select body from identities where id = ?", (identity_id,))
        found = row.fetchone()
        if found is None:
            raise NotFoundError(f"No key has the id {identity_id}.", hint="affidavit keys list")
        return msgspec.msgpack.decode(found[0], type=Identity)

    def revoked(self, identity_id: str) -> Identity:
        """That identity, revoked as of now (or as it was before), not stored yet."""
        identity = self.find(identity_id)
        if identity.revoked is None:
            identity = msgspec.structs.replace(identity, revoked=self._clock.now())
        return identity

    def put(self, *identities: Identity) -> None:
        """Store new or changed identities, all or none; durable on return, in force soon after."""
        with self._db:
            for identity in identities:
                self._db.execute(
                    "insert into identities values (?1, ?2, ?3) "
                    "on conflict (id) do update set body = excluded.body",
                    (identity.id, identity.actor, msgspec.msgpack.encode(identity)),
                )
            self._db.execute("update identity_version set version = version + 1")

    def leave_none(self) -> None:
        """Write all of them anew, so that nothing that was taken from one stays on any page."""
        written_anew(self._db, "identities", "rowid, id, actor, body")


def _actor(known: Sequence[Identity], email: str) -> str:
    """Whose the next key with an e-mail (or none) is, of those of the same name; ``""``: nobody's.

    ``UsageError`` if the e-mail is missing that tells two people of one name apart.
    """
    wanted, mails = email.casefold(), {one.actor: mails_of(known, one.actor) for one in known}
    fitting = [actor for actor, theirs in mails.items() if wanted in theirs]
    if not fitting:  # who has given none yet gives one now; who has given one need not again
        fitting = [actor for actor, theirs in mails.items() if not (wanted and theirs)]
    if len(fitting) > 1:
        said = "; ".join(", ".join(sorted(mails[one])) or one for one in fitting)
        raise UsageError(
            f"Several people have this name: {said}.", hint="--email says whose key it is."
        )
    return fitting[0] if fitting else ""
