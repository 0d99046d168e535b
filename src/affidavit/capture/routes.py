"""Which route a call is on, and what becomes of it when it cannot be recorded.

Rules: a route is named by the beginning of a path on the gateway, whole segments of it, the first
of which is the provider; the longest name counts, and ``default`` where none fits. A call is served
without a record only if its path says so as it came and as a server may read it (escapes decoded,
in lower case, without empty segments and parameters of segments): of two routes that fit, one that
refuses is the one. Not here: what serving without a record means (``relay``, ``gaps``).
"""

from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from affidavit.config import Route
from affidavit.wire.http_rules import MAX_DECODING_ROUNDS

DEFAULT = "default"


class Routes:
    """The configured routes."""

    def __init__(self, routes: Mapping[str, Route]) -> None:
        self._default = routes.get(DEFAULT, Route())
        self._routes = [
            (tuple(name.encode().split(b"/")), name, route)
            for name, route in sorted(routes.items(), key=lambda one: -one[0].count("/"))
            if name != DEFAULT
        ]

    def find(self, path: bytes) -> tuple[str, bool]:
        """The name of the route of a path (no query), and whether it serves unrecorded."""
        name, route = self._match(path, lower=False)
        if route.unrecordable == "serve":
            other, strict = self._match(_as_read(path), lower=True)
            if strict.unrecordable == "refuse":
                return other, False
        return name, route.unrecordable == "serve"

    def _match(self, path: bytes, *, lower: bool) -> tuple[str, Route]:
        segments = tuple(path.removeprefix(b"/").split(b"/"))
        for prefix, name, route in self._routes:
            known = tuple(one.lower() for one in prefix) if lower else prefix
            if segments[: len(known)] == known:
                return name, route
        return DEFAULT, self._default


def _as_read(path: bytes) -> bytes:
    """The path as a lenient server may understand it."""
    for _ in range(MAX_DECODING_ROUNDS):
        path = unquote_to_bytes(path)
    segments = [segment.partition(b";")[0] for segment in path.lower().split(b"/")]
    return b"/" + b"/".join(segment for segment in segments if segment)
