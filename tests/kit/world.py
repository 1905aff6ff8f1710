"""What a test stands on: one clock, one entropy, one network and the ports of processes, and the turns they take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from casty.config import SECOND_NS
from tests.kit.clock import ManualClock, settle
from tests.kit.entropy import CountedEntropy, in_turn
from tests.kit.network import Flight, Network
from tests.kit.ports import Ports

__all__ = ["World"]

MessageT = TypeVar("MessageT")

MOST_STEPS = 10_000
"""A world that takes more never comes to rest."""


class World(Generic[MessageT]):
    """Nothing happens in it but by what a test says.

    A world of something gives what is special to it: `receive`, and where it has them `tick` and `step`. One that is
    driven without a loop uses `pass_s` and `network.deliver`; one with tasks `settle`, `run` and `advance`.

    Parameters
    ----------
    now_ns, wall_s
        Where the clock stands.
    choose
        How the entropy makes integers of its draws.
    receive, lost, carry, knows_cuts
        How the network is; see `Network`. What a class of its own takes stands in its method `receive`.
    """

    turns = 50
    """Of the loop: more than anything here takes to come to rest."""
    tick_ns = 0
    """How often `tick` is called as time passes; never with 0."""

    def __init__(
        self,
        now_ns: int = SECOND_NS,
        *,
        wall_s: int = 1,
        choose: Callable[[int, int], int] = in_turn,
        receive: Callable[[str, str, MessageT], object] | None = None,
        lost: Callable[[str, str, MessageT], object] | None = None,
        carry: Callable[[Flight[MessageT], Callable[[], None]], object] | None = None,
        knows_cuts: bool = False,
    ) -> None:
        self.clock = ManualClock(now_ns, wall_s)
        self.entropy = CountedEntropy(choose)
        self.network: Network[MessageT] = Network(
            receive or self.receive, lost, carry=carry, knows_cuts=knows_cuts
        )

    def ports(self, *, is_observed: bool = False) -> Ports:
        """Make the ports of one process, on this clock and this entropy."""
        return Ports(self.clock, self.entropy, is_observed=is_observed)

    # -- what a world of something gives

    def receive(self, sender: str, to: str, message: MessageT) -> None:
        """Take a message that arrives."""
        raise AssertionError(f"nobody is at {to}")

    def tick(self) -> None:
        """Do what happens each `tick_ns`."""

    def step(self) -> bool:
        """Let the next thing happen; whether there was any."""
        if not self.network.flights:
            return False
        self.network.arrive(self.network.flights[0])
        return True

    # -- turns and time

    async def settle(self) -> None:
        """Let every task run until it waits; nothing arrives but what the network carries by itself."""
        await settle(self.turns)

    async def run(self) -> None:
        """Let tasks run and messages arrive until nothing is under way."""
        for _ in range(MOST_STEPS):
            await self.settle()
            if not self.step():
                return
        raise AssertionError("never quiet")

    async def advance(self, seconds: float, *, quiet: bool = False) -> None:
        """Let time pass: after every timer and every tick what follows comes to rest.

        With `quiet` only tasks run meanwhile, and what they send stays under way.
        """
        rest = self.settle if quiet else self.run
        await self.settle()
        for is_tick in self.clock.instants(self._after(seconds), self.tick_ns):
            if is_tick:
                self.tick()
            await rest()
        await rest()

    def pass_s(self, seconds: float) -> None:
        """Let time pass where no task runs.

        What timers of one instant send is delivered before the next instant, but by a network that carries it.
        """
        for _ in self.clock.instants(self._after(seconds)):
            if self.network.carry is None and self.clock.next_ns() != self.clock.now():
                self.network.deliver()

    def _after(self, seconds: float) -> int:
        return self.clock.now() + int(seconds * SECOND_NS)
