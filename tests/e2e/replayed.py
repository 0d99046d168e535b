"""What must be the same when recordings have been replayed, and where it was not.

Each comparison takes one exchange through one configured provider: the wire on both sides of the
gateway, what ledger and vault hold, the facts in the records. The first difference of an exchange
in a column is kept as a sentence. Which normalisations there are stands in ``test_replay``.
"""

import json
from base64 import urlsafe_b64encode
from collections import Counter, defaultdict
from hashlib import sha256
from typing import Any, NamedTuple

from affidavit.index.messages import said
from affidavit.index.project import project
from affidavit.providers import registry
from affidavit.record.model import View
from tests.e2e.recorded_upstream import PER_CONNECTION, REPLAY, Message, RecordedUpstream
from tests.vectors.reading import Reading, output
from tests.vectors.recordings import Exchange, RawHeaders
from tests.vectors.test_recorded_facts import ANTHROPIC, OPENAI, Sdk

INJECTED = "sk-replay-injected-4f1c9a7be2d05836"
PASSED = "sk-replay-passed-d94e03b7a16c8f52"
STALE = "sk-replay-stale-70b2e6f58c41d39a"


class Case(NamedTuple):
    """One file of recordings through one configured provider; ``read`` by SDK at least so many."""

    file: str
    dialect: str
    credential: str = "pass"
    sdk: Sdk | None = None
    read: int = 0

    @property
    def provider(self) -> str:
        """The provider's name in the configuration."""
        return f"{self.file}.{self.dialect}"


CASES = [
    Case("openai", "openai", "inject", OPENAI, 150),
    Case("anthropic", "anthropic", "inject", ANTHROPIC, 39),
    Case("azure-openai", "openai", "inject", OPENAI, 8),
    Case("groq", "openai", "inject", OPENAI, 3),
    Case("mistral", "openai", "pass", OPENAI, 7),
    Case("openai-compatible", "openai", "inject", OPENAI, 15),
    *[Case(file, "opaque") for file in ("bedrock", "cohere", "gemini", "ollama", "vertex")],
    # what speaks as OpenAI does, recorded without being understood
    *[Case(f, "opaque", "inject") for f in ("azure-openai", "groq", "mistral")],
    Case("openai-compatible", "opaque"),
]
FIRST = [case for case in CASES if case.sdk is not None or case.file not in
         ("azure-openai", "groq", "mistral", "openai-compatible")]  # fmt: skip
"""One case for each file: together all recordings, once."""

COLUMNS = ("bytes up", "headers up", "bytes down", "headers down", "in record", "facts")


class Replayed:
    """Everything that was seen; ``problems`` by provider and column, one line each."""

    def __init__(self) -> None:
        self.recordings: dict[str, Exchange] = {}
        self.case: dict[str, Case] = {}
        self.answers: dict[str, Message] = {}
        self.read_by_sdk: Counter[str] = Counter()
        self.problems: defaultdict[tuple[str, str], dict[str, str]] = defaultdict(dict)

    def check(self, name: str, column: str, got: object, expected: object, what: str = "") -> None:
        """Note the first difference of an exchange in a column."""
        if got != expected:
            found = self.problems[self.case[name].provider, column]
            found.setdefault(name, f"{name} {what}: {_short(got)} instead of {_short(expected)}")

    def names(self, case: Case) -> list[str]:
        """The exchanges of a case, by the name they were sent under."""
        return [name for name, other in self.case.items() if other is case]

    def table(self) -> str:
        """Passes per file and column."""
        lines = [f"{'':<36}{'exchanges':>10}" + "".join(f"{name:>14}" for name in COLUMNS)]
        for case in CASES:
            total = len(self.names(case))
            cells = [total - len(self.problems[case.provider, column]) for column in COLUMNS]
            label = f"{case.file} ({case.dialect}, {case.credential})"
            facts = f"{cells[-1]} ({self.read_by_sdk[case.provider]} sdk)" if case.sdk else "-"
            row = "".join(f"{cell:>14}" for cell in [*cells[:-1], facts])
            lines.append(f"{label:<36}{total:>10}{row}")
        return "\n".join(lines)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 400 else f"{text[:200]} … {text[-200:]}"


def _lower(headers: RawHeaders, *without: bytes) -> Counter[tuple[bytes, bytes]]:
    """End-to-end fields as a multiset, names in lower case, some left out."""
    dropped = PER_CONNECTION | set(without)
    return Counter((n.lower(), value) for n, value in headers if n.lower() not in dropped)


def own_credential(case: Case) -> bytes:
    """What the caller sends as a credential: its own, or one that must not go further."""
    return f"Bearer {PASSED if case.credential == 'pass' else STALE}".encode()


def compare_wires(replayed: Replayed, upstream: RecordedUpstream) -> None:
    """What the provider got against the recording, what the caller got against what it sent."""
    for name, exchange in replayed.recordings.items():
        case = replayed.case[name]
        got, sent, answer = (
            upstream.got.get(name), upstream.sent.get(name), replayed.answers.get(name)
        )  # fmt: skip
        if got is None or sent is None or answer is None:
            for column in COLUMNS[:4]:
                replayed.check(name, column, "nothing", "an exchange")
            continue
        line = f"{exchange.method} {exchange.path} HTTP/1.1".encode()
        replayed.check(name, "headers up", got.first, line, "request line")
        expected = _lower(exchange.request_headers, b"host", b"content-length")
        expected += Counter({(REPLAY, name.encode()): 1})
        expected += Counter({(b"host", f"127.0.0.1:{upstream.port}".encode()): 1})
        if exchange.request_body or exchange.method != "GET":
            length = b"%d" % len(exchange.request_body)
            expected += Counter({(b"content-length", length): 1})
        expected += Counter({_credential(case): 1})
        replayed.check(name, "headers up", _lower(got.headers), expected, "fields")
        replayed.check(name, "bytes up", got.body, exchange.request_body)
        status = int(answer.first.split()[1])
        replayed.check(name, "headers down", status, exchange.status, "status")
        pointers = Counter(
            (key, answer.value(key)) for key in (b"affidavit-record", b"affidavit-digest")
        )
        received = _lower(answer.headers)
        replayed.check(name, "headers down", received, _lower(sent.headers) + pointers, "fields")
        replayed.check(name, "bytes down", answer.body, exchange.response_body)


def _credential(case: Case) -> tuple[bytes, bytes]:
    """The one credential that must reach the provider, in the form its SDK uses."""
    if case.credential == "pass":
        return b"authorization", own_credential(case)
    if case.dialect == "anthropic":
        return b"x-api-key", INJECTED.encode()
    return b"authorization", b"Bearer " + INJECTED.encode()


def compare_records(
    replayed: Replayed, upstream: RecordedUpstream, asked: dict[str, View], told: dict[str, View]
) -> None:
    """What is in ledger and vault against the wire."""
    for name, exchange in replayed.recordings.items():
        answer = replayed.answers.get(name)
        if answer is None:
            replayed.check(name, "in record", "nothing", "an exchange")
            continue
        record = answer.value(b"affidavit-record").decode()
        if record not in asked:
            replayed.check(name, "in record", record, "a record")
            continue
        request, response = asked[record], told[record]
        digest = sha256(json.dumps(request.digests, separators=(",", ":")).encode()).digest()
        promised = urlsafe_b64encode(digest).rstrip(b"=")

        def same(got: object, expected: object, what: str, name: str = name) -> None:
            replayed.check(name, "in record", got, expected, what)

        same(answer.value(b"affidavit-digest"), promised, "digest")
        same(request.parts, _parts("request.body", exchange.request_body), "request body")
        same(response.parts, _parts("response.body", exchange.response_body), "response body")
        up, down = request.sections["what"], response.sections["what"]
        outcome = response.sections["outcome"]
        same(up["provider"], replayed.case[name].provider, "provider")
        same((up["http.request.method"], up["url.path"]), (exchange.method, exchange.path), "line")
        kept = _lower(exchange.request_headers, b"host", b"content-length", b"user-agent")
        same(_recorded(up["http.request.headers"]),
             kept + Counter({(REPLAY, name.encode()): 1}), "request fields")  # fmt: skip
        agents = [v for n, v in exchange.request_headers if n.lower() == b"user-agent"]
        agent = request.sections["person"].get("user_agent")
        same(agent, agents[0].decode() if agents else None, "user agent")
        same(_recorded(down["http.response.headers"], *PER_CONNECTION),
             _lower(upstream.sent[name].headers), "response fields")  # fmt: skip
        same(down["response_made_by"], "provider", "made by")
        same(outcome["outcome"], "complete", "outcome")
        same(outcome["http.response.status_code"], exchange.status, "status")
        size = len(exchange.response_body)
        given = outcome["bytes_delivered"] + outcome.get("bytes_held", 0)
        same((outcome["bytes_received"], given), (size, size), "sizes")


def _parts(name: str, body: bytes) -> dict[str, bytes]:
    return {name: body} if body else {}


def _recorded(fields: list[list[str]], *without: bytes) -> Counter[tuple[bytes, bytes]]:
    pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]
    return Counter(pair for pair in pairs if pair[0] not in without)


def compare_facts(replayed: Replayed, asked: dict[str, View], told: dict[str, View]) -> None:
    """The facts in the records against the official SDKs, and against the JSON of the request."""
    for name, exchange in replayed.recordings.items():
        case, answer = replayed.case[name], replayed.answers.get(name)
        if case.sdk is None or answer is None:
            continue
        record = answer.value(b"affidavit-record").decode()
        request, response = asked[record], told[record]
        up, down = request.sections["what"], response.sections["what"]
        if exchange.request_body.startswith(b"{") and up["api"] != "opaque":
            body = json.loads(exchange.request_body)
            # the deployment in an Azure path is the model where the body names none
            model = up["gen_ai.request.model"]
            replayed.check(name, "facts", model, body.get("model", model), "model asked for")
            stream = up.get("gen_ai.request.stream", False)
            replayed.check(name, "facts", stream, bool(body.get("stream")), "stream asked for")
            tools = set(up.get("tools_offered", ()))
            replayed.check(name, "facts", tools, _offered(body), "tools offered")
        if not case.sdk.speaks(exchange):
            replayed.check(name, "facts", up["parsed"] == "yes", False, "parsed")
            continue
        expected = case.sdk.read(exchange)
        replayed.check(name, "facts", _reading(request, response), expected, "facts")
        replayed.check(name, "facts", (up["parsed"], down["parsed"]), ("yes", "yes"), "parsed")
        called = dict.fromkeys(call.name for out in expected.outputs for call in out.calls)
        replayed.check(name, "facts", down.get("tools_called", []), list(called), "tools called")
        # what full-text search, `query` and `show` work with
        entry = project(response, project(request, None))
        assert entry is not None
        shown = "\n".join(one.text for one in said(response, entry.row))
        for out in expected.outputs:
            text = out.text.strip()
            replayed.check(name, "facts", text in shown, True, f"text {text[:50]!r}")
        replayed.read_by_sdk[case.provider] += 1


def _offered(body: dict[str, Any]) -> set[str]:
    tools = body.get("tools") or ()
    named = {
        tool["function"]["name"] if "function" in tool else tool.get("name") or tool["type"]
        for tool in tools
    }
    return named | {function["name"] for function in body.get("functions") or ()}


def _reading(request: View, response: View) -> Reading:
    """What the records alone say: sections, and the messages in the stored bytes."""
    up, down = request.sections["what"], response.sections["what"]
    outcome = response.sections["outcome"]
    dialect = registry.lookup(down["dialect"])
    status = outcome["http.response.status_code"]
    asked = dialect.request(up["http.request.method"], up["url.path"], [], b"")
    fields = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in down["http.response.headers"]]
    facts = dialect.response(asked, status, fields, response.parts.get("response.body", b""))
    error = outcome.get("error")
    return Reading(
        down.get("gen_ai.response.id", ""),
        down.get("gen_ai.response.model", ""),
        down.get("openai.response.system_fingerprint", ""),
        tuple(outcome.get("gen_ai.response.finish_reasons", ())),
        {name: count for name, count in outcome.items() if name.startswith("gen_ai.usage.")},
        tuple(output(message) for message in facts.messages),
        (status, *(error.get(k, "") for k in ("code", "type", "message"))) if error else None,
    )
