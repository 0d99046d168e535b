"""Which route a path is on: the longest name, and never a laxer one by another spelling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affidavit.capture.routes import Routes
from affidavit.config import Route

SERVE, REFUSE = Route(unrecordable="serve"), Route()
ROUTES = Routes(
    {
        "openai": SERVE,
        "openai/v1/chat": REFUSE,
        "openai/v1/chat/drafts": SERVE,
        "strict/v1/embeddings": SERVE,
    }
)


@pytest.mark.parametrize(
    ("path", "name", "serves"),
    [
        ("/openai", "openai", True),
        ("/openai/v1/models", "openai", True),
        ("/openai/v1/chat/completions", "openai/v1/chat", False),
        ("/openai/v1/chatter", "openai", True),
        ("/openai/v1/chat/drafts/1", "openai/v1/chat/drafts", True),
        ("/strict/v1/embeddings", "strict/v1/embeddings", True),
        ("/strict/v1/chat", "default", False),
        ("/strict", "default", False),
        ("/openaix/v1", "default", False),
        ("/", "default", False),
    ],
)
def test_the_longest_name_counts(path: str, name: str, serves: bool) -> None:
    """Whole segments only; what no name fits is on the default route."""
    assert ROUTES.find(path.encode()) == (name, serves)


@pytest.mark.parametrize(
    "path",
    [
        "/openai/v1/%63hat/completions",
        "/openai/v1/%2563hat/completions",
        "/openai/v1/CHAT/completions",
        "/openai//v1/chat/completions",
        "/openai/v1;x=1/chat/completions",
        "/openai/v1/chat%2Fcompletions",
        "/openai/%2Fv1/chat",
    ],
)
def test_another_spelling_of_a_strict_path_is_strict(path: str) -> None:
    """However a provider may read it."""
    assert ROUTES.find(path.encode()) == ("openai/v1/chat", False)


@pytest.mark.parametrize("path", ["/strict/V1/embeddings", "/strict/v1/%65mbeddings"])
def test_another_spelling_of_a_lax_path_is_not_lax(path: str) -> None:
    """Only what is spelt as configured is served unrecorded."""
    assert not ROUTES.find(path.encode())[1]


@given(
    st.lists(st.sampled_from(["v1", "chat", "CHAT", "%63hat", "", "x", ";y", "%2F"]), max_size=6)
)
def test_nothing_under_a_strict_path_is_served(segments: list[str]) -> None:
    """Whatever the spelling: if it can be read as below the strict name, it is refused."""
    routes = Routes({"p": SERVE, "p/v1/chat": REFUSE})
    path = "/p/" + "/".join(segments)
    name, serves = routes.find(path.encode())
    plain = [
        part.partition(";")[0]
        for part in path.lower().replace("%63", "c").replace("%2f", "/").split("/")
    ]
    read = [part for part in plain if part]
    assert serves == (read[:3] != ["p", "v1", "chat"])
    assert (name == "p/v1/chat") == (not serves)
