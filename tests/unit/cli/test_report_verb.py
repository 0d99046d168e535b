"""``affidavit report`` and ``export --pdf``: the report out of a bundle, as page or PDF."""

from pathlib import Path

import pytest

from affidavit.evidence import pdf
from tests.unit.cli.conftest import Command, Site


@pytest.fixture
def printing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser that prints what it is given."""
    monkeypatch.setattr(pdf, "browser", lambda: "/a/browser")
    monkeypatch.setattr(pdf, "printed", lambda page, _: b"%PDF-" + page)


@pytest.mark.usefixtures("printing")
def test_a_report_is_taken_out_of_a_bundle(command: Command, site: Site, tmp_path: Path) -> None:
    """The page or a PDF of it, never over a file that is there, nor from what is no bundle."""
    file, page, printed, again = (
        tmp_path / name for name in ("e.zip", "r.html", "r.pdf", "again.pdf")
    )
    asked = ("export", "model:demo-chat", "-o", str(file), "--data", site.data)
    made = command(*asked, "--pdf", str(printed))
    assert made.code == 0
    assert f"The report in it, printed: {printed}" in made.out
    assert command("report", str(file), "-o", str(page)).code == 0
    assert page.read_bytes().startswith(b"<!doctype html>")
    assert printed.read_bytes() == b"%PDF-" + page.read_bytes()
    told = command("report", str(file), "-o", str(again), "--json")
    assert told.rows == [{"file": str(again), "size": again.stat().st_size}]
    for arguments, said in (
        ((str(file), "-o", str(again)), "is there already"),
        ((str(file), "-o", "r.txt"), "neither .pdf nor .html"),
        ((str(tmp_path / "none.zip"), "-o", str(again), "--force"), "cannot be read"),
        ((str(file), "-o", "no/where.pdf"), "There is no directory no"),
    ):
        refused = command("report", *arguments)
        assert (refused.code, refused.out) == (2, "")
        assert said in refused.err
    file.write_bytes(file.read_bytes()[:-1])
    damaged = command("report", str(file), "-o", str(again), "--force")
    assert (damaged.code, damaged.out) == (1, "")
    assert "no whole bundle" in damaged.err


def test_without_a_browser_nothing_is_exported(
    command: Command, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen before anything is asked: code 4 and what to do instead."""
    monkeypatch.setenv(pdf.BROWSER, "/nowhere/chrome")
    file = tmp_path / "e.zip"
    asked = ("export", "model:demo-chat", "-o", str(file), "--data", site.data)
    result = command(*asked, "--pdf", str(tmp_path / "r.pdf"))
    assert (result.code, result.out, file.exists()) == (4, "", False)
    assert "report.html in the bundle, prints from any browser" in result.err
    assert command(*asked).code == 0
    alone = command("report", str(file), "-o", str(tmp_path / "r.pdf"))
    assert alone.code == 4


def test_a_sample_needs_a_seed(command: Command, site: Site, tmp_path: Path) -> None:
    """Both or neither; with both the verdict says what was drawn."""
    file = tmp_path / "e.zip"
    asked = ("export", "model:demo-chat", "-o", str(file), "--data", site.data)
    assert command(*asked, "--sample", "2").code == 2
    drawn = command(*asked, "--sample", "2", "--seed", "2026-Q3")
    assert drawn.code == 0
    assert "sample of 2 of 4 drawn by the seed" in " ".join(drawn.out.split())


def test_a_period_and_an_attestation_are_bundles(
    command: Command, site: Site, tmp_path: Path
) -> None:
    """Both verify; a page is no bundle, and what belongs to a period does not to a bundle."""
    period, numbers = tmp_path / "period.zip", tmp_path / "numbers.zip"
    made = command("report", "period", "--since", "90d", "-o", str(period), "--data", site.data)
    assert made.code == 0
    told = command(
        "export", "--attestation", "tenant:acme", "-o", str(numbers), "--data", site.data
    )
    assert told.code == 0
    assert "counted, none shown" in told.out
    for file in (period, numbers):
        assert command("verify", str(file), "--key", site.machine.log.vkey).code == 0
    for arguments in (
        ("report", "period", "-o", str(tmp_path / "p.pdf"), "--data", site.data),
        ("report", str(period), "-o", str(tmp_path / "p.html"), "--since", "90d"),
        ("export", "-o", str(tmp_path / "x.zip"), "--data", site.data),
    ):
        refused = command(*arguments)
        assert (refused.code, refused.out) == (2, "")
