"""Threads that work under a hold beside the event loop, and look whether it still counts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

import pytest

from casty.distributed.lock import Lock
from casty.errors import LockLost, NotStarted
from tests.kit.clock import settle
from tests.unit.distributed.holders import TwoClients, for_ever, inside
from tests.unit.distributed.machine import FakePort, Slot

T = TypeVar("T")


@pytest.fixture
def clients() -> TwoClients:
    return TwoClients()


def in_a_thread(look: Callable[[], T]) -> T:
    """Return what another thread sees, while the loop of this one stands still."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(look).result()


async def test_a_thread_may_ask_whether_it_is_held(clients: TwoClients) -> None:
    lock = clients.lock()
    assert in_a_thread(lambda: (lock.held, lock.token)) == (False, None)
    await lock.acquire()
    assert in_a_thread(lambda: (lock.held, lock.token)) == (True, lock.token)
    await lock.release()
    assert in_a_thread(lambda: (lock.held, lock.token)) == (False, None)


async def test_a_thread_that_sees_a_loss_first_takes_it_from_nobody(clients: TwoClients) -> None:
    lock = clients.lock()
    body = asyncio.create_task(inside(lock, for_ever))
    await settle()
    waiting = asyncio.create_task(lock.acquire())
    await settle()
    next(iter(clients.ports[0].grants.values())).is_valid = False
    assert in_a_thread(lambda: lock.held) is False
    clients.lose(lock)
    with pytest.raises(LockLost, match="door"):
        await body
    await waiting
    assert lock.held, "the turn of the instance was passed on"


async def test_an_instance_dropped_by_a_thread_changes_nothing_there(
    clients: TwoClients, caplog: pytest.LogCaptureFixture
) -> None:
    kept = [clients.lock()]
    await kept[0].acquire()
    grant = next(iter(clients.ports[0].grants.values()))
    in_a_thread(kept.clear)
    assert "the last reference" in caplog.text
    assert grant.is_valid
    assert not grant.lost.done()


class Guarded:
    """A gateway that is used in one loop, as a system or a client is."""

    def __init__(self, port: FakePort) -> None:
        self._port, self._loop = port, asyncio.get_running_loop()

    @property
    def structures(self) -> FakePort:
        if asyncio.get_running_loop() is not self._loop:
            raise NotStarted("another event loop")
        return self._port


async def test_another_loop_changes_nothing_before_it_is_refused() -> None:
    port = FakePort(Slot(), 1, None)
    lock = Lock(gateway=cast(Any, Guarded(port)), region_ref=None, name="door")
    await lock.acquire()
    grant = next(iter(port.grants.values()))
    grant.is_valid = False
    for call in (lock.release, lock.try_acquire, lock.wait_lost):
        with pytest.raises(NotStarted, match="another event loop"):
            in_a_thread(lambda call=call: asyncio.run(call()))
    grant.is_valid = True
    assert lock.held
    assert await lock.release() is True
