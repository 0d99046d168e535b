"""Legal holds at rest: one table in ``state.db``, owned by the sequencer process.

Rules: a hold keeps what its expression matches, what comes later too, until it is released; a
released one stays here as the answer to who held what, and when. What it matches is kept as the
tree that was asked within the boundary of whoever placed it, which this module does not read. Not
here: who may do what and the records of it (``app.holding``), the keys of what is held (``vault``).
"""

import hashlib

import apsw
import msgspec

from affidavit.control.hold_gate import HoldGate
from affidavit.control.wiping import written_anew
from affidavit.errors import NotFoundError

_SCHEMA = """
create table if not exists holds (
  id text primary key, released text, swept integer not null, seen integer not null,
  body blob not null
) strict;
"""


class Hold(msgspec.Struct, frozen=True):
    """A hold for a ``matter``. ``owner``: the person who answers for it, in the placer's words.

    ``expression`` the words, ``recorded`` the same as records have them, ``tree`` the JSON of what
    is matched. ``by`` the key that placed it, ``actor`` whose it is; ``who`` the section of the
    record that says so. ``approval``: the question under which it was ``released``, which
    ``releaser`` granted. ``forgets``: its words say whom an erasure has forgotten, and go with it.
    ``on``: the one tenant that all it matches is of, ``""`` if that may be several; ``None`` of one
    that an earlier release placed, whose tree says it.
    """

    id: str
    tenant: str
    matter: str
    owner: str
    reason: str
    expression: str
    recorded: str
    tree: bytes
    placed: str
    by: str
    actor: str
    who: dict[str, object] = {}
    released: str = ""
    approval: str = ""
    releaser: str = ""
    forgets: bool = False
    on: str | None = None

    @property
    def words(self) -> bytes:
        """A digest of what it was placed on: of its words as records have them."""
        return hashlib.sha256(self.recorded.encode()).digest()

    def over(self, released: str, approval: str = "", releaser: str = "") -> "Hold":
        """The same, released: without the words where these were to be forgotten."""
        gone = msgspec.structs.replace(
            self, released=released, approval=approval, releaser=releaser
        )
        return gone.without_words() if self.forgets else gone

    def without_words(self) -> "Hold":
        """The same with its words as records have them, persons as digests, and without its tree.

        Of one in force they are needed until it is released.
        """
        if not self.released:
            return msgspec.structs.replace(self, forgets=True)
        return msgspec.structs.replace(self, expression=self.recorded, tree=b"")


class HoldStore:
    """The holds of this installation; one thread at a time, but for its ``gate``."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._db = connection
        self.gate = HoldGate()
        connection.execute(_SCHEMA)

    def put(self, hold: Hold) -> None:
        """Store a new or released hold, within the caller's transaction or durable on return."""
        self._db.execute(
            "insert into holds values (?1, ?2, 0, 0, ?3) on conflict (id) do update set "
            "released = excluded.released, body = excluded.body",
            (hold.id, hold.released or None, msgspec.msgpack.encode(hold)),
        )

    def find(self, hold_id: str) -> Hold:
        """The hold of that id; ``NotFoundError`` if there is none."""
        row = self._db.execute("select body from holds where id = ?", (hold_id,)).fetchone()
        if row is None:
            raise NotFoundError("There is no such hold.", hint="affidavit hold list")
        return msgspec.msgpack.decode(row[0], type=Hold)

    def all(self) -> list[Hold]:
        """Every hold ever placed, oldest first."""
        rows = self._db.execute("select body from holds order by id")
        return [msgspec.msgpack.decode(row[0], type=Hold) for row in rows]

    def in_force(self) -> list[Hold]:
        """Those that are not released, oldest first."""
        rows = self._db.execute("select body from holds where released is null order by id")
        return [msgspec.msgpack.decode(row[0], type=Hold) for row in rows]

    def seen(self, hold_id: str) -> int:
        """The leaf index below which the vault holds what this hold matched."""
        row = self._db.execute("select seen from holds where id = ?", (hold_id,)).fetchone()
        return 0 if row is None else int(row[0])

    def saw(self, hold_id: str, index: int) -> None:
        """The vault holds what is matched below ``index``; durable on return."""
        self._db.execute("update holds set seen = ? where id = ?", (index, hold_id))

    def to_sweep(self) -> list[Hold]:
        """Released holds whose keys are still to be destroyed."""
        rows = self._db.execute(
            "select body from holds where released is not null and not swept order by id"
        )
        return [msgspec.msgpack.decode(row[0], type=Hold) for row in rows]

    def swept(self, hold_id: str) -> None:
        """Nothing is left of a released hold but its story; durable on return."""
        self._db.execute("update holds set swept = 1 where id = ?", (hold_id,))

    def leave_none(self) -> None:
        """Write all of them anew, so that nothing that was taken from one stays on any page."""
        written_anew(self._db, "holds", "id, released, swept, seen, body")
