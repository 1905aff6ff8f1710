"""The handshake as values: every mismatch is typed and names both sides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casty.address import NodeAddress
from casty.config import Settings
from casty.errors import RemoteProtocolError
from casty.wire.hello import Hello, Refusal, Welcome, agreed_version, judge
from casty.wire.pack import pack

MINE = Hello.of_node(
    cluster="shop", node_id="a", incarnation="01", address=NodeAddress("h", 1), settings=Settings()
)
THEIRS = MINE._replace(node_id="b", incarnation="02", port=2)
TEXT = st.text(max_size=20)
NUMBERS = st.integers(0, 2**31)


@given(
    st.builds(
        Hello,
        TEXT,
        TEXT,
        TEXT,
        TEXT,
        TEXT,
        NUMBERS,
        NUMBERS,
        st.tuples(NUMBERS, NUMBERS),
        TEXT,
        NUMBERS,
        st.sampled_from([b"", b"n" * 16]),
    )
)
def test_hello_round_trip(hello: Hello) -> None:
    assert Hello.decode(hello.encode()) == hello


def test_welcome_and_refusal_round_trip() -> None:
    welcome = Welcome(1, MINE, {"ttl": 15})
    assert Welcome.decode(welcome.encode()) == welcome
    assert Refusal.decode(Refusal("cluster", "x").encode()) == Refusal("cluster", "x")


def test_what_a_newer_version_appends_is_ignored() -> None:
    assert Hello.from_plain([*MINE.plain(), "more"]) == MINE


@pytest.mark.parametrize(
    ("theirs", "kind", "texts"),
    [
        (THEIRS._replace(magic="http"), "magic", ["casty", "http"]),
        (THEIRS._replace(versions=(2, 3)), "version", ["version 1", "versions 2 to 3"]),
        (THEIRS._replace(cluster="store"), "cluster", ["shop", "store"]),
        (THEIRS._replace(role="king"), "role", ["king", "client"]),
        (THEIRS._replace(node_id=""), "identity", ["empty"]),
        (THEIRS._replace(max_frame_bytes=12), "limits", ["max_frame_bytes", "12", "4194304"]),
        (MINE, "self", ["itself", "h:1"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_mismatches(theirs: Hello, kind: str, texts: list[str]) -> None:
    refusal = judge(theirs, MINE)
    assert refusal is not None
    assert refusal.kind == kind
    for text in texts:
        assert text in refusal.text


def test_matches() -> None:
    assert judge(THEIRS, MINE) is None
    assert judge(MINE._replace(incarnation="09"), MINE) is None
    assert judge(Hello.of_status(client_id="s", incarnation="1"), MINE) is None
    assert agreed_version(THEIRS._replace(versions=(1, 7)), MINE) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        pack(None),
        pack([]),
        pack(MINE.plain()[:-1]),
        pack([None] * 11),
        pack(["casty", -1, *MINE.plain()[2:]]),
        pack([*MINE.plain()[:3], "x" * 1000, *MINE.plain()[4:]]),
    ],
)
def test_malformed_hellos(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        Hello.decode(body)
    with pytest.raises(RemoteProtocolError):
        Welcome.decode(body)
