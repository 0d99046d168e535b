"""Provider streams as conversations: where they end, how they fail, what is left when cut."""

from itertools import pairwise
from pathlib import Path

import pytest

from tests.transcripts.playbook import TRANSCRIPTS, Transcript


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_the_transcript_is_what_happens(path: Path) -> None:
    """Every line of the transcript holds, and other divisions of its bytes give the same facts."""
    transcript = Transcript(path)
    facts, pieces = transcript.play()
    stream = b"".join(pieces)
    for cuts in (
        [0, len(stream)],
        list(range(len(stream) + 1)),
        [0, *range(1, len(stream), 7), len(stream)],
    ):
        reader = transcript.reader()
        for start, end in pairwise(cuts):
            reader.feed(stream[start:end])
        assert reader.finish() == facts


def test_there_are_transcripts_of_every_protocol() -> None:
    """A file that is not found is not played: count them by the paths they name."""
    paths = [Transcript(path)._line("POST") for path in TRANSCRIPTS]
    for needed in ("/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/threads/runs"):
        assert paths.count(needed) >= 1, needed
    assert len(paths) >= 20
