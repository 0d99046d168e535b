"""Printing a report: what the browser is given, and what is said where it does not print."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from affidavit.errors import CheckFailedError, UnavailableError
from affidavit.evidence import pdf, zipfile_canonical
from tests.attacks.world import World, by_model, members, pack


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that a browser run as another user can reach."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def browser(place: Path, *lines: str) -> str:
    """A program that stands for a browser; ``$out`` is where the PDF goes, ``$page`` the page."""
    program = place / "browser"
    head = ("#!/bin/sh", 'for one in "$@"; do case $one in --print-to-pdf=*)',
            "out=${one#--print-to-pdf=};; file://*) page=${one#file://};; esac; done")  # fmt: skip
    program.write_text("\n".join([*head, *lines]) + "\n")
    program.chmod(0o755)
    return str(program)


def test_the_browser_is_given_the_page_and_nothing_else(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page itself, in a directory of its own, no network, no environment, no root."""
    monkeypatch.setenv("AFFIDAVIT_KEY", "secret")
    program = browser(
        place,
        "{ echo %PDF-1.7; cat $page; echo; env; id -u; ls -ld .;",
        'for one in "$@"; do echo "$one"; done; } > $out',
    )
    made = pdf.printed(b"<p>page</p>", program).decode()
    assert "<p>page</p>" in made
    assert "secret" not in made
    assert "drwx------" in made
    assert "--host-resolver-rules=MAP * ~NOTFOUND" in made
    assert "no-sandbox" not in made
    assert f"\n{os.geteuid() or 65534}\n" in made
    left = made.partition("--user-data-dir=")[2].partition("/profile")[0]
    assert left
    assert not Path(left).exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [("exit 3", "exit code 3"), ("exit 0", "exit code 0"), ("echo text > $out", "exit code 0"),
     ("sleep 30 & sleep 30", "within 0.2 seconds")],
)  # fmt: skip
def test_a_browser_that_does_not_print_is_said(place: Path, line: str, said: str) -> None:
    """It fails, gives nothing, gives something else, or takes too long and is stopped."""
    with pytest.raises(UnavailableError, match=said) as error:
        pdf.printed(b"page", browser(place, line), 0.2 if "sleep" in line else 20)
    assert error.value.exit_code == 4


def test_where_no_browser_is_one_is_told_what_to_do(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its usual names on the PATH, or the one that is named."""
    monkeypatch.setenv("PATH", str(place))
    monkeypatch.delenv(pdf.BROWSER, raising=False)
    with pytest.raises(UnavailableError, match="There is no Chromium"):
        pdf.browser()
    monkeypatch.setenv(pdf.BROWSER, "/nowhere/chrome")
    with pytest.raises(UnavailableError, match="There is no browser /nowhere/chrome"):
        pdf.browser()
    named = browser(place, "exit 0")
    monkeypatch.setenv(pdf.BROWSER, named)
    assert pdf.browser() == named
    monkeypatch.delenv(pdf.BROWSER)
    (place / "browser").rename(place / "chromium")
    assert pdf.browser() == str(place / "chromium")


def test_only_the_report_of_a_whole_bundle_is_printed(tmp_path: Path) -> None:
    """Bytes that are no bundle, or whose report was replaced, are refused."""
    world = World(tmp_path / "log")
    world.exchange()
    good = world.bundle(by_model()).data
    world.close()
    assert pdf.report_of(good) == members(good)["report.html"]
    files = members(good)
    other = pack({**files, "report.html": b"other"})
    assert pdf.report_of(other) == b"other"  # a bundle of its own: nothing vouches for reports
    replaced = zipfile_canonical.encode({**files, "report.html": b"other"})
    with pytest.raises(CheckFailedError, match=r"report\.html is not the file"):
        pdf.report_of(replaced)
    with pytest.raises(CheckFailedError, match="no whole bundle"):
        pdf.report_of(b"PK\x03\x04 nothing")
