"""Segments: names are safe and distinct, and the segment of an index is found by name."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.durable import Disk
from affidavit.vault.segments import (
    MAGIC,
    Bucket,
    Catalogue,
    SegmentWriter,
    component,
    segment_path,
    segments_in,
    wraps_path,
)

_text = st.text(st.characters(codec="utf-8"), max_size=300)


@given(_text, _text)
def test_names_are_safe_and_distinct(one: str, two: str) -> None:
    """Any text becomes one component of at most 200 plain characters, and no two the same."""
    name = component(one)
    assert 0 < len(name) <= 200
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-%~ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    assert (component(two) == name) == (one == two)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("acme", "acme"),
        ("", "%"),
        ("%", "%25"),
        ("..", "%2E%2E"),
        ("../etc", "%2E%2E%2Fetc"),
        ("Acme", "%41cme"),
        ("münchen", "m%C3%BCnchen"),
        ("a\x00b", "a%00b"),
    ],
)
def test_names_by_example(text: str, name: str) -> None:
    """Dots, slashes, capitals and what is not ASCII are spelt by their bytes."""
    assert component(text) == name


def test_a_bucket_has_a_directory_below_the_root(tmp_path: Path) -> None:
    """Tenant, class and day are three levels below the vault, whatever they are called."""
    directory = Bucket("..", "../..", "2026-11-23").directory(tmp_path)
    assert directory.relative_to(tmp_path).parts == ("%2E%2E", "%2E%2E%2F%2E%2E", "2026-11-23")


def test_a_segment_begins_with_its_mark_and_is_never_reopened(tmp_path: Path) -> None:
    """A writer makes both files new; a second writer for the same index is refused."""
    directory = tmp_path / "acme" / "default" / "2026-11-23"
    writer = SegmentWriter(Disk(), directory, 7, 1)
    assert writer.size == len(MAGIC)
    writer.append([b"abc", b"de"], [b"entry"])
    assert writer.size == len(MAGIC) + 5
    assert segment_path(directory, 7).read_bytes() == MAGIC + b"abcde"
    with pytest.raises(FileExistsError):
        SegmentWriter(Disk(), directory, 7, 1)
    writer.close()


def test_only_what_has_wraps_is_a_segment(tmp_path: Path) -> None:
    """Segments without wraps, and files of other names, are not listed."""
    (tmp_path / "00000000000000000009.seg").touch()
    wraps_path(segment_path(tmp_path, 5)).touch()
    wraps_path(segment_path(tmp_path, 100)).touch()
    (tmp_path / "notes.wraps").touch()
    assert [segment.first for segment in segments_in(tmp_path)] == [5, 100]
    assert segments_in(tmp_path / "nowhere") == []


def _touch(root: Path, tenant: str, day: str, first: int) -> None:
    directory = Bucket(tenant, "default", day).directory(root)
    directory.mkdir(parents=True, exist_ok=True)
    wraps_path(segment_path(directory, first)).touch()


def test_the_catalogue_names_one_segment_per_group(tmp_path: Path) -> None:
    """Per (tenant, class) only the last segment that begins at or before the index can hold it."""
    for tenant, day, first in (
        ("a", "2026-11-22", 0),
        ("a", "2026-11-22", 40),
        ("a", "2026-11-23", 100),
        ("b", "2026-11-23", 60),
    ):
        _touch(tmp_path, tenant, day, first)
    catalogue = Catalogue(tmp_path)
    assert catalogue.candidates(50, None) == []
    catalogue.refresh()
    assert [segment.first for segment in catalogue.candidates(50, None)] == [40]
    assert sorted(segment.first for segment in catalogue.candidates(99, None)) == [40, 60]
    assert [segment.first for segment in catalogue.candidates(10**9, "a")] == [100]
    assert catalogue.candidates(10**9, "c") == []


def test_a_refresh_finds_what_was_added_since(tmp_path: Path) -> None:
    """New segments of the day, new days and new tenants are found; removed ones of today go."""
    _touch(tmp_path, "a", "2026-11-22", 0)
    catalogue = Catalogue(tmp_path)
    catalogue.refresh()
    _touch(tmp_path, "a", "2026-11-22", 40)
    _touch(tmp_path, "a", "2026-11-23", 50)
    _touch(tmp_path, "b", "2026-11-23", 45)
    catalogue.refresh()
    assert sorted(segment.first for segment in catalogue.candidates(49, None)) == [40, 45]
    assert [segment.first for segment in catalogue.candidates(60, "a")] == [50]
    for path in (tmp_path / "a" / "default" / "2026-11-23").iterdir():
        path.unlink()
    catalogue.refresh()
    assert [segment.first for segment in catalogue.candidates(60, "a")] == [40]


def test_an_empty_vault_has_no_segments(tmp_path: Path) -> None:
    """A vault that was never written to is no error."""
    catalogue = Catalogue(tmp_path / "vault")
    catalogue.refresh()
    assert catalogue.candidates(0, None) == []
