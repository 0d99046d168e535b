"""The record of each read (guarantee G13): durable before the first row leaves.

Rules: ``access.*`` records are written to the console's own journal; ``CannotRecordError`` means
that nothing is shown. Words that were searched for in content, and values that may identify a
person, are recorded as a keyed digest under the tenant's key, so that the same search can be
recognised and its words cannot be read. Refusals, reads that found nothing of the name they
asked for, and completions are records too, counted instead of repeated when they come in floods.
Not here: who may read (``auth``, ``query.boundary``).
"""

import contextlib
import re
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from affidavit import __version__, ids
from affidavit.console.auth import Reader
from affidavit.console.services import ConsoleServices
from affidavit.control import terms
from affidavit.control.identity import Identity, Snapshot
from affidavit.errors import AffidavitError, ExpressionError, NotFoundError, UsageError
from affidavit.query import fields, language
from affidavit.query.tree import Match, Phrase, Tree, replace
from affidavit.record.classes import class_of
from affidavit.record.disclose import disclose
from affidavit.record.model import SECTIONS, UNATTRIBUTED, Chain, Record

OUR_NAME = re.compile(r"#[0-9]{1,19}|(?:act|ses|key)_[a-z2-7]{26}")
"""Names that only this program gives, so nobody wrote anything into them."""


def digest_term(snapshot: Snapshot, tenant: str, term: str) -> str:
    """``hmac:`` and 26 characters: the keyed digest of a search term (128 bits)."""
    # That of the tenant's first key stays the first, whatever teams come later.
    team = next(one.team for one in snapshot.identities if one.tenant == tenant)
    key = snapshot.pseudonym_key(tenant, team)
    return terms.digest(key, term)


def recorded_name(snapshot: Snapshot, tenant: str, name: str) -> str:
    """A name that somebody typed, as it is recorded: digested unless only this program gives it."""
    return name if OUR_NAME.fullmatch(name) else digest_term(snapshot, tenant, name)


def recorded_expression(tree: Tree, snapshot: Snapshot, tenant: str) -> str:
    """The expression as it is recorded: canonical, words of content and persons digested.

    What asks for a beginning stays one: ``email:*`` hides nothing, ``email:ali*`` is not ``ali``.
    """

    def hide(node: Tree) -> Tree:
        if isinstance(node, Phrase):
            return Phrase(digest_term(snapshot, tenant, node.text), node.prefix)
        if isinstance(node, Match) and node.value and _names_somebody(node):
            return Match(node.field, digest_term(snapshot, tenant, node.value), node.prefix)
        return node

    return language.unparse(replace(tree, hide))


def _names_somebody(node: Match) -> bool:
    """Whether the value may identify a person: not a pseudonym, not a fact of the call."""
    if node.field in ("actor", "session"):
        return OUR_NAME.fullmatch(node.value) is None
    return fields.field_of(node.field).section == "person"


class Access:
    """Writes the console's own records; ``missed``, ``often`` and ``denied`` may only count."""

    def __init__(self, services: ConsoleServices) -> None:
        self._services = services

    async def read(self, kind: str, reader: Reader, what: dict[str, Any], purpose: str = "") -> str:
        """Record a read of type ``kind`` (``access.query`` …); returns the record's id.

        ``what`` says what was asked and how much was found. ``CannotRecordError``: show nothing.
        """
        record = await self.changed(kind, reader, what, purpose)
        self._services.reads[kind.removeprefix("access.")] += 1
        return record

    async def changed(
        self, kind: str, reader: Reader, what: dict[str, Any], purpose: str = ""
    ) -> str:
        """Record what a reader does that is no read, as ``read`` does; it is no figure of reads."""
        identity = reader.identity
        person = {
            "name": identity.name,
            "email": identity.email,
            "address": reader.address,
            "user_agent": reader.user_agent,
        }
        person = {name: value for name, value in person.items() if value}
        credential = identity.id if reader.via == "key" else ""
        chains = _chains(identity.tenant, identity.actor, credential)
        said = {
            "who": who(reader, purpose),
            "person": person,
            "what": what,
            "control": {"decision": "allow", "reasons": [], "policy": "none"}
            | _agreed(reader, what),
        }
        return await self._write(kind, said, chains)

    async def missed(
        self, kind: str, reader: Reader, what: dict[str, Any], purpose: str = ""
    ) -> None:
        """Record that a read found nothing; within a minute of the last such it is only counted.

        Of one kind are those of one key with the same type of record and operation; the record
        is that of the read, without rows. ``CannotRecordError``: do not even say that it is not
        there.
        """
        await self.often(kind, reader, what | {"rows": 0}, str(what["operation"]), purpose)

    @contextlib.asynccontextmanager
    async def looking(
        self, reader: Reader, what: dict[str, Any], purpose: str = ""
    ) -> AsyncIterator[None]:
        """Whatever is looked up inside is on record as ``missed``, if nothing or too much is meant.

        That somebody is not there, or that several are, is an answer, too. Words that are not
        understood are none.
        """
        try:
            yield
        except ExpressionError:
            raise
        except (NotFoundError, UsageError):
            await self.missed("access.query", reader, what, purpose)
            raise

    async def often(
        self, kind: str, reader: Reader, what: dict[str, Any], alike: str, purpose: str = ""
    ) -> None:
        """Record a read of a kind that comes in floods, as ``missed`` does.

        Of one kind are those of one key with the same type of record and the same ``alike``.
        ``CannotRecordError``, also where the one before could not be recorded: show nothing.
        """

        async def write(before: int) -> None:
            await self.read(kind, reader, what | {"repeated_before": before}, purpose)

        await self._services.floods.tell((kind, reader.identity.id, alike), write)

    async def denied(
        self, reason: AffidavitError, identity: Identity | None, address: str, path: str
    ) -> None:
        """Record a refusal; within a minute of the last of its kind it is only counted.

        Of one kind are those with the same code, the same key and the same route. Of ``path``
        only that is recorded which cannot be somebody's name, or a key put in the wrong place.

        ``identity`` is whose key was presented, if it is known. ``CannotRecordError`` as usual.
        """
        self._services.reads["denied"] += 1
        self._services.refusals[reason.code] += 1
        parts = path.split("/")
        route = "/".join(parts[: 3 if parts[1:2] == ["api"] else 2])
        kind = (reason.code, identity.id if identity else "", route)
        what = {
            "code": reason.code,
            "reason": reason.message,
            "url.path": _without_names(path, route),
        }

        async def write(before: int) -> None:
            told = what | {"repeated_before": before}
            await self._write_denied(reason, identity, address, told)

        await self._services.floods.tell(kind, write)

    async def _write_denied(
        self,
        reason: AffidavitError,
        identity: Identity | None,
        address: str,
        what: dict[str, Any],
    ) -> None:
        whom: dict[str, Any] = {"assurance": "asserted", "authenticated_by": "none"}
        chains: tuple[Chain, ...] = (Chain("", UNATTRIBUTED, ""),)
        if identity is not None:
            whom = _who(identity) | {"authenticated_by": "key", "credential": identity.id}
            chains = _chains(identity.tenant, identity.actor, identity.id)
        said = {
            "who": whom,
            "person": {"address": address},
            "what": what,
            "control": {"decision": "deny", "reasons": [reason.code], "policy": "none"},
            "outcome": {
                "outcome": "denied",
                "http.response.status_code": reason.http_status,
                "error": {"code": reason.code, "message": reason.message, "type": "console"},
            },
        }
        await self._write("access.denied", said, chains)

    async def _write(self, kind: str, said: dict[str, Any], chains: tuple[Chain, ...]) -> str:
        """Commit one record; ``said`` holds the sections that differ."""
        services = self._services
        config_hash = services.snapshot().config_hash
        console = {"version": __version__, "config_hash": config_hash}
        sections = {**said, "context": {"console": console}}
        record = Record(
            id=ids.record_id(),
            type=kind,
            at=services.clock.now(),
            tier="observed",
            tenant=chains[0].tenant,
            retention_class=class_of(services.config, kind, said.get("who", {}), chains),
            sections=tuple(
                disclose(name, msgspec.to_builtins(sections[name])) if name in sections else None
                for name in SECTIONS
            ),
            chains=chains,
            subjects=_subjects(said.get("who", {})),
        )
        await services.journal.commit(record, ())
        return record.id


def _subjects(who: dict[str, Any]) -> tuple[str, ...]:
    """Whose key seals what identifies the reader: a person's own, so that it can be erased."""
    return (who["actor"],) if who.get("kind") == "person" else ()


def _agreed(reader: Reader, what: dict[str, Any]) -> dict[str, Any]:
    """What of ``control`` says under which approval or broken glass a read happens."""
    approval = str(what.get("approval", ""))
    glass = reader.boundary.glass
    found: dict[str, Any] = {"approval": approval or glass} if approval or glass else {}
    return found | ({"reasons": ["break_glass"]} if glass else {})


def _without_names(path: str, route: str) -> str:
    """``path``, its end behind ``route`` replaced by ``…`` unless it is a name of ours."""
    named = path[len(route) + 1 :]
    plain = not named or route == "/log" or OUR_NAME.fullmatch(named)
    return path if plain else f"{route}/…"


def who(reader: Reader, purpose: str = "") -> dict[str, Any]:
    """The ``who`` section of what a reader does."""
    section = _who(reader.identity) | {"authenticated_by": reader.via}
    if reader.via == "key":
        section["credential"] = reader.identity.id
    else:
        section["assurance"] = "verified"
    if purpose:
        section["purpose"] = purpose
    return section


def _who(identity: Identity) -> dict[str, Any]:
    return {
        "tenant": identity.tenant,
        "actor": identity.actor,
        "kind": identity.kind,
        "role": identity.role,
        "groups": list(identity.groups),
        "team": identity.team,
        "assurance": "key",
        **identity.marks(),
    }


def _chains(tenant: str, actor: str, credential: str) -> tuple[Chain, ...]:
    joined = (Chain(tenant, "actor", actor),)
    return (*joined, Chain(tenant, "key", credential)) if credential else joined
