"""The expression language: what it means, how it is spelt, and how it fails."""

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from affidavit.clock import from_unix_us
from affidavit.errors import ExpressionError
from affidavit.query.fields import ALIASES, FIELDS, HAS, help_text
from affidavit.query.language import MAX_LENGTH, parse, unparse
from affidavit.query.phrases import MAX_WORDS
from affidavit.query.tree import (
    All,
    And,
    Has,
    Match,
    Moment,
    Not,
    Number,
    Or,
    Phrase,
    Tree,
    conjuncts,
    leaves,
    window,
)
from affidavit.record.model import DIMENSIONS

NOW = "2026-11-23T12:00:00.000000Z"
DAY = "2026-08-01T00:00:00.000000Z"
NEXT = "2026-08-02T00:00:00.000000Z"


def match(field: str, value: str, *, prefix: bool = False) -> Match:
    """Shorter to write in tables."""
    return Match(field, value, prefix)


A, B, C = Phrase("a"), Phrase("b"), Phrase("c")

MEANINGS: list[tuple[str, Tree]] = [
    ("", All()),
    ("   ", All()),
    ("model:gpt-4o", match("model", "gpt-4o")),
    ("MODEL:gpt-4o", match("model", "gpt-4o")),
    ("model:gpt-4*", match("model", "gpt-4", prefix=True)),
    ("tool:*", match("tool", "", prefix=True)),
    ("since:0999-01-01", Moment("time", ">=", "0999-01-01T00:00:00.000000Z")),
    ("time<=0001-01-01", Moment("time", "<", "0001-01-02T00:00:00.000000Z")),
    ("source_time>0999-12-31", Moment("source_time", ">=", "1000-01-01T00:00:00.000000Z")),
    ("type:exchange.*", match("type", "exchange.", prefix=True)),
    ('model:"a b"', match("model", "a b")),
    ('model:"a*"', match("model", "a*")),
    ('model:"a*"*', match("model", "a*", prefix=True)),
    (r'"say \"hi\" \\ there"', Phrase(r'say "hi" \ there')),
    ('"exact phrase"', Phrase("exact phrase")),
    ("word*", Phrase("word", prefix=True)),
    ("wor*", Phrase("wor", prefix=True)),
    ('"a wor."*', Phrase("a wor.", prefix=True)),
    ("\u6771*", Phrase("\u6771", prefix=True)),
    ('text:"exact phrase"', Phrase("exact phrase")),
    ("-role:admin", Not(match("role", "admin"))),
    ("NOT role:admin", Not(match("role", "admin"))),
    ("--role:admin", Not(Not(match("role", "admin")))),
    ("key:key_1", match("credential", "key_1")),
    ("trace_id:t1", match("trace", "t1")),
    ("latency>2", Number("duration", ">", 2)),
    ("at>=2026-08-01", Moment("source_time", ">=", DAY)),
    ("status:429", match("status", "429")),
    ("status:5*", match("status", "5", prefix=True)),
    ("status:client*", match("status", "client", prefix=True)),
    ("decision:mask", match("decision", "mask")),
    ("error:upstream.timeout", match("error", "upstream.timeout")),
    ("request_id:req_1*", match("request_id", "req_1", prefix=True)),
    ("session:a:b:c", match("session", "a:b:c")),
    ("has:error", Has("error")),
    ("tokens>10000", Number("tokens", ">", 10000)),
    ("tokens:5", Number("tokens", "=", 5)),
    ("duration<=1.5", Number("duration", "<=", 1.5)),
    ("since:90d", Moment("time", ">=", "2026-08-25T12:00:00.000000Z")),
    ("since:2026-08-01", Moment("time", ">=", DAY)),
    ("until:2026-08-01T00:00:00Z", Moment("time", "<", DAY)),
    ("since:2026-08-01T02:00+02:00", Moment("time", ">=", DAY)),
    ("time>2026-08-01", Moment("time", ">=", NEXT)),
    ("time<=2026-08-01", Moment("time", "<", NEXT)),
    (
        "source_time:2026-08-01",
        And((Moment("source_time", ">=", DAY), Moment("source_time", "<", NEXT))),
    ),
    (
        "source_time:2026-07-31..2026-08-01",
        And(
            (
                Moment("source_time", ">=", "2026-07-31T00:00:00.000000Z"),
                Moment("source_time", "<", NEXT),
            )
        ),
    ),
    ("a b", And((A, B))),
    ("a AND b", And((A, B))),
    ("a OR b", Or((A, B))),
    ("a b OR c", Or((And((A, B)), C))),
    ("a OR b c", Or((A, And((B, C))))),
    ("a (b OR c)", And((A, Or((B, C))))),
    ("(a b) c", And((A, B, C))),
    ("a OR (b OR c)", Or((A, B, C))),
    ("-(a OR b) c", And((Not(Or((A, B))), C))),
    ("-a b", And((Not(A), B))),
    ("or and not", And((Phrase("or"), Phrase("and"), Phrase("not")))),
    ("ORDER", Phrase("ORDER")),
]


@pytest.mark.parametrize(("text", "tree"), MEANINGS)
def test_expressions_mean_what_the_table_says(text: str, tree: Tree) -> None:
    """Each form of the grammar has one reading."""
    assert parse(text, NOW) == tree


@pytest.mark.parametrize(
    ("text", "position", "nearest"),
    [
        ("modl:gpt", 0, "model"),
        ("a (b OR sesion:x)", 8, "session"),
        ("zzzzz:1", 0, None),
        ("http://example.com", 5, None),
        ('"open', 0, None),
        ("(a", 0, None),
        ("a)", 1, None),
        ("()", 1, None),
        ("a OR", 4, None),
        ("OR a", 0, None),
        ("a AND", 5, None),
        ("-", 1, None),
        ("model:", 6, None),
        ('model:""', 6, None),
        ("model:a*b", 7, None),
        ("model>3", 5, None),
        ("wo*", 0, None),
        ('text:"many words w"*', 5, None),
        ("tokens>many", 7, None),
        ("tokens>nan", 7, None),
        ("tokens>1e999", 7, None),
        ("since:yesterday", 6, None),
        ("since>2026-01-01", 5, None),
        ("since:", 6, None),
        ("since:999999w", 6, None),
        ("has:approvals", 4, "approval"),
        ("a has:eror*", 6, "error"),
        ("type:exchange.reqest", 5, "exchange.request"),
        ("type:exchnge.*", 5, "exchange.request"),
        ("type:zzz", 5, None),
        ("tier:Observed", 5, "observed"),
        ("-kind:agents", 6, "agent"),
        ("assurance:asserted assurance:sure", 29, None),
        ("status:clientgone", 7, "client_gone"),
        ("status:4xx", 7, "4*"),
        ("outcome:compleet", 8, "complete"),
        ("!!!", 0, None),
        ('""', 0, None),
    ],
)
def test_errors_name_position_and_nearest(text: str, position: int, nearest: str | None) -> None:
    """A mistake says where it is and, for a name, what was probably meant."""
    with pytest.raises(ExpressionError) as caught:
        parse(text, NOW)
    assert (caught.value.detail["position"], caught.value.detail["nearest"]) == (position, nearest)
    assert caught.value.message.endswith(".")


@pytest.mark.parametrize(
    "text", ["(" * 5_000, "-" * 3_000 + "a", "a " * 2_000, "a" * (MAX_LENGTH + 1), "(" * 33 + "a"]
)
def test_bounds_hold_before_the_stack_does(text: str) -> None:
    """Depth, length and number of conditions are bounded, and the refusal is an ordinary one."""
    with pytest.raises(ExpressionError):
        parse(text, NOW)


def test_so_many_words_are_looked_for_and_no_more() -> None:
    """In one phrase or in several: memory for a question has a bound."""
    one = " ".join(["a"] * MAX_WORDS)
    assert parse(f'"{one}"', NOW) == Phrase(one)
    assert len(leaves(parse(one, NOW))) == MAX_WORDS
    for text in (f'"{one} a"', f"{one} a", f'-a OR model:x ("{one}")', f'"{"a-" * MAX_WORDS}a"'):
        with pytest.raises(ExpressionError, match=f"more than {MAX_WORDS} words"):
            parse(text, NOW)


@given(text=st.text(max_size=40) | st.text('model:since"*()-<>= OR\\1dtokens', max_size=40))
@settings(max_examples=100, deadline=None)
def test_any_text_parses_or_fails_in_words(text: str) -> None:
    """Whatever is typed gives a tree that spells itself, or an ``ExpressionError``."""
    tree: Tree | None = None
    try:
        tree = parse(text, NOW)
    except ExpressionError as error:
        position = error.detail["position"]
    if tree is None:
        assert 0 <= position <= len(text)
    else:
        assert parse(unparse(tree), NOW) == tree


values = st.text(min_size=1, max_size=6).filter(lambda text: any(map(str.isalnum, text)))
stamps = st.integers(0, 4_000_000_000_000_000).map(from_unix_us)
leaf: st.SearchStrategy[Tree] = st.one_of(
    st.builds(
        Match,
        st.sampled_from(
            [f.name for f in FIELDS.values() if f.kind == "name" and not f.closed]
        ),
        values,
        st.booleans(),
    ),
    st.builds(Match, st.just("values"), st.sampled_from(DIMENSIONS)),
    st.builds(Match, st.just("status"), st.sampled_from(["complete", "429"]), st.booleans()),
    st.builds(
        Number, st.sampled_from(["tokens", "duration"]), st.sampled_from(["<", "<=", "=", ">"]),
        st.floats(-(2**52), 2**52),
    ),
    st.builds(
        Moment, st.sampled_from(["time", "source_time"]), st.sampled_from([">=", "<"]), stamps
    ),
    st.builds(Phrase, values),
    st.builds(Phrase, values.map(lambda text: f"{text}abc"), st.booleans()),
    st.builds(Has, st.sampled_from(sorted(HAS))),
)  # fmt: skip


def _flat(kind: Any, parts: list[Tree]) -> Tree:
    """As the parser makes them: no node directly inside one of its own kind."""
    children: list[Tree] = []
    for part in parts:
        children += part.children if isinstance(part, kind) else [part]
    tree: Tree = kind(tuple(children))
    return tree


trees = st.recursive(
    leaf,
    lambda inner: (
        st.builds(Not, inner)
        | st.lists(inner, min_size=2, max_size=3).map(lambda parts: _flat(And, parts))
        | st.lists(inner, min_size=2, max_size=3).map(lambda parts: _flat(Or, parts))
    ),
    max_leaves=6,
)


@given(tree=trees)
@settings(max_examples=100, deadline=None)
def test_spelling_and_parsing_are_inverse(tree: Tree) -> None:
    """What is recorded of a question can be asked again and is the same question."""
    assert parse(unparse(tree), "2000-01-01T00:00:00.000000Z") == tree


@pytest.mark.parametrize("text", ["values:models", "values:model*", "values:*", "values:gpt-4"])
def test_values_are_asked_of_a_dimension(text: str) -> None:
    """All values of what the ledger has chains for, and of nothing else."""
    with pytest.raises(ExpressionError) as found:
        parse(text, NOW)
    assert found.value.detail["position"] == 7
    assert "It knows model, actor" in found.value.hint


def test_window_is_what_must_hold() -> None:
    """Only conditions that all matches fulfil bound the window."""
    tree = parse("since:2026-08-01 until:2026-08-02 model:a -since:2027-01-01", NOW)
    assert window(tree) == (DAY, NEXT)
    assert window(parse("since:2026-08-01 OR model:a", NOW)) == (None, None)
    assert window(parse("since:2026-08-01 since:2026-08-02", NOW)) == (NEXT, None)
    assert len(conjuncts(tree)) == 4


def test_every_field_is_documented_and_its_example_parses() -> None:
    """Help and completion derive from the same table as the parser."""
    for field in FIELDS.values():
        assert parse(field.example, NOW)
        assert field.example in help_text()
        assert field.help in help_text()
    assert set(ALIASES.values()) <= set(FIELDS)


@pytest.mark.parametrize(
    "text",
    [
        ("-" * 31 + "(") * 32 + "tokens>1" + ")" * 32,
        "-" * 33 + "tokens>1",
        "(" * 33 + "tokens>1" + ")" * 33,
        "-(" * 17 + "tokens>1" + ")" * 17,
    ],
)
def test_negations_and_parentheses_nest_no_deeper_than_a_limit(text: str) -> None:
    """What nests without end is refused in a sentence, whichever way it nests."""
    with pytest.raises(ExpressionError, match="nested more than 32 deep"):
        parse(text, NOW)
    assert parse("-(" * 16 + "tokens>1" + ")" * 16, NOW)
