"""The page of the format says what the verifier does."""

import re

from affidavit.evidence import verify
from affidavit.ids import from_b64u
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


def test_the_page_names_every_count_and_member() -> None:
    """docs/format/evidence.md: no count, field or member is missing from the page."""
    for name in (*verify.QUESTION, *verify.MANIFEST, *verify.REQUIRED, *verify.SECTIONS[:1]):
        assert f'"{name}"' in PAGE or f"`{name}`" in PAGE, name
    for name in verify.COUNTED:
        assert f'"{name}"' in PAGE
