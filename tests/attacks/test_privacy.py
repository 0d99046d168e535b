"""What a bundle without ``who`` and ``person`` tells about who: nothing that groups its records.

A program with many bundles tries to say which requests are of one actor, or of one session, by
everything that is in the file: links, their order, ids and the times in them, counters of writers,
digests. How good it is, is the adjusted Rand index: 1 for the truth, 0 for chance.
What it can still tell (docs/threat-model.md, "What a bundle still tells") has tests, too, so that
the page is neither too dark nor too bright.
"""

import itertools
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from affidavit import ids
from affidavit.evidence.bundle import Choice
from affidavit.record.model import Chain
from tests.attacks.world import TENANT, World, by_model, members

REQUESTS = 480
BUNDLES = 12
CHANCE = 0.07
"""Scores are drawn anew with each ledger: the mean over all bundles spreads by 0.0105 at most."""
WRITERS = [ids.b64u(bytes([n]) * 16) for n in range(3)]
HIDDEN = Choice(withhold=("who", "person"), content="none")


class Request(NamedTuple):
    """A request as a bundle shows it, and whose it is, which the bundle does not show."""

    leaf: dict[str, Any]
    link: bytes
    line: bytes
    actor: str
    session: str


def agreement(guessed: list[Any], true: list[Any]) -> float:
    """The adjusted Rand index of two groupings of the same things (Hubert and Arabie 1985)."""

    def pairs(counts: Counter[Any]) -> float:
        return sum(n * (n - 1) / 2 for n in counts.values())

    both = pairs(Counter(zip(guessed, true, strict=True)))
    one, other = pairs(Counter(guessed)), pairs(Counter(true))
    chance = one * other / (len(true) * (len(true) - 1) / 2)
    most = (one + other) / 2
    return 0.0 if most == chance else (both - chance) / (most - chance)


def ask(world: World, actor: str, session: str, seconds: float) -> int:
    """A request as a gateway records it: its chains are model, actor, key and session."""
    also = [Chain(TENANT, "key", f"key_{actor}"), Chain(TENANT, "session", session)]
    who = {"tenant": TENANT, "actor": actor, "session": session}
    person = {"name": actor, "session": session}
    index, _ = world.add(actor=actor, also=also, who=who, person=person, body=None, seconds=seconds)
    return index


def shown(world: World, truth: dict[int, tuple[str, str]], since: str, until: str) -> list[Request]:
    """The requests of a bundle over a window."""
    made = world.bundle(by_model(since=since, until=until), HIDDEN)
    files = members(made.data)
    text = b"".join(body for name, body in files.items() if name != "verify.py")
    assert not [name for pair in truth.values() for name in pair if name.encode() in text]
    links = [json.loads(line) for line in files["links.jsonl"].splitlines()]
    found = []
    for line in files["leaves.jsonl"].splitlines():
        leaf = json.loads(line)
        own = [ids.from_b64u(li["link"]) for li in links if li["leaf"] == leaf["index"]]
        if leaf["index"] in truth:
            found.append(Request(leaf, own[0], line, *truth[leaf["index"]]))
    return found


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[list[Request]]]:
    """A dozen bundles from a ledger in which 24 sessions of 8 actors speak in no order."""
    draw = random.Random(7)
    world = World(tmp_path_factory.mktemp("privacy") / "log")
    sessions = [(f"act_number_{n % 8}", f"ses_number_{n}") for n in range(24)]
    truth: dict[int, tuple[str, str]] = {}
    for actor, session in sessions:  # each is known before anything is asked about
        ask(world, actor, session, 0.1)
    edges = []
    for number in range(REQUESTS):
        world.writer = draw.choice(WRITERS)
        actor, session = draw.choice(sessions)
        if number % (REQUESTS // BUNDLES) == 0:
            world.clock.advance(1.0)
            edges.append(world.clock.now())
        truth[ask(world, actor, session, draw.expovariate(2.0))] = (actor, session)
    world.clock.advance(1.0)
    edges.append(world.clock.now())
    world.heads()
    yield [shown(world, truth, since, until) for since, until in itertools.pairwise(edges)]
    world.close()


Guess = Callable[[list[Request]], list[Any]]


def milliseconds(request: Request) -> int:
    """The time inside a UUIDv7."""
    return int(request.leaf["id"].replace("-", "")[:12], 16)


def bursts(moments: list[float]) -> list[int]:
    """A new group wherever the pause is longer than the usual one."""
    pauses = [b - a for a, b in itertools.pairwise(moments)]
    usual = sorted(pauses)[len(pauses) // 2]
    groups = [0]
    for pause in pauses:
        groups.append(groups[-1] + (pause > usual))
    return groups


def digests(request: Request) -> list[str]:
    """All digests of a leaf."""
    return [d for d in [*request.leaf["sections"], *request.leaf["links"]] if d is not None]


GUESSES: dict[str, Guess] = {
    "runs in the order of leaves": lambda found: [n // 4 for n in range(len(found))],
    "neighbours that alternate": lambda found: [n % 8 for n in range(len(found))],
    "bursts in the times inside the ids": lambda found: bursts(list(map(milliseconds, found))),
    "bursts in ledger time": lambda found: bursts(
        [float(r.leaf["time"][14:16]) * 60 + float(r.leaf["time"][17:26]) for r in found]
    ),
    "random bits of the ids": lambda found: [r.leaf["id"][-1] for r in found],
    "the writer": lambda found: [r.leaf["src"][0] for r in found],
    "the writer's counter": lambda found: [r.leaf["src"][1] % 8 for r in found],
    "holes in the writer's counter": lambda found: [
        (r.leaf["src"][0], r.leaf["src"][1] // 5) for r in found
    ],
    "the salt of the link": lambda found: [r.link[0] % 8 for r in found],
    "the number in the chain": lambda found: [r.link[40] % 8 for r in found],
    "the leaf before in the chain": lambda found: [r.link[48] % 8 for r in found],
    "how many links": lambda found: [len(r.leaf["links"]) for r in found],
    "which sections exist": lambda found: [
        tuple(d is None for d in r.leaf["sections"]) for r in found
    ],
    "the length of the leaf": lambda found: [len(r.line) for r in found],
    "the digest of who": lambda found: [r.leaf["sections"][0][0] for r in found],
    "the digest of person": lambda found: [r.leaf["sections"][1][0] for r in found],
    "the first digest of the links": lambda found: [r.leaf["links"][0][0] for r in found],
    "the place of the model's link among the links": lambda found: [
        r.leaf["links"].index(_digest(r.link)) for r in found
    ],
}


def _digest(link: bytes) -> str:
    from affidavit.ledger.chains import link_digest

    return link_digest(link)


def test_the_measure_knows_truth_from_chance() -> None:
    """1 for the same grouping under other names, 0 for one group, and on average for any."""
    true = [n % 5 for n in range(100)]
    assert agreement([f"g{n % 5}" for n in range(100)], true) == 1.0
    assert agreement([0] * 100, true) == 0.0
    draw = random.Random(1)
    some = [agreement([draw.randrange(5) for _ in true], true) for _ in range(200)]
    assert abs(sum(some) / len(some)) < 0.01


def test_no_digest_is_there_twice(bundles: list[list[Request]]) -> None:
    """Whoever looks for equal digests, of sections or links, in all bundles finds none."""
    leaves = {request.line: request for found in bundles for request in found}
    every = [digest for request in leaves.values() for digest in digests(request)]
    assert len(every) == len(set(every)) > 3000


@pytest.mark.parametrize("how", GUESSES)
def test_nothing_groups_the_records(bundles: list[list[Request]], how: str) -> None:
    """Over all bundles, each guess is as good as chance, for actors and for sessions."""
    for whose in ("actor", "session"):
        scores = [
            agreement(GUESSES[how](found), [getattr(r, whose) for r in found]) for found in bundles
        ]
        assert len(scores) == BUNDLES
        assert abs(sum(scores) / len(scores)) < CHANCE, (how, whose, scores)


def test_what_is_known_beside_does_not_help(bundles: list[list[Request]]) -> None:
    """A program that learns on half of the records whose they are tells nothing of the others.

    It knows every feature above and takes the majority of those that share it, the best feature on
    what it learnt from; on the rest it is as good as chance.
    """
    right = total = 0
    for found in bundles:
        half = len(found) // 2
        best: dict[Any, str] = {}
        score = -1
        chosen: Guess = GUESSES["the writer"]
        for guess in GUESSES.values():
            groups = guess(found)
            known: dict[Any, Counter[str]] = {}
            for group, request in zip(groups[:half], found[:half], strict=True):
                known.setdefault(group, Counter())[request.actor] += 1
            hits = sum(actors.most_common(1)[0][1] for actors in known.values())
            if hits > score:
                score, chosen = hits, guess
                best = {group: actors.most_common(1)[0][0] for group, actors in known.items()}
        groups = chosen(found)
        for group, request in zip(groups[half:], found[half:], strict=True):
            right += best.get(group, "act_number_0") == request.actor
            total += 1
    assert total >= REQUESTS // 2
    assert right / total < 1 / 8 + 4 * (1 / 8 * 7 / 8 / total) ** 0.5


# ------------------------------------------------------------------ what still leaks


@pytest.fixture(scope="module")
def coming_and_going(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[list[Request]]:
    """Sessions that begin and end, three at a time; each has a connection to one worker."""
    draw = random.Random(11)
    world = World(tmp_path_factory.mktemp("leaks") / "log")
    truth: dict[int, tuple[str, str]] = {}
    live: list[list[Any]] = []
    begun = 0
    for _ in range(240):
        while len(live) < 3:
            begun += 1
            live.append(
                [
                    f"act_number_{begun}",
                    f"ses_number_{begun}",
                    draw.randrange(5, 12),
                    WRITERS[begun % 3],
                ]
            )
        one = draw.choice(live)
        one[2] -= 1
        world.writer = one[3]
        truth[ask(world, one[0], one[1], draw.expovariate(2.0))] = (one[0], one[1])
        if one[2] == 0:
            live.remove(one)
    world.heads()
    yield shown(world, truth, "", world.clock.now())
    world.close()


def test_a_new_value_shows_in_the_number_of_links(coming_and_going: list[Request]) -> None:
    """Where an actor, session or key is new, its leaf has more links: docs/threat-model.md."""
    usual = min(len(r.leaf["links"]) for r in coming_and_going)
    sessions = [r.session for r in coming_and_going]
    first = [sessions.index(session) for session in dict.fromkeys(sessions)]
    more = [at for at, r in enumerate(coming_and_going) if len(r.leaf["links"]) > usual]
    assert more == first


def test_order_and_worker_tell_something(coming_and_going: list[Request]) -> None:
    """Sessions are together in time, and a connection stays with a worker: both are visible."""
    sessions = [r.session for r in coming_and_going]
    order = agreement([n // 8 for n in range(len(sessions))], sessions)
    worker = agreement(
        [(n // 24, r.leaf["src"][0]) for n, r in enumerate(coming_and_going)], sessions
    )
    assert order > 0.1
    assert worker > order
