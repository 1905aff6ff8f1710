"""The draws of one plan: each is keyed by the scenario and by what it is for, so a new one moves no other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from ...kernel.draws import Draws

__all__ = ["DRIFT_PPM", "EVERYTHING", "MIN_FOR_CRASH", "SECOND_US", "TTLS_S", "Cast", "Dice", "duration_of"]

T = TypeVar("T")

SECOND_US = 1_000_000
_DURATION_S = 12
_DURATION_OF_ALL_S = 8
"""There the faults of twice as many families meet each other. Sessions that nobody renews end within it, or, where
their time to live is long, while the cluster recovers."""

EVERYTHING = ("mixed", "membership", "memory")
"""Scenarios that use all structures."""

MIN_FOR_CRASH = 3
"""Nodes that tolerate the death of one."""
TTLS_S = (6, 6, 7, 10)
DRIFT_PPM = 4_900
"""At most: two clocks then differ by less than the 1 % that `Settings.drift` allows at least."""

_HALF = 500_000


def duration_of(scenario: str) -> int:
    """Return the virtual seconds of workload and faults, unless told otherwise."""
    return _DURATION_OF_ALL_S if scenario in EVERYTHING else _DURATION_S


class Cast(NamedTuple):
    """Who takes part, by name, and for how long."""

    nodes: list[str]
    clients: list[str]
    duration_us: int


class Dice:
    """What the parts of a swarm draw with.

    Parameters
    ----------
    scenario, seed
        What the plan is for.
    """

    def __init__(self, scenario: str, seed: int) -> None:
        self.scenario = scenario
        self._draws = Draws(seed)

    def between(self, what: str, number: int, low: int, high: int) -> int:
        """Return an integer, low <= n <= high."""
        return self._draws.between("plan", f"{self.scenario}/{what}", number, low, high)

    def choice(self, what: str, number: int, items: Sequence[T]) -> T:
        """Return one of the items."""
        return items[self.between(what, number, 0, len(items) - 1)]

    def is_on(self, what: str, name: str) -> bool:
        """Whether a family, or a kind of operation, takes part: half of them do."""
        return self._draws.chance("plan-on", f"{self.scenario}/{what}/{name}", 0, _HALF)

    def one_in(self, what: str, number: int, count: int) -> bool:
        """Whether something happens that happens once in so many times."""
        return self.between(what, number, 0, count - 1) == 0

    def shuffled(self, what: str, number: int, items: Sequence[T]) -> list[T]:
        """Return the items in a drawn order."""
        return self._draws.shuffled("plan", f"{self.scenario}/{what}/{number}", list(items))
