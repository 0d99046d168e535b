"""The map of heads against a naive one."""

import hashlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from affidavit.errors import CheckFailedError
from affidavit.ledger import heads, merkle
from affidavit.ledger.chains import NO_PREVIOUS, make_link
from affidavit.ledger.heads import HeadsMap


def key_of(number: int) -> bytes:
    """A 17-byte key whose chain id looks random; few buckets, so that some are shared."""
    spread = hashlib.sha256(number.to_bytes(4, "big")).digest()
    return b"\x02" + bytes([spread[0] & 3, 0]) + spread[2:16]


def value_of(number: int, n: int) -> bytes:
    """A head: the n-th link, at some index."""
    prev = NO_PREVIOUS if n == 1 else 5
    return (n * 1000).to_bytes(8, "big") + make_link(bytes(16), key_of(number), n, prev)


def naive_root(values: dict[bytes, bytes], bits: int) -> bytes:
    """The root as formats says it, with nothing kept."""
    buckets: list[list[bytes]] = [[] for _ in range(1 << bits)]
    for key, value in values.items():
        head = hashlib.sha256(b"affidavit/head/v1\x00" + value).digest()
        number = int.from_bytes(key[1:], "big") >> (128 - bits)
        buckets[number].append(key[1:] + head)
    return merkle.root([merkle.leaf_hash(b"".join(sorted(bucket))) for bucket in buckets])


def test_an_empty_map_is_65536_empty_buckets() -> None:
    """At first, b is 16."""
    assert HeadsMap().bits == 16
    assert HeadsMap().root == naive_root({}, 16)


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.integers(0, 40), st.integers(1, 9), max_size=20), max_size=4))
def test_however_it_came_about_a_map_is_what_its_heads_make_it(
    rounds: list[dict[int, int]],
) -> None:
    """In rounds, in steps on top of steps, or built at once: the naive root."""
    values: dict[bytes, bytes] = {}
    grown, stepped, step = HeadsMap(8), HeadsMap(8), None
    for changes in rounds:
        row = {key_of(number): value_of(number, n) for number, n in changes.items()}
        values.update(row)
        grown.adopt(grown.advance(row.items()))
        before = stepped.root
        step = stepped.advance(row.items(), step)
        assert stepped.root == before
    if step is not None:
        stepped.adopt(step)
    expected = naive_root(values, 8)
    assert grown.root == expected
    assert stepped.root == expected
    assert HeadsMap.build(values, 8).root == expected
    assert grown.count == stepped.count == len(values)


@given(st.sets(st.integers(0, 60), max_size=40), st.integers(0, 60))
def test_heads_and_absences_are_proved(present: set[int], asked: int) -> None:
    """For any chain, there or not; and the proof shows nothing else."""
    values = {key_of(number): value_of(number, 3) for number in present}
    made = HeadsMap.build(values, 8)
    key = key_of(asked)
    proof = made.prove(77, 0, key, values.get(key))
    heads.verify_head(proof, 8, made.root)
    assert (proof.n, proof.last) == ((3, 3000) if asked in present else (0, None))
    assert len(proof.path) == 8
    made.advance([(key_of(99), value_of(99, 1))])  # what was adopted is written in before
    assert made.prove(77, 0, key, values.get(key)) == proof
    wrong: list[dict[str, object]] = [
        {"bits": 9},
        {"number": proof.number ^ 1},
        {"path": proof.path[:-1]},
        {"bucket": proof.bucket + proof.bucket[:48] if proof.bucket else bytes(48)},
        {"bucket": proof.bucket[:-1] + bytes([proof.bucket[-1] ^ 1]) if proof.bucket else b"x"},
    ]
    if asked in present:
        wrong += [{"n": 4}, {"last": 3001}, {"link": None}, {"last": None, "link": None, "n": 0}]
        other = bytes([*proof.chain_id[:-1], proof.chain_id[-1] ^ 1])
        wrong += [{"link": value_of(asked, 4)[8:]}, {"chain_id": other}]
    else:
        link = value_of(asked, 1)[8:]
        wrong += [{"last": 1000, "link": link, "n": 1}, {"n": 1}, {"last": 0}]
    for change in wrong:
        with pytest.raises(CheckFailedError):
            heads.verify_head(msgspec.structs.replace(proof, **change), 8, made.root)


def test_a_bucket_is_sorted_entries_of_48_bytes() -> None:
    """Chain id and head hash, as formats says."""
    values = {key_of(number): value_of(number, 1) for number in range(30)}
    made = HeadsMap.build(values, 8)
    key = key_of(7)
    bucket = made.prove(0, 0, key, values[key]).bucket
    entries = [bucket[at : at + 48] for at in range(0, len(bucket), 48)]
    assert entries == sorted(entries)
    assert key[1:] + hashlib.sha256(b"affidavit/head/v1\x00" + values[key]).digest() in entries


def test_the_map_grows_with_its_chains(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice as many buckets when they fill up; the same as if built that way."""
    monkeypatch.setattr(heads, "FIRST_BITS", 4)
    monkeypatch.setattr(heads, "FULL", 2)
    values = {}
    for number in range(200):
        spread = hashlib.sha256(b"%d" % number).digest()[:17]
        values[spread] = number.to_bytes(8, "big") + make_link(bytes(16), spread, 1, NO_PREVIOUS)
    made = HeadsMap(4)
    made.adopt(made.advance(values.items()))
    larger = made.grown()
    assert (made.bits, larger.bits, larger.count) == (4, 7, 200)
    assert larger.root == naive_root(values, 7)
    assert larger.grown() is larger
