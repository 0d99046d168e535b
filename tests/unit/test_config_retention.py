"""Classes and rules of the configuration: combined, or refused with a sentence."""

import pytest

from affidavit.config import Config, parse
from affidavit.errors import ConfigError

DECIDED = "conflict: {keep: maximum, reason: 'counsel, 3 May', decided_by: privacy officer}"


def retention(text: str) -> Config:
    """The configuration whose ``retention`` is this."""
    return parse("retention: " + text, {}, "config.yaml")


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("{classes: {a: {regimes: [hipa-6y]}}}", "did you mean hipaa-6y?", "retention.md"),
        ("{classes: {a: {minium: 1d}}}", "a.minium is not a known key", "minimum"),
        ("{classes: {a: {conflict: {kep: minimum}}}}", "conflict.reason is missing", ""),
        ("{classes: {a: {minimum: 6m}}}", "a.minimum must be a number of days", ""),
        ("{classes: {A: {}}}", "not usable as the name of a class", ""),
        ("{classes: {a: {expires: all}}}", "a.expires must be", ""),
        ("{classes: {a: {minimum: 3d, maximum: 2d}}}", "nobody has decided", ""),
        ("{classes: {a: {regimes: [hipaa-6y, gdpr-cap-24m]}}}",
         "kept 2192 days (hipaa-6y) and no longer than 730 days (gdpr-cap-24m)", ""),
        ("{classes: {a: {hot: 3d}}}", "minimum must not be shorter than hot", ""),
        ("{classes: {abc: {}}, rules: [{when: {type: x}, class: abd}]}", "did you mean abc?", ""),
        ("{rules: [{when: {type: x}, class: ledger}]}", "ledger's own records", ""),
        ("{rules: [{when: {typ: x}, class: default}]}", "when.typ is not a known key", "type"),
        ("{rules: [{when: {type: x}, clas: default}]}", "rules.0.class is missing", ""),
        ("{rules: [{when: {type: x}, class: default, to: y}]}", "to is not a known key", "class"),
        ("{rules: [{when: {}, class: default}]}", "asks nothing", ""),
        ("{rules: [{when: {type: 'a*b'}, class: default}]}", "with * at the end", ""),
        ("{rules: [{when: {type: []}, class: default}]}", "rules.0.when.type", ""),
        ("{default_class: archive}", "known are default", ""),
        ("{default_class: ledger}", "ledger's own records", ""),
        ("{prune_after_days: 9, classes: {a: {maximum: 1d}}}", "leaves of the class a", ""),
        ("{prune_after_days: 9, classes: {a: {minimum: 10d, expires: leaves}}}", "10 days", ""),
    ],
)  # fmt: skip
def test_each_mistake_has_its_sentence(text: str, said: str, hint: str) -> None:
    """With the nearest name where one is misspelt."""
    with pytest.raises(ConfigError) as caught:
        retention(text)
    assert said in caught.value.message
    assert hint in caught.value.hint


def test_a_conflict_is_decided_by_somebody_for_a_reason() -> None:
    """Then the class is taken; each of the three has to be said."""
    text = "{classes: {a: {regimes: [hipaa-6y, gdpr-cap-24m], DECIDED}}}"
    assert retention(text.replace("DECIDED", DECIDED)).retention.classes["a"].conflicts
    for missing in (
        "keep: maximum, ",
        "reason: 'counsel, 3 May', ",
        ", decided_by: privacy officer",
    ):
        with pytest.raises(ConfigError, match="is missing"):
            retention(text.replace("DECIDED", DECIDED.replace(missing, "")))


def test_equal_minimum_and_maximum_are_no_conflict() -> None:
    """Kept for exactly so long."""
    assert (
        not retention("{classes: {a: {minimum: 9d, maximum: 9d}}}").retention.classes["a"].conflicts
    )


def test_what_is_configured_is_in_the_record_of_the_configuration_as_it_was_written() -> None:
    """Durations and the word ``class`` as in the file."""
    said = retention(
        "{classes: {a: {minimum: 6y}}, rules: [{when: {team: t}, class: a}]}"
    ).settings()
    assert said["retention"]["classes"]["a"]["minimum"] == "6y"
    assert said["retention"]["rules"][0]["class"] == "a"
    assert said["retention"]["rules"][0]["when"]["team"] == ["t"]
