"""Over real sockets: who is taken for whom, who is refused with which reason, and what the log says."""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, ClassVar

import pytest

from casty import ClusterClient, ClusteredActorSystem, Settings, runtime
from casty.cli.status import fetch_status
from casty.cluster.node import entrance
from casty.cluster.node.bootstrap import MEMBER
from casty.errors import Refused
from casty.secret import Secrets
from casty.transport.connection import Connection
from casty.wire import frames
from casty.wire.framing import frame
from casty.wire.hello import Hello, Refusal
from casty.wire.pack import pack
from tests.cluster.hand_made import HOST
from tests.contract.ends import Side

SETTINGS = Settings(founding_listen_s=0.05, slots=1)
SECRET, OTHER = "the secret of this shop", "a secret that is another"
HERE, THERE = "127.0.0.2", "127.0.0.3"


@asynccontextmanager
async def shop(**options: Any) -> AsyncGenerator[ClusteredActorSystem]:
    given = {"name": "shop", "host": HOST, "port": 0, "config": SETTINGS, **options}
    try:
        async with asyncio.timeout(30), ClusteredActorSystem(**given) as system:
            yield system
    finally:
        await Knock.close_all()


async def until(predicate: Callable[[], object]) -> None:
    while not predicate():
        await runtime.current().clock.sleep(0.01)


class Knock:
    """A link made by hand from an address of this machine: what it was answered."""

    made: ClassVar[list[Knock]] = []

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.refusal: str | None = None

    @classmethod
    async def at(cls, port: int, hello: Hello, source: str = HOST) -> Knock:
        knock = cls(*await asyncio.open_connection(HOST, port, local_addr=(source, 0)))
        cls.made.append(knock)
        knock.send(frames.HELLO, hello.encode())
        kind, body = await knock.next()
        assert kind in (frames.WELCOME, frames.REFUSED)
        knock.refusal = Refusal.decode(body).text if kind == frames.REFUSED else None
        return knock

    def send(self, kind: int, body: bytes) -> None:
        self._writer.write(frame(kind, body))

    async def next(self) -> tuple[int, bytes]:
        size, kind = struct.unpack(">IB", await self._reader.readexactly(5))
        return kind, await self._reader.readexactly(size - 1)

    async def close(self) -> None:
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()

    @classmethod
    async def close_all(cls) -> None:
        while cls.made:
            await cls.made.pop().close()


def client(client_id: str, incarnation: str) -> Hello:
    return Hello("shop", "client", client_id, incarnation, HOST, 1, 2**24)


def node(node_id: str, incarnation: str, port: int = 1) -> Hello:
    return Hello("shop", "node", node_id, incarnation, HOST, port, 2**24)


def port_of(system: ClusteredActorSystem) -> int:
    return system.self_node.port


def lines(caplog: pytest.LogCaptureFixture, text: str) -> int:
    return sum(text in record.getMessage() for record in caplog.records)


# -- clients


async def test_a_client_has_no_members_id(caplog: pytest.LogCaptureFixture) -> None:
    async with shop(node_id="a") as system:
        for _ in range(3):
            knock = await Knock.at(port_of(system), client("a", "1"))
            assert knock.refusal == "client id 'a' is the id of a member; give the client another one"
        assert lines(caplog, "is the id of a member") == 1


async def test_a_second_client_with_the_id_of_a_living_one_is_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with shop() as system:
        first = await Knock.at(port_of(system), client("c", "1"))
        assert first.refusal is None
        for _ in range(3):
            second = await Knock.at(port_of(system), client("c", "2"))
            assert "client id 'c' is that of another living client" in str(second.refusal)
        assert lines(caplog, "is that of another living client") == 1
        again = await Knock.at(port_of(system), client("c", "1"))
        assert again.refusal is None, "the same process dials again"
        await first.close()
        await again.close()
        await until(lambda: not system._node.acceptor._clients)
        assert (await Knock.at(port_of(system), client("c", "2"))).refusal is None


# -- copies of machines


async def test_a_copy_of_a_running_process_is_recognised(caplog: pytest.LogCaptureFixture) -> None:
    async with shop() as system:
        first = await Knock.at(port_of(system), node("x", "1"), HERE)
        assert first.refusal is None
        for _ in range(3):
            copy = await Knock.at(port_of(system), node("x", "1"), THERE)
            assert (
                f"{THERE} says that it is the process 'x', incarnation included, and so does {HERE}"
                in str(copy.refusal)
            )
        assert lines(caplog, "a copy of a running machine?") == 1
        assert (await Knock.at(port_of(system), node("x", "1"), HERE)).refusal is None, "it dials again"


async def test_two_machines_with_one_host_name_are_recognised(caplog: pytest.LogCaptureFixture) -> None:
    async with shop() as system:
        first = await Knock.at(port_of(system), node("x", "1"), HERE)
        other = await Knock.at(port_of(system), node("x", "2"), THERE)
        assert "needs another --node-id (two machines with one host name?)" in str(other.refusal)
        assert (await Knock.at(port_of(system), node("x", "2"), HERE)).refusal is None, "it was started again"
        await first.close()
        await until(lambda: len(system._node.links.inbound) == 1)
        assert "two machines" in str((await Knock.at(port_of(system), node("x", "3"), THERE)).refusal)
        next(iter(system._node.links.inbound)).close("the test ends it")
        assert (await Knock.at(port_of(system), node("x", "3"), THERE)).refusal is None
        assert lines(caplog, "two machines with one host name?") == 1


async def test_a_node_knows_its_own_id() -> None:
    async with shop(node_id="a") as system:
        other = await Knock.at(port_of(system), node("a", "2"))
        assert "node id 'a' is that of the node at" in str(other.refusal)
        assert system.self_node.host in str(other.refusal)


async def test_a_member_is_reached_where_the_cluster_knows_it() -> None:
    async with shop(node_id="a") as system:
        me = system._node
        row = me.control.machine.members["a"]
        theirs = node("b", "1", 7)
        assert me.boundary.flaw_of_answer(theirs, theirs.address) is None
        flaw = me.boundary.flaw_of_answer(theirs, (HOST, 8))
        assert (
            flaw
            == f"expected the node that is reached at {HOST}:8, found 'b', which says that it is reached at {HOST}:7"
        )
        assert (row.host, row.port) == me.address


# -- strangers


async def test_a_process_that_listens_where_it_says_is_no_peer() -> None:
    """It was dialled back when it sent a consensus message, and then believed: a blank node joined whatever it said."""
    stranger = Side("x", SETTINGS)
    address = await stranger.listen(HOST, None)
    system = ClusteredActorSystem(
        name="shop", host=HOST, port=0, config=SETTINGS, seed_nodes=[(HOST, 1), (HOST, 2)], node_id="a"
    )
    starting = asyncio.get_running_loop().create_task(system.__aenter__())
    async with asyncio.timeout(30):
        await until(lambda: system._node is not None and system._node._entrance.is_serving)
        peer = stranger.dial(system.self_node, None)
        await until(lambda: stranger.opened)
        link: Connection = stranger.opened[0]
        answer = [MEMBER, 1, "cluster", [list(address)], True]
        for body in (pack([[0, 1, []]]), pack([[0, 1, [1, 99, 0, 0, 0, 0, []]]])):
            link.send(frames.CONSENSUS, body)
            link.send(frames.FOUNDING, pack(answer))
        await until(lambda: len(stranger.frames) > 3)
        assert link.is_open
        assert system._node.host.groups == {}
        assert system._node.links.nodes == []
        assert len(stranger.opened) == 1, "nobody dials it"
        peer.close()
        assert stranger.acceptor is not None
        await stranger.acceptor.close()
        starting.cancel()
        await asyncio.wait((starting,))


async def test_a_request_to_join_is_of_whoever_sends_it() -> None:
    async with shop(node_id="a") as system:
        victim, stranger = Side("v", SETTINGS, cluster="shop"), Side("x", SETTINGS, cluster="shop")
        host, port = await victim.listen(HOST, None)
        peer = stranger.dial(system.self_node, None)
        await until(lambda: stranger.opened)
        dropped = system._node.boundary.dropped
        stranger.opened[0].send(frames.JOIN, pack(["v", "v-1", host, port, [None, 100, []]]))
        await until(lambda: system._node.boundary.dropped > dropped)
        assert victim.opened == []
        own = victim.dial(system.self_node, None)
        await until(lambda: len(victim.opened) == 1)
        victim.opened[0].send(frames.JOIN, pack(["v", "v-1", host, port, [None, 100, []]]))
        await until(lambda: len(victim.opened) == 2)  # it is dialled, as it asked itself
        for side in (peer, own):
            side.close()
        assert victim.acceptor is not None
        await victim.acceptor.close()


# -- the start


async def test_who_dials_while_a_node_starts_is_told_to_dial_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It listened before it knew who it was, and answered with an internal error."""
    go_on, ports = asyncio.Event(), []

    async def slow(of: object, node_id: str, address: tuple[str, int], *rest: object) -> None:
        ports.append(address[1])
        await go_on.wait()

    monkeypatch.setattr(entrance, "check_reach", slow)
    system = ClusteredActorSystem(name="shop", host=HOST, port=0, config=SETTINGS)
    starting = asyncio.get_running_loop().create_task(system.__aenter__())
    async with asyncio.timeout(30):
        await until(lambda: ports)
        for hello in (client("c", "1"), node("x", "1")):
            assert "is starting; dial it again" in str((await Knock.at(ports[0], hello)).refusal)
        async with ClusterClient(contact_points=[(HOST, ports[0])], system_name="shop") as early:
            go_on.set()
            await starting
            await early.ready()
        await system.shutdown()
        await Knock.close_all()


@pytest.mark.parametrize(
    ("options", "is_said"),
    [
        ({"bind_host": "0.0.0.0"}, 1),
        ({"bind_host": "::"}, 1),
        ({}, 0),
        ({"bind_host": "localhost"}, 0),
        ({"bind_host": "0.0.0.0", "secret": SECRET}, 0),
    ],
)
async def test_a_port_that_is_open_to_everybody_is_said_once(
    options: dict[str, Any], is_said: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with shop(**options):
        assert lines(caplog, "with neither TLS nor a shared secret") == is_said


# -- the secret


async def test_a_node_joins_with_the_secret_and_says_what_is_missing_without(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with shop(node_id="a", secret=[SECRET, OTHER]) as system:
        seed = (HOST, port_of(system))
        hasty = Settings(founding_listen_s=0.05, slots=1, start_timeout_s=1)
        for secret, text in ((None, "has none"), ("yet another secret", "has another secret")):
            with pytest.raises(TimeoutError, match=rf"{text}.*give both the same secret="):
                async with shop(node_id="b", seed_nodes=[seed], secret=secret, config=hasty):
                    raise AssertionError("it must not get in")
        assert lines(caplog, "a link from 127.0.0.1 is refused: node a takes only whoever proves") == 1
        async with shop(node_id="b", seed_nodes=[seed], secret=[OTHER, SECRET]) as other:
            await other.wait_for(2)
            assert await other.distributed().counter("visits").increment() == 1
        assert SECRET not in caplog.text
        assert OTHER not in caplog.text


async def test_clients_and_status_need_it_too() -> None:
    async with shop(secret=SECRET) as system:
        contact = (HOST, port_of(system))
        for secret, text in ((None, "has none"), (OTHER, "has another secret")):
            async with ClusterClient(contact_points=[contact], system_name="shop", secret=secret) as stranger:
                with pytest.raises(
                    Refused, match=rf"{text}.*give both the same secret= \(CASTY_CLUSTER_SECRET"
                ):
                    await stranger.distributed().counter("visits").increment()
            with pytest.raises(Refused, match=text):
                await fetch_status(contact, 0.5, None, Secrets.of("secret", secret))
        async with ClusterClient(contact_points=[contact], system_name="shop", secret=SECRET) as known:
            assert await known.distributed().counter("visits").increment() == 1
        document = await fetch_status(contact, 5.0, None, Secrets.of("secret", [SECRET, OTHER]))
        assert document["name"] == "shop"
