"""A network in memory: messages between named processes, which a test delivers, loses, repeats or holds back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

__all__ = ["Flight", "Network", "Next", "at_once", "soon"]

MessageT = TypeVar("MessageT")

MOST_HOPS = 100
"""A conversation that takes more never comes to rest."""


class Flight(NamedTuple, Generic[MessageT]):
    """A message on its way."""

    sender: str
    to: str
    message: MessageT


def at_once(flight: Flight[Any], arrive: Callable[[], None]) -> None:
    """Carry a message while its sender still sends it."""
    del flight
    arrive()


def soon(flight: Flight[Any], arrive: Callable[[], None]) -> None:
    """Carry a message in the next turn of the loop."""
    del flight
    asyncio.get_running_loop().call_soon(arrive)


class Next:
    """The next few messages of a kind, for `Network.loses`; `left` is how many are still to come."""

    def __init__(self, left: int, is_one: Callable[[Flight[Any]], bool]) -> None:
        self.left = left
        self._is_one = is_one

    def __call__(self, flight: Flight[Any]) -> bool:
        is_one = self.left > 0 and self._is_one(flight)
        self.left -= is_one
        return is_one


class Network(Generic[MessageT]):
    """Everything under way, first sent first; a link that is cut loses what arrives over it meanwhile.

    Parameters
    ----------
    receive
        Takes what arrives: sender, receiver, message. What it sends in turn travels one hop later.
    lost
        Hears of what arrives over a cut link, in the place of its receiver.
    carry
        Decides when a message arrives that is not held back: `at_once`, `soon`, or as a world wants it. Without it
        the test delivers.
    knows_cuts
        Whether nothing is sent over a link that is cut, as both ends know of it.
    """

    def __init__(
        self,
        receive: Callable[[str, str, MessageT], object],
        lost: Callable[[str, str, MessageT], object] | None = None,
        *,
        carry: Callable[[Flight[MessageT], Callable[[], None]], object] | None = None,
        knows_cuts: bool = False,
    ) -> None:
        self.receive = receive
        self.lost = lost
        self.carry = carry
        self.knows_cuts = knows_cuts
        self.sent: list[Flight[MessageT]] = []
        """Everything that was ever sent."""
        self.flights: list[Flight[MessageT]] = []
        self.cuts: dict[tuple[str, str], None] = {}
        self.copies = 1
        """How often what is sent now arrives."""
        self.loses: Callable[[Flight[MessageT]], bool] | None = None
        """Which messages are lost as they are sent; their senders do not know. A cut loses what arrives."""
        self.holds: Callable[[Flight[MessageT]], bool] | None = None
        """Which messages are held back as they are sent."""
        self.held: list[Flight[MessageT]] = []
        """What was held back; none of it is in `flights`."""

    def send(self, sender: str, to: str, message: MessageT) -> bool:
        """Send a message; whether it is under way."""
        if self.knows_cuts and self.is_cut(sender, to):
            return False
        flight = Flight(sender, to, message)
        self.sent.append(flight)
        if self.loses is not None and self.loses(flight):
            return True
        if self.holds is not None and self.holds(flight):
            self.held.append(flight)
            return True
        for _ in range(self.copies):
            self.flights.append(flight)
            if self.carry is not None:
                self.carry(flight, partial(self._come, flight))
        return True

    def _come(self, flight: Flight[MessageT]) -> None:
        if any(one is flight for one in self.flights):
            self.arrive(flight)

    # -- links

    def is_cut(self, sender: str, to: str) -> bool:
        return (sender, to) in self.cuts

    def cut(self, *links: str) -> None:
        """Cut links: ``a-b`` both ways, ``a>b`` one way."""
        self.cuts.update(dict.fromkeys(_ways(links)))

    def mend(self, *links: str) -> None:
        """Restore links, named as in `cut`; what was lost stays lost."""
        for way in _ways(links):
            self.cuts.pop(way, None)

    def heal(self) -> None:
        """Restore every link."""
        self.cuts.clear()

    def isolate(self, name: str, *others: str) -> None:
        """Cut every link of a process to others."""
        self.cut(*(f"{name}-{other}" for other in others if other != name))

    # -- messages

    def lose(self, is_lost: Callable[[Flight[MessageT]], bool] = lambda flight: True) -> int:
        """Lose what is under way, or what of it is so; return how much that was."""
        before = len(self.flights)
        self.flights = [flight for flight in self.flights if not is_lost(flight)]
        return before - len(self.flights)

    def repeat(self) -> None:
        """Let everything that is under way arrive twice, the copies behind the originals."""
        self.flights += list(self.flights)

    def reverse(self) -> None:
        """Let what was sent last arrive first."""
        self.flights.reverse()

    def hold(self) -> None:
        """Hold back everything from now on."""
        self.holds = lambda flight: True

    def let_pass(self) -> None:
        """Hold back nothing more; what was stays where it is."""
        self.holds = None

    def release(self) -> None:
        """Hold back nothing more, and let all that was arrive now."""
        self.holds = None
        held, self.held = self.held, []
        for flight in held:
            self.hand_over(flight)

    def arrive(self, flight: Flight[MessageT], *, again: bool = False) -> None:
        """Let one message arrive; `again` leaves a copy under way."""
        if not again:
            del self.flights[next(place for place, one in enumerate(self.flights) if one is flight)]
        self.hand_over(flight)

    def hand_over(self, flight: Flight[MessageT]) -> None:
        """Give a message to its receiver, or lose it."""
        if not self.is_cut(flight.sender, flight.to):
            self.receive(*flight)
        elif self.lost is not None:
            self.lost(*flight)

    def hop(self) -> bool:
        """Deliver what is under way now; whether anything is under way after that."""
        batch, self.flights = self.flights, []
        for flight in batch:
            self.hand_over(flight)
        return bool(self.flights)

    def deliver(self, hops: int = MOST_HOPS) -> None:
        """Deliver what is under way and what follows from it, for some hops; with all of them it comes to rest."""
        for _ in range(hops):
            if not self.hop():
                return
        assert hops < MOST_HOPS, f"messages never come to rest: {self.flights[:3]}"


def _ways(links: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return the pairs of sender and receiver that links stand for."""
    ways = []
    for link in links:
        left, right = link.replace(">", "-").split("-")
        ways += [(left, right), (right, left)] if "-" in link else [(left, right)]
    return ways
