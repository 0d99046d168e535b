"""``/api/export``: an evidence bundle, made and recorded, then sent whole."""

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from affidavit.console.auth import Authenticator
from affidavit.console.proofs import Proofs, Wanted


class ExportBody(BaseModel):
    """Which records, and how much of them."""

    model_config = ConfigDict(extra="forbid")

    expression: str = Field(default="", max_length=4096)
    withhold: list[str] = Field(default_factory=list, max_length=7)
    content: Literal["none", "digest", "full"] = "digest"
    purpose: str = Field(default="", max_length=500)


def router(authenticator: Authenticator, proofs: Proofs) -> APIRouter:
    """Return the route of exports."""
    routes = APIRouter(prefix="/api")

    @routes.post(
        "/export",
        tags=["read"],
        summary="An evidence bundle (zip)",
        response_class=Response,
        responses={200: {"content": {"application/zip": {}}}},
    )
    async def export(body: ExportBody, request: Request) -> Response:
        reader = authenticator.api(request)
        wanted = Wanted(body.expression, tuple(body.withhold), body.content, body.purpose)
        made = await proofs.export(reader, wanted)
        headers = {
            "content-disposition": 'attachment; filename="evidence.zip"',
            "affidavit-manifest": made.manifest_digest,
            "affidavit-records": str(made.counts["records"]),
        }
        return Response(made.data, media_type="application/zip", headers=headers)

    return routes
