"""What tokens cost where no provider says so: the table of the configuration.

Rules: a price is what somebody wrote into the configuration; there is none ahead of that. A model
has its own price, else that of the longest ``prefix*`` it begins with. Not here: how many tokens
there were (``query.sums``).
"""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Price(BaseModel):
    """What a million tokens of a model cost, in ``currency`` (ISO 4217).

    ``cached``: of those read from a cache, which are among those read; as ``input`` if not given.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: float = Field(ge=0, le=1_000_000)
    output: float = Field(ge=0, le=1_000_000)
    cached: float | None = Field(default=None, ge=0, le=1_000_000)
    currency: str = Field(pattern=r"^[A-Z]{3}$")

    def of(self, tokens_in: int, tokens_cached: int, tokens_out: int) -> float:
        """What so many tokens cost; ``tokens_cached`` of ``tokens_in``."""
        cached = self.input if self.cached is None else self.cached
        fresh = max(0, tokens_in - tokens_cached)
        spent = fresh * self.input + tokens_cached * cached + tokens_out * self.output
        return spent / 1_000_000


def _names(prices: dict[str, Price]) -> dict[str, Price]:
    for name in prices:
        if not name or "*" in name[:-1]:
            raise ValueError(f"{name!r}: a price is of a model, or of a prefix with * at its end")
    return prices


Prices = Annotated[dict[str, Price], AfterValidator(_names)]
"""Prices by model or ``prefix*``."""


def price_of(model: str, prices: Mapping[str, Price]) -> Price | None:
    """The price of a model, ``None`` if it has none."""
    if model in prices:
        return prices[model]
    fits = [name for name in prices if name.endswith("*") and model.startswith(name[:-1])]
    return prices[max(fits, key=len)] if fits else None
