"""``kill -9`` at every step of an erasure: gone on with, the result is always the same.

``AFFIDAVIT_ERASURE_STEPS`` (0 for all) sets at how many steps, spread over all of them.
"""

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from affidavit.control.link import ControlLink
from affidavit.evidence import certificate
from tests.faults import erasure_story
from tests.faults.erasure_story import MAIL, NAME, PHRASE
from tests.unit.app.test_approving import _root
from tests.unit.app.test_sequencer import _sequencer
from tests.world.audit import audit
from tests.world.erasures import erased, holds_none
from tests.world.zygote import Zygote

STEPS = int(os.environ.get("AFFIDAVIT_ERASURE_STEPS", "12"))
SAME = ("kind", "of", "erased", "records", "sections and parts", "bytes", "leaf digest",
        "keys destroyed", "remains")  # fmt: skip


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A data directory in which an erasure is granted and not begun."""
    root = _root(tmp_path_factory.mktemp("ready"), "")
    return root, erasure_story.prepared(root)


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    """Where sequencers die."""
    with Zygote("tests.faults.erasure_story") as one:
        yield one


def _result(root: Path, erasure: str, beside: Path) -> list[tuple[str, str]]:
    """What the certificate says, once a process that nobody kills has finished."""
    found: dict[str, Any] = {}

    async def story(link: ControlLink) -> None:
        found.update(await erased(link, erasure, within=60.0))
        assert (await link.call("status", {}))["erasing_problem"] is None
        await asyncio.sleep(0.1)

    assert _sequencer(root, story) == 0
    kept = audit(root, beside=beside, canaries=[MAIL, PHRASE, NAME])
    assert 1 <= kept.types["retention.erased"] <= 2, "told twice at most, where it died in between"
    assert holds_none(root, [MAIL, PHRASE, NAME])
    (text,) = found["certificates"]
    lines = certificate.check(text.encode(), []).lines
    return [line for line in lines if line[0] in SAME]


@pytest.mark.slow
def test_an_erasure_killed_at_any_step_ends_the_same(
    ready: tuple[Path, dict[str, Any]], zygote: Zygote, tmp_path: Path
) -> None:
    """Records, digest, blobs, bytes and keys as if it had never died; nothing of her is left."""
    root, kept = ready
    case, erasure = "tests.faults.erasure_story:carry_out", kept["id"]
    whole = tmp_path / "whole"
    shutil.copytree(root, whole, ignore=shutil.ignore_patterns("*.sock"))
    ended = zygote.run(case, root=str(whole), erasure=erasure, last=-1)
    assert not ended.error, ended.error
    (total,) = ended.reports
    expected = _result(whole, erasure, tmp_path / "whole-beside")
    assert dict(expected)["records"] == str(kept["records"])
    chosen = range(total) if STEPS == 0 else sorted({total * n // STEPS for n in range(STEPS)})
    died = 0
    for step in chosen:
        copy = tmp_path / f"died-{step}"
        shutil.copytree(root, copy, ignore=shutil.ignore_patterns("*.sock"))
        ended = zygote.run(case, root=str(copy), erasure=erasure, last=step)
        assert ended.killed or not ended.error, ended.error
        died += ended.killed
        again = _result(copy, erasure, tmp_path / f"beside-{step}")
        assert again == expected, f"killed before step {step} of {total}"
        shutil.rmtree(copy)
    print(f"killed at {died} of {total} steps")
    assert died >= len(chosen) * 9 // 10, "the last steps come when it is done"
