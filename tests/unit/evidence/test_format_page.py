"""The page of the format says what the verifier does."""

import hashlib
import hmac
import re

from affidavit.evidence import verify
from affidavit.ids import b64u, from_b64u
from tests.paths import REPOSITORY

PAGE = (REPOSITORY / "docs" / "format" / "evidence.md").read_text()


def test_the_page_lists_every_refusal_with_its_reason() -> None:
    """docs/format/evidence.md, Refusals: the names and sentences are the verifier's."""
    table = PAGE.partition("## Refusals")[2]
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (.+) \|$", table, re.MULTILINE))
    assert rows == verify.REASONS


def test_the_example_of_a_batched_proof_is_true() -> None:
    """docs/format/evidence.md, The batched inclusion proof: its hashes give its root."""
    example = PAGE.partition("Example: leaves 1 and 4")[2].partition("```\n")[2]
    first, second, root = example.partition("```")[0].split("\n")[:3]
    leaves = [(1, bytes.fromhex("00")), (4, bytes.fromhex("3031"))]
    found = verify.batch_root(leaves, 5, [from_b64u(first), from_b64u(second)])
    assert found == from_b64u(root.split()[1])


def test_the_example_of_a_policy_is_true() -> None:
    """docs/format/evidence.md, Outside trust: the policy opens the worked checkpoint."""
    policy = PAGE.partition("Example, for the log of")[2].partition("```\n")[2].partition("```")[0]
    read = verify.read_policy(policy)
    note = (
        "audit.example/log1\n5\nTju7H3tHjc/nH7YxYxUZo7yhLJrvyhYSv85ME6hiZNQ=\n\n"
        "— audit.example/log1 ZAolDzSfWDWMELDF/jwEOaooDM+zgp05u4mHslOsTbvnN06ohzXnC5RbEs3R30IcG"
        "hiIMA4HqaroD742Op/O4TqjEAE=\n"
        "— witness.example/w1 8e2MRwAAAABpVbkAqHpbh4ZTOtA3BSLAtHdhrHr7yXrhNpZPPRvZ8y6vP27shM8m+"
        "7xB4Oct3QS5Ddu+vp1kWMtfYeGwGkrSVZkNCA==\n"
    )
    found = verify.read_checkpoint(note.encode(), read)
    assert verify.satisfied(read, found.cosigned)
    assert (read.monitors, list(found.cosigned)) == ({"w1"}, ["w1"])
    for line in ("#monitor", "#valid", "#timestamps", "#post-quantum"):
        assert f"| `{line}" in PAGE
        assert line in verify.OURS


def test_the_example_of_a_token_is_true() -> None:
    """docs/format/evidence.md, Timestamps: the imprint and the time that stand in its bytes."""
    example = PAGE.partition("Example: an answer over the seven bytes")[2]
    *lines, imprint, time = example.partition("```\n")[2].partition("```")[0].splitlines()
    digest, stated = verify.read_token(bytes.fromhex("".join(lines)))
    assert digest == hashlib.sha256(b"a note\n").digest()
    assert imprint.split() == ["imprint", digest.hex()]
    assert time.split() == ["time", stated]


def test_the_page_names_every_count_and_member() -> None:
    """docs/format/evidence.md: no count, field or member is missing from the page."""
    for name in (*verify.QUESTION, *verify.MANIFEST, *verify.REQUIRED, *verify.SECTIONS[:1]):
        assert f'"{name}"' in PAGE or f"`{name}`" in PAGE, name
    for name in verify.COUNTED:
        assert f'"{name}"' in PAGE


def test_the_example_of_a_sample_is_true() -> None:
    """docs/format/evidence.md, Samples: ranks, digest and what is drawn, without the verifier."""
    example = PAGE.partition("Example: five records")[2].partition("```\n")[2].partition("```")[0]
    *rows, digest, drawn = example.splitlines()
    ids = [row.split()[0] for row in rows]
    ranks = [hmac.digest(b"2026-Q3", name.encode(), "sha256") for name in ids]
    assert [row.split()[1] for row in rows] == [f"{rank.hex()[:8]}…" for rank in ranks]
    whole = hashlib.sha256("".join(f"{name}\n" for name in ids).encode()).digest()
    assert digest.split() == ["digest", b64u(whole)]
    order = sorted(range(5), key=lambda place: ranks[place])[:3]
    assert drawn.split() == ["drawn", *(ids[place][-1] for place in order)]
