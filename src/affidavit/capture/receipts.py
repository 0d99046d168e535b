"""Receipts: what a caller holds to show, later, that a record was left out.

Rules:

1. A promise is canonical JSON (RFC 8785: keys sorted, no whitespace; strings only) with origin,
   id of the request record, its digest as in ``affidavit-digest``, time, and the deadline by which
   it will be in the ledger; signed with Ed25519 by the receipt key, which the ledger names. The
   log key signs checkpoints and nothing else.
2. The worker that holds the record promises at once. Other workers, and this one after a restart,
   answer 202 until the sequencer has the record.
3. Once sequenced, the answer adds both leaves with their proofs, the caller's own disclosures and
   links, and the digest of the bytes that were delivered. Reading that is itself recorded.
4. Only the caller that made the request gets anything; for others there is no such record.

Not here: HTTP (``gateway``), proofs (the sequencer answers by ``control.link``).
"""

import hashlib
import re
from collections import OrderedDict
from typing import Any, NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from affidavit import ids
from affidavit.capture.sections import Setting
from affidavit.clock import Clock, add_seconds, to_unix_us
from affidavit.control.identity import Identity
from affidavit.control.link import ControlLink
from affidavit.errors import NotFoundError, UnavailableError
from affidavit.ids import b64u
from affidavit.record.classes import class_of
from affidavit.record.disclose import disclose
from affidavit.record.model import Chain, Record

DEADLINE_SECONDS = 60.0
"""A promise says the record will be in the ledger this long after it was acknowledged."""

REMEMBERED = 20_000
"""So many of its own records a worker can promise for; older ones are sequenced long since."""

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z")
_RECENT_US = 10 * 60 * 1_000_000


class PromiseSigner:
    """Signs promises; ``vkey`` is the public key as the ledger's ``ledger.key`` record has it."""

    def __init__(self, origin: str, seed: bytes, vkey: str) -> None:
        self._origin = origin
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.vkey = vkey

    def promise(self, record_id: str, digest: str, time: str) -> dict[str, str]:
        """The promise as JSON text, its signature (b64u of 64 bytes) and the key to check it."""
        text = msgspec.json.encode(
            {
                "deadline": add_seconds(time, DEADLINE_SECONDS),
                "digest": digest,
                "id": record_id,
                "origin": self._origin,
                "time": time,
            },
            order="sorted",
        )
        signature = b64u(self._key.sign(text))
        return {"promise": text.decode(), "signature": signature, "key": self.vkey}


class _Held(NamedTuple):
    tenant: str
    actor: str
    digest: str
    time: str


class Receipts:
    """What this worker can promise for, and the way to the sequencer for the rest."""

    def __init__(self, link: ControlLink | None, clock: Clock) -> None:
        self._link = link
        self._clock = clock
        self._held: OrderedDict[str, _Held] = OrderedDict()

    def hold(self, record_id: str, digest: str, time: str, identity: Identity) -> None:
        """Remember an acknowledged request record."""
        self._held[record_id] = _Held(identity.tenant, identity.actor, digest, time)
        if len(self._held) > REMEMBERED:
            self._held.popitem(last=False)

    async def find(
        self, record_id: str, identity: Identity, signer: PromiseSigner
    ) -> dict[str, Any] | None:
        """The receipt as JSON-able values; ``None`` if it is to be asked for again later.

        ``NotFoundError`` when there is no such record of this caller; ``UnavailableError`` when
        only the sequencer could tell and it does not answer.
        """
        missing = NotFoundError(
            "There is no record of that id of this caller.", hint="One that is old may be pruned."
        )
        if not _ID.match(record_id):
            raise missing
        answer: dict[str, Any] = {"id": record_id}
        held = self._held.get(record_id)
        if held is not None and (held.tenant, held.actor) != (identity.tenant, identity.actor):
            raise missing
        try:
            sequenced = await self._sequenced(record_id, identity, must=held is None)
        except NotFoundError:  # of others, or pruned, or nothing at all: not to be told apart
            raise missing from None
        if sequenced is not None:
            answer["halves"] = sequenced["halves"]
            leaf = msgspec.json.decode(sequenced["halves"][0]["leaf"])
            sections = hashlib.sha256(msgspec.json.encode(leaf["sections"])).digest()
            answer.update(signer.promise(record_id, b64u(sections), leaf["at"]))
        elif held is not None:
            answer.update(signer.promise(record_id, held.digest, held.time))
        elif self._age_us(record_id) > _RECENT_US:
            raise missing
        else:
            return None
        return answer

    async def _sequenced(
        self, record_id: str, identity: Identity, *, must: bool
    ) -> dict[str, Any] | None:
        if self._link is None:
            return None
        params = {"id": record_id, "tenant": identity.tenant, "actor": identity.actor}
        try:
            found = await self._link.call("receipt", params)
        except UnavailableError:
            if must:
                raise
            return None  # the promise stands without the sequencer
        if found is None:
            return None
        readable: dict[str, Any] = _texts(found)
        return readable

    def _age_us(self, record_id: str) -> int:
        """Microseconds since the time inside a UUIDv7 (RFC 9562 §5.7)."""
        made = int(record_id[:8] + record_id[9:13], 16) * 1000
        return to_unix_us(self._clock.now()) - made


def _texts(value: Any) -> Any:
    """A value of the sequencer's answer with bytes as b64u, for JSON."""
    if isinstance(value, bytes):
        return b64u(value)
    if isinstance(value, dict):
        return {key: _texts(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_texts(item) for item in value]
    return value


def access_record(record_id: str, identity: Identity, setting: Setting, clock: Clock) -> Record:
    """The record that a caller read what the ledger holds of one of its exchanges."""
    who = {
        "tenant": identity.tenant,
        "actor": identity.actor,
        "kind": identity.kind,
        "role": identity.role,
        "team": identity.team,
        "credential": identity.id,
        "authenticated_by": "key",
        "assurance": "key",
        **identity.marks(),
    }
    return Record(
        id=ids.record_id(),
        type="access.query",
        at=clock.now(),
        tier="observed",
        tenant=identity.tenant,
        retention_class=class_of(setting.config, "access.query", who),
        sections=(
            disclose("who", who),
            None,
            disclose("what", {"receipt": record_id, "boundary": "own records"}),
            disclose("context", setting.context),
            None,
            None,
            None,
        ),
        chains=(
            Chain(identity.tenant, "actor", identity.actor),
            Chain(identity.tenant, "key", identity.id),
        ),
    )
