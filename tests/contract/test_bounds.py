"""How many clients a node takes, and how much unfinished input: over every transport."""

from __future__ import annotations

from casty import runtime
from casty.config import Settings
from casty.wire.framing import frame_header
from tests.contract.ends import Side, dial
from tests.contract.environments import Environment
from tests.contract.test_hostile import finish, good_hello, still_serves

FEW = Settings(max_clients=3)
SMALL = Settings(
    max_frame_bytes=100_000, max_value_bytes=50_000, snapshot_chunk_bytes=50_000, max_inbound_bytes=200_000
)


async def test_the_newest_client_is_refused_with_the_reason_and_a_member_gets_in(
    environment: Environment,
) -> None:
    server = Side("a", FEW)
    await server.listen(environment.host, environment.tls)
    clients = [Side(f"client-{number}", FEW, role="client") for number in range(4)]
    peers = []
    for client in clients[:3]:
        peers.append(client.dial(server.hello().address, environment.tls))
        await client.until(lambda client=client: bool(client.opened))
    refused = clients[3].dial(server.hello().address, environment.tls)
    while refused.last_refusal is None:
        await runtime.current().clock.sleep(0.01)
    assert "serves 3 clients already" in str(refused.last_refusal)
    member = Side("b", FEW)
    member_peer = member.dial(server.hello().address, environment.tls)
    await member.until(lambda: bool(member.opened))
    peers[0].close()
    await clients[3].until(lambda: bool(clients[3].opened))
    for peer in (*peers, refused, member_peer):
        peer.close()
    await finish(server)


async def test_unfinished_frames_of_many_links_are_bounded_together(environment: Environment) -> None:
    server = Side("a", SMALL)
    await server.listen(environment.host, environment.tls)
    ends = [await dial(server.hello().address, environment.tls) for _ in range(4)]
    for number, end in enumerate(ends):
        side = Side(f"b{number}", SMALL)
        end.link.write(good_hello(side) + frame_header(40, 90_000) + b"x" * 70_000)
    await server.until(lambda: server.acceptor is not None and server.acceptor.inbound.dropped >= 1)
    assert server.acceptor is not None
    assert server.acceptor.inbound.total_bytes <= SMALL.max_inbound_bytes
    await still_serves(server, environment)
    await finish(server, *ends)
    assert server.acceptor.inbound.total_bytes == 0
