"""``/api/subjects/export``: everything held about a person, as a bundle (GDPR Art. 15).

Rules: the person is whoever asks with the role subject, or named by who decides about keeping and
erasing; all records of the person's chain are in it, with the proof that none is left out, and what
is held of them within the reader's boundary: for the person the content, too. Others in the same
records are left out: of a record that somebody else caused, ``who`` and ``person``. Recorded as an
export. Not here: the bundle (``proofs``).
"""

import json
import re

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from affidavit.console import resolve
from affidavit.console.access import Access, recorded_name
from affidavit.console.auth import Authenticator, Reader
from affidavit.console.export_api import lines
from affidavit.console.proofs import Proofs, Wanted
from affidavit.console.services import ConsoleServices
from affidavit.console.strict_json import StrictRoute
from affidavit.control.identity import check_one_person, check_preserves
from affidavit.errors import NotFoundError, UsageError

_is_pseudonym = re.compile(r"act_[a-z2-7]{26}").fullmatch


class SubjectBody(BaseModel):
    """Whom it is about: a pseudonym, name or e-mail; ``""`` for whoever asks."""

    model_config = ConfigDict(extra="forbid")

    subject: str = Field(default="", max_length=200)
    purpose: str = Field(default="", max_length=500)


def router(
    services: ConsoleServices, authenticator: Authenticator, access: Access, proofs: Proofs
) -> APIRouter:
    """Return the route."""
    routes = APIRouter(prefix="/api", route_class=StrictRoute)

    @routes.post(
        "/subjects/export",
        tags=["subjects"],
        summary="Everything held about a person (zip)",
        response_class=Response,
        responses={200: {"content": {"application/zip": {}}}},
    )
    async def export(body: SubjectBody, request: Request) -> Response:
        reader = authenticator.api(request)
        own = body.subject in ("", reader.identity.actor)
        if reader.identity.role != "subject" or not own:
            check_preserves(reader.identity)
        name = recorded_name(services.snapshot(), reader.identity.tenant, body.subject)
        probe = {"operation": "subjects.export", "of": name}
        async with access.looking(reader, probe, body.purpose):
            pseudonym = reader.identity.actor if own else _pseudonym(services, reader, body.subject)
            check_one_person(
                services.snapshot().identities, pseudonym, "affidavit export 'email:…' is of one.",
                named=not own and _named(services, reader, pseudonym),
            )  # fmt: skip
        shows = reader.boundary.shows_content(body.purpose)
        wanted = Wanted(
            f"actor:{pseudonym}", content="full" if shows else "digest", purpose=body.purpose,
            subject=pseudonym,
        )  # fmt: skip
        made = await proofs.export(reader, wanted)
        headers = {
            "content-disposition": 'attachment; filename="subject.zip"',
            "affidavit-manifest": made.manifest_digest,
            "affidavit-records": str(made.counts["records"]),
            "affidavit-subject": pseudonym,
            "affidavit-content": wanted.content,
            "affidavit-verdict": json.dumps(lines(made.verdict)),
        }
        return Response(made.data, media_type="application/zip", headers=headers)

    return routes


def _pseudonym(services: ConsoleServices, reader: Reader, subject: str) -> str:
    """The one pseudonym that a name stands for; ``NotFoundError``, ``UsageError`` for several.

    What only begins like a pseudonym is a name: the answer becomes part of a question and a header.
    """
    if _is_pseudonym(subject):
        return subject
    found = resolve.actors(subject, reader, services.snapshot())
    if not found:
        raise NotFoundError(
            "Nobody of that name has a key here.",
            hint="Records that name a person: affidavit query 'email:… OR end_user:…'",
        )
    if len(found) > 1:
        raise UsageError(
            "More than one person is meant by this.", hint=f"One of {', '.join(found)}"
        )
    return found[0]


def _named(services: ConsoleServices, reader: Reader, actor: str) -> bool:
    """Whether the reader may learn who an actor is: names are in section ``person``."""
    every = services.snapshot().identities
    tenant = next((one.tenant for one in every if one.actor == actor), "")
    return "person" in reader.boundary.sections and tenant == reader.identity.tenant
