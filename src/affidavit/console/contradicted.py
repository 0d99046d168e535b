"""Whether the rows of the search speak against a proof: then it is not given, and this says why.

Rules: search and proof are counted up to the heads that the proof is under. Records that the search
does not give although the chain holds them are those that are not indexed yet, not within the
boundary, or erased; those with an undetermined condition may be in it or not. A name of a person
stands for pseudonyms in a proof and is looked for in the records, too, where these may be seen:
that both differ by such records is no disagreement of index and ledger. Not here: proofs
(``proofs``).
"""

from collections.abc import Mapping

from affidavit.clock import add_seconds
from affidavit.query import completeness
from affidavit.query.boundary import Boundary, section_of
from affidavit.query.completeness import Answer
from affidavit.query.search import Searcher
from affidavit.query.tree import And, Has, Match, Moment, Number, Tree, leaves

DISAGREE = "the index and the ledger disagree"
UNPLACED = "some of the matching records are attributed to no chain of the question"
NAMED = "some of the records name who is asked for and are of another actor or session"
HINTS = {
    DISAGREE: "affidavit index rebuild",
    UNPLACED: "Ask without --count: the verdict says how many these are.",
    NAMED: "Ask by the pseudonym: act_…, ses_….",
}
"""What to do where no count is given."""


def contradicted(
    searcher: Searcher,
    boundary: Boundary,
    purpose: str,
    searched: Tree,
    answer: Answer,
    counts: Mapping[str, int],
) -> str:
    """Why the rows of the search speak against the proof; ``""`` if they do not."""
    asked = answer.question
    if not asked.chains or (asked.count and len(asked.chains) > 1):
        return ""  # of several chains, counted one by one, no search tells the numbers
    why = _against(searcher, boundary, purpose, searched, answer, counts)
    names = any(isinstance(leaf, Match) and leaf.field in _NAMED for leaf in leaves(searched))
    if why and names and "person" in boundary.sections:
        unnamed = boundary._replace(sections=boundary.sections - {"person"})
        if all(section_of(leaf) != "person" for leaf in leaves(searched)):
            without = _against(searcher, unnamed, purpose, searched, answer, counts)
            why = NAMED if not without else min(why, without, key=(UNPLACED, DISAGREE).index)
    return why


_NAMED = ("actor", "session")
"""Fields by which people are looked for in records, where that may be seen."""


def _against(
    searcher: Searcher,
    boundary: Boundary,
    purpose: str,
    searched: Tree,
    answer: Answer,
    counts: Mapping[str, int],
) -> str:
    asked = answer.question
    end = Number("index", "<", max(head.index for head in answer.heads))
    window: Tree = end
    if not asked.source_time:
        window = And((end, Moment("time", "<", add_seconds(asked.until, 1e-6))))
    page = searcher.run(
        And((searched, window)), boundary, limit=1, reason=purpose,
        count_to=completeness.MAX_LEAVES,
    )  # fmt: skip
    seen = set(searcher.within(answer.records, boundary))
    unseen = [
        index
        for index in answer.records
        if index not in seen
        and (index >= page.as_of.size or searcher.reader.row(index) is not None)
    ]
    erased = boundary._replace(rows=And((boundary.rows, Has("erased"))))
    absent = len(unseen) + len(searcher.within(answer.records, erased))
    found, sure = page.count or 0, counts["matching"]
    more = found - sure - counts["undetermined"]
    if 0 < more <= counts["unattributed"]:
        return UNPLACED
    fewer = found < sure - absent and not asked.count  # records not indexed yet are not known
    return DISAGREE if more > 0 or fewer else ""
