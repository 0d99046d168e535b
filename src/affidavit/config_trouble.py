"""What is wrong with a configuration, in one sentence for a person.

Rules: the first problem only; never the value, which may be a secret; an unknown key comes with
the nearest one that is known at its place. Not here: what is valid (``config``).
"""

import difflib
from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from affidavit.errors import ConfigError


def explain(
    error: ValidationError, name: str, model: type[BaseModel], tables: Mapping[str, type[BaseModel]]
) -> ConfigError:
    """The first problem of a configuration that is called ``name`` and should be a ``model``.

    ``tables``: what stands under names that people choose, by the key above them.
    """
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = _known_keys(first["loc"][:-1], model, tables)
        near = difflib.get_close_matches(str(first["loc"][-1]), known, n=1, cutoff=0.4)
        hint = f"Did you mean {near[0]}?" if near else f"Known here: {', '.join(known)}."
        return ConfigError(f"{name}: {path} is not a known key.", hint=hint)
    page = "retention" if path.partition(".")[0] == "retention" else "operations"
    return ConfigError(f"{name}: {path} {_worded(first['msg'])}.", hint=f"See docs/{page}.md.")


def _worded(message: str) -> str:
    """A sentence of the validating library without its own words."""
    for theirs, ours in (("Value error, ", ""), ("Input should be ", "must be "),
                         ("Field required", "is missing")):  # fmt: skip
        if message.startswith(theirs):
            return ours + message.removeprefix(theirs)
    return message


def _known_keys(
    location: tuple[int | str, ...], model: type[BaseModel], tables: Mapping[str, type[BaseModel]]
) -> list[str]:
    for depth, part in enumerate(location):
        field = model.model_fields.get(str(part))
        if depth != 1 and part in tables:
            model = tables[str(part)]
        elif field is not None:
            model = _inner(field.annotation) or model
    fields = model.model_fields.items()
    return sorted(field.alias or name for name, field in fields if name != "off")


def _inner(annotation: Any) -> type[BaseModel] | None:
    """The section that an annotation is of, also as the values of a mapping or list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_inner(one) for one in get_args(annotation))
    return next((one for one in found if one is not None), None)
