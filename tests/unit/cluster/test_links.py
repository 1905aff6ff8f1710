"""Who is dialled: a caller that we do not know while it calls, and nobody once this node stops."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from casty.address import NodeAddress
from casty.cluster.links import Links

ME, SEED, STRANGER = (NodeAddress(host, 1) for host in ("me", "seed", "stranger"))


class FakePeers(dict[str, Any]):
    """Remembers who is wanted."""

    def want(self, name: str, address: NodeAddress) -> None:
        self[name] = address

    def drop(self, name: str) -> None:
        self.pop(name, None)

    def close(self) -> None:
        self.clear()


@pytest.fixture
def peers() -> FakePeers:
    return FakePeers()


@pytest.fixture
def links(peers: FakePeers) -> Links:
    links = Links(ME, peers)  # type: ignore[arg-type]
    links.want_seeds([SEED])
    return links


def inbound(links: Links) -> Any:
    """A node that we did not dial, nor know, is linked; closing it tells the links, as a connection does."""
    remote = SimpleNamespace(node_id="x", incarnation="1", role="node", address=STRANGER)
    connection = SimpleNamespace(remote=remote, is_dialled=False, close=lambda reason: links.closed(made[0]))
    made: list[Any] = [Hashable(connection)]
    links.opened(made[0])
    return made[0]


class Hashable:
    """A connection of a test."""

    def __init__(self, fields: SimpleNamespace) -> None:
        self.__dict__.update(vars(fields))


def test_a_caller_is_dialled_back_while_it_calls(links: Links, peers: FakePeers) -> None:
    connection = inbound(links)
    assert list(peers) == ["seed:1"]
    assert links.sender_of(connection) == "x#1"
    assert list(peers) == ["seed:1", "stranger:1"]
    links.closed(connection)
    assert list(peers) == ["seed:1"]


def test_a_node_that_stops_dials_nobody_when_its_callers_links_end(links: Links, peers: FakePeers) -> None:
    links.sender_of(inbound(links))
    links.close()
    assert links.inbound == {}
    assert list(peers) == []
