"""Chain ids, openings and links."""

import hashlib
import hmac

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.errors import CheckFailedError, ParseError
from affidavit.ids import b64u
from affidavit.ledger import chains, merkle
from affidavit.ledger.chains import Epoch
from affidavit.record.model import DIMENSIONS, Chain
from tests.world.ledger import secret

GPT = Chain("acme", "model", "gpt-4o")


def epoch(index: int = 0) -> Epoch:
    """The first epoch of the test ledger, or a later one."""
    previous = -1 if index == 0 else 0
    return Epoch(index, previous, chains.all_dimensions(DIMENSIONS), 1, secret(0))


def test_the_dimensions_of_an_epoch() -> None:
    """Each with its derived ones; the chain of what is unattributed last."""
    names = chains.all_dimensions(("model", "type"))
    assert names == (
        "model",
        "model.values",
        "model.unattributed",
        "type",
        "type.values",
        "type.unattributed",
        "unattributed",
    )


def test_a_chain_id_follows_from_the_format() -> None:
    """Slot, salt and id, computed here step by step as formats says."""
    name = b"acme\x00model\x00gpt-4o"
    slot = int.from_bytes(hashlib.sha256(b"affidavit/slot/v1\x00" + name).digest()[:2], "big")
    salt = hmac.digest(secret(0), slot.to_bytes(4, "big"), "sha256")[:16]
    known = hashlib.sha256(
        b"affidavit/chain/v1\x00" + (7).to_bytes(8, "big") + salt + name
    ).digest()[:16]
    one = epoch(7)
    assert one.key(GPT) == b"\x00" + known
    opening = one.opening(GPT)
    assert (opening.slot, opening.salt, opening.chain_id) == (slot, salt, known)
    assert (opening.epoch, opening.number, len(opening.path)) == (7, 0, 16)


def test_the_salts_root_is_the_tree_over_all_slots() -> None:
    """RFC 6962 over 2^16 leaves of 16 bytes."""
    salts = [
        hmac.digest(secret(0), slot.to_bytes(4, "big"), "sha256")[:16] for slot in range(2**16)
    ]
    assert epoch().salts_root == b64u(merkle.root([merkle.leaf_hash(salt) for salt in salts]))


def test_an_opening_fits_its_chain_and_epoch_alone() -> None:
    """Any other name, salt, slot, id, path, epoch or root fails."""
    one = epoch()
    opening, terms = one.opening(GPT), one.terms()
    chains.verify_opening(opening, terms)
    swapped = (opening.path[1], opening.path[0], *opening.path[2:])
    for change in (
        {"tenant": "other"},
        {"value": "gpt-4"},
        {"dimension": "actor"},
        {"number": 3},
        {"number": 99},
        {"salt": bytes(16)},
        {"salt": opening.salt[:15]},
        {"slot": opening.slot ^ 1},
        {"chain_id": bytes(16)},
        {"path": opening.path[:-1]},
        {"path": swapped},
        {"epoch": 1},
    ):
        with pytest.raises(CheckFailedError):
            chains.verify_opening(msgspec.structs.replace(opening, **change), terms)
    other = Epoch(0, -1, terms.dimensions, 1, b"another secret").terms()
    with pytest.raises(CheckFailedError):
        chains.verify_opening(opening, other)


@given(st.text(max_size=5), st.text(max_size=5), st.text(max_size=5), st.text(max_size=5))
def test_names_do_not_run_into_each_other(a: str, b: str, c: str, d: str) -> None:
    """No two chains have the same name, as tenant and dimension contain no NUL."""
    first, second = Chain(a, "model", b), Chain(c, "model", d)
    for chain in (first, second):
        if "\x00" in chain.tenant:
            with pytest.raises(ParseError):
                chains.chain_name(chain)
            return
    assert (chains.chain_name(first) == chains.chain_name(second)) == (first == second)


@pytest.mark.parametrize(
    "chain",
    [
        Chain("acme", "colour", "red"),
        Chain("acme", "mo\x00del", "x"),
        Chain("ac\x00me", "model", "x"),
        Chain("acme", "model", "\ud800"),
    ],
)
def test_a_chain_the_epoch_cannot_name_is_refused(chain: Chain) -> None:
    """Unknown dimension, NUL, text that is no text."""
    with pytest.raises(ParseError):
        epoch().key(chain)


def test_links_are_49_bytes() -> None:
    """salt, dimension, chain id, n, prev: made, taken apart, digested."""
    key = bytes([3]) + b"i" * 16
    first = chains.make_link(b"s" * 16, key, 1, chains.NO_PREVIOUS)
    later = chains.make_link(b"s" * 16, key, 2, 17)
    assert first == b"s" * 16 + b"\x03" + b"i" * 16 + b"\x00" * 7 + b"\x01" + b"\xff" * 8
    assert chains.parse_link(first) == chains.Link(b"s" * 16, 3, b"i" * 16, 1, None)
    assert chains.parse_link(later) == chains.Link(b"s" * 16, 3, b"i" * 16, 2, 17)
    assert chains.link_digest(first) == b64u(hashlib.sha256(first).digest())
    assert chains.split_links(first + later) == (first, later)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(48),
        bytes(50),
        bytes(49),
        chains.make_link(bytes(16), bytes(17), 1, 5),
        chains.make_link(bytes(16), bytes(17), 2, chains.NO_PREVIOUS),
        chains.make_link(bytes(16), bytes(17), 0, chains.NO_PREVIOUS),
    ],
)
def test_what_is_not_a_link_is_refused(data: bytes) -> None:
    """Length; n from 1; prev exactly in those that are not the first."""
    with pytest.raises(ParseError):
        chains.parse_link(data)


def test_links_of_a_record_are_whole() -> None:
    """Nothing left over."""
    with pytest.raises(ParseError):
        chains.split_links(bytes(50))
