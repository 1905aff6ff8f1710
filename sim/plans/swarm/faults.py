"""The faults of a plan: of each family that takes part a few, aimed and timed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..fault_kinds import ALLOCATING, DEATHS, GATED, LASTING
from ..plan import FaultEvent
from .actors import ACTORS, decisive_ms
from .dice import DRIFT_PPM, EVERYTHING, MIN_FOR_CRASH, SECOND_US, TTLS_S, Cast, Dice
from .journal import JOURNAL
from .memory import Little, duration_us

__all__ = ["AIMS", "HEIRS", "LATE", "Harm"]


_OFTEN = ("call", "commit", "answer")
"""Events that come many times a second."""
_MANY_TIMES = 5
_MANY_NODES = ("crash", "restart", "partial", "allocation")


class Aim(NamedTuple):
    """A fault, its roles, what it may wait for, how many nodes it takes to survive it, and a number within bounds."""

    kind: str
    targets: tuple[str, ...]
    events: tuple[str, ...] = ("call", "commit")
    nodes: int = 1
    args: tuple[str, int, int] | None = None


AIMS: dict[str, Aim] = {
    "leader crash": Aim("crash", ("@leader",), nodes=3),
    "leader pause": Aim("pause", ("@leader",)),
    "leader stop": Aim("stop", ("@leader",), nodes=3),
    "leader alone": Aim("split", ("@leader",), nodes=3),
    "leader with its clients": Aim("split", ("@leader", "@clients"), nodes=3),
    "leader deaf to its acker": Aim("one_way_cut", ("@acker", "@leader"), nodes=3),
    "leader and acker crash": Aim("crash", ("@leader", "@acker"), nodes=5),
    "acker crash": Aim("crash", ("@acker",), ("commit",), nodes=3),
    "laggard cut": Aim("split", ("@follower",), nodes=3),
    "control crash": Aim("crash", ("@control",), ("call", "session", "crash"), nodes=3),
    "control pause": Aim("pause", ("@control",), ("call", "session", "start")),
    "new leader pause": Aim("pause", ("@leader",), ("elected",)),
    "holder pause": Aim("client_pause", ("@holder",), ("answer", "commit")),
    "holder crash": Aim("client_crash", ("@holder",), ("answer", "commit")),
    "holder leaves": Aim("client_leave", ("@holder",), ("answer", "call")),
    "waiter cancelled": Aim(
        "client_cancel", ("@waiter",), ("call", "commit", "answer"), args=("which", 0, 9)
    ),
    "leader without memory": Aim("memory", ("@leader",), args=("percent", 60, 150)),
    "laggard without memory": Aim("memory", ("@follower",), ("commit",), nodes=3, args=("percent", 60, 150)),
    "leader without an allocation": Aim(
        "allocation", ("@leader",), nodes=3, args=("at", 0, len(ALLOCATING) - 1)
    ),
    "changer pause": Aim("pause", ("@changer",), ("joint",), nodes=3),
    "changer alone": Aim("split", ("@changer",), ("joint",), nodes=3),
    "answers cut": Aim("one_way_cut", ("@leader", "@waiter")),
    "answers clogged": Aim("clog", ("@leader", "@waiter"), args=("bytes_per_s", 500, 20_000)),
    "entries clogged": Aim("clog", ("@leader", "@follower"), nodes=3, args=("bytes_per_s", 500, 20_000)),
    "leader slow": Aim("slow_node", ("@leader",), args=("held_us", 2_000, 120_000)),
}
"""Aimed faults, by name."""

LATE: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("client_pause", ("@waiter",)),
    ("split", ("@expirer", "@late")),
)
"""What makes a session be heard of after its leader has given it up, and before that is committed: its client stands
still until then, and then reaches the leader, whose followers do not hear it."""


HEIRS = ("reset", ("@heir", "@elector"))
"""What makes a new leader send its first entry again, and learn before that what its followers have of others."""


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

    def faults(self) -> list[FaultEvent]:
        """Draw all faults."""
        makers = self._makers()
        faults: list[FaultEvent] = []
        for family in self._families:
            if family in makers and (len(self._cast.nodes) >= MIN_FOR_CRASH or family not in _MANY_NODES):
                least, most = (1, 3) if family in ("crash", "restart") else (1, 4)
                for number in range(self._dice.between(f"{family}-count", 0, least, most)):
                    faults.append(makers[family](family, number))
        return [*faults, *self._aimed_faults()]

    # -- at whoever has a role

    def _aimed_faults(self) -> list[FaultEvent]:
        """Draw faults that look for their targets when they fire; each seed has about half of the aims."""
        faults = [
            self._aimed(name, aim, number)
            for name, aim in AIMS.items()
            if self._has(name, aim)
            for number in range(self._dice.choice(f"{name}-count", 0, (1, 1, 1, 2)))
        ]
        if len(self._cast.nodes) >= MIN_FOR_CRASH:
            faults += self._in_peace()
            faults += self._late_session()
            faults += self._heirs()
        if self._dice.scenario == "mixed":
            at_us = self._dice.between("reseat-at", 0, 0, self._cast.duration_us // 4)
            faults.append(
                FaultEvent(at_us, "restart", ("@leader",), after_ready=True, trigger=("call", 1, 0))
            )
        return faults

    def _has(self, name: str, aim: Aim) -> bool:
        """Half of the seeds; all that are able to where that are few."""
        if aim.kind == "allocation" and self._dice.scenario not in (*EVERYTHING, ACTORS):
            return False
        if aim.kind == "memory" and self._dice.scenario == JOURNAL:
            return False  # who reads what is on record may have to restore it: that grows
        is_rare = aim.nodes > MIN_FOR_CRASH
        return len(self._cast.nodes) >= aim.nodes and (is_rare or self._dice.is_on("aim", name))

    def _aimed(self, name: str, aim: Aim, number: int) -> FaultEvent:
        event = self._dice.choice(f"{name}-event", number, aim.events)
        count = self._dice.between(f"{name}-nth", number, 1, 6 if event in _OFTEN else 2)
        most_us = self._dice.choice(f"{name}-later", number, (0, 300, 3_000, 30_000))
        args: dict[str, int] = {}
        if aim.args is not None:
            what, least, most = aim.args
            args[what] = self._dice.between(f"{name}-{what}", number, least, most)
        is_memory = aim.kind == "memory"
        length_us = duration_us(self._dice, name, number) if is_memory else self._long(name, number)
        return FaultEvent(
            self._at_us(name, number),
            aim.kind,
            aim.targets,
            length_us if aim.kind in LASTING else 0,
            args,
            after_ready=aim.kind in GATED,
            trigger=(event, count, self._dice.between(f"{name}-delay", number, 0, most_us)),
            again=self._dice.choice(f"{name}-again", number, (0, 0, 0, 1)),
        )

    def _long(self, name: str, number: int) -> int:
        """Draw a duration: short, about an election, or on either side of a session's time to live."""
        ttl_ms = 1000 * self._dice.choice("ttl", 0, TTLS_S)
        most_ms = self._dice.choice(
            f"{name}-range", number, (30, 30, 300, 300, 300, 2_000, 2_000, ttl_ms, 3 * ttl_ms // 2)
        )
        return 1000 * self._dice.between(f"{name}-duration", number, most_ms // 2, most_ms)

    def _late_session(self) -> list[FaultEvent]:
        """A session that comes back just when it is given up, where the run is long enough for that; see `LATE`."""
        ttl_us = self._dice.choice("ttl", 0, TTLS_S) * SECOND_US
        latest_us = self._cast.duration_us - ttl_us - SECOND_US
        if latest_us < 0 or not self._dice.is_on("aim", "late session"):
            return []
        (pause, client), (split, pair) = LATE
        at_us = self._dice.between("late-at", 0, 0, latest_us)
        event = self._dice.choice("late-event", 0, ("call", "answer", "commit"))
        trigger = (
            event,
            self._dice.between("late-nth", 0, 1, 6),
            self._dice.between("late-later", 0, 0, 3_000),
        )
        until = ("expiring", 1, self._dice.between("late-back", 0, 0, 3_000))
        apart_us = 1000 * self._dice.between("late-apart", 0, 100, 1_500)
        return [
            FaultEvent(at_us, pause, client, 2 * ttl_us, trigger=trigger, until=until),
            FaultEvent(at_us, split, pair, apart_us, trigger=("expiring", 1, 0)),
        ]

    def _heirs(self) -> list[FaultEvent]:
        """The first words of new leaders are lost, of whichever group; see `HEIRS`."""
        if not self._dice.is_on("aim", "heirs"):
            return []
        kind, targets = HEIRS
        at_us = self._dice.between("heirs-at", 0, 0, self._cast.duration_us // 4)
        most_us = self._dice.choice("heirs-later", 0, (0, 100, 3_000))
        trigger = ("heir", 1, self._dice.between("heirs-delay", 0, 0, most_us))
        return [FaultEvent(at_us, kind, targets, trigger=trigger, again=_MANY_TIMES)]

    def _in_peace(self) -> list[FaultEvent]:
        """Faults during the final probes: such as every call survives."""
        if not self._dice.is_on("aim", "probes"):
            return []
        kind = self._dice.choice("probes-kind", 0, ("restart", "stop", "reset", "pause"))
        at_us = self._dice.between("probes-at", 0, 0, 200_000)
        is_death = kind in DEATHS
        duration_us = 1000 * self._dice.between("probes-duration", 0, 1, 300) if kind in LASTING else 0
        targets = ("@leader", "@clients") if kind == "reset" else ("@leader",)
        trigger = (
            "call",
            self._dice.between("probes-nth", 0, 1, 8),
            self._dice.between("probes-delay", 0, 0, 3_000),
        )
        return [FaultEvent(at_us, kind, targets, duration_us, {}, is_death, trigger, phase="probes")]

    # -- at whoever it meets

    def _makers(self) -> dict[str, Callable[[str, int], FaultEvent]]:
        direction = {"delay": "delay_us", "jitter": "jitter_us", "loss": "ppm", "fragment": "ppm"}
        makers: dict[str, Callable[[str, int], FaultEvent]] = dict.fromkeys(direction, self._on_direction)
        makers |= dict.fromkeys(("link_loss", "reset", "half_open", "one_way_cut"), self._on_link)
        makers |= dict.fromkeys(("split", "ring", "bridge"), self._partition)
        makers |= dict.fromkeys(("crash", "restart", "pause", "clock_drift"), self._on_node)
        makers |= {
            "clog": self._clog, "partial": self._partial, "slow_node": self._slow, "wall_step": self._wall_step,
        }  # fmt: skip
        makers |= dict.fromkeys(("client_crash", "client_pause", "client_cancel"), self._on_client)
        makers["memory"] = Little(self._dice, self._cast).fault
        makers["allocation"] = self._allocation
        return makers

    def _at_us(self, family: str, number: int) -> int:
        return self._dice.between(f"{family}-at", number, 0, self._cast.duration_us * 9 // 10)

    def _duration_of(self, family: str, number: int) -> int:
        if self._dice.scenario == ACTORS and self._dice.one_in(f"{family}-near", number, 3):
            return 1000 * decisive_ms(self._dice, family, number)
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

    def _clog(self, family: str, number: int) -> FaultEvent:
        rate = self._dice.choice(f"{family}-rate", number, (300, 1_000, 5_000, 5_000, 50_000))
        args = {"bytes_per_s": self._dice.between(f"{family}-amount", number, rate // 2, rate)}
        targets = self._pair(family, number)
        return FaultEvent(
            self._at_us(family, number), family, targets, self._duration_of(family, number), args
        )

    def _partial(self, family: str, number: int) -> FaultEvent:
        names = self._dice.shuffled(f"{family}-order", number, self._cast.nodes)
        args = {"links": self._dice.between(f"{family}-links", number, 1, len(names))}
        duration_us = self._duration_of(family, number)
        return FaultEvent(self._at_us(family, number), family, tuple(names), duration_us, args)

    def _allocation(self, family: str, number: int) -> FaultEvent:
        target = (self._dice.choice(f"{family}-who", number, self._cast.nodes),)
        args = {"at": self._dice.between(f"{family}-what", number, 0, len(ALLOCATING) - 1)}
        duration_us = 1000 * self._dice.between(f"{family}-duration", number, 50, 2_000)
        return FaultEvent(self._at_us(family, number), family, target, duration_us, args, after_ready=True)

    def _slow(self, family: str, number: int) -> FaultEvent:
        target = (self._dice.choice(f"{family}-who", number, self._cast.nodes),)
        args = {"held_us": self._dice.between(f"{family}-held", number, 2_000, 120_000)}
        duration_us = 1000 * self._dice.between(f"{family}-duration", number, 20, 2_500)
        return FaultEvent(self._at_us(family, number), family, target, duration_us, args)

    def _wall_step(self, family: str, number: int) -> FaultEvent:
        target = (self._dice.choice(f"{family}-who", number, self._cast.nodes),)
        seconds = self._dice.choice(f"{family}-range", number, (2, 60, 3600, 400 * 86400))
        args = {"seconds": self._dice.between(f"{family}-seconds", number, -seconds, seconds)}
        is_early = self._dice.one_in(f"{family}-early", number, 2)
        at_us = (
            1000 * self._dice.between(f"{family}-early-at", number, 0, 1_500)
            if is_early
            else self._at_us(family, number)
        )
        phase = "founding" if is_early else ""
        duration_us = self._duration_of(family, number)
        return FaultEvent(at_us, family, target, duration_us, args, phase=phase)

    def _on_client(self, family: str, number: int) -> FaultEvent:
        target = (self._dice.choice(f"{family}-who", number, self._cast.clients),)
        at_us = self._at_us(family, number)
        if family == "client_cancel":
            return FaultEvent(
                at_us, family, target, args={"which": self._dice.between("cancel", number, 0, 9)}
            )
        return FaultEvent(at_us, family, target, self._duration_of(family, number))
