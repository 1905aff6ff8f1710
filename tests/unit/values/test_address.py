"""Addresses and peer keys."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from casty.address import (
    ActorAddress,
    NodeAddress,
    check_text,
    node_id_of,
    peer_key,
    process_of,
    replica_id,
    replica_number,
)  # fmt: skip
from casty.errors import ConfigError
from casty.limits import MAX_TEXT_BYTES


def test_uris() -> None:
    remote = ActorAddress("shop", "/a/b", "10.0.0.1", 25520)
    assert remote.to_uri() == "casty://shop@10.0.0.1:25520/a/b"
    assert ActorAddress.from_uri(remote.to_uri()) == remote
    assert ActorAddress.from_uri("casty://shop/a") == ActorAddress("shop", "/a")
    assert ActorAddress("shop", "/a", "::1", 1).to_uri() == "casty://shop@[::1]:1/a"
    assert ActorAddress.from_uri("casty://shop@[::1]:1/a").host == "::1"


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "http://shop/a",
        "casty:/shop/a",
        "casty://shop",
        "casty://@h:1/a",
        "casty://s@h/a",
        "casty://s@h:x/a",
        "casty://s@h:65536/a",
        "casty://s@h:/a",
        "casty://s@:1/a",
        "casty://s@[]:1/a",
        "casty://s@::1:1/a",
        "casty:///a",
        "casty://s@h:\u0661/a",
        5,
        None,
        b"casty://s/a",
    ],
)
def test_anything_else_is_refused(uri: Any) -> None:
    with pytest.raises(ValueError, match="casty://"):
        ActorAddress.from_uri(uri)


@given(
    st.text(min_size=1).filter(lambda name: "/" not in name and "@" not in name),
    st.text(),
    st.none() | st.tuples(st.sampled_from(["node-A", "10.0.0.1", "::1"]), st.integers(0, 65_535)),
)
@example("shop", "cart?size=1#top", ("Node-A", 1))
@example("shop", "a\tb\nc", None)
def test_a_uri_gives_its_address_back(system: str, path: str, place: tuple[str, int] | None) -> None:
    address = ActorAddress(system, f"/{path}", *(place or ()))
    assert ActorAddress.from_uri(address.to_uri()) == address


@given(st.text(min_size=1), st.text(alphabet="0123456789abcdef", min_size=1))
def test_a_peer_key_gives_its_node_id_back(node_id: str, incarnation: str) -> None:
    assert node_id_of(peer_key(node_id, incarnation)) == node_id


@given(st.text(min_size=1), st.text(alphabet="0123456789abcdef", min_size=1), st.integers(0, 2**31))
@example("n~1", "ab", 0)
@example("n#1~2", "3", 4)
def test_a_replica_gives_its_process_back(node_id: str, incarnation: str, number: int) -> None:
    key = peer_key(node_id, incarnation)
    id = replica_id(key, number)
    assert (process_of(id), replica_number(id), node_id_of(id)) == (key, number, node_id)


def test_a_node_address_reads_as_people_write_it() -> None:
    assert str(NodeAddress("localhost", 25520)) == "localhost:25520"


def test_a_name_fits_the_handshake() -> None:
    check_text("name", "\u00e4" * (MAX_TEXT_BYTES // 2))
    with pytest.raises(ConfigError, match="at most 512 bytes, found 514"):
        check_text("name", "\u00e4" * (MAX_TEXT_BYTES // 2 + 1))
    with pytest.raises(ConfigError, match="UTF-8 can encode"):
        check_text("name", "\ud800")
