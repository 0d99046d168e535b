"""Presets: how long one regime wants records kept, one file each, with article and source.

Rules: a preset is a file ``NAME.yaml`` in this folder, read strictly: every key known, none twice,
the name that of the file. Its numbers are days: of a minimum the most that its months or years can
have, of a maximum the least. None was reviewed by counsel; each says so, and so does whatever shows
one. A preset is advice that somebody has to check, no statement of law. May import ``durations``,
``strict_yaml`` and ``errors``. Not here: how several are combined (``config_retention``).
"""

from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from importlib import resources
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    StringConstraints,
    ValidationError,
    model_validator,
)

from affidavit import strict_yaml
from affidavit.durations import Duration, days_of
from affidavit.errors import CorruptError

NOT_REVIEWED = "not reviewed by counsel"
"""What stands beside every preset wherever it is shown."""

Evidence = Literal["text", "secondary", "knowledge"]
EVIDENCE: Mapping[Evidence, str] = MappingProxyType({
    "text": "read in the text itself",
    "secondary": "from secondary sources alone",
    "knowledge": "general knowledge, not looked up again",
})  # fmt: skip
"""How sure whoever wrote a preset was of its numbers, in words."""


def _one_line(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError("must be one line")
    return text


Line = Annotated[str, StringConstraints(min_length=1, max_length=600), AfterValidator(_one_line)]


class Preset(BaseModel):
    """One regime: at least ``minimum``, at most ``maximum``, ``hot``: so long at hand at once.

    ``covers``: which records, of whom. ``article``: where it is written. ``date``: of the source.
    ``note``: what to know before using it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    title: Line
    minimum: Duration | None = None
    maximum: Duration | None = None
    hot: Duration | None = None
    covers: Line
    article: Line
    source: Line
    date: date
    evidence: Evidence
    review: Literal["not reviewed by counsel"]
    note: Line | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.minimum is None and self.maximum is None:
            raise ValueError("needs a minimum or a maximum")
        if self.hot and days_of(self.hot) > days_of(self.minimum or "0d"):
            raise ValueError("hot must not be longer than the minimum")
        return self


def read(text: str, name: str) -> Preset:
    """The preset that a file ``name``.yaml holds; ``CorruptError`` if it is not one."""
    data = strict_yaml.read(text, f"{name}.yaml")
    try:
        preset = Preset.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CorruptError(f"The preset {name} is damaged: {where} {first['msg']}.") from None
    if preset.name != name:
        raise CorruptError(f"The preset {name} calls itself by another name.")
    return preset


@lru_cache(maxsize=1)
def presets() -> Mapping[str, Preset]:
    """Every preset by name, in alphabetical order."""
    files = sorted(
        (file for file in resources.files(__package__).iterdir() if file.name.endswith(".yaml")),
        key=lambda file: file.name,
    )
    names = [file.name.removesuffix(".yaml") for file in files]
    return MappingProxyType({
        name: read(file.read_text(encoding="utf-8"), name)
        for name, file in zip(names, files, strict=True)
    })  # fmt: skip
