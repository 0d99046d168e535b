"""Prices: written by somebody, never made up."""

import pytest

from affidavit.config import parse
from affidavit.errors import ConfigError
from affidavit.prices import Price, price_of

TABLE = """
prices:
  gpt-4o:  {input: 2.5, output: 10, cached: 1.25, currency: USD}
  gpt-4*:  {input: 10, output: 30, currency: USD}
  gpt*:    {input: 1, output: 2, currency: EUR}
"""


def test_a_model_has_its_own_price_else_that_of_the_longest_prefix() -> None:
    """What is not in the table has none."""
    prices = parse(TABLE, {}, "test").prices
    assert price_of("gpt-4o", prices) == prices["gpt-4o"]
    assert price_of("gpt-4o-2024-08-06", prices) == prices["gpt-4*"]
    assert price_of("gpt-5", prices) == prices["gpt*"]
    assert price_of("claude", prices) is None
    assert price_of("", prices) is None
    assert parse("", {}, "test").prices == {}


def test_cached_tokens_are_among_those_read() -> None:
    """They cost less where the table says so, and what tokens cost where it does not."""
    own = Price(input=2, output=8, cached=1, currency="USD")
    assert own.of(1_000_000, 500_000, 1_000_000) == 1 + 0.5 + 8
    same = Price(input=2, output=8, currency="USD")
    assert same.of(1_000_000, 500_000, 0) == 2
    assert same.of(0, 500_000, 0) == 1


@pytest.mark.parametrize(
    ("line", "named"),
    [("m: {input: 1, output: 2}", "currency"),
     ("m: {input: -1, output: 2, currency: USD}", "input"),
     ("m: {inputs: 1, output: 2, currency: USD}", "input"),
     ("m*x: {input: 1, output: 2, currency: USD}", "prefix"),
     ("m: {input: 1, output: 2, currency: dollars}", "currency")],
)  # fmt: skip
def test_a_mistake_in_the_table_is_named(line: str, named: str) -> None:
    """A price without currency, below nothing, with a key nobody knows."""
    with pytest.raises(ConfigError) as caught:
        parse(f"prices:\n  {line}\n", {}, "test")
    assert named in str(caught.value) + caught.value.hint
