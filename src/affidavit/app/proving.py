"""What stays of an erasure: its certificate, and the records that say it happened.

Rules: neither names a person: pseudonyms, digests of leaf indexes, counts. The record holds the
certificate, so whoever has the ledger's word has the certificate's. What remains, and until when,
is in both; so is what this log cannot know. Of what went in several tenants each has a record, with
nothing of the others and the digest of the certificate. Not here: the form of a certificate
(``evidence.certificate``).
"""

import hashlib
from collections.abc import Sequence
from typing import Any

from affidavit.app import deciding, system
from affidavit.app.deciding import Setting
from affidavit.app.purging import Journals
from affidavit.app.selecting import Left, digest
from affidavit.config import Config
from affidavit.control.erasures import Erasure, Tally
from affidavit.control.holds import Hold
from affidavit.evidence.certificate import make
from affidavit.ledger.note import Signer
from affidavit.record.model import Chain, Record
from affidavit.vault.erased import Erased

_WHAT = {
    "person": "what identifies the person, and content",
    "content": "content",
    "sections": "all sections and content",
}
UNKNOWN = (
    (
        "copies of this data directory made before, which open nothing without a copy of keys.db "
        "and its key-encryption key of then"
    ),
    "what callers, providers and readers kept themselves",
)
"""What no certificate of this log can say."""
_MENTIONS = "texts of others that mention the person, which were not searched"
_STAYS = "leaves and links of these records: digests and times, by which proofs go on"
_PERSON_STAYS = (
    "the pseudonym of the person, without a name, with roles, and what was done with them: "
    "approvals, holds, changes of keys"
)
_MARKS_STAY = (
    "keyed digests of the person's names, with the keys: a restored backup forgets by them"
)


def remaining(erasure: Erasure, left: Sequence[Left], journals: Journals) -> list[str]:
    """What remains of what was asked for, a sentence each, with the day it goes."""
    lines = [f"{_left(one)}: {_WHAT[erasure.what]}" for one in left]
    if erasure.tally.locked:
        lines.append(f"{erasure.tally.locked} bytes of ciphertext without a key, which are locked")
    if journals.behind:
        lines.append("journal segments that are not taken in yet, until they are")
    if journals.locked:
        which = "journal" if journals.locked == 1 else "journals"
        lines.append(f"the unread rest of {journals.locked} damaged {which}, without a key")
    return lines


def certificate(
    config: Config, erasure: Erasure, left: Sequence[Left], journals: Journals, signer: Signer
) -> str:
    """The signed certificate of a run."""
    tally, whose = erasure.tally, "the person" if erasure.kind == "subject" else "people"
    facts: dict[str, Any] = {
        "log": config.log.origin,
        "request": erasure.id,
        "certificate": str(erasure.run),
        "kind": erasure.kind,
        "of": erasure.target or erasure.expression,
        "erased": _WHAT[erasure.what],
        "records": str(tally.records),
        "sections and parts": str(tally.blobs),
        "bytes": str(tally.bytes),
        "leaf digest": tally.digest,
        "keys destroyed": f"{tally.subject_keys} of {whose}, those of each record and of days",
        "legal basis": erasure.basis,
        "asked by": erasure.actor,
        "asked": erasure.asked,
        "approved by": erasure.approver,
        "approved": erasure.approved,
        "finished": erasure.finished,
        "remains": remaining(erasure, left, journals) or ["nothing of what was asked for"],
        "stays": [_STAYS, *_person_stays(erasure)],
        "not known to this log": [*UNKNOWN, *([_MENTIONS] if erasure.kind == "subject" else [])],
        "exported before": [
            f"{one['records']} of these records, {one['time']}, by {one['by']}, "
            f"manifest {one['manifest']}"
            for one in erasure.exports
        ],
    }
    return make(facts, signer)


def _person_stays(erasure: Erasure) -> list[str]:
    if erasure.kind != "subject":
        return []
    return [_PERSON_STAYS, *([_MARKS_STAY] if erasure.names else [])]


def of_key(host: Setting, vkey: str) -> Record:
    """``ledger.key``: what certificates are signed with; on record before the first one."""
    what = {"purpose": "certificate", "vkey": vkey}
    return system.make("ledger.key", host.clock, host.config, {"what": what})


def of_run(host: Setting, erasure: Erasure, left: Sequence[Left]) -> Record:
    """``retention.erased``: what went in a run, under which certificate."""
    what = _of(erasure) | _went(erasure.tally, left) | {
        "keys_revoked": list(erasure.revoked),
        "exports": list(erasure.exports),
        "certificate": erasure.certificates[-1],
    }  # fmt: skip
    return _record(host, "retention.erased", erasure, what, erasure.home)


def of_run_in(host: Setting, erasure: Erasure, tenant: str, left: Sequence[Left]) -> Record:
    """``retention.erased`` of another tenant than ``home``: what of it went in a run.

    ``left``: of this tenant. By ``certificate_digest`` (hex SHA-256) the certificate is known.
    """
    certificate = hashlib.sha256(erasure.certificates[-1].encode()).hexdigest()
    what = _of(erasure) | _went(erasure.each[tenant], left) | {"certificate_digest": certificate}
    return _record(host, "retention.erased", erasure, what, tenant)


def completed(host: Setting, erasure: Erasure, tenant: str) -> Record:
    """``retention.completed``: nothing is left of what waited; in the records of a ``tenant``."""
    what = _of(erasure) | {"certificates": len(erasure.certificates), "remains": []}
    return _record(host, "retention.completed", erasure, what, tenant)


def of_release(host: Setting, hold: Hold, erased: Erased) -> Record:
    """``retention.erased``: what only a released hold had kept from going."""
    what = {
        "operation": "erase", "kind": "release", "hold": hold.id, "matter": hold.matter,
        "asked_by": hold.releaser, "approval": hold.approval,
        "counts": {"records": len(erased.indexes), "blobs": erased.blobs, "bytes": erased.bytes,
                   "locked": erased.locked, "subject_keys": 0},
        "digest": digest(erased.indexes), "remains": [],
    }  # fmt: skip
    who = {"tenant": hold.tenant, "kind": "service", "role": "owner"}
    sections = {"who": who, "what": what, "control": {"approval": hold.approval}}
    chains = [Chain(hold.tenant, "actor", hold.actor)]
    return system.make("retention.erased", host.clock, host.config, sections, *chains)


def of_released_before(host: Setting, hold: Hold) -> Record:
    """``retention.released``: the vault knows of a release that a restored backup did not."""
    what = {
        "operation": "hold.release", "hold": hold.id, "matter": hold.matter,
        "expression": hold.recorded, "placed": hold.placed, "released": hold.released,
        "reason": "its key had been destroyed before the backup was restored",
    }  # fmt: skip
    who = {"tenant": hold.tenant, "kind": "service", "role": "owner"}
    chain = Chain(hold.tenant, "actor", hold.actor)
    return system.make(
        "retention.released", host.clock, host.config, {"who": who, "what": what}, chain
    )


def _of(erasure: Erasure) -> dict[str, Any]:
    return {
        "operation": "erase", "request": erasure.id, "run": erasure.run, "kind": erasure.kind,
        "of": erasure.target or erasure.expression, "erased": erasure.what,
        "basis": erasure.basis, "asked_by": erasure.actor, "asked": erasure.asked,
        "approved_by": erasure.approver, "approved": erasure.approved,
        "finished": erasure.finished,
    }  # fmt: skip


def _went(tally: Tally, left: Sequence[Left]) -> dict[str, Any]:
    return {
        "counts": {"records": tally.records, "blobs": tally.blobs, "bytes": tally.bytes,
                   "locked": tally.locked, "subject_keys": tally.subject_keys},
        "digest": tally.digest,
        "remains": [one._asdict() for one in left],
    }  # fmt: skip


def _record(
    host: Setting, kind: str, erasure: Erasure, what: dict[str, Any], tenant: str
) -> Record:
    control = {
        "approval": erasure.approval, "approver": erasure.approver, "decision": "allow",
    }  # fmt: skip
    actors = [erasure.actor, erasure.approver]
    actors += [erasure.target] if erasure.kind == "subject" else []
    who = {"tenant": tenant, "kind": "service", "role": "owner"}
    return deciding.recorded(host, kind, who, what, control, tenant, actors)


def _left(one: Left) -> str:
    until = f"until {one.until}, " if one.until else ""
    records = "1 record" if one.records == 1 else f"{one.records} records"
    return f"{records}, {until}{one.why}"
