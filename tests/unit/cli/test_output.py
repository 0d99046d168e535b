"""What people read fits, lines up, and says what is not in it."""

import contextlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from affidavit.cli import output
from affidavit.errors import ExpressionError


@pytest.fixture(autouse=True)
def fresh() -> None:
    """A console that writes to this test's stdout."""
    output._console.cache_clear()


AS_OF = {"size": 7, "time": "2026-11-23T12:00:00.000000Z", "root": ""}


def test_the_as_of_line_names_what_is_missing() -> None:
    """Counts that were capped, gaps, unknown tenants and withheld sections are all said."""
    answer = {
        "as_of": AS_OF, "count": 10_000, "count_capped": True, "gaps": 2, "unattributed": 1,
        "withheld": ["person"],
    }  # fmt: skip
    assert output.as_of(answer, 50, "shown") == (
        "50 shown of at least 10000 records (requests and responses counted apart), "
        "as of leaf 7, 2026-11-23 12:00:00 UTC; "
        "2 gaps in this window; 1 record of unknown tenant (the installation's own, and "
        "refused calls that could be anybody's); withheld from your role: person."
    )


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        ({"tokens_in": 1, "tokens_out": 2}, "1→2"),
        ({"tokens_in": 1, "tokens_out": None}, "1→?"),
        ({"tokens_in": None, "tokens_out": None}, ""),
        ({}, ""),
    ],
)
def test_tokens(row: dict[str, object], shown: str) -> None:
    """Unknown is shown as unknown, and as nothing where nothing is known."""
    assert output.tokens(row) == shown


@pytest.mark.parametrize(
    ("status", "http", "style"),
    [("complete", 200, "green"), ("complete", 429, "red"), ("truncated", 200, "red"),
     (None, None, "dim")],
)  # fmt: skip
def test_style_of_an_outcome(status: str | None, http: int | None, style: str) -> None:
    """Green is for what went well."""
    assert output.style_of(status, http) == style


ROW = st.fixed_dictionaries(
    {"type": st.sampled_from(["exchange.request", "change.key"]), "id": st.text(max_size=40)},
    optional={
        "model": st.text(max_size=60), "name": st.text(max_size=60), "target": st.text(),
        "status": st.sampled_from(["complete", "client_gone"]), "http": st.integers(100, 599),
        "tokens_in": st.integers(0, 10**9), "tokens_out": st.integers(0, 10**9),
        "prompt": st.text(), "output": st.text(), "open": st.booleans(),
    },
)  # fmt: skip


@given(ROW)
def test_an_exchange_fits_100_columns(row: dict[str, object]) -> None:
    """Whatever a record says, no line is wider and none ends in blanks."""
    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        output._console.cache_clear()
        output.exchange(row)
    lines = stream.getvalue().split("\n")
    assert len(lines) >= 3
    assert all(cell_len(line) <= 100 and line == line.rstrip() for line in lines)


def test_a_pseudonym_is_whole_and_has_its_name_beside_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The name from the row, or from beside the rows; where neither is known, no part of it."""
    actor = "act_6a4ygjebiyuuq6znhibsalj22u"
    row = {"type": "access.query", "id": "i", "actor": actor}
    output.exchange(row, {actor: "owner"})
    line, last = capsys.readouterr().out.splitlines()
    assert ("  owner" in line, last) == (True, f"  i  by {actor}")
    output.exchange(row)
    line, last = capsys.readouterr().out.splitlines()
    assert ("act_" in line, last) == (False, f"  i  by {actor}")


def test_nothing_ends_in_blanks(capsys: pytest.CaptureFixture[str]) -> None:
    """Output that is piped has no blanks at the end of lines."""
    output.table(("A", "B"), [("1", "x" * 200), ("2", None)])
    output.indented("two\nlines", 4)
    output.exchange({"type": "exchange.request", "id": "i", "model": "m", "prompt": "p"})
    lines = capsys.readouterr().out.split("\n")
    assert len(lines) > 6
    assert all(line == line.rstrip() for line in lines)


@pytest.mark.parametrize("before", [0, 5, 44, 46, 100, 300])
@pytest.mark.parametrize("letter", ["a", "漢"])
def test_the_caret_stands_under_the_mistake(
    capsys: pytest.CaptureFixture[str], before: int, letter: str
) -> None:
    """However long the expression is and however wide its letters, and on a line that fits."""
    expression = letter * before + "modl:x " + "b" * 60
    with pytest.raises(ExpressionError), output.pointing(expression):
        raise ExpressionError("No.", position=before, nearest="model")
    shown, caret = capsys.readouterr().err.splitlines()
    left = shown[: shown.index("modl")]
    assert cell_len(left) == caret.index("^")
    assert set(left.strip(" …")) <= {letter}
    assert len(shown) <= output.WIDTH


def test_a_table_that_is_too_wide_is_folded_between_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers stand at the right and stay whole; only the longest cells are folded."""
    monkeypatch.setattr(output, "width", lambda: 40)
    rows = [("key_one", "Rita Responder", "responder", 12), ("key_two", "x" * 30, "auditor", 7)]
    output.table(("Id", "Name", "Role", "Records"), rows)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["Id", "Name", "Role", "Records"]
    assert "responder" in lines[1]
    assert lines[1].endswith(" 12")
    assert max(map(len, lines)) <= 40
    assert "".join(line[9:20].strip() for line in lines[2:]).count("x") == 30


def test_content_that_is_withheld_is_said_with_the_way_to_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Once, on stderr; whom no reason helps is not told to state one."""
    output.content_withheld([{"content": "none"}, {}], "reason")
    assert capsys.readouterr().err == ""
    withheld = [{"content": "withheld"}] * 2
    for needs, way in (
        ("reason", ": give a --reason"), ("never", ": your boundary never shows it"),
        ("second person", ": a second person has to agree. affidavit reveal ID --reason TEXT asks"),
        ("", ""),
    ):  # fmt: skip
        output.content_withheld(withheld, needs)
        assert capsys.readouterr().err == f"Content is withheld{way}.\n"


def test_lines_stay_whole_for_programs_and_hang_below_their_words_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost either way; what has no name before it begins at the margin."""
    text = "Integrity     " + "twelve leaves " * 9 + "\nREFUSED  omitted-record\n" + "x" * 90 + "\n"
    output.folded(text)
    assert capsys.readouterr().out == text
    console = Console(width=60, force_terminal=True, color_system=None, highlight=False)
    monkeypatch.setattr(output, "_console", lambda stderr: console)
    output.folded(text)
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert max(map(len, lines)) <= 60
    assert [line[:14].strip() for line in lines[:3]] == ["Integrity", "", ""]
    assert "REFUSED  omitted-record" in lines
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_one_thing_is_not_counted_as_several() -> None:
    """Regular plurals and ours."""
    assert [output.counted(number, "leaf") for number in (1, 2)] == ["1 leaf", "2 leaves"]
    assert [output.counted(number, "identity") for number in (0, 1)] == [
        "0 identities", "1 identity",
    ]  # fmt: skip
