"""Which words of messages an expression may look for, and how many.

Rules: full text brings together every word that begins as one with a star does, so of that there
has to be enough to be few words; each word takes memory in every part of the full text. Not here:
how phrases are written (``language``), and how they are looked up (``conditions``, ``steps``).
"""

from collections.abc import Sequence

MAX_WORDS = 64
"""So many words of messages in one expression."""
MIN_PREFIX = 3
"""With fewer letters than this a word that goes on could be almost any."""
_IDEOGRAPHS = "\u2e80"
"""From here on: Chinese, Japanese, Korean, where a letter says as much as a word."""


def words_of(text: str) -> list[str]:
    """The words that full text looks for, about as it separates them."""
    return "".join(letter if letter.isalnum() else " " for letter in text).split()


def problem(words: Sequence[str], so_far: int, *, prefix: bool) -> str:
    """Why this phrase is not looked for, ``""`` if it is; ``so_far`` words are in the expression.

    ``prefix``: the last word may go on.
    """
    if not words:
        return "There are no words to look for."
    if so_far > MAX_WORDS:
        return f"There are more than {MAX_WORDS} words to look for."
    if prefix and len(words[-1]) < MIN_PREFIX and max(words[-1]) < _IDEOGRAPHS:
        return f"At least {MIN_PREFIX} letters of a word stand before its *."
    return ""
