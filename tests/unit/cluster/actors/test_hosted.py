"""One name of a region is one behaviour: where two are told apart, the error names both."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from casty import Behaviors
from casty.actor.behavior import Behavior
from casty.cluster.actors import hosted_regions as hosted
from casty.cluster.actors.hosted_regions import MAX_NAME, Hosted, code_of, name_of
from casty.errors import Mismatch, RemoteProtocolError
from casty.wire.pack import pack
from tests.unit.cluster.region_world import RegionWorld, counter

HERE, THERE = __name__, counter.__module__


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
    world = RegionWorld(("a",))
    host = world.processes["a"].host
    assert host is not None
    assert host.register("r", cart, 10)
    assert not host.register("r", partial(cart), 10)
    with pytest.raises(
        Mismatch, match=rf"'r': its entities are made by {HERE}:cart here, given {THERE}:counter"
    ):
        host.register("r", counter, 10)
    assert host.names() == {"r": f"{HERE}:cart"}
    await world.close()


def test_what_is_made_alike_is_one_behaviour() -> None:
    assert code_of(made("a")) == code_of(made("b"))
    assert code_of(Made()) == code_of(Made()) != code_of(Made().method) == code_of(Made().method)
    assert (name_of(Made()), name_of(Made().method)) == (f"{HERE}:Made", f"{HERE}:Made.method")
    assert name_of(made("a")) == f"{HERE}:made.<locals>.<lambda>"
    assert name_of(",".join) == ":str.join"


def test_names_are_short_and_keep_what_tells_them_apart() -> None:
    long: Any = lambda entity_id: Behaviors.ignore()  # noqa: E731
    for module, name in (("m" * 500 + "a", "f" * 500 + "b"), ("m" * 500 + "a", "short")):
        long.__module__, long.__qualname__ = module, name
        assert len(name_of(long)) <= MAX_NAME
        assert name_of(long).endswith(f"a:{name[-100:]}")


@pytest.mark.parametrize(
    ("one", "other", "is_alike"),
    [
        ("shop:cart", "shop:cart", True),
        ("shop:cart", "shop:basket", False),
        ("shop:cart", "bank:cart", False),
        ("__main__:cart", "shop:cart", True),
        ("__main__:cart", "shop:basket", False),
    ],
)
def test_one_name_in_two_modules_is_two_behaviours_unless_one_is_a_script(
    one: str, other: str, is_alike: bool
) -> None:
    node = Node("b")
    at: Any = Inbound("a")
    node.hosted.on_regions(at, pack([["r", one]]))
    node.began("r", other)
    assert len(node.lines) == (0 if is_alike else 1)


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
    a.began("r", "shop:cart")
    a.began("same", "shop:cart")
    b.began("same", "shop:cart")
    b.began("r", "shop:basket")
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
    assert "'r'" in a.lines[0] and "found shop:cart here and 'shop:basket' on 'b'" in a.lines[0]
    assert "found shop:basket here and 'shop:cart' on 'a'" in b.lines[0]


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
