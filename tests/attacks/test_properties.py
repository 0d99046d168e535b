"""G14: whatever is in the ledger and whatever is asked, nothing can be left out unseen."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affidavit.clock import add_seconds
from affidavit.evidence import verify
from affidavit.evidence.bundle import Choice
from affidavit.ids import b64u
from affidavit.query.completeness import unattributed
from affidavit.query.question import Question
from affidavit.record.model import DIMENSIONS, Chain
from tests.attacks.world import TENANT, World, members, refused, without

MODELS = ["m1", "m2", "m3"]
ACTORS = ["act_a", "act_b"]


class History:
    """A ledger with a history drawn from a seed, and what a reader of everything would say."""

    def __init__(self, world: World, steps: list[tuple[int, int, int, int]]) -> None:
        self.world = world
        self.joined: dict[Chain, list[int]] = {}
        self.times: dict[int, str] = {}
        open_requests: list[tuple[int, str]] = []
        for number, (what, model, actor, wait) in enumerate(steps):
            seconds = (0.0, 0.0, 0.5, 700.0)[wait]
            name, who = MODELS[model % 3], ACTORS[actor % 2]
            if number == len(steps) // 2:
                world.reopen((*DIMENSIONS, "region"))
            if what <= 3:
                index, request = world.add(model=name, actor=who, seconds=seconds)
                self._joins(index, name, who)
                open_requests.append((index, request))
            elif what <= 6 and open_requests:
                asked, request = open_requests.pop(0)
                index, _ = world.add(
                    "exchange.response", model=name, actor=None, parent=request, seconds=seconds
                )
                self.joined.setdefault(Chain(TENANT, "model", name), []).append(index)
                for indices in self.joined.values():
                    same_epoch = asked > world.log.epoch.index
                    if same_epoch and asked in indices and index not in indices:
                        indices.append(index)
            elif what == 7:
                index, _ = world.add(model=None, actor=who, seconds=seconds)
                self.joined.setdefault(Chain(TENANT, "actor", who), []).append(index)
            elif what == 8:
                world.add("ledger.gap", model=None, actor=None, tenant="", who=None, body=None)
            else:
                world.heads()
        world.heads()
        for index in range(world.log.published):
            self.times[index] = world.reader.decoded(index).time

    def _joins(self, index: int, model: str, actor: str) -> None:
        for chain in (Chain(TENANT, "model", model), Chain(TENANT, "actor", actor)):
            self.joined.setdefault(chain, []).append(index)

    def records(self, chains: tuple[Chain, ...], since: str, until: str) -> list[int]:
        """What the answer has to be."""
        every = {index for chain in chains for index in self.joined.get(chain, [])}
        return sorted(i for i in every if since <= self.times[i] <= until)


SEEDS = [
    [(n * 7 + s) % 10 for n in range(28)] for s in range(4)
]  # fmt: skip
"""What happens in each history; the rest is mixed in below."""


@pytest.fixture(scope="module")
def histories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[History]]:
    """A few ledgers, each with two epochs, equal times, gaps, hours of silence, open requests."""
    made = []
    for number, seed in enumerate(SEEDS):
        steps = [
            ((what * (number + 3) + at) % 10, at * 5 + number, at // 2 + number, (at * at) % 4)
            for at, what in enumerate(seed)
        ]
        made.append(History(World(tmp_path_factory.mktemp(f"history{number}") / "log"), steps))
    yield made
    for history in made:
        history.world.close()


chains = st.lists(
    st.sampled_from(
        [Chain(TENANT, "model", m) for m in [*MODELS, "never"]]
        + [Chain(TENANT, "actor", a) for a in ACTORS]
    ),
    min_size=1,
    max_size=3,
    unique=True,
)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_honest_answers_verify_and_no_omission_does(
    histories: list[History], data: st.DataObject
) -> None:
    """Every honest answer verifies and holds exactly the window; no answer with less verifies.

    The one who leaves out has the log's files: proofs, counts and digests fit what is left.
    """
    history = data.draw(st.sampled_from(histories))
    world = history.world
    asked = tuple(sorted(data.draw(chains)))
    moments = sorted(set(history.times.values()))
    edges = [m for time in moments for m in (time, add_seconds(time, 1e-6))]
    since = data.draw(st.sampled_from(["", *edges]))
    until = data.draw(st.sampled_from(["", *[edge for edge in edges if edge >= since]]))
    question = Question("x", asked, since, until)
    answer = world.answer(question)
    made = world.bundle(question, Choice(content="none"), answer)
    verdict = verify.check(made.data, verify.read_keys([world.vkey]))
    expected = history.records(asked, since, verdict.facts["question"]["until"])
    assert verdict.facts["records"] == expected
    assert verdict[:4] == made.verdict

    checked = verify.Answer(members(made.data), verdict.facts["question"])
    beside = {i for chain in unattributed(asked) for i in _shown(checked, chain)}
    shown = sorted({i for chain in asked for i in _shown(checked, chain)} | beside)
    if shown:
        gone = data.draw(st.sets(st.sampled_from(shown), min_size=1, max_size=3))
        assert refused(without(world, made.data, *gone), world.vkey) != ""


def _shown(answer: verify.Answer, chain: Chain) -> list[int]:
    """The leaves of a chain that an answer shows inside the window."""
    named = [key for key in answer.ids if tuple(key[1]) == tuple(chain)]
    links = [link for key in named for link in answer.links.get(answer.ids[key], [])]
    return [link.leaf for link in links if answer.inside(link.leaf)]


@settings(max_examples=30, deadline=None)
@given(st.binary(min_size=0, max_size=400), st.integers(0, 2**16))
def test_hostile_bytes_never_end_in_a_traceback(
    histories: list[History], noise: bytes, place: int
) -> None:
    """Noise, and a good bundle with noise written into it, are refused by name."""
    world = histories[0].world
    question = Question("x", (Chain(TENANT, "model", "m1"),))
    made = world.bundle(question).data
    assert refused(noise, world.vkey) != ""
    at = place % len(made)
    changed = made[:at] + noise + made[at + len(noise) :]
    assert (refused(changed, world.vkey) == "") == (changed == made)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 300), st.data())
def test_batched_inclusion_is_the_tree(size: int, data: st.DataObject) -> None:
    """For any tree and any of its leaves: the batched proof gives the root, and only with all."""
    from affidavit.ledger import merkle
    from affidavit.query.completeness import batch_proof

    raw = [str(number).encode() for number in range(size)]
    hashes = [merkle.leaf_hash(leaf) for leaf in raw]

    class Tree:
        def subtree(self, level: int, index: int) -> bytes:
            return merkle.root(hashes[index << level : (index + 1) << level])

    some = sorted(data.draw(st.sets(st.integers(0, size - 1)))) if size else []
    proof = batch_proof(Tree(), some, size)  # type: ignore[arg-type]  # a tree without files
    leaves = [(index, raw[index]) for index in some]
    if size:
        assert verify.batch_root(leaves, size, proof) == merkle.root(hashes)
        with pytest.raises(verify.Refused):
            verify.batch_root(leaves, size, [*proof, bytes(32)])
        if proof:
            with pytest.raises(verify.Refused):
                verify.batch_root(leaves, size, proof[:-1])
    assert all(low < high for low, high in pairwise(some))
    assert all(len(b64u(node)) == 43 for node in proof)
