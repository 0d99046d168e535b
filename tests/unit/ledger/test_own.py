"""What the sequencer writes in its own name."""

import pytest

from affidavit.ledger.leaf import NO_SECTIONS, HeadsTerms
from affidavit.ledger.own import Own, own_record
from affidavit.record.disclose import open_disclosure
from tests.world.clock import FakeClock


def test_own_records_say_nothing_of_anybody() -> None:
    """No tenant, no sections, no chains; a fresh id."""
    clock = FakeClock()
    own = Own(clock)
    item = own.item(4, "ledger.heads", clock.now(), HeadsTerms(0, 16, "root"))
    assert item.src == (own.incarnation, 4)
    assert (item.record.tenant, item.record.chains) == ("", ())
    assert item.record.sections == NO_SECTIONS
    assert item.record.id != own_record("ledger.heads", clock.now()).id
    assert own.incarnation != Own(clock).incarnation


@pytest.mark.parametrize(("back", "told"), [(0.5, False), (1.0, True), (3600.0, True)])
def test_a_clock_that_falls_behind_is_told_once(back: float, told: bool) -> None:
    """From a second on; again only after it has caught up."""
    clock = FakeClock()
    own, time = Own(clock), clock.now()
    assert own.clock_lag(time) is None
    clock.jump(-back)
    said = own.clock_lag(time)
    assert (said is not None) == told
    if said is not None:
        assert open_disclosure(said, "what") == {"clock": clock.now(), "ledger_time": time}
    assert own.clock_lag(time) is None
    clock.jump(back)
    assert own.clock_lag(time) is None
    clock.jump(-back)
    assert (own.clock_lag(time) is not None) == told
