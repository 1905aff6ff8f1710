"""What nodes say of their clients lasts as long as the link over which they say it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from casty.cluster.actors.client_links import ClientLinks
from casty.wire.hello import Hello
from casty.wire.pack import pack


class Link:
    """A link to or from a node."""

    def __init__(self, node_id: str, *, is_dialled: bool) -> None:
        self.remote = Hello("shop", "node", node_id, "1", "h", 1)
        self.is_dialled = is_dialled
        self.sent: list[bytes] = []
        self.closed: list[str] = []

    def send(self, kind: int, body: bytes) -> bool:
        self.sent.append(body)
        return True

    def close(self, reason: str) -> None:
        self.closed.append(reason)


def clients(lost: list[str]) -> Any:
    links: Any = SimpleNamespace(each_node=lambda action: None, is_dialled=lambda node_id: False)
    return ClientLinks(links, lost.append, lambda node_id: False)


def told(*rows: tuple[str, bool]) -> bytes:
    return pack([[client_id, is_up, "1"] for client_id, is_up in rows])


def test_what_a_node_said_that_only_dialled_in_goes_with_its_link() -> None:
    """It stayed for ever, and another client with such an id was refused for ever."""
    lost: list[str] = []
    table, link = clients(lost), Link("b", is_dialled=False)
    table.on_clients(link, told(("c", True), ("d", True)))
    other = Hello("shop", "client", "c", "2")
    assert table.flaw_of(other) is not None
    table.changed(link, False)
    assert lost == ["c", "d", "c", "d"], "news of either kind"
    assert table.flaw_of(other) is None
    assert not table.is_linked("c")


def test_what_was_said_over_a_newer_link_stays() -> None:
    lost: list[str] = []
    table, old, new = clients(lost), Link("b", is_dialled=False), Link("b", is_dialled=False)
    table.on_clients(old, told(("c", True), ("d", True)))
    table.on_clients(new, told(("c", True)))
    table.on_clients(old, told(("c", False)))
    assert table.reached_by("c") == ["b"], "the older link is out of date"
    lost.clear()
    table.changed(old, False)
    assert lost == ["d"]
    assert table.reached_by("c") == ["b"]


def test_a_client_loses_its_link_when_a_node_of_its_name_is_known() -> None:
    """It got the messages for actors of that node, as long as there was no link to the node itself."""
    members: dict[str, None] = {}
    links: Any = SimpleNamespace(each_node=lambda action: None)
    table = ClientLinks(links, lambda node_id: None, members.__contains__)
    client: Any = Link("n", is_dialled=False)
    client.remote = Hello("shop", "client", "n", "1")
    table.changed(client, True)
    table.members_changed()
    assert client.closed == []
    members["n"] = None
    table.members_changed()
    assert client.closed == ["client id 'n' is the id of a member; give it another one"]


def test_the_end_of_a_dialled_link_says_nothing_about_its_clients() -> None:
    """They were forgotten, and the node does not say them again before it dials anew."""
    lost: list[str] = []
    table, inbound, dialled = clients(lost), Link("b", is_dialled=False), Link("b", is_dialled=True)
    table.on_clients(inbound, told(("c", True)))
    lost.clear()
    table.changed(dialled, True)
    table.changed(dialled, False)
    assert lost == []
    assert table.is_linked("c")
