"""Real clients behind the interface that the simulator's workloads expect."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, NamedTuple, TypeVar

from casty import runtime
from casty.client import ClusterClient

__all__ = ["RealProcess", "RealWorld"]

T = TypeVar("T")


class RealIncarnation(NamedTuple):
    """Clients here live once."""

    ordinal: int = 0


class RealWorld:
    """Time of one run on real clocks: nanoseconds since it began."""

    def __init__(self) -> None:
        self._began_ns = time.monotonic_ns()

    @property
    def now_ns(self) -> int:
        """One clock for all clients: they share this process."""
        return time.monotonic_ns() - self._began_ns

    def record(self, name: str, event: object) -> None:
        """Nobody reads a trace of real processes; the history is kept apart."""


class RealProcess:
    """One client, as the workload sees it."""

    def __init__(self, name: str, client: ClusterClient) -> None:
        self.name = name
        self.client = client
        self.is_up = True
        self.incarnation = RealIncarnation()
        self.clock = runtime.current().clock

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run something as a task of this client."""
        return asyncio.get_running_loop().create_task(coroutine)
