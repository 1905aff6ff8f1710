"""One name of a region is one behaviour: where two are told apart, the error names both."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from casty import Behaviors
from casty.actor.behavior import Behavior
from casty.cluster.actors import hosted_regions as hosted
from casty.cluster.actors.hosted_regions import Hosted, code_of, name_of
from casty.errors import Mismatch, RemoteProtocolError
from casty.wire.pack import pack
from tests.unit.cluster.region_world import World, counter


def cart(entity_id: str) -> Behavior[Any]:
    return counter(entity_id)


class Made:
    def __call__(self, entity_id: str) -> Behavior[Any]:
        return counter(entity_id)

    def method(self, entity_id: str) -> Behavior[Any]:
        return counter(entity_id)


def made(tag: str) -> Any:
    return lambda entity_id: (tag, Behaviors.ignore())


async def test_another_behaviour_in_the_same_process_is_refused() -> None:
    world = World(("a",))
    host = world.processes["a"].host
    assert host is not None
    assert host.register("r", cart, 10)
    assert not host.register("r", partial(cart), 10)
    with pytest.raises(Mismatch, match=r"'r': its entities are made by cart here, given counter"):
        host.register("r", counter, 10)
    assert host.names() == {"r": "cart"}
    await world.close()


def test_what_is_made_alike_is_one_behaviour() -> None:
    assert code_of(made("a")) == code_of(made("b"))
    assert code_of(Made()) == code_of(Made()) != code_of(Made().method) == code_of(Made().method)
    assert (name_of(Made()), name_of(Made().method)) == ("Made", "Made.method")
    assert name_of(made("a")) == "made.<locals>.<lambda>"


class Node:
    """A node with its links to others; what it sends arrives when the test says so."""

    def __init__(self, node_id: str) -> None:
        self.regions: dict[str, str] = {}
        self.lines: list[str] = []
        self.sent: list[bytes] = []
        self.link: Any = SimpleNamespace(
            remote=SimpleNamespace(node_id=node_id),
            is_dialled=True,
            send=lambda kind, body: self.sent.append(body),
        )
        links: Any = SimpleNamespace(each_node=lambda action: action(self.link))
        self.hosted = Hosted(links, lambda: self.regions, self.lines.append)

    def began(self, region: str, name: str) -> None:
        self.regions[region] = name
        self.hosted.began(region)


class Inbound:
    """The other end of a node's link; it is in tables by its identity."""

    def __init__(self, node_id: str) -> None:
        self.remote = SimpleNamespace(node_id=node_id)
        self.is_dialled = False


@pytest.mark.parametrize("is_linked_first", [True, False])
def test_nodes_that_differ_say_so_with_both_names(is_linked_first: bool) -> None:
    a, b = Node("a"), Node("b")
    at_b: Any = Inbound("a")
    at_a: Any = Inbound("b")
    if is_linked_first:
        a.hosted.changed(a.link, True)
        b.hosted.changed(b.link, True)
    a.began("r", "cart")
    a.began("same", "cart")
    b.began("same", "cart")
    b.began("r", "basket")
    if not is_linked_first:
        a.sent.clear()
        b.sent.clear()
        a.hosted.changed(a.link, True)
        b.hosted.changed(b.link, True)
    for body in a.sent:
        b.hosted.on_regions(at_b, body)
    for body in b.sent:
        a.hosted.on_regions(at_a, body)
    assert len(a.lines) == len(b.lines) == 1
    assert "'r'" in a.lines[0] and "found cart here and 'basket' on 'b'" in a.lines[0]
    assert "found basket here and 'cart' on 'a'" in b.lines[0]


def test_what_is_hosted_later_is_compared_with_what_was_heard() -> None:
    node = Node("b")
    at: Any = Inbound("a")
    node.hosted.on_regions(at, pack([["r", "cart"]]))
    node.began("r", "basket")
    assert len(node.lines) == 1
    node.hosted.changed(at, False)
    node.began("r", "basket")
    assert len(node.lines) == 1, "it left"


def test_rows_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosted, "MAX_REGIONS", 2)
    node = Node("b")
    at: Any = Inbound("a")
    node.hosted.on_regions(at, pack([[f"r{number}", "cart"] for number in range(4)]))
    assert len(node.hosted._theirs[at]) == 2
    for wrong in ("x", [["r"]], [["r", 1]], [["r", "x" * 201]], [["r" * 1025, "x"]]):
        with pytest.raises(RemoteProtocolError):
            node.hosted.on_regions(at, pack(wrong))
