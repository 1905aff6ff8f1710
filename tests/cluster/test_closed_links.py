"""Over real sockets: a link that ends by its other end's fault is named in the log, whichever end finds the fault."""

from __future__ import annotations

import asyncio
import logging

import pytest

from casty import ClusterClient, ClusteredActorSystem, Settings
from casty.wire import frames
from tests.cluster.hand_made import HOST, HandMade

SETTINGS = Settings(founding_listen_s=0.05, slots=1)


def lines(caplog: pytest.LogCaptureFixture, part: str) -> list[str]:
    """Return the log's lines about links that were closed for a reason."""
    return [record.getMessage() for record in caplog.records if part in record.getMessage()]


async def test_a_node_says_whose_link_it_closed_and_why(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with (
        asyncio.timeout(30),
        ClusteredActorSystem(name="shop", host=HOST, port=0, config=SETTINGS) as system,
    ):
        port = system._node.address.port
        for _ in range(3):
            link = await HandMade.to(port, "shop", "odd\x1bone")
            link.send(frames.ENTITY, ["too", "few"])
            await link.drain()
            link.close()
        link = await HandMade.to(port, "shop", "leaves")
        link.close()
        assert await system.distributed().counter("alive").increment() == 1
    said = lines(caplog, "is closed")
    assert said[0] == (
        r"the link with client odd\x1bone at 127.0.0.1 is closed: entity message: expected 9 fields"
    )
    assert not lines(caplog, "leaves"), "whoever goes in order is not named"
    assert len(said) <= 2, "at most one line a second, and one when the last second is over"


async def test_a_client_says_which_node_sent_what_it_cannot_read(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with (
        asyncio.timeout(30),
        ClusteredActorSystem(name="shop", host=HOST, port=0, node_id="n1", config=SETTINGS) as system,
        ClusterClient(contact_points=[(HOST, system._node.address.port)], system_name="shop") as client,
    ):
        await client.ready()
        (link,) = [other for other in system._node.acceptor.open_links if other.remote.role == "client"]
        link.send(frames.REPLY, b"\xc1")
        link.flush()
        while not lines(caplog, "is closed"):
            await asyncio.sleep(0)
        assert await client.distributed().counter("alive").increment() == 1
    assert lines(caplog, "is closed")[0].startswith("the link with node n1 is closed: ")
