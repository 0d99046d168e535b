"""Records that the installation makes about itself: first keys, configuration in force.

Rules: each is an ordinary record in the sequencer process's own journal, tier ``observed``;
nothing secret is in it (public keys, digests, names of settings). Not here: what readers and
callers do, which the console and the gateways record.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import apsw
import msgspec

from affidavit import __version__, ids, retention
from affidavit.clock import Clock
from affidavit.config import Config
from affidavit.config_retention import said
from affidavit.control.identity import Identity
from affidavit.errors import ConfigError
from affidavit.ledger.prune import Expired
from affidavit.presets import presets
from affidavit.record.classes import class_of
from affidavit.record.disclose import disclose
from affidavit.record.model import SECTIONS, UNATTRIBUTED, Chain, Record

_SCHEMA = """
create table if not exists told (name text primary key, digest text not null) strict;
create table if not exists in_force (name text primary key, fact text not null) strict;
"""
"""What is on record: things that happen once, and facts as JSON, which the next record of their
kind says were before."""


def make(
    kind: str, clock: Clock, config: Config, sections: Mapping[str, Any], *chains: Chain
) -> Record:
    """A record of type ``kind`` that is complete in itself; ``sections`` by name."""
    chains = chains or (Chain("", UNATTRIBUTED, ""),)
    return Record(
        id=ids.record_id(),
        type=kind,
        at=clock.now(),
        tier="observed",
        tenant=chains[0].tenant,
        retention_class=class_of(config, kind, sections.get("who", {}), chains),
        sections=tuple(
            disclose(name, sections[name]) if name in sections else None for name in SECTIONS
        ),
        chains=chains,
    )


def ended(clock: Clock, config: Config, why: str) -> Record:
    """The last record of a writer (``ledger.ended``)."""
    return make("ledger.ended", clock, config, {"what": {"reason": why}})


def expired(clock: Clock, config: Config, pruned: Expired, days: int) -> Record:
    """Leaves below an index are pruned (``retention.expired``); ``days``: so long all are kept."""
    what = {"pruned": pruned._asdict(), "policy": {"prune_after_days": days}}
    who = {"kind": "service", "role": "owner"}
    return make("retention.expired", clock, config, {"who": who, "what": what})


def key_change(
    clock: Clock, config: Config, identity: Identity, change: str, by: Mapping[str, Any] | None
) -> Record:
    """A key was ``created`` or ``revoked``, by somebody (the ``who`` of a reader) or at setup."""
    who = dict(by) if by else {"tenant": identity.tenant, "kind": "service", "role": "setup"}
    actor = (
        Chain(str(who["tenant"]), "actor", str(who["actor"]))
        if "actor" in who
        else Chain(identity.tenant, "actor.unattributed", "")
    )
    what = {
        "key": identity.id,
        "change": change,
        "actor": identity.actor,
        "kind": identity.kind,
        "role": identity.role,
        "team": identity.team,
    }
    limits = {"boundary": identity.boundary, "until": identity.until}
    what |= {name: value for name, value in limits.items() if value} | identity.marks()
    person = {"name": identity.name, "email": identity.email}
    chains = (
        Chain(identity.tenant, "key", identity.id),
        actor,
        Chain(identity.tenant, "actor", identity.actor),
    )
    sections: dict[str, Any] = {"who": who, "what": what}
    if any(person.values()):  # else the person was erased
        sections["person"] = person
    made = make("change.key", clock, config, sections, *dict.fromkeys(chains))
    named = identity.kind == "person" and "person" in sections
    subjects = (identity.actor,) if named else ()
    return msgspec.structs.replace(made, subjects=subjects)


def pending(
    state: apsw.Connection,
    clock: Clock,
    config: Config,
    *,
    receipt_vkey: str,
    log_vkey: str,
    post_quantum: str,
    identities: Sequence[Identity],
) -> list[tuple[Record, str, str]]:
    """What has to be told since the last start: records, each with the note for ``told``.

    ``log_vkey``: the log's first key; ``post_quantum``: its ML-DSA-44 key, ``""`` for none.
    """
    prepare(state)
    context = {"gateway": {"version": __version__, "config_hash": config.hash()}}
    facts: list[tuple[str, str, dict[str, Any], tuple[Chain, ...]]] = [
        ("ledger.key", "receipt", {"purpose": "receipt", "vkey": receipt_vkey}, ()),
        ("ledger.key", "log", {"purpose": "log", "vkey": log_vkey}, ()),
        ("change.config", "config", _in_force(config), ()),
    ]
    if post_quantum:
        facts.append(("ledger.key", "log/06", {"purpose": "log", "vkey": post_quantum}, ()))
    if config.retention.classes or fact_of(state, "retention") is not None:
        facts.append(("change.policy", "retention", _policy(state, config), ()))
    for owner in [identity for identity in identities if identity.role == "owner"][:1]:
        what = {"identity": owner.id, "actor": owner.actor, "role": owner.role, "after": "created"}
        chain = Chain(owner.tenant, "actor", owner.actor)
        facts.append(("change.identity", "owner", what, (chain,)))
    found = [
        (key_change(clock, config, identity, "revoked", None), f"revoked {identity.id}", "")
        for identity in identities
        if identity.revoked is not None
        and not identity.given_up  # which is told by itself
        and not is_told(state, f"revoked {identity.id}")
    ]
    for kind, name, what, chains in facts:
        fact = json.dumps(what, sort_keys=True)
        known = fact_of(state, name)
        if known != fact:
            before = None if known is None else json.loads(known)
            since = {**what, "before": before and before.get("after", before)}
            record = make(kind, clock, config, {"what": since, "context": context}, *chains)
            found.append((record, name, fact))
    return found


def prepare(state: apsw.Connection) -> None:
    """Make the tables of what is on record, if they are missing."""
    state.execute(_SCHEMA)


def is_told(state: apsw.Connection, name: str) -> bool:
    """Whether ``told`` was said of ``name``."""
    return state.execute("select 1 from told where name = ?", (name,)).fetchone() is not None


def names_told(state: apsw.Connection, beginning: str) -> list[str]:
    """The names that begin so of which ``told`` was said, in order."""
    rows = state.execute(
        "select name from told where substr(name, 1, ?) = ? order by name",
        (len(beginning), beginning),
    )
    return [str(name) for (name,) in rows]


def untell(state: apsw.Connection, beginning: str) -> None:
    """Forget that ``told`` was said of the names that begin so."""
    state.execute("delete from told where substr(name, 1, ?) = ?", (len(beginning), beginning))


def told(state: apsw.Connection, name: str, fact: str) -> None:
    """Remember that ``name`` is on record, with the ``fact`` in JSON unless it is ``""``."""
    table, column = ("in_force", "fact") if fact else ("told", "digest")
    state.execute(
        f"insert into {table} values (?1, ?2) on conflict (name) do update set {column} = ?2",  # noqa: S608 - two names of ours
        (name, fact),
    )


def fact_of(state: apsw.Connection, name: str) -> str | None:
    """The fact that is on record under ``name``."""
    row = state.execute("select fact from in_force where name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def _in_force(config: Config) -> dict[str, Any]:
    return {"after": config.settings(), "config_hash": config.hash()}


def refuse_shorter(state: apsw.Connection, config: Config) -> None:
    """``ConfigError`` if a class is to be kept for less time than is on record of it.

    Unless the configuration says who decided this very step, and why; then that is put on record.
    """
    prepare(state)
    for name, days in _minimums(state).items():
        kept, one = retention.kept(config, name), config.retention.classes.get(name)
        shortened = None if one is None else one.shortened
        decided = shortened is not None and shortened.says(days, kept.minimum)
        if kept.name == name and kept.minimum < days and not decided:
            raise ConfigError(
                f"retention.classes.{name} was kept for {days} days at least, and is now to be "
                f"kept for {kept.minimum}: nobody has decided that.",
                hint=f"shortened: {{from: {days}d, to: {kept.minimum}d, reason, decided_by}} in the"
                " class does, and is put on record.",
            )


def _minimums(state: apsw.Connection) -> dict[str, int]:
    """The minimum on record of each class that ever was in force, in days."""
    known = fact_of(state, "retention")
    after = {} if known is None else json.loads(known)["after"]
    found: dict[str, int] = dict(after.get("unnamed", {}))
    return found | {name: one["minimum"] for name, one in after.get("classes", {}).items()}


def _policy(state: apsw.Connection, config: Config) -> dict[str, Any]:
    """How long each class is kept in fact, presets and decisions taken in.

    ``unnamed``: the minimums of classes that were configured and are not any more.
    """
    classes: dict[str, Any] = {}
    for name, one in config.retention.classes.items():
        terms, shortened = retention.terms(config, name), one.shortened
        classes[name] = terms.kept._asdict() | {
            "regimes": {one: str(presets()[one].date) for one in terms.kept.regimes},
            "conflict": None,
            "shortened": shortened and shortened.model_dump(by_alias=True),
        }
        if terms.decision is not None and terms.maximum is not None:
            between = {"minimum": said(terms.minimum), "maximum": said(terms.maximum)}
            classes[name]["conflict"] = terms.decision.model_dump() | between
    after: dict[str, Any] = {"classes": classes}
    unnamed = {name: days for name, days in _minimums(state).items() if name not in classes}
    after |= {"unnamed": unnamed} if unnamed else {}
    return {"target": {"kind": "policy", "name": "retention"}, "after": after}
