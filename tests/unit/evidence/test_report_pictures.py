"""The report in a real browser: nothing overflows, is clipped, runs or is fetched."""

import base64
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from affidavit.evidence import pdf
from affidavit.evidence.report_page import block, document, section, table
from tests.attacks.world import members
from tests.unit.evidence import nasty
from tests.world.chromium import Tab, chromium

pytestmark = pytest.mark.slow

CLIPPED = """[...document.querySelectorAll('td,th,pre,p,h1,h2,h3')]
 .filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.outerHTML.slice(0, 200))"""
"""Elements whose content is wider than they are."""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, bytes]]:
    """The nastiest report there is, of hundreds of rows; of a period, and an attestation."""
    world = nasty.nasty_world(tmp_path_factory.mktemp("nasty") / "log", rounds=2, many=150)
    made = {
        "report": nasty.nasty_bundle(world, reads=60),
        "period": nasty.nasty_period(world),
        "attestation": nasty.nasty_attestation(world),
    }
    yield {name: members(one.data)["report.html"] for name, one in made.items()}
    world.close()


@pytest.fixture(scope="module")
def page(pages: dict[str, bytes]) -> bytes:
    """The report."""
    return pages["report"]


@pytest.fixture(scope="module")
def home(pages: dict[str, bytes]) -> Iterator[Path]:
    """A directory with all pages that a browser can reach."""
    with tempfile.TemporaryDirectory() as name:
        for kind, page in pages.items():
            (Path(name) / f"{kind}.html").write_bytes(page)
        yield Path(name)


@pytest.fixture(scope="module")
def tab(home: Path) -> Iterator[Tab]:
    """A browser that has the report open."""
    with chromium(home) as opened:
        opened.open(home / "report.html")
        yield opened


def _text(file: Path) -> list[str]:
    """What stands on each page of a PDF."""
    reader = shutil.which("pdftotext")
    if reader is None:
        pytest.skip("not proven: pdftotext is not there, so nobody reads the PDF again")
    found = subprocess.run(
        [reader, "-layout", str(file), "-"], capture_output=True, check=True
    ).stdout.decode()
    return found.split("\f")[:-1]


@pytest.mark.parametrize(
    ("width", "media"),
    [(1600, "screen"), (1280, "screen"), (800, "screen"), (390, "screen"), (320, "screen"),
     (690, "print"), (720, "print")],
)  # fmt: skip
def test_nothing_is_wider_than_the_page(tab: Tab, width: int, media: str) -> None:
    """On screens wide and narrow, and on paper (A4 and Letter, in CSS pixels)."""
    tab.seen(width, media=media)
    assert tab.value("document.documentElement.scrollWidth") <= width
    assert tab.value(CLIPPED) == []
    if media == "print":
        scrolled = "[...document.querySelectorAll('.w')].filter(e => e.scrollWidth > e.clientWidth)"
        assert tab.value(f"{scrolled}.length") == 0


def test_it_runs_nothing_and_asks_for_nothing(tab: Tab) -> None:
    """No dialog, no request but for itself, no script, frame, image or link in it."""
    assert tab.told("Page.javascriptDialogOpening") == []
    asked = [one["request"]["url"] for one in tab.told("Network.requestWillBeSent")]
    assert len(asked) == 1
    assert asked[0].endswith("/report.html")
    found = "document.querySelectorAll('script,iframe,img,a,form,object,embed,link').length"
    assert tab.value(found) == 0
    assert [one for one in tab.told("Log.entryAdded") if one["entry"]["level"] == "error"] == []


def test_text_keeps_its_direction(tab: Tab) -> None:
    """Arabic runs from right to left in its own cell, and the page from left to right."""
    tab.seen(1280)
    assert tab.value("getComputedStyle(document.body).direction") == "ltr"
    arabic = "[...document.querySelectorAll('td,pre')].find(e => e.textContent.startsWith('مرحبا'))"
    assert tab.value(f"getComputedStyle({arabic}).direction") == "rtl"


def test_dark_on_the_screen_and_light_on_paper(tab: Tab) -> None:
    """The page follows the reader's screen; paper is white."""
    shade = "getComputedStyle(document.body).backgroundColor"
    found = []
    for media, dark in (("screen", True), ("screen", False), ("print", True)):
        tab.seen(800, media=media, dark=dark)
        found.append(tab.value(shade))
    assert found == ["rgb(13, 17, 23)", "rgb(255, 255, 255)", "rgb(255, 255, 255)"]


def test_a_picture_can_be_taken(tab: Tab) -> None:
    """What a browser shows is more than a blank page."""
    tab.seen(1280, 2000)
    shot = base64.b64decode(tab.call("Page.captureScreenshot")["data"])
    assert shot.startswith(b"\x89PNG")
    assert len(shot) > 50_000


def test_the_pdf_has_pages_with_text_on_them(page: bytes, tmp_path: Path, tab: Tab) -> None:
    """Printed with the sandbox: heads of tables on each page, numbered, every record there."""
    del tab  # skips where no browser is
    (tmp_path / "report.pdf").write_bytes(pdf.printed(page, pdf.browser()))
    pages = _text(tmp_path / "report.pdf")
    found = "".join(pages)
    assert len(pages) > 10
    assert all(f"Page {number} of {len(pages)}" in text for number, text in enumerate(pages, 1))
    assert sum("Ledger time" in text for text in pages) > 5
    for expected in ("Glossary", "How to verify", "Chain of custody", "leaf 24", "Completeness"):
        assert expected in found


def test_a_row_is_broken_only_where_no_page_has_room_for_it(tmp_path: Path, tab: Tab) -> None:
    """Of what happened, and of tables, whose heads stand on every page; the tall row goes on."""
    del tab  # skips where no browser is
    tall = 4
    sizes = [25, 15, 30, 20, 150, 25, 10, 30]
    lines = [(n, f"row {n} begins" + "\n·" * size + f"\nrow {n} ends")
             for n, size in enumerate(sizes)]  # fmt: skip
    long = "".join(f"<tr><td>{n}</td><td>{block(text)}</td></tr>" for n, text in lines)
    head = [("Number", 10), ("What", 90)]
    rows = [(n, " ".join([f"row {n} begins", *["word"] * 30, f"row {n} ends"])) for n in range(60)]
    for body, alone in (
        (f'<table class="long">{long}</table>', {tall}),
        (table(head, rows), set()),
    ):
        made = pdf.printed(document("rows", section("Rows", body)).encode(), pdf.browser())
        (tmp_path / "rows.pdf").write_bytes(made)
        pages = [" ".join(one.split()) for one in _text(tmp_path / "rows.pdf")]
        assert len(pages) > 2
        ends = [{int(n) for n in re.findall(rf"row (\d+) {word}", one)}
                for one in pages for word in ("begins", "ends")]  # fmt: skip
        broken = set().union(*(b ^ e for b, e in zip(ends[::2], ends[1::2], strict=True)))
        assert broken == alone
        assert alone or all("Number What" in one for one in pages)


@pytest.mark.parametrize("kind", ["period", "attestation"])
def test_pages_of_other_kinds_keep_to_the_page(home: Path, kind: str) -> None:
    """Nothing is wider than the screen or the paper on these either."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "page.html").write_bytes((home / f"{kind}.html").read_bytes())
        with chromium(place) as tab:
            tab.open(place / "page.html")
            for width, media in ((1280, "screen"), (360, "screen"), (690, "print")):
                tab.seen(width, media=media)
                assert tab.value("document.documentElement.scrollWidth") <= width
                assert tab.value(CLIPPED) == []
