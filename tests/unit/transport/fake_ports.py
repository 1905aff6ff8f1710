"""A clock, entropy and network that do what a test says, and nothing by themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from casty.ports import EventSink, Link, LinkFactory, LinkHandler, Listener, Runtime
from casty.storage import MemoryStorage
from casty.tls import Config


class ManualTimer:
    def __init__(self, when_ns: int, callback: Callable[..., object], args: tuple[object, ...]) -> None:
        self.when_ns = when_ns
        self.callback = callback
        self.args = args
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class ManualClock:
    """Time moves by `advance` only."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.timers: list[ManualTimer] = []

    def now(self) -> int:
        return self.now_ns

    def call_at(self, when_ns: int, callback: Callable[..., object], *args: object) -> ManualTimer:
        timer = ManualTimer(when_ns, callback, args)
        self.timers.append(timer)
        return timer

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing here sleeps")

    def wall_s(self) -> int:
        return 0

    def due(self) -> list[int]:
        """When the timers run that are not cancelled."""
        return sorted(timer.when_ns for timer in self.timers if not timer.is_cancelled)

    def advance(self, to_ns: int) -> None:
        """Run every timer until then, in order."""
        while ready := [timer for timer in self.timers if not timer.is_cancelled and timer.when_ns <= to_ns]:
            timer = min(ready, key=lambda found: found.when_ns)
            self.timers.remove(timer)
            self.now_ns = max(self.now_ns, timer.when_ns)
            timer.callback(*timer.args)
        self.now_ns = to_ns


class FixedEntropy:
    def token(self, purpose: str, size: int) -> bytes:
        return b"\0" * size

    def below(self, purpose: str, bound: int) -> int:
        return bound - 1


class PipeLink:
    """One end of a link whose other end is the test."""

    def __init__(self) -> None:
        self.peer = ("test", 1)
        self.writes: list[bytes] = []
        self.buffered_bytes = 0
        self.is_closed = False
        self.is_aborted = False
        self.is_paused = False
        self.on_drained: Callable[[], None] | None = None

    def proves(self, host: str) -> bool:
        del host
        return True

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def write_parts(self, parts: Sequence[bytes]) -> None:
        self.writes += parts

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_aborted = True

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def when_drained(self, callback: Callable[[], None]) -> None:
        self.on_drained = callback

    def drain(self) -> None:
        """The other end took all."""
        self.buffered_bytes = 0
        callback, self.on_drained = self.on_drained, None
        assert callback is not None, "somebody waits for it"
        callback()


class ManualTransport:
    """Dials are futures that the test resolves."""

    def __init__(self) -> None:
        self.dials: list[tuple[tuple[str, int], LinkFactory, asyncio.Future[Link]]] = []

    async def listen(
        self, host: str, port: int, on_link: LinkFactory, *, tls: Config | None = None
    ) -> Listener:
        raise OSError("nobody listens here")

    async def dial(self, host: str, port: int, on_link: LinkFactory, *, tls: Config | None = None) -> Link:
        future: asyncio.Future[Link] = asyncio.get_running_loop().create_future()
        self.dials.append(((host, port), on_link, future))
        return await future

    def answer(self) -> tuple[PipeLink, LinkHandler]:
        """Answer the newest dial."""
        _, on_link, future = self.dials[-1]
        link = PipeLink()
        handler = on_link(link)
        future.set_result(link)
        return link, handler


class FakePorts:
    """All of them, and the runtime that they make."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.transport = ManualTransport()
        self.runtime = Runtime(self.clock, FixedEntropy(), self.transport, MemoryStorage(), EventSink())


async def settle() -> None:
    """Let everything run that is ready."""
    for _ in range(5):
        await asyncio.sleep(0)
