"""A clock that stands still until a test moves it."""

from affidavit.clock import from_unix_us, to_unix_us


class FakeClock:
    """``advance`` moves both clocks, ``jump`` the wall clock alone (somebody set it)."""

    def __init__(self, start: str = "2026-11-23T12:00:00.000000Z") -> None:
        self._wall = to_unix_us(start)
        self._monotonic = 0.0

    def now(self) -> str:
        """The wall clock in the stored form."""
        return from_unix_us(self._wall)

    def monotonic(self) -> float:
        """Seconds since the test began."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._wall += round(seconds * 1_000_000)
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back; no time passes."""
        self._wall += round(seconds * 1_000_000)
