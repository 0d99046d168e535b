"""Traffic with canaries in everything: credentials, words, names; well-formed, failing, malformed.

``Traffic`` sends it through one running installation; ``Seen`` keeps what came back that must not
repeat a canary. Who searches where is in ``test_secrets``.
"""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from affidavit.app.paths import Paths
from affidavit.record.model import View
from tests.e2e.machine import Machine
from tests.world.audit import Audited
from tests.world.rawclient import Answer, RawClient, request
from tests.world.upstream import LAST_CHUNK, SSE_HEAD, Do, Step, Upstream, chunk, whole

INJECTED = "sk-canary-injected-5b1f0e93c7a24d68"
CLAUDE = "sk-ant-canary-claude-e07d49b2a8c36f15"
PASSED = "sk-canary-passed-92c4e6a01bd7f835"
PASSED_IN_QUERY = "AIzaCanaryQuery-3f8b61d09ce2754a"
WRONG = "aff_wrong-canary-0000c7e19a5b3d2f4e6081a9b7c5d3e1f20"
COOKIE = "cookie-canary-6a0d8f2b4c91e573"

PROMPT = 'Gruß "canary" prompt 7d3e9f\nzweite Zeile/ende'
OUTPUT = "Antwort: canäry output a1c8e5 <ok>"
PARTIAL = "Antwort, abgebrochen: canäry partial 4b7d20"
KILLED = "Antwort, beendet: canäry killed e93f6c"
SESSION = "session-canary-8e2b5d7f-0001"
END_USER = "end-user-canary-c51a9e"
EMAIL = "canary.person.f04e@example.org"
NAME = "Canary Person Öztürk 77ab"
CLIENT = "canary-client/5.21 (d70c)"
WORDS = [PROMPT, OUTPUT, PARTIAL, KILLED, SESSION, END_USER, EMAIL, NAME, CLIENT]

CONFIG = """\
providers:
  injected: {{dialect: openai, base_url: "{url}", secret: "${{CANARY_INJECTED}}"}}
  claude: {{dialect: anthropic, base_url: "{url}", secret: "${{CANARY_CLAUDE}}"}}
  passed: {{dialect: openai, credential: pass, base_url: "{url}"}}
  nowhere: {{dialect: openai, base_url: "http://127.0.0.1:9", secret: "${{CANARY_INJECTED}}"}}
"""
SECRETS = {"CANARY_INJECTED": INJECTED, "CANARY_CLAUDE": CLAUDE}
CHAT = "/v1/chat/completions"


@dataclass
class Seen:
    """What one run of it all showed; ``hits`` by the moment at which every byte was searched."""

    data: Path
    keys: list[str] = field(default_factory=list)
    hits: dict[str, list[str]] = field(default_factory=dict)
    errors: list[Answer] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    arguments: bytes = b""
    environments: dict[str, bytes] = field(default_factory=dict)
    reached: bytes = b""
    kept: Audited | None = None
    views: list[View] = field(default_factory=list)
    killed: str = ""

    @property
    def owner(self) -> str:
        """The owner's key, from the one place where it may be."""
        return Paths(self.data).owner_key.read_text().strip()

    @property
    def credentials(self) -> list[str]:
        """Everything that opens something."""
        return [*self.keys, self.owner, INJECTED, CLAUDE, PASSED, PASSED_IN_QUERY, WRONG, COOKIE]


def _body(*, stream: bool = False) -> bytes:
    """A request as SDKs send it: JSON with everything but ASCII as it is."""
    document = {
        "model": "canary-model",
        "messages": [{"role": "user", "content": PROMPT}],
        "user": END_USER,
        "stream": stream,
    }
    return json.dumps(document, ensure_ascii=False).encode()


def _claude_body() -> bytes:
    document = {
        "model": "canary-model",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": PROMPT}],
        "metadata": {"user_id": END_USER},
    }
    return json.dumps(document).encode()  # escaped, as other SDKs send it


def _answer() -> bytes:
    message = {"role": "assistant", "content": OUTPUT}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    document = {"id": "chatcmpl-1", "object": "chat.completion", "model": "canary-model-served"}
    return json.dumps({**document, "choices": [choice]}, ensure_ascii=False).encode()


def _event(text: str) -> bytes:
    document = {
        "id": "chatcmpl-2",
        "object": "chat.completion.chunk",
        "model": "canary-model-served",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}],
    }
    return b"data: " + json.dumps(document, ensure_ascii=False).encode() + b"\n\n"


def _cut(text: str) -> Iterator[bytes]:
    """The events of a stream as chunks cut in the middle of everything."""
    event = _event(text)
    for begin in range(0, len(event), 37):
        yield chunk(event[begin : begin + 37])


class Traffic:
    """Callers before one installation and the provider behind it."""

    def __init__(self, machine: Machine, upstream: Upstream, seen: Seen) -> None:
        self.machine = machine
        self.upstream = upstream
        self.seen = seen

    def connect(self) -> RawClient:
        """A new connection to the gateway."""
        return RawClient(int(self.machine.gateway.rpartition(":")[2]))

    def call(self, path: str, body: bytes, *fields: tuple[str, str], key: str = "") -> Answer:
        """One request with all canaries in its fields; error answers are kept."""
        own = (
            ("content-type", "application/json"),
            ("affidavit-session", SESSION),
            ("user-agent", CLIENT),
            ("cookie", f"sid={COOKIE}"),
        )
        with self.connect() as client:
            client.send(request(path, body, key=key, headers=(*own, *fields)))
            answer = client.answer()
        assert answer.clean, path
        if answer.status >= 300:
            self.seen.errors.append(answer)
        return answer

    def whole_and_streamed(self) -> None:
        """Injected and passed credentials, in fields and queries, whole and in a stream."""
        cookie = f"set-cookie: sid={COOKIE}\r\n".encode()
        link = f"location: https://user:{PASSED}@example.org/x?sig={PASSED_IN_QUERY}\r\n".encode()
        stream: list[Step] = [SSE_HEAD, *_cut(OUTPUT), 0.02]
        stream += [chunk(b"data: [DONE]\n\n"), LAST_CHUNK]
        whole_answer: list[Step] = [whole(_answer(), extra=cookie + link)]
        for key in self.seen.keys:
            self.upstream.play(whole_answer, whole_answer, stream)
            assert self.call(f"/injected{CHAT}", _body(), key=key).status == 200
            assert self.call("/claude/v1/messages", _claude_body(),
                             ("x-api-key", key)).status == 200  # fmt: skip
            assert self.call(f"/injected{CHAT}", _body(stream=True), key=key).status == 200
            self.upstream.play(whole_answer, whole_answer, stream)
            own = (("affidavit-key", key), ("authorization", f"Bearer {PASSED}"))
            assert self.call(f"/passed{CHAT}", _body(), *own).status == 200
            query = f"?key={PASSED_IN_QUERY}&alt=sse"
            assert self.call(f"/passed{CHAT}{query}", _body(), own[0]).status == 200
            more = (own[0], ("x-api-key", PASSED), ("x-goog-api-key", PASSED_IN_QUERY))
            assert self.call(f"/passed{CHAT}", _body(stream=True), *more).status == 200

    def errors(self) -> None:
        """Errors of the provider, of the way to it, of the caller; keys where none belong."""
        key = self.seen.keys[0]
        refused = whole(b'{"error":{"message":"no","type":"auth"}}', status="401 Unauthorized")
        self.upstream.play([refused], [Do.RST], [b"garbage\r\n\r\n"])
        for status in (401, 502, 502):
            assert self.call(f"/injected{CHAT}", _body(), key=key).status == status
        assert self.call(f"/nowhere{CHAT}", _body(), key=key).status == 502
        assert self.call(f"/injected{CHAT}", _body(), key=WRONG).status == 401
        assert self.call(f"/injected{CHAT}?key={WRONG}", _body()).status == 401
        assert self.call(f"/injected{CHAT}?key={key}", _body()).status == 401
        assert self.call(f"/passed{CHAT}", _body(), ("authorization", f"Bearer {PASSED}"),
                         ("affidavit-key", WRONG)).status == 401  # fmt: skip
        assert self.call(f"/{key}{CHAT}", _body()).status == 404
        assert self.call(f"/unknown/{WRONG}", _body(), key=key).status == 404
        assert self.call(f"/injected/../{key}", _body(), key=key).status == 400
        assert self.call(f"/injected{CHAT}", _body(), ("connection", "authorization"),
                         key=key).status == 400  # fmt: skip
        assert self.call(f"/receipts/{key}", b"", key=WRONG).status == 401
        for raw in (f"POST /injected{CHAT} HTTP/1.1\r\nauthorization: Bearer {key}\r\n bad\x00\r\n",
                    f"{key} / HTTP/9\r\n\r\n"):  # fmt: skip
            with self.connect() as client:
                client.send(raw.encode() + b"\r\n")
                self.seen.errors.append(client.answer(within=2.0))

    def key_in_a_place_of_its_own(self) -> None:
        """A caller's key in a path, a parameter and a field that no list of names has."""
        key = self.seen.keys[0]
        self.upstream.play([whole(_answer())])
        for path, fields, status in (
            (f"/injected/v1/{key}/models", (), 400),
            (f"/injected{CHAT}?whatever={key}", (), 400),
            (f"/injected{CHAT}?key={key}", (), 400),
            (f"/injected{CHAT}", (("x-whatever", key),), 200),
        ):
            assert self.call(path, _body(), *fields, key=key).status == status

    def stream_in_flight(self, text: str) -> RawClient:
        """A stream that has brought its first event and goes on."""
        self.upstream.play([SSE_HEAD, *_cut(text), Do.HOLD])
        client = self.connect()
        fields = (("content-type", "application/json"), ("affidavit-session", SESSION))
        client.send(request(f"/injected{CHAT}", _body(stream=True), key=self.seen.keys[0],
                            headers=fields))  # fmt: skip
        assert client.wait_for(text.rpartition(" ")[2].encode())
        return client

    def reads(self, room: Path) -> None:
        """Everything that people do with it, by command line and by HTTP, well and badly."""
        machine, seen = self.machine, self.seen
        machine.wait_rows(f"session:{SESSION} type:exchange.response", 10)
        found = machine.rows(f'email:{EMAIL} "canary output"')
        machine.cli("query", f"user:{END_USER}", check=False)
        machine.cli("show", SESSION, "--reason", f"about {EMAIL}", check=False)
        exchange = [row for row in found if row["type"] == "exchange.request"] or found
        machine.cli("reveal", exchange[0]["id"], "--reason", f"asked by {EMAIL}")
        machine.cli("export", f"session:{SESSION}", "-o", str(room / "evidence.zip"))
        console = machine.console
        for path, key in (
            (f"/api/query?expression={quote('email:' + EMAIL)}", seen.owner),
            (f"/api/query?expression={quote('email:' + EMAIL)}", seen.keys[0]),
            (f"/api/show/{SESSION}?key={seen.owner}", WRONG),
            (f"/api/show/{seen.owner}", seen.owner),
            ("/metrics", seen.owner),
            ("/metrics", ""),
            ("/healthz", ""),
            (f"/api/keys?key={seen.owner}", ""),
            (f"/{seen.owner}", ""),
        ):
            status, answered = _get(console + path, key)
            if status >= 300 or path in ("/metrics", "/healthz"):
                seen.said.append(answered)
        for form in (f"key={WRONG}", f"key={seen.keys[0]}", f"kez={seen.owner}"):
            status, answered = _get(f"{console}/login", "", form.encode())
            assert status >= 400
            seen.said.append(answered)
        for path in ("/healthz", "/readyz"):
            seen.said.append(_get(machine.gateway + path, "")[1])


def _get(url: str, key: str, form: bytes | None = None) -> tuple[int, str]:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    asked = urllib.request.Request(url, form, headers)
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return answer.status, f"{answer.headers}{answer.read().decode()}"
    except urllib.error.HTTPError as error:
        with error:
            return error.code, f"{error.headers}{error.read().decode()}"
