"""What every transport promises about links."""

from __future__ import annotations

import pytest

from casty import runtime
from tests.contract.ends import End, Listening, dial
from tests.contract.environments import Environment


async def pair(environment: Environment) -> tuple[End, End, Listening]:
    listening = Listening()
    address = await listening.start(environment.host, environment.tls)
    near = await dial(address, environment.tls)
    far = await listening.ends.get()
    return near, far, listening


async def finish(listening: Listening, *ends: End) -> None:
    for end in ends:
        end.link.close()
    for end in ends:
        await end.lost()
        assert len(end.losses) == 1
    assert listening.listener is not None
    await listening.listener.close()


def test_bytes_arrive_in_order_both_ways(environment: Environment) -> None:
    async def main() -> None:
        near, far, listening = await pair(environment)
        pieces = [bytes([index % 256]) * (index * 37 % 5000 + 1) for index in range(300)]
        for piece in pieces:
            near.link.write(piece)
            far.link.write(piece[::-1])
        sent = b"".join(pieces)
        assert await far.received(len(sent)) == sent
        assert await near.received(len(sent)) == sent
        await finish(listening, near, far)

    environment.run(main)


def test_pieces_arrive_as_if_they_were_joined(environment: Environment) -> None:
    async def main() -> None:
        near, far, listening = await pair(environment)
        pieces = [b"a", bytes(range(256)) * 1024, b"b" * 70_000, b"c"]
        near.link.write(b"before")
        near.link.write_parts(pieces)
        near.link.write(b"after")
        sent = b"".join([b"before", *pieces, b"after"])
        assert await far.received(len(sent)) == sent
        await finish(listening, near, far)

    environment.run(main)


def test_a_large_write_arrives_whole(environment: Environment) -> None:
    async def main() -> None:
        near, far, listening = await pair(environment)
        sent = bytes(range(256)) * 16384
        near.link.write(sent)
        assert await far.received(len(sent)) == sent
        far.link.write(b"x")
        await near.received(1)
        assert near.link.buffered_bytes == 0
        await finish(listening, near, far)

    environment.run(main)


def test_the_listener_names_a_real_port_and_links_their_peer(environment: Environment) -> None:
    async def main() -> None:
        near, far, listening = await pair(environment)
        assert listening.listener is not None
        host, port = listening.listener.address
        assert (host, port > 0) == (environment.host, True)
        assert near.link.peer == (host, port)
        assert far.link.peer[0] == environment.host
        await finish(listening, near, far)

    environment.run(main)


def test_what_is_not_read_waits_and_comes_in_order_with_the_end_behind_it(environment: Environment) -> None:
    async def main() -> None:
        near, far, listening = await pair(environment)
        near.link.write(b"a")
        await far.received(1)
        far.link.pause_reading()
        far.link.pause_reading()
        sent = bytes(range(256)) * 16
        near.link.write(sent)
        near.link.close()
        await runtime.current().clock.sleep(0.1)
        assert bytes(far.data) == b"a" and not far.losses
        far.link.resume_reading()
        far.link.resume_reading()
        assert bytes(far.data) == b"a", "in a later turn"
        assert await far.lost() is None
        assert bytes(far.data) == b"a" + sent
        await finish(listening, near, far)

    environment.run(main)


def test_a_writer_hears_when_the_other_end_took_what_it_wrote(environment: Environment) -> None:
    async def main() -> None:
        near, far, listening = await pair(environment)
        near.link.write(b"a")
        await far.received(1)
        far.link.pause_reading()
        heard: list[int] = []
        near.link.write(b"x" * 32_000_000)
        near.link.when_drained(lambda: heard.append(near.link.buffered_bytes))
        await runtime.current().clock.sleep(0.1)
        assert near.link.buffered_bytes > 1_000_000 and heard == []
        far.link.resume_reading()
        await far.received(32_000_001)
        while not heard:
            await runtime.current().clock.sleep(0.01)
        assert heard[0] <= 65_536
        near.link.when_drained(lambda: heard.append(-1))
        assert len(heard) == 1, "in a later turn"
        await runtime.current().clock.sleep(0.01)
        assert heard[1:] == [-1]
        await finish(listening, near, far)

    environment.run(main)


def test_close_sends_what_is_queued_then_both_hear_the_end_once(environment: Environment) -> None:
    async def main() -> None:
        near, far, listening = await pair(environment)
        sent = b"y" * 1_000_000
        near.link.write(sent)
        near.link.close()
        near.link.write(b"vanishes")
        assert await far.lost() is None
        assert bytes(far.data) == sent
        await near.lost()
        near.link.close()
        near.link.abort()
        near.link.write(b"vanishes")
        await finish(listening, near, far)

    environment.run(main)


def test_abort_ends_both_sides_once(environment: Environment) -> None:
    async def main() -> None:
        near, far, listening = await pair(environment)
        near.link.write(b"hello")
        await far.received(5)
        near.link.abort()
        await near.lost()
        await far.lost()
        await finish(listening, near, far)

    environment.run(main)


def test_a_closed_listener_takes_no_links_and_keeps_those_it_took(environment: Environment) -> None:
    async def main() -> None:
        near, far, listening = await pair(environment)
        assert listening.listener is not None
        address = listening.listener.address
        await listening.listener.close()
        with pytest.raises(OSError):
            await dial(address, environment.tls)
        near.link.write(b"still")
        assert await far.received(5) == b"still"
        await finish(listening, near, far)

    environment.run(main)


def test_an_address_in_use_is_an_error(environment: Environment) -> None:
    async def main() -> None:
        listening = Listening()
        address = await listening.start(environment.host, environment.tls)
        with pytest.raises(OSError):
            await runtime.current().transport.listen(*address, listening.take, tls=environment.tls)
        await finish(listening)

    environment.run(main)


def test_dialling_nobody_is_an_error(environment: Environment) -> None:
    async def main() -> None:
        listening = Listening()
        address = await listening.start(environment.host, environment.tls)
        await finish(listening)
        with pytest.raises(OSError):
            await dial(address, environment.tls)

    environment.run(main)
