"""An actor for tests: whatever it is told waits for the test to ask for it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Protocol, TypeVar

from casty import runtime as runtimes
from casty.actor.behavior import Behavior, Behaviors
from casty.actor.ref import ActorRef
from casty.checks import check_seconds, shown
from casty.config import SECOND_NS

__all__ = ["TestProbe"]

M = TypeVar("M")


class Spawner(Protocol):
    """A system, a node or a client."""

    def spawn(self, behavior: Behavior[Any], name: str) -> ActorRef[Any]:
        """Start an actor."""
        ...


class TestProbe:
    """Stands for an actor that the code under test sends to.

    Time is that of the process: real, or that of a simulated world, where waiting takes none.

    Parameters
    ----------
    system
        Where it lives.
    name
        Unique there.

    Examples
    --------
    >>> async def test_echo(system):
    ...     probe = TestProbe(system)
    ...     system.spawn(echo, "echo").tell(Ask("hello", reply_to=probe.ref))
    ...     assert (await probe.expect(str)) == "hello"
    """

    __test__ = False  # no class of tests, whatever its name

    __slots__ = ("_clock", "_got", "_waiting", "ref")

    def __init__(self, system: Spawner, name: str = "probe") -> None:
        self._clock = runtimes.current().clock
        self._got: deque[object] = deque()
        self._waiting: asyncio.Future[None] | None = None
        self.ref: ActorRef[Any] = system.spawn(Behaviors.setup(self._begin), name)

    async def _begin(self, ctx: Any) -> Behavior[Any]:
        ctx.register_interceptor(self._take)
        return Behaviors.ignore()

    def _take(self, message: object) -> bool:
        self._got.append(message)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
        return True

    async def receive(self, timeout: float = 3.0) -> object:
        """Return the next message, whatever it is; `AssertionError` when none comes within so many seconds."""
        check_seconds(timeout)
        if not await self._comes(timeout):
            raise AssertionError(f"{self.ref.id}: expected a message within {timeout} s, got none")
        return self._got.popleft()

    async def expect(self, kind: type[M], timeout: float = 3.0) -> M:
        """Return the next message, which has to be of a type.

        Raises
        ------
        AssertionError
            None comes within so many seconds, or one of another type; that one is kept.
        """
        check_seconds(timeout)
        if not await self._comes(timeout):
            raise AssertionError(f"{self.ref.id}: expected {kind.__name__} within {timeout} s, got nothing")
        message = self._got[0]
        if not isinstance(message, kind):
            raise AssertionError(f"{self.ref.id}: expected {kind.__name__}, got {shown(message, 200)}")
        self._got.popleft()
        return message

    async def expect_nothing(self, seconds: float = 0.2) -> None:
        """Wait so long; `AssertionError` when a message is here or comes meanwhile."""
        check_seconds(seconds, "seconds")
        if await self._comes(seconds):
            raise AssertionError(
                f"{self.ref.id}: expected nothing for {seconds} s, got {shown(self._got[0], 200)}"
            )

    async def _comes(self, seconds: float) -> bool:
        """Whether a message is here, or comes in time."""
        if self._got:
            return True
        assert self._waiting is None, "one test waits at a time"
        self._waiting = waiting = asyncio.get_running_loop().create_future()
        timer = self._clock.call_at(self._clock.now() + int(seconds * SECOND_NS), _give_up, waiting)
        try:
            await waiting
        finally:
            timer.cancel()
            self._waiting = None
        return bool(self._got)


def _give_up(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
