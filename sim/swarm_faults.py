"""The faults of a plan: of each family that takes part a few, aimed and timed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .dice import DRIFT_PPM, MIN_FOR_CRASH, TTLS_S, Cast, Dice
from .plan import FaultEvent

__all__ = ["Harm"]


class Harm:
    """The drawing of all faults.

    Parameters
    ----------
    dice, cast
        The plan's.
    families
        Those that take part.
    """

    def __init__(self, dice: Dice, cast: Cast, families: Sequence[str]) -> None:
        self._dice = dice
        self._cast = cast
        self._families = families

    def faults(self) -> tuple[FaultEvent, ...]:
        """Draw all faults, in the order of their times."""
        makers = self._makers()
        faults: list[FaultEvent] = []
        for family in self._families:
            if family in makers and (
                len(self._cast.nodes) >= MIN_FOR_CRASH or family not in ("crash", "restart")
            ):
                least, most = (1, 3) if family in ("crash", "restart") else (1, 6)
                for number in range(self._dice.between(f"{family}-count", 0, least, most)):
                    faults.append(makers[family](family, number))
        return tuple(sorted(faults, key=lambda fault: fault.at_us))

    def _makers(self) -> dict[str, Callable[[str, int], FaultEvent]]:
        direction = {"delay": "delay_us", "jitter": "jitter_us", "loss": "ppm", "fragment": "ppm"}
        makers: dict[str, Callable[[str, int], FaultEvent]] = dict.fromkeys(direction, self._on_direction)
        makers |= dict.fromkeys(("link_loss", "reset", "half_open", "one_way_cut"), self._on_link)
        makers |= dict.fromkeys(("split", "ring", "bridge"), self._partition)
        makers |= dict.fromkeys(("crash", "restart", "pause", "clock_drift"), self._on_node)
        makers |= dict.fromkeys(("client_crash", "client_pause", "client_cancel"), self._on_client)
        return makers

    def _at_us(self, family: str, number: int) -> int:
        return self._dice.between(f"{family}-at", number, 0, self._cast.duration_us * 9 // 10)

    def _duration_of(self, family: str, number: int) -> int:
        most_ms = self._dice.choice(
            f"{family}-range", number, (20, 20, 20, 300, 300, 300, 2000, 2000, 5000, 12000)
        )
        if self._dice.between(f"{family}-near", number, 0, 11) == 0:
            # About as long as a session lives: expiry and keep-alive cross.
            near_ms = 1000 * self._dice.choice("ttl", 0, TTLS_S)
            return self._dice.between(f"{family}-duration", number, near_ms - 800, near_ms + 800) * 1000
        return self._dice.between(f"{family}-duration", number, 1, most_ms) * 1000

    def _pair(self, family: str, number: int) -> tuple[str, str]:
        names = self._cast.nodes + self._cast.clients
        first = self._dice.between(f"{family}-first", number, 0, len(names) - 1)
        # Mostly between nodes: there the interesting part happens.
        is_inside = len(self._cast.nodes) > 1 and self._dice.between(f"{family}-inside", number, 0, 3) > 0
        if is_inside:
            first %= len(self._cast.nodes)
        others = [name for name in (self._cast.nodes if is_inside else names) if name != names[first]]
        return names[first], self._dice.choice(f"{family}-second", number, others)

    def _on_direction(self, family: str, number: int) -> FaultEvent:
        ranges = {"delay": 1_500_000, "jitter": 800_000, "loss": 300_000, "fragment": 1_000_000}
        args = {"delay": "delay_us", "jitter": "jitter_us", "loss": "ppm", "fragment": "ppm"}
        amount = self._dice.between(f"{family}-amount", number, 1_000, ranges[family])
        targets = self._pair(family, number)
        duration_us = self._duration_of(family, number)
        return FaultEvent(self._at_us(family, number), family, targets, duration_us, {args[family]: amount})

    def _on_link(self, family: str, number: int) -> FaultEvent:
        is_lasting = family in ("link_loss", "one_way_cut")
        duration_us = self._duration_of(family, number) if is_lasting else 0
        return FaultEvent(self._at_us(family, number), family, self._pair(family, number), duration_us)

    def _partition(self, family: str, number: int) -> FaultEvent:
        names = self._cast.nodes + self._cast.clients if family == "split" else self._cast.nodes
        order = self._dice.shuffled(f"{family}-order", number, names)
        size = (
            self._dice.between(f"{family}-size", number, 1, max(1, len(names) // 2))
            if family == "split"
            else len(order)
        )
        return FaultEvent(
            self._at_us(family, number), family, tuple(order[:size]), self._duration_of(family, number)
        )

    def _on_node(self, family: str, number: int) -> FaultEvent:
        target = (self._dice.choice(f"{family}-who", number, self._cast.nodes),)
        at_us = self._at_us(family, number)
        if family == "restart":
            return FaultEvent(at_us, family, target, after_ready=True)
        duration_us = self._duration_of(family, number)
        if family == "crash":
            args = {"is_power_loss": self._dice.between("power", number, 0, 1)}
            return FaultEvent(at_us, family, target, duration_us, args, after_ready=True)
        if family == "clock_drift":
            ppm = self._dice.between("drift-ppm", number, -DRIFT_PPM, DRIFT_PPM)
            return FaultEvent(at_us, family, target, duration_us, {"ppm": ppm})
        return FaultEvent(at_us, family, target, duration_us)

    def _on_client(self, family: str, number: int) -> FaultEvent:
        target = (self._dice.choice(f"{family}-who", number, self._cast.clients),)
        at_us = self._at_us(family, number)
        if family == "client_cancel":
            return FaultEvent(
                at_us, family, target, args={"which": self._dice.between("cancel", number, 0, 9)}
            )
        return FaultEvent(at_us, family, target, self._duration_of(family, number))
