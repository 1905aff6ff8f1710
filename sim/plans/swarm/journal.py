"""Plans with a journal: who has it, how it fails, and when the cluster loses all its memory.

They are those of the scenario ``journal``, and every second one of ``entities``, where everybody has it.

In half of the plans of ``journal`` everybody has it, and all nodes end at once while calls are under way. In the others
some clients
use the same structures without it: what those are told is as durable as the replicas are, so there the cluster loses
its memory only at the end, after everything was put on record by a use of somebody who has the journal.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..plan import FaultEvent
from .dice import MIN_FOR_CRASH, SECOND_US, Cast, Dice
from .ledgers import ENTITIES

__all__ = ["JOURNAL", "NOT_RECORDED", "Recorded"]

JOURNAL = "journal"
"""The scenario."""

NOT_RECORDED = ("barrier",)
"""Structures of which a journal keeps nothing."""

_TOKENS = ("lock", "semaphore")
"""Tokens grow for users of the journal; those of the others follow the founders' clocks alone."""

_WRONGS = (
    {"slow_ms": 20}, {"slow_ms": 200}, {"slow_ms": 1_500}, {"slow_ms": 6_000}, {"fails": 1}, {"fails": 1},
    {"is_full": 1}, {"is_full": 1}, {"loses_answers": 1}, {"loses_answers": 1},
    {"loses_answers": 1, "slow_ms": 200},
)  # fmt: skip


class Recorded:
    """The drawing of it.

    Parameters
    ----------
    dice
        The plan's.
    clients
        How many there are.
    """

    def __init__(self, dice: Dice, clients: int) -> None:
        self._dice = dice
        self._has_strangers = dice.scenario == JOURNAL and dice.one_in("strangers", 0, 2)
        self.journaled = 0
        """How many of the clients have the journal."""
        if dice.scenario == JOURNAL:
            self.journaled = dice.between("journaled", 0, 1, clients - 1) if self._has_strangers else clients
        elif dice.scenario == ENTITIES and dice.one_in("entities-on-record", 0, 2):
            self.journaled = clients

    def callers(self, structure: str, clients: Sequence[str]) -> Sequence[str]:
        """Return which clients may use a structure."""
        return clients[: self.journaled] if self.journaled and structure in _TOKENS else clients

    def faults(self, cast: Cast) -> list[FaultEvent]:
        """Draw what happens to the journal, to those who use it, and to the memory of all nodes."""
        if not self.journaled:
            return []
        users = [*cast.nodes, *cast.clients[: self.journaled]]
        wrongs = self._dice.between("wrong-count", 0, 1, 5)
        faults = [self._wrong(number, users, cast) for number in range(wrongs)]
        faults += [
            self._between(number, cast) for number in range(self._dice.between("between-count", 0, 0, 2))
        ]
        if not self._has_strangers:
            count = self._dice.between("blackout-count", 0, 1, 2)
            faults += [self._blackout(number, cast) for number in range(count)]
        if self._dice.scenario == ENTITIES and len(cast.nodes) >= MIN_FOR_CRASH:
            count = self._dice.between("written-count", 0, 0, 3)
            faults += [self._written(number, cast) for number in range(count)]
        return faults

    def _wrong(self, number: int, users: Sequence[str], cast: Cast) -> FaultEvent:
        """Draw a way to the journal that is bad for a while; or all of them."""
        dice = self._dice
        is_for_all = dice.one_in("wrong-all", number, 4)
        targets = tuple(users) if is_for_all else (dice.choice("wrong-who", number, users),)
        at_us = dice.between("wrong-at", number, 0, cast.duration_us * 9 // 10)
        most_ms = dice.choice("wrong-range", number, (100, 1_000, 4_000, 8_000))
        duration_us = 1000 * dice.between("wrong-for", number, 20, most_ms)
        return FaultEvent(at_us, "journal", targets, duration_us, dice.choice("wrong", number, _WRONGS))

    def _between(self, number: int, cast: Cast) -> FaultEvent:
        """Draw the end of somebody whose call was just committed, and is not on record yet."""
        dice = self._dice
        at_us = dice.between("between-at", number, 0, cast.duration_us * 9 // 10)
        later_us = dice.choice("between-later", number, (0, 500, 3_000))
        trigger = (
            "commit",
            dice.between("between-nth", number, 1, 6),
            dice.between("between", number, 0, later_us),
        )
        duration_us = 1000 * dice.between("between-for", number, 10, 3_000)
        return FaultEvent(at_us, "client_crash", ("@waiter",), duration_us, trigger=trigger)

    def _written(self, number: int, cast: Cast) -> FaultEvent:
        """Draw the end of a node whose entity's events were just put on record: nobody was told of them yet."""
        dice = self._dice
        at_us = dice.between("written-at", number, 0, cast.duration_us * 9 // 10)
        trigger = ("written", dice.between("written-nth", number, 1, 6), 0)
        duration_us = 1000 * dice.between("written-for", number, 0, 2_000)
        return FaultEvent(at_us, "crash", ("@writer",), duration_us, trigger=trigger, after_ready=True)

    def _blackout(self, number: int, cast: Cast) -> FaultEvent:
        dice = self._dice
        at_us = dice.between("blackout-at", number, SECOND_US, cast.duration_us * 9 // 10)
        duration_us = 1000 * dice.choice("blackout-for", number, (0, 0, 20, 300, 2_000))
        nodes = tuple(cast.nodes)
        trigger = (
            "commit",
            dice.between("blackout-nth", number, 1, 6),
            dice.between("blackout-in", number, 0, 3_000),
        )
        return FaultEvent(at_us, "blackout", nodes, duration_us, trigger=trigger)
