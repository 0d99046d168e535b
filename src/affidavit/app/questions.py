"""What the sequencer process answers over the local socket.

Rules: every method runs on the sequencing thread, between two batches, so it sees one state;
answers are msgpack's own types and the structs of the stages. Not here: the socket
(``control.link``), who records that something was asked (the asking process, beforehand), and what
makes a write act once (``repeating``).
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from affidavit.app import approving, backup, erasing, erasures_told, holding, saved, system
from affidavit.app.deciding import Keep
from affidavit.app.repeating import once
from affidavit.app.retaining import Retaining
from affidavit.app.sequencer import Sequencer
from affidavit.control import idempotency
from affidavit.control.identity import Identity
from affidavit.control.link import Handler
from affidavit.errors import NotFoundError, UnavailableError, UsageError
from affidavit.ledger.cose import Included
from affidavit.ledger.proof import encode_proof
from affidavit.query.prover import LogProver
from affidavit.query.prover import serve as prover_answers

SNAPSHOT_SECONDS = 1.0
"""How long an asker whose snapshot is the newest waits for a newer one."""
ROTATION_LOOKS, ROTATION_PAUSE = 200, 0.05
"""So many looks, so many seconds apart, whether a step of a rotation is on record."""
HEADS_TRIES, HEADS_PAUSE = 50, 0.1
"""A heads leaf is made at most once a second; so many looks, so many seconds apart."""


def handlers(sequencer: Sequencer) -> dict[str, Handler]:
    """All methods by name."""

    def bind(method: Callable[[Sequencer, dict[str, Any]], Awaitable[Any]]) -> Handler:
        async def answer(params: dict[str, Any]) -> Any:
            try:
                return await method(sequencer, params)
            except (KeyError, TypeError) as error:
                raise UsageError(f"A parameter is missing or wrong: {error}.") from error

        return answer

    retaining = Retaining(
        sequencer.paths.vault, sequencer.keyring, sequencer.config, sequencer.clock
    )

    async def status(sequencer: Sequencer, _: dict[str, Any]) -> Any:
        return await sequencer.ask(sequencer.status) | await retaining.status()

    methods: dict[str, Callable[[Sequencer, dict[str, Any]], Awaitable[Any]]] = {
        "approvals.ask": approving.ask,
        "approvals.decide": once("approvals.decide", approving.decide),
        "approvals.list": approving.listing,
        "erasures.ask": once("erasures.ask", erasing.ask),
        "erasures.certificates": erasures_told.certificates,
        "erasures.list": erasures_told.listing,
        "erasures.show": erasures_told.show,
        "erasures.under": erasures_told.under,
        "backup.cut": _backup_cut,
        "glass.break": once("glass.break", approving.break_glass),
        "glass.end": once("glass.end", approving.end_glass),
        "holds.list": holding.listing,
        "holds.place": once("holds.place", holding.place),
        "holds.release": once("holds.release", holding.release),
        "holds.trees": holding.trees,
        "keys.give_up": approving.give_up,
        "keys.create": once("keys.create", _keys_create),
        "keys.list": _keys_list,
        "keys.rotate": _keys_rotate,
        "keys.revoke": once("keys.revoke", _keys_revoke),
        "log.keys": _log_keys,
        "log.prune": _log_prune,
        "log.rotate": _log_rotate,
        "once.find": _once_find,
        "once.keep": _once_keep,
        "prove": _prove,
        "receipt": _receipt,
        "retention.run": _retention_run,
        "saved.list": saved.listed,
        "saved.put": saved.put,
        "saved.remove": saved.remove,
        "snapshot": _snapshot,
        "status": status,
    }
    return {name: bind(method) for name, method in methods.items()}


async def _once_find(sequencer: Sequencer, params: dict[str, Any]) -> Any:
    """What a write that another process does was answered before; ``None`` if it was not done."""
    asked = idempotency.once(params["method"], params["params"], **params["once"])
    return await sequencer.ask(lambda: sequencer.answered.find(asked))


async def _once_keep(sequencer: Sequencer, params: dict[str, Any]) -> Any:
    """Keep the answer of such a write, behind it."""
    asked = idempotency.once(params["method"], params["params"], **params["once"])
    await sequencer.ask(lambda: sequencer.answered.keep(asked, params["answer"]))


async def _snapshot(sequencer: Sequencer, params: dict[str, Any]) -> Any:
    """The snapshot in force; ``None`` if it is the one of ``version`` for another second."""
    snapshot = await sequencer.ask(sequencer.snapshot)
    if params.get("version") != snapshot.version:
        return snapshot
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(sequencer.changed.wait(), SNAPSHOT_SECONDS)
    snapshot = await sequencer.ask(sequencer.snapshot)
    return None if params.get("version") == snapshot.version else snapshot


async def _keys_create(sequencer: Sequencer, params: dict[str, Any], keep: Keep) -> Any:
    """Make a key: drafted, recorded, stored. ``by`` is who asked (sections ``who``).

    Not while something is decided: no owner is made beside one who gives up.
    """
    store = sequencer.identities
    names = ("name", "tenant", "email", "kind", "role", "team", "groups", "boundary", "until",
             "labels", "jurisdiction")  # fmt: skip
    asked = {name: params[name] for name in names if name in params}
    asked |= {name: tuple(asked.get(name, ())) for name in ("groups", "labels")}
    asked["made_by"] = str((params.get("by") or {}).get("actor", ""))
    async with sequencer.deciding:
        identity, token = await sequencer.ask(lambda: store.draft(**{"tenant": "default", **asked}))
        await sequencer.record_key_change(identity, "created", params.get("by"))
        made = {"identity": public(identity), "token": token}

        def put() -> None:
            with sequencer.state:
                store.put(identity)
                keep(made)

        await sequencer.ask(put)
    sequencer.tell_changed()
    return made


async def _keys_revoke(sequencer: Sequencer, params: dict[str, Any], keep: Keep) -> Any:
    """Make a key worthless at once; a record that a crash prevents is made at the next start.

    A key that is revoked stays as it is, without a second record; ``already`` says so. Nobody is
    forgotten meanwhile: what is stored, and put on record, has the name of whose key it is.
    """
    async with sequencer.deciding:
        store = sequencer.identities
        known = await sequencer.ask(lambda: store.find(params["id"]))
        if known.revoked is not None:
            told_before = public(known) | {"already": True}
            await sequencer.ask(lambda: keep(told_before))
            return told_before
        identity = await sequencer.ask(lambda: store.revoked(params["id"]))
        await sequencer.ask(lambda: store.put(identity))
        sequencer.tell_changed()
        await sequencer.record_key_change(identity, "revoked", params.get("by"))
        told = f"revoked {identity.id}"

        def done() -> None:
            with sequencer.state:
                system.told(sequencer.state, told, "")
                keep(public(identity))

        await sequencer.ask(done)
        return public(identity)


def public(identity: Identity) -> dict[str, Any]:
    """An identity as people and scripts see it: without the digest of its key."""
    shown: dict[str, Any] = msgspec.to_builtins(identity)
    del shown["key_hash"]
    return shown


async def _keys_list(sequencer: Sequencer, _: dict[str, Any]) -> Any:
    return [public(identity) for identity in await sequencer.ask(sequencer.identities.all)]


async def _backup_cut(sequencer: Sequencer, params: dict[str, Any]) -> Any:
    """Where the log ends, for a backup (``backup.cut``)."""
    return await backup.cut(sequencer, params)


async def _keys_rotate(sequencer: Sequencer, params: dict[str, Any]) -> Any:
    """A new key-encryption key, by somebody; as ``Renewing.renew``."""
    by, kind, reason = params["by"], params.get("kind"), str(params.get("reason", ""))
    return await sequencer.renewing.renew(sequencer, by, kind, reason)


async def _log_keys(sequencer: Sequencer, _: dict[str, Any]) -> Any:
    """The log's keys in force, and the lines of a policy for all it ever had."""
    keys = sequencer.log.keys
    return await sequencer.ask(
        lambda: {
            "origin": keys.origin,
            "vkeys": list(keys.vkeys),
            "rotating": keys.rotating,
            "policy": keys.policy_lines(),
            "certificate_vkey": sequencer.erasing.vkey,
        }
    )


async def _log_rotate(sequencer: Sequencer, params: dict[str, Any]) -> Any:
    """A step of a rotation of the log's key: on record, then in force.

    ``UsageError`` if there is no such step now; ``UnavailableError`` if the ledger does not get to
    it, which then still does it.
    """
    finish, log = bool(params["finish"]), sequencer.log
    await sequencer.ask(lambda: log.rotate(finish=finish))
    for _ in range(ROTATION_LOOKS):
        if not await sequencer.ask(lambda: log.rotation_asked):
            sequencer.keys_changed()
            return await _log_keys(sequencer, {})
        await asyncio.sleep(ROTATION_PAUSE)
    raise UnavailableError("The ledger has not recorded it yet.", hint="affidavit log keys")


async def _log_prune(sequencer: Sequencer, params: dict[str, Any]) -> Any:
    """How pruning goes; what would go ``before`` an index or a time; or, ``really``, begin."""
    before = params.get("before")
    if before is not None:
        plan = await asyncio.to_thread(sequencer.pruning.plan, str(before))
        await sequencer.pruning.free(plan["before"])
        if not params["really"]:
            return plan
        sequencer.pruning.begin(str(before))
    return sequencer.pruning.status()


async def _retention_run(sequencer: Sequencer, params: dict[str, Any]) -> Any:
    """How the latest run went; ``begin``: have one begin, unless one is under way.

    ``today``: the day by the clock is right, says somebody.
    """
    if params.get("today"):
        await sequencer.erasing.clock.confirm(str(params["today"]))
        sequencer.erasing.wake()
    if params.get("begin"):
        sequencer.erasing.expire()
    return sequencer.erasing.expiring.status | {"problem": sequencer.erasing.problem}


async def _prove(sequencer: Sequencer, params: dict[str, Any]) -> Any:
    """Heads and openings for ``query.prover``; waits for the heads leaf between two batches."""
    after = int(params["after"])
    prover = LogProver(sequencer.log)
    for _ in range(HEADS_TRIES):
        if await sequencer.ask(lambda: sequencer.log.ensure_heads_after(after)) is not None:
            return await sequencer.ask(lambda: prover_answers(prover, params))
        await asyncio.sleep(HEADS_PAUSE)
    raise UnavailableError("The ledger published no heads in time.", hint="affidavit doctor")


async def _receipt(sequencer: Sequencer, params: dict[str, Any]) -> Any:
    return await sequencer.ask(lambda: _receipt_now(sequencer, params))


def _receipt_now(sequencer: Sequencer, params: dict[str, Any]) -> Any:
    """Both leaves of an exchange with their proofs, for the caller who made it.

    ``None`` while the request is not in a published checkpoint. ``NotFoundError`` also for a
    record of somebody else: what others asked is not to be told apart from nothing.
    """
    found = sequencer.find(params["id"])
    if found is None:
        return None
    reader = sequencer.log_reader
    checkpoint, signed = reader.checkpoint(), reader.checkpoint_bytes()
    halves = []
    for index in found:
        view = sequencer.vault_reader.view(index)
        who = view.sections.get("who") or {}
        if (who.get("tenant"), who.get("actor")) != (params["tenant"], params["actor"]):
            raise NotFoundError(f"There is no record {params['id']} of this caller.")
        path = reader.inclusion(index, checkpoint.size)
        included = Included(index, checkpoint.size, path, checkpoint.root)
        leaf = reader.decoded(index)
        halves.append(
            {
                "index": index,
                "type": leaf.type,
                "leaf": reader.leaf(index).decode(),
                "proof": encode_proof(index, path, signed),
                "cose": sequencer.receipt_key.receipt(included, leaf.id),
                "disclosures": sequencer.vault_reader.disclosures(index),
                "links": reader.links(index),
            }
        )
    return {"id": params["id"], "halves": halves}
