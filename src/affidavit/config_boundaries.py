"""Boundaries as the configuration names them: what a reader may see, in words.

Rules: every key has a default, and each default shows less rather than more. Not here: what a
boundary means for a question, and whether ``rows`` is understood (``query.named``).
"""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

_WINDOW = re.compile(r"([1-9]\d{0,4})([hdw])")
_SECONDS = {"h": 3_600, "d": 86_400, "w": 604_800}
_LONGEST = 50 * 365 * 86_400
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")

SectionName = Literal["who", "person", "what", "context", "control", "outcome", "content"]


def _window(value: str) -> str:
    if not _WINDOW.fullmatch(value) or seconds_of(value) > _LONGEST:
        raise ValueError(
            "must be a number of hours, days or weeks (12h, 30d, 8w), at most 50 years"
        )
    return value


def _name(value: str) -> str:
    if not _NAME.match(value):
        raise ValueError("is not usable as the name of a boundary")
    return value


Window = Annotated[str, AfterValidator(_window)]
BoundaryName = Annotated[str, AfterValidator(_name)]


def seconds_of(window: str) -> int:
    """The seconds of a window that was accepted."""
    found = _WINDOW.fullmatch(window)
    assert found is not None
    return int(found[1]) * _SECONDS[found[2]]


class BreakGlass(BaseModel):
    """What breaking the glass opens: all rows of the tenant, so far back, for so many minutes."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    content: Literal["never", "with_reason"] = "with_reason"
    window: Window | None = None
    minutes: int = Field(default=60, ge=1, le=1440)


class NamedBoundary(BaseModel):
    """One boundary.

    ``rows``: a query expression without times reckoned from now and words of messages, which
    holds beside the tenant of whoever reads. ``sections``: what is shown of a row. ``content``:
    never, for a stated reason, or always. ``purpose: required`` refuses a read without one.
    ``window``: rows older than that are out. ``counts``: the reader may know how many rows are
    withheld. ``groups``: who is in one of them has this boundary. ``persons: 2``: content is
    revealed when a second person has agreed, and shown nowhere else. ``break_glass``: the reader
    may widen the boundary for a while, on record.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    rows: str = ""
    sections: list[SectionName] = ["who", "what", "context", "control", "outcome", "content"]
    content: Literal["never", "with_reason", "always"] = "never"
    purpose: Literal["optional", "required"] = "optional"
    window: Window | None = None
    counts: bool = False
    groups: list[str] = Field(default_factory=list)
    persons: Literal[1, 2] = 1
    break_glass: BreakGlass | None = None

    @model_validator(mode="after")
    def _content_is_a_section(self) -> Self:
        if self.content != "never" and "content" not in self.sections:
            raise ValueError("content is shown only where sections has content, too")
        return self
