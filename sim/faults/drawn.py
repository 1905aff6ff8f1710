"""Faults drawn from a seed, one after the other, as events of a plan. Pure: who may be harmed is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..kernel.draws import Draws
from ..plans.plan import FaultEvent
from .settings import LINK_FAMILIES, PROCESS_FAMILIES, Faults

__all__ = ["DrawnFaults"]

_MILLI = 1_000
_HOUR_S = 3_600
_DELAY_US = 500_000
_CLOG_BYTES_PER_S = 20_000
_AT_ONCE = ("reset", "half_open")
"""Kinds that last no time of their own."""


class DrawnFaults:
    """One run's faults. Each draw is keyed by its family and by how many of it came before, so that families do not
    disturb each other.

    Parameters
    ----------
    draws
        The seed's.
    faults
        What may be drawn.

    Attributes
    ----------
    families
        Those of this seed that come and go while it runs.
    """

    def __init__(self, draws: Draws, faults: Faults) -> None:
        self._draws = draws
        self._faults = faults
        self._counts: dict[str, int] = {}
        self.families = [name for name in faults.chosen(draws) if name in LINK_FAMILIES + PROCESS_FAMILIES]
        self._by_family: dict[str, Callable[[str, Sequence[str]], dict[str, int]]] = {
            "delay": lambda _, __: {"delay_us": 1 + self._draw("amount", "delay", _DELAY_US)},
            "clog": lambda _, __: {"bytes_per_s": _CLOG_BYTES_PER_S},
            "crash": lambda _, __: {"is_power_loss": self._draw("amount", "crash", 2)},
            "clock_drift": lambda _, __: {"ppm": self._between("clock_drift", faults.max_drift_ppm)},
            "wall_step": lambda _, __: {"seconds": self._between("wall_step", _HOUR_S)},
        }

    def gap_s(self, family: str) -> float:
        """Return how long after the fault of a family before, or after the beginning, the next one comes."""
        gap_ms = round(2 * self._faults.gap_s * _MILLI) * len(self.families)
        return self._draw("gap", family, gap_ms + 1) / _MILLI

    def next(
        self, family: str, at_us: int, nodes: Sequence[str], machines: Sequence[str]
    ) -> FaultEvent | None:
        """Draw the next fault of a family; None where nobody is there for it.

        Parameters
        ----------
        family
            One of `families`.
        at_us
            When it comes.
        nodes
            Whose machines and links are harmed.
        machines
            Everybody at the other end of a link.
        """
        targets = self._targets(family, nodes, machines) if nodes else ()
        lasts_ms = 0 if family in _AT_ONCE else 1 + self._draw("duration", family, self._longest_ms)
        draw_args = self._by_family.get(family)
        args = {} if draw_args is None else draw_args(family, targets)
        self._counts[family] = self._counts.get(family, 0) + 1
        return FaultEvent(at_us, family, targets, lasts_ms * 1000, args) if targets else None

    @property
    def _longest_ms(self) -> int:
        return round(self._faults.duration_s * _MILLI)

    def _targets(self, family: str, nodes: Sequence[str], machines: Sequence[str]) -> tuple[str, ...]:
        if family in ("ring", "bridge"):
            return tuple(nodes)
        if family == "split":
            order = self._draws.shuffled("nemesis-split", str(self._counts.get(family, 0)), list(machines))
            return tuple(order[: 1 + self._draw("size", family, max(1, len(machines) - 1))])
        victim = nodes[self._draw("victim", family, len(nodes))]
        if family in PROCESS_FAMILIES:
            return (victim,)
        other = machines[self._draw("other", family, len(machines))]
        return (victim, other) if other != victim else ()

    def _between(self, family: str, most: int) -> int:
        return self._draw("amount", family, 2 * most + 1) - most

    def _draw(self, what: str, family: str, bound: int) -> int:
        return self._draws.below(f"nemesis-{what}", family, self._counts.get(family, 0), bound)
