"""All ports of one process, for a test that moves them: nothing happens by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from casty.ports import EventSink, Link, LinkFactory, LinkHandler, Listener, Runtime
from casty.tls import Config
from tests.kit.clock import ManualClock
from tests.kit.entropy import CountedEntropy
from tests.kit.storage import ManualStorage

__all__ = ["ManualTransport", "PipeLink", "Ports"]


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


class Ports:
    """A clock, entropy, network and storage that do what a test says, and the `runtime` that they make.

    `events` has what was observed, in order, where `is_observed`; else nobody listens, as in production.
    """

    def __init__(
        self,
        clock: ManualClock | None = None,
        entropy: CountedEntropy | None = None,
        *,
        is_observed: bool = False,
    ) -> None:
        self.clock = ManualClock() if clock is None else clock
        self.entropy = CountedEntropy() if entropy is None else entropy
        self.transport = ManualTransport()
        self.storage = ManualStorage()
        self.events: list[Any] = []
        observe = EventSink()
        if is_observed:
            observe.subscribe(self.events.append)
        self.runtime = Runtime(self.clock, self.entropy, self.transport, self.storage, observe)
