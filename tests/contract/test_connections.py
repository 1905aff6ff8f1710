"""What connections promise over every transport: handshake, frames, bounds, ends."""

from __future__ import annotations

import pytest

from casty.config import Settings
from casty.errors import MessageTooLarge
from casty.transport.peers import Peer
from casty.wire import frames
from casty.wire.framing import frame
from casty.wire.hello import Hello, Welcome
from tests.contract.ends import End, Listening, Side
from tests.contract.environments import Environment

SETTINGS = Settings(
    max_frame_bytes=100_000, max_value_bytes=50_000, snapshot_chunk_bytes=50_000, max_outbound_bytes=300_000
)


async def linked(environment: Environment) -> tuple[Side, Side, Peer]:
    server, client = Side("a", SETTINGS), Side("b", SETTINGS, role="client")
    address = await server.listen(environment.host, environment.tls)
    peer = client.dial(address, environment.tls)
    await client.until(lambda: bool(client.opened))
    await server.until(lambda: bool(server.opened))
    return server, client, peer


async def finish(server: Side, *peers: Peer) -> None:
    for peer in peers:
        peer.close()
    assert server.acceptor is not None
    await server.acceptor.close()
    await server.until(lambda: len(server.closed) == len(server.opened))


def test_both_learn_who_the_other_is(environment: Environment) -> None:
    async def main() -> None:
        server, client, peer = await linked(environment)
        near, far = client.opened[0], server.opened[0]
        assert peer.connection is near
        assert (near.remote.node_id, near.remote.role, near.remote.incarnation) == ("a", "node", "a-1")
        assert (far.remote.node_id, far.remote.role, far.remote.incarnation) == ("b", "client", "b-1")
        assert (near.is_dialled, far.is_dialled) == (True, False)
        assert near.welcome_extra == {"ttl": 15}
        assert near.is_open
        assert far.is_open
        await finish(server, peer)
        await client.until(lambda: len(client.closed) == 1)
        assert not near.is_open
        assert not near.send(42, b"")
        assert near.closed_reason == "no longer wanted"

    environment.run(main)


def test_frames_of_all_sizes_are_echoed_in_order(environment: Environment) -> None:
    async def main() -> None:
        server, client, peer = await linked(environment)
        bodies = [bytes([index % 256]) * (index * 997 % 3000) for index in range(100)]
        for body in bodies:
            assert client.opened[0].send(40, body)
        await client.until(lambda: len(client.frames) == len(bodies))
        assert client.frames == [(42, body) for body in bodies]
        await finish(server, peer)

    environment.run(main)


def test_the_frames_of_one_turn_leave_in_one_write(environment: Environment) -> None:
    async def main() -> None:
        listening = Listening()
        address = await listening.start(environment.host, environment.tls)
        client = Side("b", SETTINGS)
        peer = client.dial(address, environment.tls)
        far = await listening.ends.get()
        await far.frames(1)
        welcome = Welcome(1, Side("a", SETTINGS).hello(), {})
        far.link.write(frame(frames.WELCOME, welcome.encode()) + frame(40, b"1") + frame(40, b"2"))
        # The first frames behind the handshake come in the same read, and their answers in one.
        reads = far.reads
        assert (await far.frames(3))[1:] == [(42, b"1"), (42, b"2")]
        assert far.reads == reads + 1
        peer.close()
        await far.lost()
        assert listening.listener is not None
        await listening.listener.close()

    environment.run(main)


def test_a_frame_above_the_limit_is_refused_here(environment: Environment) -> None:
    async def main() -> None:
        server, client, peer = await linked(environment)
        with pytest.raises(MessageTooLarge, match="max_frame_bytes"):
            client.opened[0].send(40, b"x" * 100_000)
        assert client.opened[0].send(40, b"x" * 99_999)
        await client.until(lambda: len(client.frames) == 1)
        await finish(server, peer)

    environment.run(main)


def test_the_outbound_queue_is_bounded(environment: Environment) -> None:
    async def main() -> None:
        server, client, peer = await linked(environment)
        near = client.opened[0]
        taken = [near.send(40, b"x" * 90_000) for _ in range(10)]
        assert taken == [True] * 2 + [False] * 8, "a quarter is kept for what nodes say to each other"
        assert near.send(frames.CONSENSUS, b"x" * 90_000) and not near.send(frames.CONSENSUS, b"x" * 90_000)
        assert near.buffered_bytes == 3 * 90_005
        await client.until(lambda: len(client.frames) == 2)
        assert near.send(40, b"room again")
        await client.until(lambda: len(client.frames) == 3)
        await finish(server, peer)

    environment.run(main)


@pytest.mark.parametrize(
    ("change", "texts"),
    [
        ({"cluster": "store"}, ["'shop'", "'store'"]),
        ({"versions": (4, 5)}, ["versions 4 to 5", "version 1"]),
        ({"role": "king"}, ["king"]),
        ({"node_id": "a"}, ["itself"]),
    ],
    ids=["cluster", "version", "role", "self"],
)
def test_refusals_reach_the_dialler_with_both_values(
    environment: Environment, change: dict[str, object], texts: list[str]
) -> None:
    async def main() -> None:
        server, client = Side("a", SETTINGS), Side("b", SETTINGS)
        for name, value in change.items():
            setattr(client, name, value)
        peer = client.dial(await server.listen(environment.host, environment.tls), environment.tls)
        await refused(peer)
        for text in texts:
            assert text in str(peer.last_refusal)
        assert (server.opened, client.opened, peer.connection) == ([], [], None)
        assert server.acceptor is not None
        assert server.acceptor.refused >= 1
        await finish(server, peer)

    environment.run(main)


async def refused(peer: Peer) -> None:
    """Wait until a dial was refused, in the loop's own time."""
    from casty import runtime

    while peer.last_refusal is None:
        await runtime.current().clock.sleep(0.005)


def test_the_node_may_refuse_and_take_later(environment: Environment) -> None:
    async def main() -> None:
        server, client = Side("a", SETTINGS), Side("b", SETTINGS)
        server.objection = "not now"
        peer = client.dial(await server.listen(environment.host, environment.tls), environment.tls)
        await refused(peer)
        assert peer.last_refusal == "not now"
        server.objection = None
        await client.until(lambda: bool(client.opened))
        assert peer.last_refusal is None
        await finish(server, peer)

    environment.run(main)


def test_a_lost_link_is_dialled_again(environment: Environment) -> None:
    async def main() -> None:
        server, client, peer = await linked(environment)
        server.opened[0].close("for the test")
        await client.until(lambda: len(client.opened) == 2)
        assert peer.connection is client.opened[1]
        await server.until(lambda: len(server.opened) == 2)
        await finish(server, peer)

    environment.run(main)


def test_status_needs_no_cluster_name(environment: Environment) -> None:
    async def main() -> None:
        server, client = Side("a", SETTINGS), Side("b", SETTINGS, role="status", cluster="")
        peer = client.dial(await server.listen(environment.host, environment.tls), environment.tls)
        await client.until(lambda: bool(client.opened))
        await finish(server, peer)

    environment.run(main)


def test_a_handler_that_refuses_a_frame_ends_that_link_only(environment: Environment) -> None:
    async def main() -> None:
        server, client, peer = await linked(environment)
        other = Side("c", SETTINGS)
        other_peer = other.dial(server.hello().address, environment.tls)
        await other.until(lambda: bool(other.opened))
        client.opened[0].send(41, b"bad")
        client.opened[0].send(40, b"never seen")
        await server.until(lambda: bool(server.closed))
        assert "found b'bad'" in server.closed[0][1]
        assert server.frames == [(41, b"bad")]
        other.opened[0].send(40, b"served")
        await other.until(lambda: other.frames == [(42, b"served")])
        await finish(server, peer, other_peer)

    environment.run(main)


def test_an_impostor_behind_the_address_is_refused(environment: Environment) -> None:
    async def main() -> None:
        listening = Listening()
        address = await listening.start(environment.host, environment.tls)
        client = Side("b", SETTINGS)
        peer = client.dial(address, environment.tls)
        far: End = await listening.ends.get()
        assert Hello.decode((await far.frames(1))[0][1]).node_id == "b"
        far.link.write(
            frame(frames.WELCOME, Welcome(1, Side("x", SETTINGS, cluster="store").hello(), {}).encode())
        )
        await far.lost()
        assert "'store'" in str(peer.last_refusal)
        peer.close()
        assert listening.listener is not None
        await listening.listener.close()
        while not listening.ends.empty():
            listening.ends.get_nowait().link.abort()

    environment.run(main)
