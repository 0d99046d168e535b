"""YAML of people, read so that it means one thing, with variables of the environment put in.

Rules: YAML's safe types; a key that stands twice in a mapping is refused with its line; the whole
is keys and values; ``${NAME}`` is replaced from the environment and its value never printed. Not
here: which keys there are (``config``).
"""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from affidavit.errors import ConfigError

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""How a variable of the environment is written."""


def read(text: str, name: str) -> dict[str, Any]:
    """The keys and values of YAML text; ``ConfigError`` calls it ``name`` and says which line."""
    try:
        data = yaml.load(text, _StrictLoader)  # noqa: S506 - a SafeLoader that refuses duplicates
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise ConfigError(f"{name}{where}: {problem}.", hint="Check the indentation.") from error
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise ConfigError(f"{name}: the file must hold keys and values.")
    return data


class _StrictLoader(yaml.SafeLoader):
    """YAML's safe types, duplicate keys refused."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} stands here twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def interpolate(value: Any, environ: Mapping[str, str], name: str) -> Any:
    """``value`` with each variable replaced; ``ConfigError`` names one that is not set."""
    if isinstance(value, dict):
        return {key: interpolate(item, environ, name) for key, item in value.items()}
    if isinstance(value, list):
        return [interpolate(item, environ, name) for item in value]
    if not isinstance(value, str):
        return value

    def replace(match: re.Match[str]) -> str:
        found = environ.get(match[1])
        if found is None:
            raise ConfigError(
                f"{name}: the environment variable {match[1]} is not set.",
                hint=f"export {match[1]}=… and start again.",
            )
        return found

    return VARIABLE.sub(replace, value)
