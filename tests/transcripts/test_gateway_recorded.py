"""Real traffic replayed through the gateway, cut up badly: same bytes, whole records."""

import base64
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from affidavit.config import Provider
from tests.paths import shared
from tests.world.gateway import KEY, SECRET, World
from tests.world.rawclient import RawClient
from tests.world.upstream import LAST_CHUNK, Step, Upstream, chunk

DIALECTS = {
    "openai": "openai", "azure-openai": "openai", "groq": "openai", "mistral": "openai",
    "openai-compatible": "openai", "anthropic": "anthropic", "gemini": "opaque",
    "vertex": "opaque", "bedrock": "opaque", "cohere": "opaque", "ollama": "opaque",
}  # fmt: skip
_LEFT_OUT = {"content-length", "transfer-encoding", "connection", "host", "keep-alive", "upgrade",
             "trailer", "te", "authorization"}  # fmt: skip
EACH = 15


class Recorded(NamedTuple):
    """One exchange of the data set."""

    dialect: str
    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    status: int
    response_headers: list[tuple[str, str]]
    response: bytes


def _bytes(body: Any) -> bytes:
    if not body:
        return b""
    return base64.b64decode(body["base64"]) if "base64" in body else body["text"].encode()


def _fields(headers: Any) -> list[tuple[str, str]]:
    pairs = headers.items() if isinstance(headers, dict) else headers
    found = []
    for name, value in pairs:
        values = value if isinstance(value, list) else [value]
        found += [(name.lower(), str(v)) for v in values if name.lower() not in _LEFT_OUT]
    return [(name, value) for name, value in found if value.isascii() and value.isprintable()]


def recorded() -> Iterator[Recorded]:
    """The first exchanges of each provider."""
    for name, dialect in DIALECTS.items():
        lines = shared("exchanges", f"{name}.jsonl").read_text().splitlines()
        for line in lines[:EACH]:
            one = json.loads(line)
            asked, answered = one["request"], one["response"]
            path = asked["path"].partition("#")[0].replace(" ", "%20")
            if not path.startswith("/") or not 200 <= answered["status"] <= 599:
                continue
            yield Recorded(
                dialect, asked["method"].upper(), path,
                _fields(asked["headers"]), _bytes(asked["body"]), answered["status"],
                _fields(answered["headers"]), _bytes(answered["body"]),
            )  # fmt: skip


def script(one: Recorded, dice: random.Random) -> list[Step]:
    """The response as a provider might send it: any framing, any cuts."""
    chunked = dice.random() < 0.5 and one.status not in (204, 304)
    lines = [f"HTTP/1.1 {one.status} Recorded"]
    lines += [f"{name}: {value}" for name, value in one.response_headers]
    lines.append(
        "transfer-encoding: chunked" if chunked else f"content-length: {len(one.response)}"
    )
    cuts = sorted(dice.sample(range(len(one.response) + 1), min(6, len(one.response))))
    pieces = [one.response[a:b] for a, b in zip([0, *cuts], [*cuts, None], strict=True)]
    steps: list[Step] = ["\r\n".join(lines).encode() + b"\r\n\r\n"]
    steps += [chunk(piece) if chunked else piece for piece in pieces if piece]
    return [*steps, LAST_CHUNK] if chunked else steps


def test_recorded_exchanges_pass_unchanged_and_whole(tmp_path: Path) -> None:
    """G7 over real traffic: request and response bytes arrive as sent, and are on record."""
    dice = random.Random(7)
    cases = list(recorded())
    answers: dict[str, Recorded] = {}
    with Upstream() as provider:
        more = {
            name: Provider(dialect=name, base_url=provider.url, secret=SECRET)  # type: ignore[arg-type]  # by name
            for name in ("anthropic", "opaque")
        }
        with World(tmp_path, provider.url, more=more) as world, RawClient(world.port) as client:
            for one in cases:
                provider.play(script(one, dice))
                lines = [f"{one.method} /{one.dialect}{one.path} HTTP/1.1", "host: g"]
                lines += [f"{name}: {value}" for name, value in one.headers]
                lines += [f"affidavit-key: {KEY}", f"content-length: {len(one.body)}"]
                client.send("\r\n".join(lines).encode() + b"\r\n\r\n" + one.body)
                answer = client.answer()
                assert (answer.status, answer.body, answer.clean) == (
                    one.status,
                    one.response,
                    True,
                )
                assert provider.requests[-1].endswith(b"\r\n\r\n" + one.body)
                answers[answer.header("affidavit-record") or ""] = one
    pairs = world.exchanges()
    assert len(pairs) == len(answers) == len(cases)
    understood = 0
    for asked, answered in pairs:
        one = answers[asked.record.id]
        assert asked.parts.get("request.body", b"") == one.body
        assert answered.parts.get("response.body", b"") == one.response
        assert answered.outcome in ("complete", "truncated", "upstream_error")
        understood += answered.sections["what"]["parsed"] == "yes"
    assert understood > sum(one.dialect != "opaque" for one in cases) // 2
