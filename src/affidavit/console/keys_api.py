"""``POST /api/keys/rotate``: a new key-encryption key for the whole installation.

Rules: owners and administrators ask for it; the sequencer does it and puts it on record, by whom.
Nothing of the key is in question or answer. Not here: keys of callers and readers (``api``).
"""

from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from affidavit.console.access import who
from affidavit.console.auth import Authenticator, require_administration
from affidavit.console.services import ConsoleServices
from affidavit.console.strict_json import StrictRoute

WITHIN = 600.0
"""Seconds; with a million keys it takes some of them."""


class RotateBody(BaseModel):
    """How the new key is kept, by default as the old one; and why it is asked for."""

    model_config = ConfigDict(extra="forbid")

    to: Literal["file", "passphrase", "aws-kms"] | None = None
    reason: str = Field(default="", max_length=500)


def router(services: ConsoleServices, authenticator: Authenticator) -> APIRouter:
    """Return the route."""
    routes = APIRouter(prefix="/api", route_class=StrictRoute)

    @routes.post("/keys/rotate", tags=["keys"], summary="A new key-encryption key; content stays")
    async def rotate_keys(body: RotateBody, request: Request) -> dict[str, Any]:
        reader = authenticator.api(request)
        require_administration(reader)
        asked = {"by": who(reader), "kind": body.to, "reason": body.reason}
        made: dict[str, Any] = await services.control.call("keys.rotate", asked, within=WITHIN)
        return made

    return routes
