"""RFC 6962 proofs, right and wrong, that others published, against our verifiers."""

import base64
import json
from pathlib import Path
from typing import Any

from affidavit.errors import CheckFailedError
from affidavit.ledger import merkle
from tests.paths import shared

STRICTER = {"consistency/additional/sizes-are-equal-one-and-proof-is-empty.json"}
"""Its roots are 12 bytes long; we check the length of every hash, also where none is computed."""


def _vectors(name: str) -> list[dict[str, Any]]:
    path: Path = shared("vectors", name)
    return [json.loads(line) for line in path.read_text().splitlines()]


def _bytes(text: str | None) -> bytes:
    return base64.b64decode(text or "")


def _accepts_inclusion(one: dict[str, Any]) -> bool:
    path = [_bytes(node) for node in one["proof"] or ()]
    try:
        merkle.verify_inclusion(
            one["leafIdx"], one["treeSize"], _bytes(one["leafHash"]), path, _bytes(one["root"])
        )
    except CheckFailedError:
        return False
    return True


def _accepts_consistency(one: dict[str, Any]) -> bool:
    path = [_bytes(node) for node in one["proof"] or ()]
    try:
        merkle.verify_consistency(
            one["size1"], one["size2"], _bytes(one["root1"]), _bytes(one["root2"]), path
        )
    except CheckFailedError:
        return False
    return True


def test_inclusion_vectors() -> None:
    """Every one is accepted or refused as its publisher says."""
    vectors = _vectors("merkle-inclusion.jsonl")
    assert len(vectors) >= 98
    wrong = [one["name"] for one in vectors if _accepts_inclusion(one) == one["wantErr"]]
    assert wrong == []
    assert {one["wantErr"] for one in vectors} == {True, False}


def test_consistency_vectors() -> None:
    """Every one is accepted or refused as its publisher says, but for the one with short roots."""
    vectors = _vectors("merkle-consistency.jsonl")
    assert len(vectors) >= 98
    wrong = [one["name"] for one in vectors if _accepts_consistency(one) == one["wantErr"]]
    assert set(wrong) == STRICTER
    assert {one["wantErr"] for one in vectors} == {True, False}
