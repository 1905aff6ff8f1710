"""Locks and semaphores over a slot in miniature, for the tests of what their users see."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from casty.distributed.facade import Distributed
from casty.distributed.lock import Lock
from casty.distributed.semaphore import Semaphore
from tests.unit.distributed.machine import FakeGateway, FakePort, Slot


class TwoClients:
    """Two gateways to one slot, and what their users have."""

    def __init__(self) -> None:
        self.slot = Slot()
        self.gateways = [FakeGateway(self.slot, session) for session in (1, 2)]
        self.ports: list[FakePort] = [gateway.structures for gateway in self.gateways]

    def lock(self, at: int = 0, timeout: float | None = 5.0) -> Lock:
        return Distributed(self.gateways[at]).lock("door", timeout=timeout)

    def pool(self, permits: int = 3, at: int = 0) -> Semaphore:
        return Distributed(self.gateways[at]).semaphore("pool", permits)

    def lose(self, holder: Any, at: int = 0) -> None:
        """The oldest hold of a lock or semaphore ends early."""
        self.ports[at].lose(next(iter(self.ports[at].grants)))


async def inside(holder: Lock | Semaphore, *steps: Callable[[], object]) -> None:
    """Run the steps, one after the other, while holding."""
    async with holder:
        for step in steps:
            result = step()
            if isinstance(result, Awaitable):
                await result


def fail() -> None:
    raise KeyError("body")


def for_ever() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()
