"""A network in memory: messages between named processes, which a test delivers, loses, repeats or holds back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

__all__ = ["Flight", "Network"]

MessageT = TypeVar("MessageT")

MOST_HOPS = 100
"""A conversation that takes more never comes to rest."""


class Flight(NamedTuple, Generic[MessageT]):
    """A message on its way."""

    sender: str
    to: str
    message: MessageT


class Network(Generic[MessageT]):
    """Everything under way, first sent first; a link that is cut loses what arrives over it meanwhile.

    Parameters
    ----------
    receive
        Takes what arrives: sender, receiver, message. What it sends in turn travels one hop later.
    lost
        Hears of what arrives over a cut link, in the place of its receiver.
    """

    def __init__(
        self,
        receive: Callable[[str, str, MessageT], object],
        lost: Callable[[str, str, MessageT], object] | None = None,
    ) -> None:
        self.receive = receive
        self.lost = lost
        self.flights: list[Flight[MessageT]] = []
        self.cuts: dict[tuple[str, str], None] = {}

    def send(self, sender: str, to: str, message: MessageT) -> None:
        self.flights.append(Flight(sender, to, message))

    # -- links

    def is_cut(self, sender: str, to: str) -> bool:
        return (sender, to) in self.cuts

    def cut(self, *links: str) -> None:
        """Cut links: ``a-b`` both ways, ``a>b`` one way."""
        for link in links:
            left, right = link.replace(">", "-").split("-")
            self.cuts[left, right] = None
            if "-" in link:
                self.cuts[right, left] = None

    def isolate(self, name: str, *others: str) -> None:
        """Cut every link of a process to others."""
        self.cut(*(f"{name}-{other}" for other in others if other != name))

    def heal(self) -> None:
        """Restore every link; what was lost stays lost."""
        self.cuts.clear()

    # -- messages

    def lose(self, to: str | None = None) -> int:
        """Lose what is under way, to one process or to all; return how much that was."""
        before = len(self.flights)
        self.flights = [flight for flight in self.flights if to is not None and flight.to != to]
        return before - len(self.flights)

    def repeat(self) -> None:
        """Let everything that is under way arrive twice, the copies behind the originals."""
        self.flights += list(self.flights)

    def reverse(self) -> None:
        """Let what was sent last arrive first."""
        self.flights.reverse()

    def hop(self) -> bool:
        """Deliver what is under way now; whether anything is under way after that."""
        batch, self.flights = self.flights, []
        for flight in batch:
            if not self.is_cut(flight.sender, flight.to):
                self.receive(*flight)
            elif self.lost is not None:
                self.lost(*flight)
        return bool(self.flights)

    def deliver(self, hops: int = MOST_HOPS) -> None:
        """Deliver what is under way and what follows from it, for some hops; with all of them it comes to rest."""
        for _ in range(hops):
            if not self.hop():
                return
        assert hops < MOST_HOPS, f"messages never come to rest: {self.flights[:3]}"
