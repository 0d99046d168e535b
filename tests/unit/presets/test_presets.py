"""The presets: every file read strictly, each with article, source, date and the label."""

from datetime import date
from importlib import resources

import pytest

from affidavit.durations import days_of
from affidavit.errors import AffidavitError
from affidavit.presets import EVIDENCE, NOT_REVIEWED, Preset, presets, read

EXPECTED = {
    "ai-act-6m": (184, None, None), "pci-12m-hot90": (366, None, 92),
    "fed-m2614": (366, None, 184), "fed-m2131-legacy": (915, None, 366),
    "hipaa-6y": (2192, None, None), "sec-17a4-6y": (2192, None, 731),
    "sec-17a4-3y": (1096, None, 731), "sox-7y": (2557, None, None),
    "nydfs-5y": (1827, None, None), "nydfs-3y": (1096, None, None), "cjis-1y": (366, None, None),
    "colo-3y": (1096, None, None), "gdpr-cap-24m": (None, 730, None),
}  # fmt: skip
"""Minimum, maximum and hot days."""


def _days(preset: Preset) -> tuple[int | None, ...]:
    every = (preset.minimum, preset.maximum, preset.hot)
    return tuple(None if one is None else days_of(one) for one in every)


def test_every_file_of_the_folder_is_a_preset_with_these_numbers() -> None:
    """What is installed is what is listed, in the wheel as in the checkout."""
    folder = resources.files("affidavit.presets")
    files = {file.name for file in folder.iterdir() if not file.name.startswith("__")}
    assert files == {f"{name}.yaml" for name in EXPECTED}
    assert {name: _days(one) for name, one in presets().items()} == EXPECTED


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_each_says_where_its_numbers_come_from(name: str) -> None:
    """Article, source, its date and how sure we are; and that no counsel has looked at it."""
    preset = presets()[name]
    assert preset.review == NOT_REVIEWED
    assert preset.evidence in EVIDENCE
    assert date(2000, 1, 1) < preset.date <= date(2026, 11, 28)
    assert any(letter.isdigit() for letter in preset.article)
    assert len(preset.covers) > 30
    assert len(preset.source) > 10


GOOD = (
    "name: x\ntitle: X\nminimum: 1y\ncovers: c\narticle: a\nsource: s\ndate: 2026-01-01\n"
    "evidence: text\nreview: not reviewed by counsel\n"
)


def test_a_preset_is_read() -> None:
    """The smallest one."""
    assert read(GOOD, "x").title == "X"


@pytest.mark.parametrize(
    "text",
    [
        GOOD + "unknown: 1\n",
        GOOD + "name: x\n",
        GOOD.replace("not reviewed by counsel", "reviewed by counsel"),
        GOOD.replace("review: not reviewed by counsel\n", ""),
        GOOD.replace("minimum: 1y\n", ""),
        GOOD.replace("1y", "12m"),
        GOOD.replace("article: a\n", ""),
        GOOD.replace("evidence: text", "evidence: sure"),
        GOOD + "hot: 2y\n",
        GOOD.replace("name: x", "name: other"),
        "- x",
    ],
)
def test_what_is_not_quite_a_preset_is_refused(text: str) -> None:
    """Nothing is guessed and nothing passed over."""
    with pytest.raises(AffidavitError):
        read(text, "x")
