"""Delivery by address within a process."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from casty import ActorAddress, ActorSystem
from casty.messaging import MAX_PATHS, LocalTransport, MessageTransport
from casty.testing import TestProbe
from tests.unit.actor.test_scheduling import virtually


def at(path: str) -> ActorAddress:
    return ActorAddress("shop", path)


def test_messages_wait_for_their_path_in_order_up_to_the_bound(caplog: pytest.LogCaptureFixture) -> None:
    transport = LocalTransport(max_pending_per_path=2)
    assert isinstance(transport, MessageTransport)
    for number in range(4):
        transport.deliver(at("/a"), number)
    found: list[Any] = []
    transport.register("/a", found.append)
    transport.deliver(at("/a"), 4)
    assert (found, transport.lost) == ([0, 1, 4], 2)
    assert len([record for record in caplog.records if "is lost" in record.getMessage()]) == 1


def test_what_comes_for_a_path_that_was_given_up_is_lost_until_it_is_taken_again() -> None:
    transport = LocalTransport()
    found: list[Any] = []
    transport.register("/a", found.append)
    transport.unregister("/a")
    transport.deliver(at("/a"), "lost")
    transport.register("/a", found.append)
    transport.deliver(at("/a"), "heard")
    assert (found, transport.lost) == (["heard"], 1)


def test_paths_that_wait_are_bounded() -> None:
    transport = LocalTransport()
    for number in range(MAX_PATHS + 5):
        transport.deliver(at(f"/{number}"), number)
    assert transport.lost == 5
    for number in range(MAX_PATHS + 5):
        transport.unregister(f"/{number}")
    transport.deliver(at("/0"), "forgotten, so it waits")
    assert transport.lost == 5


def test_a_path_can_be_waited_for_and_an_actor_can_have_it() -> None:
    async def main(system: ActorSystem) -> None:
        transport = LocalTransport()
        probe: TestProbe[Any] = TestProbe(system)
        waiting = [asyncio.create_task(transport.wait_for_path("/p")) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
        transport.register("/p", probe.ref.tell)
        await waiting[1]
        await transport.wait_for_path("/p")
        transport.deliver(at("/p"), "hello")
        assert await probe.expect(str) == "hello"

    virtually(main)


def test_bad_handlers_and_paths_are_refused() -> None:
    transport = LocalTransport()
    with pytest.raises(TypeError, match="handler: expected a function"):
        transport.register("/a", None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="path: expected at least one character"):
        transport.register("", print)
    with pytest.raises(ValueError, match="max_pending_per_path"):
        LocalTransport(max_pending_per_path=0)
