"""What the report says in words of its own: verdicts explained, how to verify, the glossary.

Rules: a sentence claims what the verifier found and no more; where something rests on somebody's
word, it says whose. Not here: values of a bundle (``report``, ``report_story``, ``report_kept``).
"""

from collections.abc import Mapping
from typing import Any

from affidavit.evidence import verify

NOT_EVIDENCE = (
    "This page is not evidence. It is for reading, and nothing vouches for what it says: whoever "
    "passed the bundle on may have replaced it. The evidence is in the other files of the bundle; "
    "the section How to verify says how anybody checks it, without us and without a network. The "
    "verdict below is what the verifier found when the bundle was made, under the keys of those "
    "who made it."
)

COUNTS = {
    "records": "lie in the window of the chains that were asked for",
    "matching": "of these are shown to meet the conditions of the question",
    "undetermined": "may meet them; what would decide it is not shown",
    "withheld": "are proved to exist, and nothing of what they say is shown",
    "unattributed": "could not be attributed, so they may belong to the answer",
    "gaps": "intervals in which something could not be recorded are on record",
    "open": "requests have no answer yet",
    "halves_not_shown": "are one half of an exchange whose other half is not in the bundle",
}
"""What each count counts."""

WITHHELD_OF_A_SAMPLE = (
    "are proved to exist, and nothing of what they say is shown: they were not drawn, or are "
    "withheld (the verdict says how many of each)"
)

LIMITS = (
    "Whether the rules that attribute records to chains read the content rightly.",
    "Traffic that did not pass the gateway: it leaves no record here.",
    "Without a witness or a monitor: whether the log shows everybody the same history.",
    "Whether what was said in a prompt or an output is true.",
    (
        "What stands under Question as put, Boundary, Retention and holds, and Chain of custody: "
        "the exporter's word, kept together with the rest by the digest of the manifest."
    ),
)

VERIFY = """python3 -I verify.py BUNDLE --policy FILE --manifest=DIGEST
python3 -I verify.py BUNDLE --key VKEY --manifest=DIGEST"""

HOW = (
    (
        "BUNDLE is the zip file that this page is in. verify.py is one file of Python (3.9 or "
        "later) and needs nothing else; take it from where it is published, or from the bundle if"
        " you have no reason to doubt it. Where the bundle has a file verify.html, that does the "
        "same in a browser, without a network."
    ),
    (
        "FILE names the log's public keys, and the witnesses that you trust and how many of them "
        "it takes; VKEY is the log's public key alone. DIGEST is that of manifest.json as it "
        "stands in the ledger's own record of this export (type access.export), and as it was "
        "printed when the export was made. Take all of them from somewhere else than this bundle."
    ),
    (
        "The program ends with the four lines of the verdict and status 0; or with REFUSED, the "
        "name of the check that did not hold, and status 1. Change one byte of the file and try "
        "it."
    ),
)

GLOSSARY = (
    ("record", "one entry of the ledger: a prompt, an output, a tool call, a change, a read"),
    ("exchange", "a request record and its response record: the two halves"),
    ("section", ("a part of a record that is disclosed or withheld as a whole: who, person, what, "
     "context, control, outcome, content")),
    ("leaf", "what the ledger stores of a record: digests only. Its number is its place"),
    ("digest", "a number worked out from bytes (SHA-256); other bytes have another one"),
    ("chain", "the sequence of records that share a value: a model, an actor, a session, …"),
    ("link", "a record's place in a chain: its number, and which record comes before it"),
    ("head", "the last link of a chain, as the ledger states it from time to time"),
    ("checkpoint", "what the log signs: how many leaves there are, and one digest over all"),
    ("witness", "somebody else, who signs a checkpoint only if it continues what was seen before"),
    ("monitor", "a witness that checks the numbers of all chains before it signs"),
    ("timestamp", "the word of a time authority (RFC 3161) that a checkpoint existed by a time"),
    ("manifest", "the list of the files of the bundle with their digests, and what was asked"),
    ("boundary", "what the person who exported may see"),
    ("gap", "an interval in which something could not be recorded"),
    ("erasure", ("destruction of keys and ciphertext; what was recorded can no longer be read, and "
     "that it was recorded can still be proved")),
    ("hold", "a legal hold: what it covers is kept whatever the retention rules say"),
    ("tier", ("how a record came to be: observed (the gateway saw the bytes), reported (somebody "
     "told), imported (from another system)")),
    ("pseudonym", "a random name for a person (act_…) or a session (ses_…)"),
    ("ledger time", ("when the ledger recorded something; source time is when the source says it "
     "happened")),
)  # fmt: skip


def meanings(verdict: verify.Verdict, manifest: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Each line of the verdict with a sentence that says what it means."""
    return [
        ("Integrity", verdict.integrity, _integrity(verdict)),
        ("Completeness", verdict.completeness, _completeness(manifest)),
        ("Assurance", verdict.assurance, _assurance(verdict.facts["assurance"])),
        ("Coverage", verdict.coverage, _coverage(manifest)),
    ]


def _integrity(verdict: verify.Verdict) -> str:
    whose = "of the log" if verdict.facts["outside_key"] else "that the bundle itself names"
    return (
        "What is shown was recorded like this: each record stands in the tree that a key "
        f"{whose} has signed, and each section and part that is shown has the digest that was "
        "recorded for it. If a byte of them were another one, the verifier would refuse the bundle."
    )


def _completeness(manifest: Mapping[str, Any]) -> str:
    question = manifest["question"]
    if not question["chains"]:
        return (
            "The records are those that the exporter picked. Whether there are others that answer "
            "the question is not shown by this bundle."
        )
    if question["show"] == "count":
        return (
            "Only numbers are shown. The records of a chain are numbered, so the first and the "
            "last number in the window say how many there are."
        )
    said = (
        "The records of a chain are numbered, each names the one before it, and the ledger states "
        "where the chain ends. In the window no number is missing, so none of these records was "
        "left out of the bundle. What of them is withheld is counted."
    )
    if question["conditions"]:
        said += " Which of them meet the conditions is decided on what is shown of them."
    if manifest["sampling"]:
        said += " Those that are shown were drawn; the seed draws the same ones again."
    return said


def _assurance(found: Mapping[str, Any]) -> str:
    outside = bool(found["witnesses"]) or any(by for _, _, by in found["timestamps"])
    if outside:
        said = (
            "Others than the log's operator have signed that they saw this history, at the times "
            "given; to show another one, the operator would have needed them, too."
        )
    else:
        said = (
            "Nobody but the log itself vouches for this history. Whoever has its key could have "
            "shown somebody else another one."
        )
    if not found["replayed"]:
        said += (
            " No independent monitor has checked the numbers of the chains, so that they are "
            "consecutive is the log's word."
        )
    return said


def _coverage(manifest: Mapping[str, Any]) -> str:
    said = (
        "How the records came to be. Observed: the gateway saw the bytes; reported and imported: "
        "somebody's word. What did not pass the gateway has no record and was not looked for."
    )
    if manifest["question"]["show"] == "count":
        said = "How the records came to be is not shown by a count. " + said.partition(". ")[2]
    return said
