"""Each mistake one could make in the dialects is noticed by their tests or by the transcripts."""

import pytest

from tests.mutants.runner import Mutant, breed, killed_by
from tests.transcripts import test_provider_streams
from tests.unit.providers import (
    test_anthropic,
    test_anthropic_messages,
    test_dialect,
    test_facts,
    test_fields,
    test_opaque,
    test_openai,
    test_openai_chat,
    test_openai_responses,
)

TESTS = {
    "dialect": [test_dialect, test_provider_streams],
    "facts": [test_facts],
    "fields": [test_fields, test_openai],
    "openai": [test_openai],
    "openai_chat": [test_openai_chat, test_provider_streams],
    "openai_responses": [test_openai_responses, test_provider_streams],
    "anthropic": [test_anthropic],
    "anthropic_messages": [test_anthropic_messages, test_provider_streams],
    "opaque": [test_opaque],
}

WRONG = {
    "dialect": [
        ("and (rest.data == DONE or not lenient(rest.data).problem)", ""),
        ("rest.data == DONE or", ""),
        ("and (terminal or not unread)", ""),
        ('if trouble in ("bad", "unknown") or (', "if ("),
        ("if event.data:  #", "if event:  #"),
        ('readable = streamed and self._decoder.problem != "unknown"', "readable = streamed"),
        ("terminal=not streamed and not problem", "terminal=True"),
        ("if start[0] in _SSE_STARTS:", "if start[0] in b'd':"),
        ("start = data.lstrip(_SPACE)", "start = data"),
        ('found.get("error") is None:', 'found.get("error"):'),
        ("body, problem = decode(body, coding)", "problem = ''"),
        ("unread = events.dropped > 0 or", "unread ="),
        ("if self._status in (204, 304) else", "if self._status == 304 else"),
    ],
    "facts": [
        ('_TOOL_CALLS = ("tool_call", "server_tool_call")', '_TOOL_CALLS = ("tool_call",)'),
        ("if part.type in _TOOL_CALLS and part.name:", "if part.type in _TOOL_CALLS:"),
        ("return tuple(names)", "return tuple(names)[:1]"),
        ("named.items() if value}", 'named.items() if value != ""}'),
        ('if part.type == "text"', "if part.content"),
        ('"parsed": self.parsed,\n        }\n', '"parsed": self.parsed, "user": self.end_user}\n'),
        ("named.update(self.usage)", "pass"),
    ],
    "fields": [
        ("if type(value) is int and 0 <= value < 1 << 63", "if isinstance(value, int)"),
        ("and math.isfinite(value)", ""),
        ("if isinstance(value, str) and len(value) <= MAX_NAME else", "if value else"),
        ("return tuple(found)[:MAX_TOOLS]", "return tuple(found)"),
        ("    if isinstance(value, str):\n        return value\n    try:", "    try:"),
        ("if value is not None and number(value) is not None:", "if value is not None:"),
    ],
    "openai": [
        ("problem = read.problem or (", "problem = ("),
        ('if document else "not a JSON object")', 'if 1 else "")'),
        ('name(document.get("model")) or _model_in(route)', 'name(document.get("model"))'),
        ("name(unquote(found.group(1)))", "name(found.group(1))"),
        ("if route.endswith(ending):", "if ending in route:"),
        ('if method == "POST":', "if method:"),
        ('name(document.get("safety_identifier"))\n        or', ""),
        ('inner.get("server_label") or', ""),
        ("if status >= 500 else", "if status > 500 else"),
        ('("max_completion_tokens", "max_tokens"),', ""),
        ('route = path.partition("?")[0].rstrip("/")', "route = path"),
        ('return OpaqueAccumulator(problem="")', "return OpaqueAccumulator()"),
    ],
    "openai_chat": [
        ("if event.data == DONE:\n            self.terminal = True", "if event.data == DONE:"),
        ("self._error = error_of(chunk.value)\n            self.terminal = True",
         "self._error = error_of(chunk.value)"),
        ('or event.event == "error"', ""),
        ('key: Any = delta.get("index")', "key: Any = 0"),
        ("if identity or last is None else last", "if identity and last is None else last"),
        ("call.id = identity or call.id", "call.id = identity"),
        ('(item.get("finish_reason")) or choice.finish_reason', "(item.get('finish_reason'))"),
        ("if field in chunk and field not in self._names and", "if field in chunk and"),
        ("in sorted(self._choices.items())]", "in self._choices.items()]"),
        ('if not counts and "x_groq" in chunk:', "if chunk is None:"),
        ('_RARE = frozenset({"audio", ', "_RARE = frozenset({"),
        ('"reasoning", "reasoning_content"})', '"reasoning_content"})'),
        ("self.text.append(content)", "self.text = [content]"),
        ('self._call({"index": "legacy", "function": delta["function_call"]})', "pass"),
        ("size=len(data)\n", "size=0\n"),
        ('or body.get("object") == "error"', ""),
        ("if len(self._choices) >= MAX_CHOICES:", "if len(self._choices) > MAX_CHOICES:"),
        ('if role in ("tool", "function"):', 'if role == "tool":'),
        ('self.problem = self.problem or "an event is not a JSON object"', "pass"),
    ],
    "openai_responses": [
        ('"response.completed", "response.incomplete", "response.failed"', '"response.completed"'),
        ("self._error = error_of(value)\n            self.terminal = True",
         "self._error = error_of(value)"),
        ("if not outputs:", "if not outputs and self.terminal:"),
        ("if item is None or index in self._done:", "if item is None:"),
        ('ended = reason or ("" if', 'ended = ("" if'),
        ('"" if status in ("in_progress", "queued") else status', "status"),
        ('"mcp_call", "tool_search_call",', '"tool_search_call",'),
        ('"response.custom_tool_call_input.delta": "input",', ""),
        ('name(item.get("call_id")) or name(item.get("id"))', 'name(item.get("id"))'),
        ("sorted(self._deltas.items())", "self._deltas.items()"),
        ('if error is None and isinstance(response.get("error"), dict):', "if response is None:"),
        ('("instructions", "system"), ', ""),
        ('"tool" if kind.endswith("_output") else "assistant"', '"assistant"'),
        ("server = kind in _SERVER_CALLS", "server = False"),
    ],
    "anthropic": [
        ("problem = read.problem or (", "problem = ("),
        ("found.group(1) if found else", "found.group(0) if found else"),
        ('UNREAD if request.api == "opaque" else ""', "UNREAD"),
        ('servers = [server.get("name") for', "servers = [None for"),
        ('route.endswith("/messages"):', '"/messages" in route:'),
        ("if status >= 500 else", "if status > 503 else"),
    ],
    "anthropic_messages": [
        ('case "message_stop":', 'case "message_delta_":'),
        ("self._error = _error_of(value)\n                self.terminal = True",
         "self._error = _error_of(value)"),
        ("sum(parts) if known else None", "parts[0] if known else None"),
        ('if count(mapping(value.get("usage")).get(field)) is not None:',
         "if field in mapping(value.get('usage')):"),
        ('block["input"] = "".join(pieces) or block.get("input")', "pass"),
        ('text(block.get(field)) + "".join(pieces)', '"".join(pieces[-1:])'),
        ('"thinking_delta": "thinking",', ""),
        ('delta.get("stop_reason") or self._message.get("stop_reason")', "None"),
        ('"tool_call" if kind == "tool_use" else "server_tool_call"', '"tool_call"'),
        ("and index in self._blocks:", ":"),
        ('system = _parts(document.get("system"))', "system = ()"),
        ('size = len(text(source.get("data")))', "size = 0"),
        ('body.get("type") == "error" or', ""),
    ],
    "opaque": [
        ("expects_terminal = False", "expects_terminal = True"),
        ("if field not in self._found and (value", "if (value"),
        ('parsed=f"unparsed: {UNREAD}",', ""),
        ("if is_error(body):", "if body is None:"),
        ("if value}", "}"),
    ],
}  # fmt: skip

MUTANTS = [
    Mutant(f"affidavit.providers.{module}", right, wrong)
    for module, changes in WRONG.items()
    for right, wrong in changes
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_a_mistake_in_a_dialect_is_noticed(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    """With this passage wrong, a test of the module or a transcript fails."""
    breed(mutant, monkeypatch)
    assert any(killed_by(tests) for tests in TESTS[mutant.module.rpartition(".")[2]])


@pytest.mark.parametrize("name", sorted(TESTS))
def test_without_a_mistake_all_pass(name: str) -> None:
    """The way these tests are called does not make them fail by itself."""
    assert [killed_by(tests) for tests in TESTS[name]] == [""] * len(TESTS[name])
