"""``/api/export``: an evidence bundle, made and recorded, then sent whole."""

import json
from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from affidavit.console.auth import Authenticator
from affidavit.console.proofs import LINES, Proofs, Wanted
from affidavit.console.strict_json import StrictRoute

MAX_LINE = 1500
"""Characters of a line of the verdict in a header; the bundle says all of it to a verifier."""


class ExportBody(BaseModel):
    """Which records, and how much of them."""

    model_config = ConfigDict(extra="forbid")

    expression: str = Field(default="", max_length=4096)
    withhold: list[str] = Field(default_factory=list, max_length=9)
    content: Literal["none", "digest", "full"] = "digest"
    purpose: str = Field(default="", max_length=500)
    count: bool = False
    sample: int = Field(default=0, ge=0, le=100_000)
    seed: str = Field(default="", max_length=200)
    report: Literal["records", "period", "attestation"] = "records"


def lines(verdict: tuple[str, ...]) -> dict[str, str]:
    """The four lines by name, each short enough for a header."""
    cut = [line if len(line) <= MAX_LINE else line[:MAX_LINE] + " … (cut)" for line in verdict]
    return dict(zip(LINES, cut, strict=True))


def router(authenticator: Authenticator, proofs: Proofs) -> APIRouter:
    """Return the route of exports."""
    routes = APIRouter(prefix="/api", route_class=StrictRoute)

    @routes.post(
        "/export",
        tags=["read"],
        summary="An evidence bundle (zip)",
        response_class=Response,
        responses={200: {"content": {"application/zip": {}}}},
    )
    async def export(body: ExportBody, request: Request) -> Response:
        reader = authenticator.api(request)
        wanted = Wanted(
            body.expression, tuple(body.withhold), body.content, body.purpose, body.count,
            body.sample, body.seed, people=True, report=body.report,
        )  # fmt: skip
        made = await proofs.export(reader, wanted)
        headers = {
            "content-disposition": 'attachment; filename="evidence.zip"',
            "affidavit-manifest": made.manifest_digest,
            "affidavit-records": str(made.counts["records"]),
            "affidavit-verdict": json.dumps(lines(made.verdict)),
        }
        return Response(made.data, media_type="application/zip", headers=headers)

    return routes
