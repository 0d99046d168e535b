"""What is written for a writer that is gone: outcomes, gap, end.

Rules:

1. Only the holder of the writer's lease writes any of it, and only when everything readable of
   its journal is in the ledger.
2. First the end is fixed, durably, in the file ``end`` beside the journal's segments: how many
   records are the writer's own, and what was wrong with the rest. Whatever happens later, another
   run comes to the same decision.
3. Then each open exchange gets its outcome ``interrupted``, with the bytes the journal holds;
   then comes ``ledger.gap`` if anything may be missing, and one if the writer may have served calls
   unrecorded; the last is ``ledger.ended``. They carry
   the writer's incarnation and go on with its counter. An exchange the ledger has an answer for
   is not open any more, so a run that was cut off goes on where it was.
4. Records found behind the fixed end, and outcomes for a writer that had ended itself with
   exchanges open, go under ``continuation``: another incarnation, always the same for a writer,
   which is ended in its turn.
5. An exchange that the ledger has and no journal any more, because that is missing or cannot be
   read, gets its outcome, too (``lost``). For a writer whose whole journal is missing outcomes and
   gap go under ``in_place_of``: an incarnation of their own, ended in its turn. Only its
   ``ledger.ended`` bears the writer's, in the place of the first record that the ledger lacks.

``bytes_delivered`` of an interrupted exchange is *at least*: each piece was in the journal before
it was sent, and a loss of power can lose pieces since the last sync. Without a journal nobody knows
it, and it is not there. The status is not known: it stands in the outcome that was never written.
Not here: reading and committing (``intake``).
"""

import hashlib
from pathlib import Path
from typing import Any

import msgspec

from affidavit import ids
from affidavit.config_retention import LEDGER
from affidavit.durable import Disk
from affidavit.errors import CorruptError, ParseError
from affidavit.record import disclose
from affidavit.record.model import SECTIONS, Part, Record

ANSWERED_BY = {"exchange.request": "exchange.response", "tool.call": "tool.result"}
"""The type of the outcome for each type that asks."""

END = "end"
_KEPT_OF_WHAT = (
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.request.model",
    "model_resolved",
    "provider",
    "dialect",
    "api",
)


class End(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a journal's own records end, and why something may be missing (or empty).

    ``since``: the writer may have served calls unrecorded after this time; empty if it never does.
    """

    records: int
    gap: str
    since: str = ""


def fix_end(disk: Disk, directory: Path, end: End) -> None:
    """Write down the decision of rule 2; durable on return."""
    disk.write_file(directory / END, msgspec.json.encode(end))


def fixed_end(directory: Path) -> End | None:
    """The decision, if it was taken; ``CorruptError`` if the file is not one."""
    try:
        return msgspec.json.decode((directory / END).read_bytes(), type=End)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise CorruptError(f"{directory.name}/{END} is damaged.") from error


def continuation(incarnation: str) -> str:
    """The incarnation for what comes after a writer's end; the same one each time."""
    return _derived("continued", incarnation)


def in_place_of(incarnation: str) -> str:
    """The incarnation for what is written for a writer without a journal; the same one each time.

    The writer's own counter stays where its records end: its journal may come back.
    """
    return _derived("lost", incarnation)


def interrupted(request: Record, body: bytes | None, at: str) -> tuple[Record, tuple[bytes, ...]]:
    """The outcome of a request whose writer is gone, with the ``body`` the journal holds.

    ``None``: what the journal held of it is missing, and how much was delivered is not known.
    """
    what: dict[str, Any] = {"parent": request.id}
    said = _said(request, "what")
    what.update({name: said[name] for name in _KEPT_OF_WHAT if name in said})
    outcome: dict[str, Any] = {"outcome": "interrupted"}
    message = "The process that served this exchange ended before it did"
    if body is None:
        message += (
            ", and its journal is missing or cannot be read:"
            " it is not known how many bytes were delivered."
        )
    else:
        outcome |= {"bytes_received": len(body), "bytes_delivered": len(body)}
        message += f"; at least {len(body)} bytes delivered."
    outcome["error"] = {"code": "interrupted", "type": "interrupted", "message": message}
    parts: tuple[Part, ...] = ()
    values: dict[str, Any] = {"who": _said(request, "who"), "what": what, "outcome": outcome}
    if body:
        part = disclose.commit_part("response.body", "application/octet-stream", body)
        parts = (part,)
        values["content"] = {
            "parts": [
                {
                    "name": part.name,
                    "media_type": part.media_type,
                    "size": part.size,
                    "digest": ids.b64u(part.digest),
                }
            ]
        }
    record = Record(
        id=ids.record_id(),
        type=ANSWERED_BY[request.type],
        at=at,
        tier=request.tier,
        tenant=request.tenant,
        retention_class=request.retention_class,
        sections=_sections(values),
        chains=request.chains,
        parts=parts,
        parent=request.id,
        subjects=request.subjects,
    )
    return record, (body,) if body else ()


def gap(incarnation: str, worker: str, reason: str, at: str) -> Record:
    """A record that something of this writer may be missing, and why."""
    what = {
        "kind": "lost",
        "cause": "journal damaged",
        "start": "unknown",
        "end": at,
        "at_least": 0,
        "count": "unknown",
        "writer": incarnation,
        "worker": worker or "unknown",
        "reason": reason,
    }
    return _own("ledger.gap", at, what)


def unrecorded(incarnation: str, worker: str, since: str, at: str) -> Record:
    """A record that a writer died which may have served calls without a record until then."""
    what = {
        "kind": "served",
        "cause": "worker died",
        "start": since,
        "end": at,
        "at_least": 0,
        "count": "unknown",
        "route": "any that serves unrecorded",
        "writer": incarnation,
        "worker": worker or "unknown",
        "reason": "The worker died; whether it served calls without a record is not known.",
    }
    return _own("ledger.gap", at, what)


def ended(incarnation: str, worker: str, at: str) -> Record:
    """The last record of a writer that did not write it itself."""
    what = {"writer": incarnation, "worker": worker or "unknown", "swept": True}
    return _own("ledger.ended", at, what)


def refused(record: Record, reason: str, at: str) -> Record:
    """Stands in the place of a record that no leaf can hold, without its content.

    An answer stays one (``interrupted``), so that its request does not stay open; anything else
    is a gap.
    """
    what = {"record": record.id, "type": record.type, "reason": reason}
    if record.type not in ANSWERED_BY.values():
        return _own("ledger.gap", at, what)
    error = {"code": "interrupted", "type": "interrupted", "message": reason}
    return Record(
        id=ids.record_id(),
        type=record.type,
        at=at,
        tier="observed",
        tenant=record.tenant,
        retention_class=record.retention_class,
        sections=_sections(
            {
                "what": {"parent": record.parent, **what},
                "outcome": {"outcome": "interrupted", "error": error},
            }
        ),
        chains=(),
        parent=record.parent,
    )


def _derived(label: str, incarnation: str) -> str:
    said = f"affidavit/{label}/v1\x00{incarnation}".encode()
    return ids.b64u(hashlib.sha256(said).digest()[:16])


def _own(kind: str, at: str, what: dict[str, Any]) -> Record:
    return Record(
        id=ids.record_id(),
        type=kind,
        at=at,
        tier="observed",
        tenant="",
        retention_class=LEDGER,
        sections=_sections({"what": what}),
        chains=(),
    )


def _sections(values: dict[str, Any]) -> tuple[str | None, ...]:
    return tuple(
        disclose.disclose(name, values[name]) if values.get(name) else None for name in SECTIONS
    )


def _said(record: Record, name: str) -> dict[str, Any]:
    """What a section of the request says; nothing if it is absent or cannot be read."""
    text = record.sections[SECTIONS.index(name)]
    if text is None:
        return {}
    try:
        value = disclose.open_disclosure(text, name)
    except ParseError:
        return {}
    return value if isinstance(value, dict) else {}
