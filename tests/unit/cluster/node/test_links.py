"""Who is dialled, whom that makes known, and that a node which stops dials nobody."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from casty.address import NodeAddress
from casty.cluster.node.links import MAX_GUESTS, MAX_TOLD, Links

ME, SEED, STRANGER, MEMBER = (NodeAddress(host, 1) for host in ("me", "seed", "stranger", "member"))


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


class Hashable:
    """A connection of a test."""

    def __init__(self, fields: SimpleNamespace) -> None:
        self.__dict__.update(vars(fields))


def link(links: Links, node_id: str, *, dialled_at: NodeAddress | None = None) -> Any:
    """A link to a node is up; closing it tells the links, as a connection does."""
    remote = SimpleNamespace(node_id=node_id, incarnation="1", role="node", address=dialled_at or STRANGER)
    made: list[Any] = []
    made.append(
        Hashable(
            SimpleNamespace(
                remote=remote,
                is_dialled=dialled_at is not None,
                dialled_at=dialled_at,
                close=lambda reason: links.closed(made[0]),
            )
        )
    )
    links.opened(made[0])
    return made[0]


def test_whoever_dials_in_is_neither_dialled_back_nor_known(links: Links, peers: FakePeers) -> None:
    link(links, "x")
    assert list(peers) == ["seed:1"]
    assert not links.is_named("x#1")


def test_a_process_is_known_by_the_address_at_which_it_was_reached(links: Links) -> None:
    link(links, "x", dialled_at=STRANGER)
    seed = link(links, "s", dialled_at=SEED)
    assert links.is_linked("x#1")
    assert not links.is_named("x#1"), "that it listens where it says is no reason"
    assert links.is_named("s#1")
    assert not links.is_named("s#2")
    assert links.named() == [seed]
    links.want_members([STRANGER])
    assert links.is_named("x#1")
    links.want_members([MEMBER])
    assert not links.is_named("x#1")


def test_a_guest_is_dialled_and_not_known(links: Links, peers: FakePeers) -> None:
    links.want_guest(STRANGER)
    assert "stranger:1" in peers
    link(links, "x", dialled_at=STRANGER)
    assert links.is_linked("x#1")
    assert not links.is_named("x#1")


def test_guests_are_bounded(links: Links, peers: FakePeers) -> None:
    for number in range(MAX_GUESTS + 10):
        links.want_guest(NodeAddress("guest", number))
    assert len(peers) == MAX_GUESTS + 1
    assert "guest:0" not in peers


def test_what_a_member_told_counts_until_the_control_state_says_it(links: Links, peers: FakePeers) -> None:
    links.want_members([MEMBER])
    links.want_told([MEMBER, STRANGER])
    link(links, "x", dialled_at=STRANGER)
    assert links.is_named("x#1")
    links.clear_told()
    assert not links.is_named("x#1")
    assert sorted(peers) == ["member:1", "seed:1"]
    links.want_told(NodeAddress("told", number) for number in range(MAX_TOLD + 10))
    assert len(peers) == MAX_TOLD + 2


def test_a_node_that_stops_dials_nobody_when_its_callers_links_end(links: Links, peers: FakePeers) -> None:
    link(links, "x")
    links.close()
    assert links.inbound == {}
    assert list(peers) == []


# -- places of disks


def process(links: Links, incarnation: str, at: NodeAddress, node_id: str = "d") -> Any:
    """A process with a disk answers where it was dialled."""
    made = link(Links(ME, FakePeers()), node_id, dialled_at=at)  # type: ignore[arg-type]
    made.remote.incarnation = incarnation
    made.ended = []
    made.close = lambda reason: (made.ended.append(reason), links.closed(made))
    made.send = lambda kind, body: True
    links.opened(made)
    return made


@pytest.mark.parametrize("how", ["want_told", "want_members", "want_seeds"])
def test_a_process_with_a_disk_has_its_place_as_soon_as_its_address_is_named(links: Links, how: str) -> None:
    links.want_guest(STRANGER)
    process(links, "ab+1+x", STRANGER)
    assert not links.has_answered("d#ab"), "others may say that they have that disk"
    getattr(links, how)([STRANGER])
    assert links.has_answered("d#ab") and links.send("d#ab", 1, b"")


def test_a_place_is_the_latest_process_of_its_disk(links: Links) -> None:
    first = process(links, "ab+1+x", SEED)
    assert links.has_answered("d#ab") and links.send("d#ab", 1, b"")
    second = process(links, "ab+2+y", SEED)
    assert first.ended and links.is_superseded(first) and not links.is_superseded(second)
    late = process(links, "ab+1+x", SEED)
    assert late.ended and links.address_at("d#ab") == SEED
    assert links.is_linked("d#ab+2+y") and not links.is_linked("d#ab+1+x")
    links.closed(second)
    assert not links.has_answered("d#ab") and not links.send("d#ab", 1, b"")


def test_who_is_dialled_because_it_asks_has_no_place_before_it_is_a_member(links: Links) -> None:
    links.want_guest(STRANGER)
    process(links, "ab+1+x", STRANGER)
    assert links.is_linked("d#ab+1+x") and not links.has_answered("d#ab")
    links.want_members([STRANGER])
    assert links.has_answered("d#ab")


def test_a_process_without_a_disk_is_its_own_place(links: Links) -> None:
    links.want_guest(STRANGER)
    made = link(links, "x", dialled_at=STRANGER)
    assert links.has_answered("x#1") and not links.is_superseded(made)
