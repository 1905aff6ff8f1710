"""The real ports: the system's clock, its randomness, TCP, and memory. The only module that reads them."""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from collections.abc import Callable
from functools import cache, partial

from casty.ports import Device, EventSink, Runtime
from casty.process_limits import descriptor_limit, memory_limit_bytes
from casty.storage import MemoryStorage
from casty.transport.names import addresses_of, outward_address
from casty.transport.tcp import TcpTransport

__all__ = ["SystemClock", "SystemEntropy", "default"]

_WALL_START_S = 1_735_689_600  # 2025-01-01 00:00 UTC
_SECOND_NS = 1_000_000_000


def _suspend_aware() -> Callable[[], int] | None:
    """Return a monotonic clock that counts on while the machine sleeps, where the system has one."""
    # Darwin's plain monotonic clock, which Python uses, stands still in sleep; its raw one does not.
    name = "CLOCK_MONOTONIC_RAW" if sys.platform == "darwin" else "CLOCK_BOOTTIME"
    number = getattr(time, name, None)
    return None if number is None else partial(time.clock_gettime_ns, number)


class SystemTimer:
    """A callback of the running loop that never runs before its instant."""

    __slots__ = ("_args", "_callback", "_clock", "_handle", "_loop", "_when_ns")

    def __init__(
        self, clock: SystemClock, when_ns: int, callback: Callable[..., object], args: tuple[object, ...]
    ) -> None:
        self._clock = clock
        self._when_ns = when_ns
        self._callback = callback
        self._args = args
        self._loop = asyncio.get_running_loop()
        self._handle = self._arm(when_ns - clock.now())

    def _arm(self, delay_ns: int) -> asyncio.Handle:
        if delay_ns <= 0:
            return self._loop.call_soon(self._fire)
        return self._loop.call_later(delay_ns / _SECOND_NS, self._fire)

    def _fire(self) -> None:
        # Loops round (uvloop to whole milliseconds), and their clock is not ours.
        early_ns = self._when_ns - self._clock.now()
        if early_ns > 0:
            self._handle = self._arm(early_ns)
        else:
            self._callback(*self._args)

    def cancel(self) -> None:
        """Make sure that the callback never runs."""
        self._handle.cancel()


class SystemClock:
    """The machine's monotonic clock, suspend-aware where there is one (`is_suspend_aware`)."""

    def __init__(self) -> None:
        reader = _suspend_aware()
        self.is_suspend_aware = reader is not None
        self.now: Callable[[], int] = reader or time.monotonic_ns

    def call_at(self, when_ns: int, callback: Callable[..., object], *args: object) -> SystemTimer:
        """Run the callback on the running loop, not before `when_ns`."""
        return SystemTimer(self, when_ns, callback, args)

    async def sleep(self, seconds: float) -> None:
        """Let others run for so long."""
        await asyncio.sleep(seconds)

    def wall_s(self) -> int:
        """Whole seconds of civil time since the start of 2025."""
        return int(time.time()) - _WALL_START_S


class SystemEntropy:
    """The system's randomness; the purpose of a draw plays no part."""

    def token(self, purpose: str, size: int) -> bytes:
        """So many unpredictable bytes."""
        del purpose
        return secrets.token_bytes(size)

    def below(self, purpose: str, bound: int) -> int:
        """A uniform integer, 0 <= n < bound."""
        del purpose
        return secrets.randbelow(bound)


def _device(path: str) -> Device:
    from casty.disk import SqliteDevice  # only who keeps something loads SQLite

    return SqliteDevice(path)


@cache
def default() -> Runtime:
    """Return this process's real runtime."""
    return Runtime(
        SystemClock(), SystemEntropy(), TcpTransport(), MemoryStorage(), EventSink(),
        memory_bytes=memory_limit_bytes(), descriptors=descriptor_limit(), device=_device, resolve=addresses_of,
        outward=outward_address,
    )  # fmt: skip
