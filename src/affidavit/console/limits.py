"""How much one reader may ask, so that nobody's script takes the console from the others.

Rules: reads are counted per key (the local socket has a count of its own): a bucket of a minute's
worth that fills up evenly; expensive reads (proofs, exports, stories, sums over many records) and
tails are bounded at a time. A limit that is hit is a ``LimitedError`` with ``retry_after``,
recorded and counted as every refusal. Wrong keys are counted per address (an IPv6 /64) and only
wrong keys are then refused for it: a right key always gets in, so nobody locks out others; guessing
one of 2^256 needs no slowing down. Numbers live in memory, the least recently used of many go.
Headers are those of the IETF draft "RateLimit header fields for HTTP". Not here: the gateway's
callers.
"""

import collections
import contextlib
import ipaddress
import math
from collections.abc import Iterator

from affidavit import config
from affidavit.clock import Clock
from affidavit.errors import LimitedError

WINDOW_SECONDS = 60.0
_KEPT = 10_000


class _Buckets:
    """So many a minute for each name: what is left, filling up evenly."""

    def __init__(self, clock: Clock, size: int) -> None:
        self.size = size
        self._clock = clock
        self._rate = size / WINDOW_SECONDS
        self._left: collections.OrderedDict[str, tuple[float, float]] = collections.OrderedDict()

    def left(self, name: str) -> float:
        """How many are left now."""
        at, left = self._left.get(name, (0.0, float(self.size)))
        return min(float(self.size), left + (self._clock.monotonic() - at) * self._rate)

    def take(self, name: str) -> float:
        """Take one; 0, or in how many seconds there is one again."""
        left = self.left(name)
        missing = max(0.0, 1.0 - left)
        self._left[name] = (self._clock.monotonic(), left if missing else left - 1.0)
        self._left.move_to_end(name)
        while len(self._left) > _KEPT:
            self._left.popitem(last=False)
        return missing / self._rate


class Limits:
    """The limits of one process. ``hit`` counts refusals by limit, ``tails`` are open now."""

    def __init__(self, clock: Clock, settings: config.Limits) -> None:
        self._settings = settings
        self._reads = _Buckets(clock, settings.reads_per_minute)
        self._failed = _Buckets(clock, settings.failed_per_minute)
        self._busy: collections.Counter[str] = collections.Counter()
        self._tails: collections.Counter[str] = collections.Counter()
        self.hit: collections.Counter[str] = collections.Counter()

    @property
    def tails(self) -> int:
        """How many tails are open, of all readers."""
        return self._tails.total()

    def read(self, account: str) -> None:
        """Count one read; ``LimitedError`` if this minute's are used up."""
        wait = self._reads.take(account)
        if wait:
            raise self._over("reads", "You asked more often than you may.", wait)

    def headers(self, account: str) -> dict[str, str]:
        """What is left for an account, as its answers say it."""
        left, size = self._reads.left(account), self._reads.size
        full = math.ceil((size - left) * WINDOW_SECONDS / size)
        return {
            "ratelimit-policy": f'"reads";q={size};w={WINDOW_SECONDS:.0f}',
            "ratelimit": f'"reads";r={int(left)};t={full}',
        }

    def failed(self, address: str) -> None:
        """Count a wrong key; ``LimitedError`` if its address has sent too many."""
        wait = self._failed.take(_network(address))
        if wait:
            raise self._over("failed", "Too many wrong keys came from this address.", wait)

    @contextlib.contextmanager
    def expensive(self, account: str) -> Iterator[None]:
        """While inside, one more expensive read goes on; ``LimitedError`` if there are enough."""
        with self._one("expensive", self._busy, account, self._settings.expensive_at_once):
            yield

    @contextlib.contextmanager
    def tail(self, account: str) -> Iterator[None]:
        """While inside, one more tail is open; ``LimitedError`` if there are enough."""
        with self._one("tails", self._tails, account, self._settings.tails_at_once):
            yield

    @contextlib.contextmanager
    def _one(
        self, limit: str, open_now: collections.Counter[str], account: str, most: int
    ) -> Iterator[None]:
        if open_now[account] >= most:
            what = "tails are open" if limit == "tails" else "proofs, exports and sums go on"
            raise self._over(limit, f"{most} of your {what} already.", 1.0)
        open_now[account] += 1
        try:
            yield
        finally:
            open_now[account] -= 1
            if not open_now[account]:
                del open_now[account]

    def _over(self, limit: str, message: str, wait: float) -> LimitedError:
        self.hit[limit] += 1
        seconds = max(1, math.ceil(wait))
        hint = f"Try again in {seconds} s; console.limits in the configuration sets the limits."
        return LimitedError(message, hint=hint, limit=limit, retry_after=seconds)


def _network(address: str) -> str:
    """Who an address belongs to: itself, or its /64, of which one host has as many as it likes."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address
