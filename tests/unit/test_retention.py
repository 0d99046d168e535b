"""Retention of one record: first match, combined limits, whole days of ledger time."""

from datetime import date, timedelta
from fnmatch import fnmatchcase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affidavit import retention
from affidavit.config import Config, parse
from affidavit.config_retention import RetentionClass
from affidavit.durations import days_of
from affidavit.presets import presets
from affidavit.record.model import TIERS, TYPES
from affidavit.retention import Facts, Useless, classify, dates, due, kept, removable


def config(text: str) -> Config:
    """The configuration whose ``retention`` is this."""
    return parse("retention: " + text, {}, "config.yaml")


RULES = config("""
  default_class: rest
  classes: {rest: {}, health: {}, audit: {}, eu: {}, gpt: {}, told: {}}
  rules:
    - {when: {tenant: clinic, type: 'exchange.*'}, class: health}
    - {when: {type: [access.query, access.reveal, 'change.*']}, class: audit}
    - {when: {jurisdiction: [DE, FR]}, class: eu}
    - {when: {model: 'gpt-*', team: blue}, class: gpt}
    - {when: {label: pilot}, class: gpt}
    - {when: {tier: reported}, class: told}
    - {when: {finding: 'pii.*'}, class: eu}
""")


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (Facts("exchange.request", tenant="clinic"), "health"),
        (Facts("exchange.request", tenant="clinic2"), "rest"),
        (Facts("access.query", tenant="clinic"), "audit"),
        (Facts("access.login"), "rest"),
        (Facts("change.key", tier="reported"), "audit"),
        (Facts("exchange.request", jurisdiction="FR"), "eu"),
        (Facts("exchange.request", jurisdiction="FRA"), "rest"),
        (Facts("exchange.request", model=("o1", "gpt-4o"), team="blue"), "gpt"),
        (Facts("exchange.request", model=("gpt-4o",), team="red"), "rest"),
        (Facts("exchange.request", model=("gpt",), team="blue"), "rest"),
        (Facts("exchange.request", label=("x", "pilot")), "gpt"),
        (Facts("custom", tier="reported", label=("pilot",)), "gpt"),
        (Facts("custom", tier="reported"), "told"),
        (Facts("exchange.request", finding=("pii.email",)), "eu"),
        (Facts("ledger.gap", tenant="clinic", tier="reported"), "ledger"),
        (Facts("exchange.response"), "rest"),
    ],
)
def test_the_first_rule_that_is_met_gives_the_class(facts: Facts, expected: str) -> None:
    """All that a rule asks, each by any of its values; what is not known meets nothing."""
    assert classify(RULES, facts) == expected


def test_without_rules_everything_is_of_the_default_class() -> None:
    """But the ledger's own records."""
    assert classify(Config(), Facts("exchange.request")) == "default"
    assert classify(Config(), Facts("ledger.ended")) == "ledger"


def test_what_is_not_configured_is_kept_without_limits() -> None:
    """The two classes that are there by themselves."""
    for name in ("default", "ledger", ""):
        assert kept(Config(), name) == (name, 0, None, 0, "content", ())


def test_a_class_that_nobody_configures_any_more_is_kept_as_the_default_class() -> None:
    """Under the default's name, by which it is noticed."""
    found = config("{default_class: a, classes: {a: {minimum: 2d, maximum: 9d}}}")
    assert kept(found, "old") == kept(found, "a") == ("a", 2, 9, 0, "content", ())
    assert not retention.is_known(found, "old")
    assert retention.is_known(found, "a")


def test_regimes_and_own_limits_are_combined_and_each_number_says_where_it_comes_from() -> None:
    """Longest minimum, shortest maximum, longest hot period."""
    text = "{classes: {a: {regimes: [pci-12m-hot90, colo-3y, nydfs-3y], hot: 92d, maximum: 9y}}}"
    found = retention.terms(config(text), "a")
    assert found.kept == ("a", 1096, 3288, 92, "content", ("pci-12m-hot90", "colo-3y", "nydfs-3y"))
    assert found.minimum == (1096, ("colo-3y", "nydfs-3y"))
    assert found.maximum == (3288, ("",))
    assert found.hot == (92, ("", "pci-12m-hot90"))
    assert found.decision is None


@pytest.mark.parametrize(("keep", "days"), [("minimum", 2192), ("maximum", 730)])
def test_a_decided_conflict_gives_one_number(keep: str, days: int) -> None:
    """Kept exactly so long, and the decision is told."""
    text = f"""{{classes: {{a: {{regimes: [sec-17a4-6y, gdpr-cap-24m],
        conflict: {{keep: {keep}, reason: r, decided_by: d}}}}}}}}"""
    found = retention.terms(config(text), "a")
    assert (found.kept.minimum, found.kept.maximum) == (days, days)
    assert found.kept.hot == min(731, days)
    assert found.decision is not None
    assert found.decision.keep == keep


def test_a_decision_without_a_conflict_decides_nothing() -> None:
    """It is kept for when there is one."""
    text = "{classes: {a: {minimum: 3d, conflict: {keep: maximum, reason: r, decided_by: d}}}}"
    assert retention.terms(config(text), "a").decision is None


def test_days_are_whole_and_count_from_the_end_of_the_record_s_day() -> None:
    """A record of the last microsecond of its day is kept for the whole minimum, too."""
    one = config("{classes: {a: {minimum: 1d, maximum: 2d, hot: 0d}}}")
    class_ = kept(one, "a")
    assert dates(class_, "2026-02-27") == ("2026-03-01", "2026-03-02", "2026-02-27")
    assert not removable(class_, "2026-02-27", "2026-02-28T23:59:59.999999Z")
    assert removable(class_, "2026-02-27", "2026-03-01T00:00:00.000000Z")
    assert not due(class_, "2026-02-27", "2026-03-01T23:59:59.999999Z")
    assert due(class_, "2026-02-27", "2026-03-02T00:00:00.000000Z")
    assert not due(kept(one, "default"), "2026-02-27", "9999-12-31")


def test_a_period_that_ends_beyond_the_calendar_ends_with_it() -> None:
    """Dates have four digits for the year."""
    class_ = kept(config("{classes: {a: {minimum: 100y}}}"), "a")
    assert dates(class_, "9950-01-01").removable == "9999-12-31"


DAYS = st.integers(0, 4000)
_CAPPED = ("gdpr-cap-24m",)


@settings(max_examples=40)
@given(st.lists(st.sampled_from(sorted(presets())), max_size=5), DAYS, DAYS, st.booleans())
def test_combination_keeps_every_promise_or_says_which_not(
    regimes: list[str], minimum: int, maximum: int, keeps: bool
) -> None:
    """Without a conflict all of them are met; with one, those of the side which was decided."""
    decision = {"keep": "minimum" if keeps else "maximum", "reason": "r", "decided_by": "d"}
    one = {"regimes": regimes, "minimum": f"{minimum}d", "maximum": f"{maximum}d"}
    made = Config.model_validate({"retention": {"classes": {"a": {**one, "conflict": decision}}}})
    found = retention.terms(made, "a")
    named = [presets()[name] for name in regimes]
    minima = [minimum, *(days_of(each.minimum) for each in named if each.minimum)]
    maxima = [maximum, *(days_of(each.maximum) for each in named if each.maximum)]
    class_ = found.kept
    assert class_.maximum is not None
    assert class_.hot <= class_.minimum <= class_.maximum
    meets_minima = all(class_.minimum >= each for each in minima)
    meets_maxima = all(class_.maximum <= each for each in maxima)
    assert meets_minima or (found.decision is not None and not keeps)
    assert meets_maxima or (found.decision is not None and keeps)
    assert (found.decision is None) == (max(minima) <= min(maxima))


@settings(max_examples=40)
@given(st.dates(date(1990, 1, 1), date(2200, 1, 1)), DAYS, st.integers(-3, 4003))
def test_dates_and_the_two_questions_agree(day: date, days: int, later: int) -> None:
    """``dates`` names the very first day on which each is answered with yes."""
    made = RetentionClass(minimum=f"{days}d", maximum=f"{days}d")
    class_ = kept(Config.model_validate({"retention": {"classes": {"a": made.model_dump()}}}), "a")
    now = (day + timedelta(days=later)).isoformat() + "T00:00:00.000000Z"
    may = later > days if days else later >= 0  # without a minimum at once, but not before it is
    assert removable(class_, day.isoformat(), now) == may
    assert due(class_, day.isoformat(), now) == (later > days)
    assert (dates(class_, day.isoformat()).removable <= now) == may


def test_rules_that_never_give_a_class_are_told() -> None:
    """Those behind a wider one, of a type that is not there, and what nothing sets."""
    made = config("""{rules: [
        {when: {model: 'gpt*'}, class: default},
        {when: {model: [gpt-4, 'gpt-5*'], team: t}, class: default},
        {when: {type: exchange.requests}, class: default},
        {when: {type: [exchange.requests, 'chang*']}, class: default},
        {when: {tier: seen}, class: default},
        {when: {finding: pii.email}, class: default},
        {when: {type: 'ledger.*'}, class: default},
        {when: {model: 'gp*'}, class: default},
    ]}""")
    assert [one.rule for one in retention.useless(made, TYPES)] == [1, 2, 4, 5, 6]
    assert next(retention.useless(made, TYPES)) == Useless(1, "what meets it meets rule 1 before")


_VALUES = ["a", "ab", "abc", "b", "a*", "ab*", "b*", "*"]
_WHEN = st.dictionaries(
    st.sampled_from(["team", "model", "tenant"]),
    st.lists(st.sampled_from(_VALUES), min_size=1, max_size=2),
    min_size=1,
)
_NAMES = st.sampled_from(["", "a", "ab", "abc", "b", "ba"])


@settings(max_examples=40)
@given(
    st.lists(_WHEN, min_size=1, max_size=4),
    st.lists(st.builds(lambda t, m, n: Facts("custom", tenant=t, team=n, model=tuple(m)),
                       _NAMES, st.lists(_NAMES, max_size=2), _NAMES), max_size=20),
)  # fmt: skip
def test_a_rule_that_is_told_to_be_useless_is_never_met(
    whens: list[dict[str, list[str]]], every: list[Facts]
) -> None:
    """Whatever a record is."""
    rules = [{"when": when, "class": "default"} for when in whens]
    made = Config.model_validate({"retention": {"rules": rules}})
    told = {one.rule for one in retention.useless(made, TYPES)}
    assert not told & {retention.rule_of(made, facts) for facts in every}


@settings(max_examples=40)
@given(
    st.lists(_WHEN, max_size=4),
    st.builds(lambda t, m, n: Facts("custom", tenant=t, team=n, model=tuple(m)),
              _NAMES, st.lists(_NAMES, max_size=2), _NAMES),
)  # fmt: skip
def test_the_rule_that_counts_is_found_as_by_hand(
    whens: list[dict[str, list[str]]], facts: Facts
) -> None:
    """The first of which each condition has a value that some value of the record is like."""
    rules = [{"when": when, "class": "default"} for when in whens]
    made = Config.model_validate({"retention": {"rules": rules}})
    said = {"tenant": [facts.tenant], "team": [facts.team], "model": list(facts.model)}
    like = [
        number
        for number, when in enumerate(whens)
        if all(
            any(one != "" and fnmatchcase(one, pattern) for one in said[name] for pattern in any_)
            for name, any_ in when.items()
        )
    ]
    assert retention.rule_of(made, facts) == (like[0] if like else None)


def test_tiers_are_those_of_records() -> None:
    """Named twice, as one stands below the other."""
    assert retention.TIERS == TIERS
