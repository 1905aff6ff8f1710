"""Services in a workload: half of the seeds register actors on their nodes, and ask for them everywhere."""

from __future__ import annotations

from ..plan import PlannedOperation
from .actors import ACTORS
from .dice import SECOND_US, Cast, Dice

__all__ = ["SERVICE_ARGUMENTS", "Services"]

Args = dict[str, int | str | bool | None]

SERVICE_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "service.register": (),
    "service.deregister": ("which",),
    "service.again": ("which",),
    "service.stop": ("which",),
    "service.subscribe": (),
    "service.find": (),
}
"""Kind of operation -> its arguments."""

_WEIGHTS = (
    ("service.register", 6), ("service.deregister", 2), ("service.again", 1), ("service.stop", 2),
    ("service.subscribe", 3), ("service.find", 2),
)  # fmt: skip
_ANYWHERE = ("service.subscribe", "service.find")
_SCENARIOS = ("mixed", "membership", ACTORS)
_MOST_WHICH = 9


class Services:
    """The drawing of them; for the scenarios that have all structures.

    Parameters
    ----------
    dice, cast
        The plan's.
    """

    def __init__(self, dice: Dice, cast: Cast) -> None:
        self._dice = dice
        self._cast = cast

    def operations(self) -> list[PlannedOperation]:
        """Draw all of them."""
        dice = self._dice
        if dice.scenario not in _SCENARIOS or not dice.is_on("more", "services"):
            return []
        kinds = [kind for kind, weight in _WEIGHTS for _ in range(weight)]
        return [self._operation(kinds, number) for number in range(dice.between("services", 0, 6, 24))]

    def _operation(self, kinds: list[str], number: int) -> PlannedOperation:
        dice, cast = self._dice, self._cast
        kind = dice.choice("service-kind", number, kinds)
        who = [*cast.nodes, *cast.clients] if kind in _ANYWHERE else cast.nodes
        at_us = dice.between("service-at", number, 0, cast.duration_us)
        if dice.one_in("service-burst", number, 3):
            at_us -= at_us % SECOND_US
        args: Args = {"which": dice.between("service-which", number, 0, _MOST_WHICH)}
        return PlannedOperation(
            at_us,
            dice.choice("service-who", number, who),
            kind,
            f"service-{dice.between('service-key', number, 1, 2)}",
            args if SERVICE_ARGUMENTS[kind] else {},
        )
