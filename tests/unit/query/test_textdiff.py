"""Differences of texts: both texts can be read off them, and limits are named."""

import hypothesis.strategies as st
from hypothesis import given

from affidavit.query import textdiff
from affidavit.query.textdiff import DiffLine, Piece, diff

WORDS = st.text("ab c\n", max_size=60)


def side(lines: list[DiffLine], sign: str) -> list[str]:
    """One side of a difference, line by line, without what was left out."""
    other = "+" if sign == "-" else "-"
    return [
        "".join(piece.text for piece in line.pieces if piece.op != other)
        for line in lines
        if line.op not in (other, "…")
    ]


@given(WORDS, WORDS)
def test_both_texts_can_be_read_off(first: str, second: str) -> None:
    """What is shown of each side stands in it, in this order; left out are equal lines alone."""
    found = diff(first, second)
    assert (found == []) == (first == second)
    if not any(line.op == "…" for line in found) and found:
        assert side(found, "-") == first.split("\n")
        assert side(found, "+") == second.split("\n")
    for sign, text in (("-", first), ("+", second)):
        rest = iter(text.split("\n"))
        assert all(line in rest for line in side(found, sign))


def test_words_within_a_line() -> None:
    """A changed line says which words changed, blanks and hidden characters included."""
    (line,) = diff("The tower is 300 metres high.", "The tower is 330 metres\u200b high.")
    assert line == DiffLine("~", [
        Piece(" ", "The tower is "), Piece("-", "300"), Piece("+", "330"), Piece(" ", " metres"),
        Piece("+", "\u200b"), Piece(" ", " high."),
    ])  # fmt: skip


def test_lines_without_much_in_common_stand_apart() -> None:
    """Two different sentences are not woven into one."""
    assert [line.op for line in diff("completely other", "9 8 7 6 5 4 3 2 1 0")] == ["-", "+"]


def test_equal_stretches_are_counted() -> None:
    """Around a difference stand three lines on each side."""
    many = [f"line {number}" for number in range(40)]
    changed = [*many[:20], "line twenty", *many[21:]]
    found = diff("\n".join(many), "\n".join(changed))
    assert [line.op for line in found] == ["…", " ", " ", " ", "~", " ", " ", " ", "…"]
    assert found[0].pieces[0].text == "17 equal lines"
    assert found[-1].pieces[0].text == "16 equal lines"


def test_what_is_too_long_is_named() -> None:
    """Nobody's text makes this run for ever, and what was not compared is said."""
    long = "\n".join("x" for _ in range(3 * textdiff.MAX_LINES))
    found = diff("y\n" + long, long + "\nz")
    assert found[-1].pieces[0].text.startswith("the rest was not compared")
    many = "a " * (textdiff.MAX_WORDS + 1)
    assert [line.op for line in diff(many, many + "b")] == ["-", "+"]


def test_a_long_paragraph_says_which_word_changed() -> None:
    """Frequent words do not hide a difference in a paragraph of hundreds of words."""
    words = [f"the word {number} of a long text," for number in range(120)]
    old = " ".join(words)
    (line,) = diff(old, old.replace("word 60 of", "phrase 60 of"))
    assert line.op == "~"
    changed = [(piece.op, piece.text.split()) for piece in line.pieces if piece.op != " "]
    assert ("-", ["word"]) in changed
    assert ("+", ["phrase"]) in changed


def test_a_text_of_few_words_is_compared_in_time() -> None:
    """Texts made to have many equal words end in lines, not in hours."""
    made = ["\n".join(" ".join("ab"[(i * i * k) % 3 % 2] for i in range(490)) for _ in range(20))
            for k in (1, 2)]  # fmt: skip
    found = diff(*made)
    assert side(found, "-")[-1] == made[0].split("\n")[-1]
