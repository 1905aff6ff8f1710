"""Hostile bytes over every transport: each ends its own link, and service goes on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from casty.config import Settings
from casty.wire import frames
from casty.wire.framing import frame, frame_header
from casty.wire.hello import Refusal
from casty.wire.pack import pack
from tests.contract.ends import End, Side, dial
from tests.contract.environments import Environment

SETTINGS = Settings(
    max_frame_bytes=100_000, max_value_bytes=50_000, snapshot_chunk_bytes=50_000, max_half_open_links=20
)


def good_hello(world_side: Side) -> bytes:
    return frame(frames.HELLO, world_side.hello().encode())


async def still_serves(server: Side, environment: Environment) -> None:
    """Link, echo one frame, and go."""
    client = Side("good", SETTINGS)
    peer = client.dial(server.hello().address, environment.tls)
    await client.until(lambda: bool(client.opened))
    client.opened[0].send(40, b"alive")
    await client.until(lambda: client.frames == [(42, b"alive")])
    peer.close()
    await server.until(lambda: any(link.remote.node_id == "good" for link, _ in server.closed))


async def finish(server: Side, *ends: End) -> None:
    for end in ends:
        end.link.abort()
        await end.lost()
    assert server.acceptor is not None
    await server.acceptor.close()
    await server.until(lambda: len(server.closed) == len(server.opened))


STRANGERS = {
    "text": b"GET / HTTP/1.1\r\nHost: example\r\n\r\n",
    "oversized": frame_header(frames.HELLO, 2**31) + b"x" * 100,
    "above the hello limit": frame_header(frames.HELLO, 5000),
    "empty frame": b"\0\0\0\0\0",
    "no hello": frame(frames.PING, b""),
    "frames before the hello": frame(32, pack([[1, 2, 3]])),
    "empty hello": frame(frames.HELLO, b""),
    "garbage hello": frame(frames.HELLO, b"\xc1\xff\x00garbage"),
    "nested hello": frame(frames.HELLO, b"\x91" * 4000),
    "claimed hello": frame(frames.HELLO, b"\xdd\xff\xff\xff\xff"),
    "wrong types": frame(frames.HELLO, pack([1] * 10)),
    "wrong magic": frame(frames.HELLO, pack(["http", 1, 1, "shop", "node", "b", "1", "h", 1, 1])),
    "wrong cluster": frame(frames.HELLO, pack(["casty", 1, 1, "store", "node", "b", "1", "h", 1, 1])),
    "short frames": frame(frames.HELLO, pack(["casty", 1, 1, "shop", "client", "b", "1", "h", 1, 12])),
    "wrong version": frame(frames.HELLO, pack(["casty", 8, 9, "shop", "node", "b", "1", "h", 1, 1])),
}


@pytest.mark.parametrize("name", list(STRANGERS))
def test_strangers_get_a_typed_refusal(environment: Environment, name: str) -> None:
    async def main() -> None:
        server = Side("a", SETTINGS)
        address = await server.listen(environment.host, environment.tls)
        end = await dial(address, environment.tls)
        end.link.write(STRANGERS[name])
        await end.lost()
        [(kind, body)] = await end.frames(1)
        assert kind == frames.REFUSED
        refusal = Refusal.decode(body)
        assert refusal.kind in ("protocol", "magic", "cluster", "version", "limits")
        assert refusal.text
        assert server.opened == []
        await still_serves(server, environment)
        await finish(server, end)

    environment.run(main)


GARBAGE = {
    "oversized": frame_header(40, 2**30),
    "empty frame": b"\0\0\0\0\0",
    "another hello": good_hello,
    "random": b"\xfe\xca\x01\x02\x03" * 50,
    "handler refuses": frame(41, b"bad"),
}


@pytest.mark.parametrize("name", list(GARBAGE))
def test_garbage_after_the_handshake_ends_the_link(environment: Environment, name: str) -> None:
    async def main() -> None:
        server = Side("a", SETTINGS)
        address = await server.listen(environment.host, environment.tls)
        end = await dial(address, environment.tls)
        client = Side("b", SETTINGS)
        end.link.write(good_hello(client))
        await end.frames(1)
        garbage = GARBAGE[name]
        end.link.write(garbage if isinstance(garbage, bytes) else garbage(client))
        await end.lost()
        await server.until(lambda: bool(server.closed))
        await still_serves(server, environment)
        await finish(server, end)

    environment.run(main)


@pytest.mark.parametrize("size", [1, 3, 4, 5, 20])
def test_truncated_hellos_that_end(environment: Environment, size: int) -> None:
    async def main() -> None:
        server = Side("a", SETTINGS)
        end = await dial(await server.listen(environment.host, environment.tls), environment.tls)
        end.link.write(good_hello(Side("b", SETTINGS))[:size])
        end.link.close()
        await end.lost()
        await still_serves(server, environment)
        assert server.acceptor is not None
        assert server.acceptor.half_open_links == 0
        await finish(server, end)

    environment.run(main)


def test_a_frame_that_never_ends_is_dropped_with_its_link(environment: Environment) -> None:
    async def main() -> None:
        server = Side("a", SETTINGS)
        end = await dial(await server.listen(environment.host, environment.tls), environment.tls)
        end.link.write(good_hello(Side("b", SETTINGS)) + frame_header(40, 90_000) + b"x" * 80_000)
        await end.frames(1)
        end.link.close()
        await server.until(lambda: bool(server.closed))
        assert server.frames == []
        await still_serves(server, environment)
        await finish(server, end)

    environment.run(main)


def test_silent_links_are_bounded_and_the_oldest_gives_way(environment: Environment) -> None:
    async def main() -> None:
        server = Side("a", SETTINGS)
        address = await server.listen(environment.host, environment.tls)
        assert server.acceptor is not None
        ends = [await dial(address, environment.tls) for _ in range(200)]
        for end in ends[:-20]:
            await end.lost()
        assert server.acceptor.half_open_links <= 20
        assert server.acceptor.dropped >= 180
        await still_serves(server, environment)
        await finish(server, *ends)

    environment.run(main)


def test_a_silent_link_is_ended_after_the_hello_timeout(environment: Environment) -> None:
    async def main() -> None:
        server = Side("a", replace(SETTINGS, hello_timeout_s=0.1))
        end = await dial(await server.listen(environment.host, environment.tls), environment.tls)
        await end.lost()
        if environment.tls is None:
            [(kind, body)] = await end.frames(1)
            assert (kind, "0.1 s" in Refusal.decode(body).text) == (frames.REFUSED, True)
        await finish(server, end)

    environment.run(main)


def test_a_half_open_link_is_found_by_pings(environment: Environment) -> None:
    async def main() -> None:
        server = Side("a", replace(SETTINGS, unreachable_after_s=0.1))
        end = await dial(await server.listen(environment.host, environment.tls), environment.tls)
        end.link.write(good_hello(Side("b", SETTINGS)))
        await end.lost()
        answers = await end.frames(3)
        assert [kind for kind, _ in answers[1:]] == [frames.PING] * (len(answers) - 1)
        await server.until(lambda: bool(server.closed))
        assert "half-open" in server.closed[0][1]
        await finish(server, end)

    environment.run(main)


def test_pongs_keep_an_idle_link(environment: Environment) -> None:
    async def main() -> None:
        settings = replace(SETTINGS, unreachable_after_s=0.1)
        server, client = Side("a", settings), Side("b", settings)
        peer = client.dial(await server.listen(environment.host, environment.tls), environment.tls)
        await client.until(lambda: bool(client.opened))
        from casty import runtime

        await runtime.current().clock.sleep(0.5)
        assert (server.closed, client.closed) == ([], [])
        peer.close()
        await finish(server)

    environment.run(main)


@pytest.mark.slow
def test_thousands_of_silent_links(environment: Environment) -> None:
    async def main() -> None:
        server = Side("a", replace(SETTINGS, max_half_open_links=100))
        address = await server.listen(environment.host, environment.tls)
        assert server.acceptor is not None
        ends: list[End] = []
        for index in range(3000 if environment.tls is None else 500):
            ends.append(await dial(address, environment.tls))
            if index >= 200:
                await ends[index - 200].lost()
            assert server.acceptor.half_open_links <= 100
        await still_serves(server, environment)
        await finish(server, *ends)

    environment.run(main)
