"""What the sequencer process answers over the local socket.

Rules: every method runs on the sequencing thread, between two batches, so it sees one state;
answers are msgpack's own types and the structs of the stages. Not here: the socket
(``control.link``) and who records that something was asked (the asking process, beforehand).
"""

from typing import TYPE_CHECKING, Any

import msgspec

from affidavit.control.identity import Identity
from affidavit.control.link import Handler
from affidavit.errors import NotFoundError, UsageError
from affidavit.ledger.leaf import decode
from affidavit.ledger.proof import encode_proof
from affidavit.record.model import Chain

if TYPE_CHECKING:
    from affidavit.app.sequencer import Sequencer


def handlers(sequencer: "Sequencer") -> dict[str, Handler]:
    """All methods by name."""
    methods = {
        "snapshot": _snapshot,
        "status": _status,
        "keys.list": _keys_list,
        "heads": _heads,
        "prove.head": _prove_head,
        "prove.opening": _prove_opening,
        "epochs": _epochs,
        "receipt": _receipt,
    }

    def bind(method: Any) -> Handler:
        async def answer(params: dict[str, Any]) -> Any:
            try:
                return await sequencer.ask(lambda: method(sequencer, params))
            except (KeyError, TypeError) as error:
                raise UsageError(f"A parameter is missing or wrong: {error}.") from error

        return answer

    async def create(params: dict[str, Any]) -> Any:
        return await _keys_create(sequencer, params)

    async def revoke(params: dict[str, Any]) -> Any:
        return await _keys_revoke(sequencer, params)

    changes: dict[str, Handler] = {"keys.create": create, "keys.revoke": revoke}
    return changes | {name: bind(method) for name, method in methods.items()}


def _snapshot(sequencer: "Sequencer", params: dict[str, Any]) -> Any:
    snapshot = sequencer.snapshot()
    return None if params.get("version") == snapshot.version else snapshot


def _status(sequencer: "Sequencer", _: dict[str, Any]) -> Any:
    return sequencer.status()


async def _keys_create(sequencer: "Sequencer", params: dict[str, Any]) -> Any:
    """Make a key: drafted, recorded, stored. ``by`` is who asked (sections ``who``)."""
    store = sequencer.identities
    names = ("name", "tenant", "email", "kind", "role", "team", "groups")
    asked = {name: params[name] for name in names if name in params}
    asked["groups"] = tuple(asked.get("groups", ()))
    identity, token = await sequencer.ask(lambda: store.draft(**{"tenant": "default", **asked}))
    await sequencer.record_key_change(identity, "created", params.get("by"))
    await sequencer.ask(lambda: store.put(identity))
    return {"identity": public(identity), "token": token}


async def _keys_revoke(sequencer: "Sequencer", params: dict[str, Any]) -> Any:
    store = sequencer.identities
    identity = await sequencer.ask(lambda: store.revoked(params["id"]))
    await sequencer.record_key_change(identity, "revoked", params.get("by"))
    await sequencer.ask(lambda: store.put(identity))
    return public(identity)


def public(identity: Identity) -> dict[str, Any]:
    """An identity as people and scripts see it: without the digest of its key."""
    shown: dict[str, Any] = msgspec.to_builtins(identity)
    del shown["key_hash"]
    return shown


def _keys_list(sequencer: "Sequencer", _: dict[str, Any]) -> Any:
    return [public(identity) for identity in sequencer.identities.all()]


def _heads(sequencer: "Sequencer", params: dict[str, Any]) -> Any:
    """Index of a published heads leaf after ``after``; ``None``: ask again in a second."""
    return sequencer.log.ensure_heads_after(params["after"])


def _prove_head(sequencer: "Sequencer", params: dict[str, Any]) -> Any:
    return sequencer.log.prove_head(_chain(params), params.get("epoch"))


def _prove_opening(sequencer: "Sequencer", params: dict[str, Any]) -> Any:
    return sequencer.log.opening(_chain(params), params.get("epoch"))


def _epochs(sequencer: "Sequencer", _: dict[str, Any]) -> Any:
    return [leaf.index for leaf in sequencer.log.epochs()]


def _receipt(sequencer: "Sequencer", params: dict[str, Any]) -> Any:
    """Both leaves of an exchange with their proofs, for the caller who made it.

    ``None`` while the request is not in a published checkpoint. ``NotFoundError`` also for a
    record of somebody else: what others asked is not to be told apart from nothing.
    """
    found = sequencer.find(params["id"])
    if found is None:
        return None
    halves = []
    for index in found:
        view = sequencer.vault_reader.view(index)
        who = view.sections.get("who") or {}
        if (who.get("tenant"), who.get("actor")) != (params["tenant"], params["actor"]):
            raise NotFoundError(f"There is no record {params['id']} of this caller.")
        checkpoint = sequencer.log_reader.checkpoint()
        path = sequencer.log_reader.inclusion(index, checkpoint.size)
        halves.append(
            {
                "index": index,
                "type": decode(sequencer.log_reader.leaf_bytes(index)).type,
                "leaf": sequencer.log_reader.leaf_bytes(index).decode(),
                "proof": encode_proof(index, path, sequencer.log_reader.checkpoint_note()),
                "disclosures": sequencer.vault_reader.disclosures(index),
                "links": sequencer.log_reader.links(index),
            }
        )
    return {"id": params["id"], "halves": halves}


def _chain(params: dict[str, Any]) -> Chain:
    return Chain(params["tenant"], params["dimension"], params["value"])
