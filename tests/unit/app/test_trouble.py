"""Trouble with somebody outside: what passes by waiting, and what does not."""

import pytest

from affidavit.app.trouble import Trouble
from affidavit.errors import CheckFailedError, UpstreamError
from tests.world.clock import FakeClock


@pytest.mark.parametrize(
    ("error", "alarm"),
    [
        (CheckFailedError("ahead.", reason="ahead"), True),
        (CheckFailedError("fork.", reason="fork"), True),
        (CheckFailedError("A rule is broken: Leaf 4.", reason="rule"), True),
        (CheckFailedError("no cosignature.", reason="signature"), False),
        (UpstreamError("away."), False),
    ],
)
def test_what_does_not_pass_by_waiting_is_an_alarm(error: Exception, alarm: bool) -> None:
    """Another history, and a broken rule; over when it works again."""
    trouble = Trouble(FakeClock(), "Witness w1")
    trouble.failed(error)
    assert (trouble.alarm, trouble.error) == (alarm, str(error))
    trouble.over()
    assert (trouble.alarm, trouble.error) == (False, "")
