"""What ``affidavit demo attack`` says, without an attack."""

import json

from affidavit.cli import demo


def test_a_witness_that_refuses_is_explained() -> None:
    """Its 409 is the size that it has seen, which nobody knows from a number alone."""
    told = demo._refusal(409, "37")
    assert told.startswith("HTTP 409: 37. It has cosigned the first 37 leaves of this log")
    assert demo._refusal(422, "No proof.") == "HTTP 422: No proof."


def test_what_fsck_found_is_folded_once() -> None:
    """A line for each part; nothing where it found nothing."""
    words = "Leaves were changed, cut or removed. Proofs of the other leaves still hold."
    finding = {"object": "tile/entries/000", "wrong": "A hash.", "means": words, "do": "Look."}
    told = demo._finding(f'{{"leaves": 1}}\n{json.dumps({"finding": finding})}\n')
    assert told.splitlines()[0] == "First bad object: tile/entries/000"
    assert told.splitlines()[2] == f"It means: {words}"
    assert demo._finding(json.dumps({"finding": None})) == ""
    assert demo._finding("") == ""
