"""Plans of the scenario ``membership``: clusters are founded under faults, grow, lose and replace members."""

from __future__ import annotations

from typing import NamedTuple

from ..plan import FaultEvent
from .dice import MIN_FOR_CRASH, SECOND_US, Cast, Dice

__all__ = ["MEMBER_AIMS", "SHAPES", "Members", "Shape", "draw_quorum", "draw_shape_of", "draw_traits"]


class Shape(NamedTuple):
    """How many found a cluster, and how many there are in the end."""

    founders: int
    nodes: int


_HARM = ("one_way_cut", "reset", "clog", "delay")
_WAYS = (("@node", "@starting"), ("@starting", "@node"))
SHAPES = (
    Shape(1, 3),
    Shape(1, 5),
    Shape(3, 5),
    Shape(3, 3),
    Shape(4, 4),
    Shape(5, 5),
    Shape(2, 4),
    Shape(5, 7),
)
"""What is drawn from; growth by two at once replaces more than one place in one change."""

_FAR = Shape(1, 7)
"""Groups of one become groups of three, and the control group one of five."""

AS_IT_COMES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("one_way_cut", ("@changer", "@control")),
    ("leave", ("@comer",)),
)
"""What makes a node leave while a group takes it in, and the control leader hear of that late."""

MEMBER_AIMS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("crash", ("@starting",)),
    ("pause", ("@starting",)),
    ("crash", ("@leader", "@follower")),
    *((kind, way) for kind in _HARM for way in _WAYS),
    *AS_IT_COMES,
)
"""Kinds of fault and the roles that they aim at, here only."""
_LOSSES = ("link_loss", "one_way_cut", "reset", "delay", "half_open")
_LONGEST_MS = 4_000
_MIN_FOR_QUORUM = 3
_COURSES = ("", "", "", "leave", "replace", "leave and replace")
_SILENCES = ((1.0, 1.5), (1.5, 3.0))
_A_PLACE_US = 5 * SECOND_US
_MOST_NODES = 9
_MANY = 5
"""Founders of whom two may die at once, where every group has five replicas."""


def draw_shape_of(dice: Dice) -> Shape:
    """Draw how a cluster begins and grows."""
    return _FAR if dice.one_in("grows-far", 0, 8) else dice.choice("members", 0, SHAPES)


class DrawnTraits(NamedTuple):
    """See the fields of `ClusterShape` of these names; most clusters have none of one of them."""

    zones: int
    weighted: int
    workers: int


def draw_traits(dice: Dice) -> DrawnTraits:
    """Draw what the nodes are like."""
    zones = dice.choice("zones", 0, (0, 0, 0, 2, 3))
    workers = dice.choice("workers", 0, (0, 0, 0, 0, 1, 2, 2, 3))
    return DrawnTraits(zones, int(dice.one_in("weighted", 0, 4)), workers)


def draw_quorum(dice: Dice, founders: int) -> int:
    """Draw `required_quorum`: none, or a bare majority of the founders, where two of them can believe to have one."""
    is_bare = founders >= _MIN_FOR_QUORUM and dice.one_in("quorum", 0, 3)
    return founders // 2 + 1 if is_bare else 0


class Members:
    """The drawing of what happens to members.

    Parameters
    ----------
    dice, cast
        The plan's.
    founders, quorum
        Of its cluster.
    """

    def __init__(self, dice: Dice, cast: Cast, founders: int, quorum: int) -> None:
        self._dice = dice
        self._cast = cast
        self._founders = cast.nodes[:founders]
        self._quorum = quorum

    def faults(self) -> list[FaultEvent]:
        """Draw faults of the founding, joins, and replacements: in a row, and of two at once."""
        return [*self._of_founding(), *self._joins(), *self._rolling(), *self._replaced(), *self._elastic()]

    @property
    def course(self) -> str:
        """What becomes of members for good: nothing, in half of the seeds."""
        return self._dice.choice("elastic", 0, _COURSES)

    @property
    def spares(self) -> list[str]:
        """Return the names of those that take the places of others: more than the cast."""
        count = (
            min(len(self._founders), _MOST_NODES - len(self._cast.nodes)) if "replace" in self.course else 0
        )
        return [f"node-{len(self._cast.nodes) + index + 1}" for index in range(count)]

    def settings(self) -> dict[str, float]:
        """Draw when silent members are given up, where some go for good: within the run."""
        if not self.course:
            return {}
        unreachable_s, down_s = self._dice.choice("elastic-silence", 0, _SILENCES)
        return {"unreachable_after_s": unreachable_s, "down_after_s": down_s}

    def duration_us(self) -> int:
        """Return how long the run takes: each that takes another's place needs its time."""
        return self._cast.duration_us + len(self.spares) * _A_PLACE_US + (_A_PLACE_US if self.course else 0)

    def _elastic(self) -> list[FaultEvent]:
        """Draw who is replaced under another name, one by one, and who leaves."""
        faults: list[FaultEvent] = []
        start_us = self._dice.between("elastic-at", 0, 0, self._cast.duration_us // 2)
        order = self._dice.shuffled("elastic-order", 0, self._founders)
        for number, pair in enumerate(zip(order, self.spares, strict=False)):
            duration_us = 1000 * self._dice.between("elastic-for", number, 0, 3_000)
            faults.append(FaultEvent(start_us + number, "replace", pair, duration_us, after_ready=True))
        if "leave" in self.course:
            names = self._dice.shuffled("elastic-leave", 0, self._cast.nodes)
            most = max(1, (len(names) - 1) // 2)
            as_it_comes = self._leaves_as_it_comes()
            for number in range(bool(as_it_comes), self._dice.between("elastic-count", 0, 1, most)):
                at_us = self._dice.between("elastic-leave-at", number, 0, self.duration_us())
                is_calm = self._dice.one_in("elastic-calm", number, 3)
                faults.append(FaultEvent(at_us, "leave", (names[number],), after_ready=is_calm))
            faults += as_it_comes
        return faults

    def _leaves_as_it_comes(self) -> list[FaultEvent]:
        """Draw who leaves while a group takes it in, in half of the runs with leaves, and that is told late."""
        if self._dice.one_in("comer", 0, 2):
            return []
        at_us = self._dice.between("comer-at", 0, 0, self.duration_us() // 2)
        nth = self._dice.between("comer-nth", 0, 1, 12)
        later_us = 1000 * self._dice.between("comer-later", 0, 0, 200)
        lost_us = 1000 * self._dice.between("comer-lost", 0, 200, 4_000)
        (cut, between), (leave, comer) = AS_IT_COMES
        return [
            FaultEvent(at_us, cut, between, lost_us, trigger=("joint", nth, 0)),
            FaultEvent(at_us, leave, comer, trigger=("joint", nth, later_us)),
        ]

    def _of_founding(self) -> list[FaultEvent]:
        if len(self._founders) < 2 or self._dice.one_in("calm", 0, 4):
            return []
        faults = [
            self._at_founding(number) for number in range(self._dice.between("founding-count", 0, 1, 5))
        ]
        if not self._quorum and self._dice.one_in("founding-death", 0, 2):
            # Founded by all of them, the cluster can spare one; a bare quorum may be a single replica.
            at_us = 1000 * self._dice.between("founding-death-at", 0, 0, 2_500)
            # Of two founders none can be spared: each has its vote in memory.
            is_spare = len(self._founders) >= MIN_FOR_CRASH
            kind = self._dice.choice("founding-death-kind", 0, ("crash", "pause")) if is_spare else "pause"
            duration_us = 1000 * self._dice.between("founding-death-for", 0, 1, _LONGEST_MS)
            args = {"is_power_loss": self._dice.between("founding-power", 0, 0, 1)} if kind == "crash" else {}
            faults.append(FaultEvent(at_us, kind, ("@starting",), duration_us, args, phase="founding"))
        return faults

    def _at_founding(self, number: int) -> FaultEvent:
        kind = self._dice.choice("founding-kind", number, _LOSSES)
        first, second = self._dice.shuffled("founding-pair", number, self._founders)[:2]
        at_us = 1000 * self._dice.between("founding-at", number, 0, 2_500)
        duration_us = 1000 * self._dice.between("founding-for", number, 1, _LONGEST_MS)
        args = (
            {"delay_us": self._dice.between("founding-delay", number, 1_000, 900_000)}
            if kind == "delay"
            else {}
        )
        is_short = kind in ("reset", "half_open")
        return FaultEvent(
            at_us, kind, (first, second), 0 if is_short else duration_us, args, phase="founding"
        )

    def _joins(self) -> list[FaultEvent]:
        """All others come, one by one or two at once."""
        joiners = self._cast.nodes[len(self._founders) :]
        size = self._dice.choice("join-size", 0, (1, 2))
        faults = []
        for number, start in enumerate(range(0, len(joiners), size)):
            at_us = self._dice.between("join-at", number, 0, self._cast.duration_us // 3)
            faults.append(FaultEvent(at_us, "join", tuple(joiners[start : start + size])))
            if self._dice.one_in("join-death", number, 4):
                later_us = at_us + self._dice.between("join-death-later", number, 0, 2 * SECOND_US)
                faults.append(FaultEvent(later_us, "pause", ("@starting",), SECOND_US))
            if self._dice.one_in("join-harm", number, 2):
                faults.append(self._of_joining(number, at_us))
        return faults

    def _of_joining(self, number: int, at_us: int) -> FaultEvent:
        """Harm the way between somebody who serves and somebody who is about to; from the start of a joiner on."""
        kind = self._dice.choice("join-kind", number, _HARM)
        duration_us = 0 if kind == "reset" else 1000 * self._dice.between("join-for", number, 1, _LONGEST_MS)
        args = {
            "clog": {"bytes_per_s": self._dice.between("join-rate", number, 300, 20_000)},
            "delay": {"delay_us": self._dice.between("join-delay", number, 1_000, 900_000)},
        }
        pair = self._dice.choice("join-way", number, _WAYS)
        most_us = self._dice.choice("join-later", number, (0, 3_000, 300_000))
        trigger = ("start", 1, self._dice.between("join-moment", number, 0, most_us))
        # A little before, so that it waits when the joiner starts.
        return FaultEvent(max(0, at_us - 1), kind, pair, duration_us, args.get(kind, {}), trigger=trigger)

    def _replaced(self) -> list[FaultEvent]:
        """Two members die at once and stay away until others have taken their places; two may join meanwhile."""
        if len(self._founders) < _MANY or not self._dice.one_in("replaced", 0, 2):
            return []
        pair = self._dice.shuffled("replaced-pair", 0, self._founders)[:2]
        targets = self._dice.choice("replaced-who", 0, (tuple(pair), ("@leader", "@follower")))
        at_us = self._dice.between("replaced-at", 0, 0, self._cast.duration_us // 2)
        duration_us = 1000 * self._dice.between("replaced-for", 0, 300, 14_000)
        return [FaultEvent(at_us, "crash", targets, duration_us, after_ready=True)]

    def _rolling(self) -> list[FaultEvent]:
        """Every node leaves in order or dies, one after another, each when the one before is back."""
        if not self._dice.is_on("members", "rolling"):
            return []
        kind = self._dice.choice("rolling-kind", 0, ("stop", "stop", "restart"))
        at_us = self._dice.between("rolling-at", 0, 0, self._cast.duration_us // 2)
        order = self._dice.shuffled("rolling-order", 0, self._cast.nodes)
        duration_us = 1000 * self._dice.between("rolling-for", 0, 1, 500) if kind == "stop" else 0
        return [
            FaultEvent(at_us + number, kind, (name,), duration_us, after_ready=True)
            for number, name in enumerate(order)
        ]
