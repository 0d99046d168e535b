"""Leaves: one spelling each, and nothing else is read."""

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.errors import CorruptError, ParseError
from affidavit.ledger import leaf
from affidavit.ledger.leaf import EpochTerms, HeadsTerms, Leaf
from affidavit.record.model import TIERS, TYPES

DIGEST = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
OTHER = "Tju7H3tHjc_nH7YxYxUZo7yhLJrvyhYSv85ME6hiZNQ"
TIME = "2026-11-23T12:00:00.000000Z"
ID = "0199aaaa-bbbb-7ccc-8ddd-eeeeffff0000"
OWN = ("A" * 22, 0)

ORDINARY = Leaf(
    48213,
    TIME,
    TIME,
    ID,
    "exchange.response",
    "observed",
    ("B" * 21 + "A", 9127),
    48190,
    (DIGEST, None, OTHER, DIGEST, None, DIGEST, None),
    (DIGEST, OTHER),
)
OPENED = Leaf(
    0,
    TIME,
    TIME,
    ID,
    "ledger.opened",
    "observed",
    OWN,
    None,
    leaf.NO_SECTIONS,
    (),
    EpochTerms(-1, ("model", "model.values"), 1, DIGEST),
)
HEADS = Leaf(
    7,
    TIME,
    TIME,
    ID,
    "ledger.heads",
    "observed",
    OWN,
    None,
    leaf.NO_SECTIONS,
    (),
    None,
    HeadsTerms(0, 16, DIGEST),
)


def test_a_leaf_is_written_as_the_format_says() -> None:
    """Byte for byte, field by field."""
    assert leaf.encode(ORDINARY).decode() == (
        '{"v":1,"index":48213,"time":"2026-11-23T12:00:00.000000Z",'
        '"at":"2026-11-23T12:00:00.000000Z","id":"0199aaaa-bbbb-7ccc-8ddd-eeeeffff0000",'
        '"type":"exchange.response","tier":"observed","src":["BBBBBBBBBBBBBBBBBBBBBA",9127],'
        f'"re":48190,"sections":["{DIGEST}",null,"{OTHER}","{DIGEST}",null,"{DIGEST}",null],'
        f'"links":["{DIGEST}","{OTHER}"]}}'
    )


def test_extra_fields_stand_last() -> None:
    """In the leaf that opens the ledger and in a heads leaf."""
    nulls = "null,null,null,null,null,null,null"
    assert (
        leaf.encode(OPENED)
        .decode()
        .endswith(
            f'"src":["{"A" * 22}",0],"sections":[{nulls}],"links":[],"previous":-1,'
            f'"dimensions":["model","model.values"],"rules":1,"salts":"{DIGEST}"}}'
        )
    )
    assert (
        leaf.encode(HEADS).decode().endswith(f'"links":[],"epoch":0,"bits":16,"map":"{DIGEST}"}}')
    )


def test_only_responses_and_results_have_re() -> None:
    """Null when the request is not in the ledger; no such field in any other type."""
    for kind in sorted(TYPES - leaf.BARE):
        changed = Leaf(
            9, TIME, TIME, ID, kind, "observed", OWN, None, (DIGEST, *(None,) * 6), (DIGEST,)
        )
        assert (b'"re":null' in leaf.encode(changed)) == (
            kind in {"exchange.response", "tool.result"}
        )
        assert leaf.decode(leaf.encode(changed)) == changed


@pytest.mark.parametrize("one", [ORDINARY, OPENED, HEADS])
def test_what_is_written_is_read_back(one: Leaf) -> None:
    """The three shapes."""
    assert leaf.decode(leaf.encode(one)) == one
    assert leaf.decode_at(leaf.encode(one), one.index) == one
    with pytest.raises(CorruptError, match="says that it is leaf"):
        leaf.decode_at(leaf.encode(one), one.index + 1)
    with pytest.raises(CorruptError, match="not a leaf"):
        leaf.decode_at(b"", one.index)


def leaf_digest(data: bytes) -> str:
    """b64u of 32 bytes."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


digests = st.binary(min_size=32, max_size=32).map(leaf_digest)


@given(
    st.integers(1, 2**63 - 1),
    st.sampled_from(sorted(TYPES - leaf.BARE)),
    st.sampled_from(TIERS),
    st.integers(0, 2**63 - 1),
    st.lists(st.none() | digests, min_size=7, max_size=7),
    st.sets(digests, max_size=12),
    st.data(),
)
def test_any_leaf_is_read_back(
    index: int,
    kind: str,
    tier: str,
    n: int,
    sections: list[str | None],
    links: set[str],
    data: st.DataObject,
) -> None:
    """Whatever a record brings."""
    re_index = data.draw(st.none() | st.integers(0, index - 1)) if kind in leaf.ANSWERS else None
    one = Leaf(
        index, TIME, TIME, ID, kind, tier, (OWN[0], n), re_index, tuple(sections),
        tuple(sorted(links)),
    )  # fmt: skip
    assert leaf.decode(leaf.encode(one)) == one


@pytest.mark.parametrize("one", [ORDINARY, OPENED, HEADS])
def test_no_other_spelling_is_read(one: Leaf) -> None:
    """Spaces, order, escapes, duplicates, unknown or missing fields, trailing bytes."""
    data = leaf.encode(one)
    fields: dict[str, Any] = json.loads(data)
    wrong = [
        data + b"\n",
        data + b" ",
        b" " + data,
        data.replace(b'"v":1', b'"v":1,"v":1'),
        data.replace(b'"v":1', b'"v":2'),
        data.replace(b'"v":1', b'"v":1.0'),
        data.replace(b'"v":1', b'"v": 1'),
        data.replace(b"observed", b"observe\\u0064"),
        data.replace(b'"links"', b'"more":0,"links"'),
        json.dumps(fields).encode(),
        json.dumps(dict(reversed(fields.items())), separators=(",", ":")).encode(),
        data[:-1],
        b"[" + data + b"]",
        b"\xef\xbb\xbf" + data,
    ]
    for name in fields:
        rest = {key: value for key, value in fields.items() if key != name}
        wrong.append(json.dumps(rest, separators=(",", ":")).encode())
    for case in wrong:
        assert case != data
        with pytest.raises(ParseError):
            leaf.decode(case)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("index", -1),
        ("index", 2**63),
        ("time", "2026-11-23T12:00:00Z"),
        ("time", "2026-13-23T12:00:00.000000Z"),
        ("at", "2026-11-23 12:00:00.000000Z"),
        ("id", ID.upper()),
        ("id", ID.replace("7ccc", "4ccc")),
        ("type", "exchange.other"),
        ("tier", "guessed"),
        ("src", ("short", 0)),
        ("src", ("B" * 22, 0)),
        ("src", ("A" * 22, -1)),
        ("re", 48213),
        ("re", -1),
        ("sections", (DIGEST,) * 6),
        ("sections", (DIGEST[:-1] + "V", *(None,) * 6)),
        ("sections", ("", *(None,) * 6)),
        ("links", (OTHER, DIGEST)),
        ("links", (DIGEST, DIGEST)),
        ("links", ("x",)),
        ("opening", OPENED.opening),
        ("heads", HEADS.heads),
        ("type", "ledger.heads"),
        ("type", "exchange.request"),
    ],
)
def test_fields_that_no_leaf_has_are_refused(field: str, value: object) -> None:
    """In writing, and so in reading."""
    with pytest.raises(ParseError):
        leaf.encode(msgspec.structs.replace(ORDINARY, **{field: value}))


@pytest.mark.parametrize(
    "terms",
    [
        EpochTerms(0, ("model",), 1, DIGEST),
        EpochTerms(-1, (), 1, DIGEST),
        EpochTerms(-1, ("model", "model"), 1, DIGEST),
        EpochTerms(-1, ("Model",), 1, DIGEST),
        EpochTerms(-1, ('m"',), 1, DIGEST),
        EpochTerms(-1, ("model",), 0, DIGEST),
        EpochTerms(-1, ("model",), 1, DIGEST[:-1]),
    ],
)
def test_terms_that_open_no_epoch_are_refused(terms: EpochTerms) -> None:
    """Names, versions, the place of the epoch before."""
    with pytest.raises(ParseError):
        leaf.encode(msgspec.structs.replace(OPENED, opening=terms))


def test_a_leaf_has_a_largest_size() -> None:
    """65,535 bytes: what a bundle can hold."""
    links = tuple(sorted(leaf_digest(i.to_bytes(32, "big")) for i in range(1500)))
    with pytest.raises(ParseError, match="65,535"):
        leaf.encode(msgspec.structs.replace(ORDINARY, links=links))
    with pytest.raises(ParseError, match="65,535"):
        leaf.decode(b" " * 65_536)
