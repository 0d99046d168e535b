"""Each mistake one could make in the parsers of ``wire`` is noticed by that parser's tests."""

import importlib

import pytest

from tests.mutants.runner import Mutant, breed, killed_by
from tests.unit.wire import (
    test_credentials,
    test_decode,
    test_http_rules,
    test_sse,
    test_strict_json,
)

TESTS = {
    "sse": test_sse,
    "http_rules": test_http_rules,
    "credentials": test_credentials,
    "decode": test_decode,
    "strict_json": test_strict_json,
}

WRONG = {
    "sse": [
        ("if data[0] == LF:", "if data[0] == 0:"),
        ("self._after_cr = data[-1] == CR", "self._after_cr = False"),
        (
            "lines = data.splitlines()",
            "lines = [x.encode() for x in data.decode('utf-8', 'replace').splitlines()]",
        ),
        ('value = value.removeprefix(b" ")', "value = value.lstrip()"),
        ("data[6:-2]", "data[6:-2].lstrip()"),
        ('data.count(b"\\n") == 2 and', 'data.count(b"\\n") >= 2 and'),
        ("== 2 and CR not in data", "== 2"),
        ("not (self._size or self._line_size or", "not (self._line_size or"),
        ("self._line_size or self._too_large)", "self._too_large)"),
        ("and len(data) <= self._limit", ""),
        ("return data.removeprefix(BYTE_ORDER_MARK)", "return data"),
        ("elif self._has_data:", "elif any(self._data):"),
        ("elif self._has_data:", "else:"),
        ("if self._too_large or self._size + len(line) > self._limit:", "if self._too_large:"),
        ("if self._size + self._line_size > self._limit:", "if self._limit < 0:"),
        ('return b":" if oversized else line', "return line"),
        ('if b"\\0" not in value:', "if value is not None:"),
        ("value.isdigit() and", "value[:1].isdigit() and value.strip(b'x') and"),
        ('b"\\n".join(self._data), self', 'b"".join(self._data), self'),
        ("self.dropped += 1", "events.append(Event(self._type, b''))"),
        ('elif name == b"event":', 'elif name == b"type":'),
    ],
    "http_rules": [
        ("if lengths and codings:", "if lengths and codings and lengths == codings:"),
        ("if lengths and len(lengths) > 1:", "if lengths and len(set(lengths)) > 1:"),
        ("not _DIGITS.fullmatch(lengths[0])", "not _DIGITS.match(lengths[0])"),
        ("not _DIGITS.fullmatch(lengths[0])", "not lengths[0].decode().strip().isdigit()"),
        ('codings[0].lower() != b"chunked"', 'b"chunked" not in codings[0].lower()'),
        ("len(codings) > 1 or", ""),
        ('if codings and http_version == "1.0":', 'if codings and http_version == "0.9":'),
        ('text.count(b"\\n") != len(names)', "False"),
        (r"[\x00-\x08\x0a-\x1f\x7f]", r"[\x01-\x08\x0a-\x1f\x7f]"),
        (r"[\x00-\x08\x0a-\x1f\x7f]", r"[\x00-\x08\x0b-\x1f\x7f]"),
        (r"[\x00-\x08\x0a-\x1f\x7f]", r"[\x00-\x08\x0a-\x0c\x0e-\x1f\x7f]"),
        ("if len(hosts) > 1:", "if len(set(hosts)) > 1:"),
        ("_HOST.fullmatch(hosts[0])", "_HOST.match(hosts[0])"),
        ('target.startswith(b"//") or', ""),
        ("MAX_DECODING_ROUNDS = 3", "MAX_DECODING_ROUNDS = 2"),
        ('segment.partition(b";")[0] in', "segment in"),
        ("_CONTROL_ESCAPE.search(path) or", ""),
        ("if _BAD_ESCAPE.search(target):", "if _BAD_ESCAPE.search(target[:9]):"),
        ('if b"%" in path.partition(b"/")[2].partition(b"/")[0]:', 'if b"\\0" in path:'),
        ("option in _PROTECTED or", ""),
        ("or option.startswith(_PROTECTED_PREFIXES)", ""),
        ("drop = HOP_BY_HOP | _connection_options(special)", "drop = HOP_BY_HOP"),
        ('method in ("CONNECT", "TRACE")', 'method == "CONNECT"'),
        ("200 <= status <= 599", "100 <= status <= 599"),
        ("if len(fields) > MAX_HEADERS:", "if len(fields) > 1000:"),
        ("if size > max_field_bytes:", "if size > 1 << 30:"),
        ("if size > MAX_RESPONSE_FIELD_BYTES:", "if size > 1 << 30:"),
        ("names.size + len(values)", "len(values)"),
        ("if len(target) > MAX_TARGET_BYTES:", "if len(target) > 1 << 30:"),
        ("if name not in drop]", "if name]"),
    ],
    "credentials": [
        ("plain = unquote_plus(name).strip().lower()", "plain = name.strip().lower()"),
        ("plain = unquote_plus(name).strip().lower()", "plain = unquote_plus(name).strip()"),
        ('re.compile(r"([&;])")', 're.compile(r"([&])")'),
        ("or _SCHEME.match(raw_value)", ""),
        ("(name.endswith(_ENDINGS) and name not in _HARMLESS)", "False"),
        ("and name not in _HARMLESS", ""),
        ("redact_target(value) if name in _LINKS else value", "value"),
        ("(REDACTED if fragment else", "(fragment if fragment else"),
        ('if "@" in path:', 'if "@@" in path:'),
        ("    name = name.lower()\n    return name in", "    return name in"),
    ],
    "decode": [
        ("data = layer.feed(data, room + 1)", "data = layer.feed(data, 1 << 40)[: room + 1]"),
        ("if len(data) > room:", "if len(data) >= room:"),
        ("self._rooms[number] -= len(data)", "pass"),
        ("for name in reversed(names))", "for name in names)"),
        ("and not all(layer.ended() for layer in self._layers)", "and not self._layers"),
        ("return zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS", "return zlib.MAX_WBITS"),
        ("                    self._done = True\n", ""),
        ("data = self._inner.unused_data", 'data = b""'),
        ("self._head = data\n", "self._head = b''\n"),
        ("at = min(at, len(data)) - len(self._inner.unused_data)", "at = len(data)"),
        ("except zlib.error:", "except KeyError:"),
        ("except zstandard.ZstdError:", "except KeyError:"),
        ("except brotli.error:", "except KeyError:"),
        ('"x-gzip": _gzip,', ""),
        ("len(names) > MAX_CODINGS or", ""),
    ],
    "strict_json": [
        ("if compact == data or", "if compact or"),
        ("if has_duplicate_keys(data, value):\n        raise", "if data is None:\n        raise"),
        ("if _deeper_than(value, max_depth):", "if _deeper_than(value, max_depth + 1):"),
        ("object_pairs_hook=_refuse_duplicates", "object_pairs_hook=dict"),
        ("!= len(pairs)", "!= len(pairs) and len(pairs) < 3"),
        ("if duplicates and has_duplicate_keys(data, value):", "if not duplicates:"),
        ('.encode("utf-8", "replace")', ".encode()"),
        ('text, problem = text[1:], "byte order mark"', "text = text[1:]"),
        (
            'except RecursionError:\n        return Parsed(None, "nested',
            'except KeyError:\n        return Parsed(None, "nested',
        ),
        ("except RecursionError:\n        return True", "except KeyError:\n        return True"),
    ],
}  # fmt: skip

MUTANTS = [
    Mutant(f"affidavit.wire.{module}", right, wrong)
    for module, changes in WRONG.items()
    for right, wrong in changes
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_a_mistake_in_a_parser_is_noticed(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    """With this passage wrong, a test of the module fails."""
    importlib.import_module(mutant.module)
    breed(mutant, monkeypatch)
    assert killed_by(TESTS[mutant.module.rpartition(".")[2]])


@pytest.mark.parametrize("name", sorted(TESTS))
def test_without_a_mistake_all_pass(name: str) -> None:
    """The way these tests are called does not make them fail by itself."""
    assert killed_by(TESTS[name]) == ""
