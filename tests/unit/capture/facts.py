"""Small pieces that the tests of this stage share."""

from typing import Any

from affidavit.capture.exchange import Exchange
from affidavit.capture.sections import Asked, Setting, setting
from affidavit.config import Config
from affidavit.control.attribution import Attribution
from affidavit.control.identity import Identity
from affidavit.providers import registry
from affidavit.record.disclose import open_disclosure
from affidavit.record.model import SECTIONS, Record
from tests.world.clock import FakeClock
from tests.world.gateway import chat, identity

SETTING: Setting = setting("host", "gateway-1", Config())
SSE = [(b"content-type", b"text/event-stream")]
JSON = [(b"content-type", b"application/json")]


def attribution(**values: Any) -> Attribution:
    """Where a call belongs: nowhere in particular unless said."""
    nothing: dict[str, Any] = {
        "session": None, "session_source": "none", "session_raw": None, "end_user": None,
        "purpose": None, "trace_id": None, "span_id": None, "opt_out": (),
    }  # fmt: skip
    return Attribution(**{**nothing, **values})


def asked(
    body: bytes = chat(),
    *,
    who: Identity | None = None,
    path: str = "/v1/chat/completions",
    headers: tuple[tuple[bytes, bytes], ...] = (),
    dialect: str = "openai",
    **values: Any,
) -> Asked:
    """A request as the gateway has understood it."""
    facts = registry.lookup(dialect).request("POST", path, headers, body)
    return Asked(
        "openai", "POST", path, headers, facts, who or identity(), attribution(**values),
        "192.0.2.7", "application/json",
    )  # fmt: skip


def exchange(
    body: bytes = chat(),
    clock: FakeClock | None = None,
    **values: Any,
) -> Exchange:
    """An exchange whose request record has been made and that is on its way."""
    dialect = registry.lookup(values.get("dialect", "openai"))
    made = Exchange(asked(body, **values), body, dialect, SETTING, clock or FakeClock())
    made.request()
    made.forwarded()
    return made


def opened(record: Record) -> dict[str, Any]:
    """The record's sections by name."""
    return {
        name: open_disclosure(text, name)
        for name, text in zip(SECTIONS, record.sections, strict=True)
        if text is not None
    }
