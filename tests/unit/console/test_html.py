"""HTML built from values is escaped because of how it is built."""

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from affidavit.console.html import element, joined, quoted


class Reader(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.text += data


@given(st.text(max_size=60), st.text(max_size=60))
def test_whatever_is_put_in_is_text(text: str, value: str) -> None:
    """A parser finds exactly our tag with one attribute, and one text."""
    reader = Reader()
    reader.feed(element("p", text, title=value))
    reader.close()
    assert reader.tags == ["p"]
    assert [name for name, _ in reader.attributes] == ["title"]


def test_parts_may_be_left_out_or_finished() -> None:
    """None and False are left out, finished markup is kept, numbers are text."""
    assert element("p", None, False, element("b", 1)) == "<p><b>1</b></p>"
    assert element("input", required=True, value=None) == "<input required>"
    assert joined("<", element("br")) == "&lt;<br>"
    assert element("label", "x", for_="key", class_="a") == '<label for="key" class="a">x</label>'


def test_quoted_names_stay_one_segment() -> None:
    """A record's id cannot climb out of its path."""
    assert quoted("../../x?y#z/\ud800") == "%2E%2E%2F%2E%2E%2Fx%3Fy%23z%2F%3F"
