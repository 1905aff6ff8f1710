"""The workload of a plan: who calls what, when, with which arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..plan import PlannedOperation
from .actors import ACTORS, TREE_ARGUMENTS, Company
from .crowd import Crowd
from .dice import EVERYTHING, SECOND_US, Cast, Dice
from .journal import JOURNAL, NOT_RECORDED, Recorded
from .lasting import LASTING_ARGUMENTS, Lasting
from .ledgers import ENTITIES, LEDGER_ARGUMENTS, Ledgers
from .members import draw_traits
from .memory import MEMORY_ARGUMENTS, Little
from .queues import JOB_ARGUMENTS, Jobs
from .rare import LEADER_ARGUMENTS, MORE_ARGUMENTS, More
from .services import SERVICE_ARGUMENTS, Services

__all__ = ["ACTOR_KINDS", "ARGUMENTS", "SCENARIO_KINDS", "Load"]

_RATES = (5, 18)
"""Operations a virtual second, from and to, where one structure is alone."""
_RATES_OF_ALL = (4, 12)
"""The same where all structures are used: there several other sources of operations add theirs."""

_RATES_BESIDE = (1, 3)
"""The same where other things than structures are tried: something is under way, and somebody holds."""
_BESIDE = ("lock.hold", "counter.add", "counter.get")

_HOLDS_MS = (0, 0, 0, 5, 5, 5, 5, 50, 50, 50, 50, 300, 300, 300, 300, 1500, 1500, 9000)
"""The longest outlives a session that nobody keeps alive."""

SCENARIO_KINDS: dict[str, tuple[str, ...]] = {
    "lock": ("lock.hold", "lock.try", "lock.guard", "lock.destroy"),
    "semaphore": ("semaphore.hold", "semaphore.try", "semaphore.available"),
    "barrier": ("barrier.arrive",),
    "counter": ("counter.add", "counter.subtract", "counter.get", "counter.destroy"),
    "map": ("map.put", "map.get", "map.delete", "map.contains"),
    "set": ("set.add", "set.remove", "set.contains", "set.size"),
    "queue": ("queue.enqueue", "queue.dequeue", "queue.peek", "queue.size"),
    "rw_lock": ("rw_lock.read", "rw_lock.write", "rw_lock.try_read", "rw_lock.try_write", "rw_lock.destroy"),
    "election": ("election.lead", "election.follow", "election.look", "election.destroy"),
}
"""Scenario -> the kinds of operation it draws. The first two of each are never both switched off."""

_ALONE = ("rw_lock", "election")
"""Scenarios whose operations those with everything have as rarer ones, see `rare`."""

ACTOR_KINDS = ("entity.tell", "entity.ask", "inbox.tell")
"""What ``mixed`` draws besides."""


class Load:
    """The drawing of one workload.

    Parameters
    ----------
    dice, cast
        The plan's.
    do_members_call
        Whether nodes call as well as clients.
    """

    def __init__(self, dice: Dice, cast: Cast, *, do_members_call: bool) -> None:
        self._dice = dice
        self._cast = cast
        self._do_members_call = do_members_call

    def _kinds(self) -> list[str]:
        kinds: list[str] = [*_BESIDE] if self._dice.scenario in (ACTORS, ENTITIES) else []
        for scenario, own in SCENARIO_KINDS.items():
            is_recorded = self._dice.scenario == JOURNAL and scenario not in NOT_RECORDED
            with_all = () if scenario in _ALONE else EVERYTHING
            if is_recorded or self._dice.scenario in (scenario, *with_all):
                chosen = [kind for kind in own if self._dice.is_on("kind", kind)]
                kinds += chosen if set(chosen) & set(own[:2]) else [*own[:2], *chosen]
        has_workers = self._dice.scenario == "membership" and draw_traits(self._dice).workers
        if self._dice.scenario == "mixed" or has_workers:
            kinds += [kind for kind in ACTOR_KINDS if self._dice.is_on("kind", kind)]
        # Rare ones: a name that is destroyed all the time tells little about anything else.
        return [kind for kind in kinds for _ in range(1 if kind.endswith("destroy") else 8)]

    def operations(self) -> tuple[PlannedOperation, ...]:
        """Draw all operations, in the order of their times."""
        kinds = self._kinds()
        rate = _RATES_OF_ALL if self._dice.scenario in EVERYTHING else _RATES
        rate = _RATES_BESIDE if self._dice.scenario in (ACTORS, ENTITIES) else rate
        count = self._dice.between("operations", 0, *rate) * self._cast.duration_us // SECOND_US
        operations = [self._operation(number, kinds) for number in range(count)]
        if "barrier.arrive" in kinds:
            operations += self._arrivals()
        operations += More(self._dice, self._cast, ARGUMENTS).operations()
        operations += Jobs(self._dice, self._cast, ARGUMENTS).operations()
        operations += Lasting(self._dice, self._cast).operations()
        operations += Crowd(self._dice, self._cast).operations()
        operations += Services(self._dice, self._cast).operations()
        operations += Little(self._dice, self._cast).operations()
        operations += Company(self._dice, self._cast).operations()
        operations += Ledgers(self._dice, self._cast).operations()
        return tuple(sorted(operations, key=lambda operation: operation.at_us))

    def _operation(self, number: int, kinds: Sequence[str]) -> PlannedOperation:
        kind = self._dice.choice(
            "kind", number, [kind for kind in kinds if kind != "barrier.arrive"] or ["counter.add"]
        )
        structure = kind.partition(".")[0]
        at_us = self._dice.between("at", number, 0, self._cast.duration_us)
        if self._dice.between("burst", number, 0, 3) == 0:
            at_us -= at_us % SECOND_US
        names = 1 + self._dice.between("names", 0, 0, 2)
        entity = f"{structure}-{self._dice.between('entity', number, 1, names)}"
        return PlannedOperation(
            at_us, self._caller(number, structure), kind, entity, self._args(kind, number)
        )

    def _caller(self, number: int, structure: str) -> str:
        is_for_all = self._do_members_call and structure in SCENARIO_KINDS
        if is_for_all and self._dice.between("by-member", number, 0, 2) == 0:
            return self._dice.choice("member", number, self._cast.nodes)
        clients = Recorded(self._dice, len(self._cast.clients)).callers(structure, self._cast.clients)
        return self._dice.choice("client", number, clients)

    def _args(self, kind: str, number: int) -> dict[str, int | str | bool | None]:
        makers: dict[str, Callable[[int], dict[str, int | str | bool | None]]] = {
            "lock": self._lock_args,
            "semaphore": self._semaphore_args,
            "rw_lock": self._lock_args,
            "election": lambda at: {**self._lock_args(at), "news": self._dice.between("news", at, 1, 4)},
            "counter": lambda at: {"amount": self._dice.between("amount", at, 1, 9)},
            "map": lambda at: {"key": self._dice.between("key", at, 1, 3), "value": at},
            "set": lambda at: {"value": self._dice.between("member", at, 1, 4)},
            "queue": lambda at: {"value": at},
            "entity": lambda at: {
                "count": self._dice.between("told", at, 1, 4),
                "timeout_ms": self._timeout_ms(at),
            },
            "inbox": lambda at: {
                "count": self._dice.between("told", at, 1, 4),
                "which": self._dice.between("inbox", at, 0, 9),
            },
        }
        args = makers[kind.partition(".")[0]](number)
        return {name: value for name, value in args.items() if name in ARGUMENTS[kind]}

    def _timeout_ms(self, number: int) -> int:
        return self._dice.choice("timeout", number, (300, 1000, 3000, 5000, 8000))

    def _lock_args(self, number: int) -> dict[str, int | str | bool | None]:
        hold_ms = self._dice.choice("hold", number, _HOLDS_MS)
        return {"timeout_ms": self._timeout_ms(number), "hold_ms": hold_ms}

    def _semaphore_args(self, number: int) -> dict[str, int | str | bool | None]:
        permits = self._dice.between("permits", 0, 1, 4)
        return {
            **self._lock_args(number),
            "permits": permits,
            "n": self._dice.between("n", number, 1, permits),
        }

    def _arrivals(self) -> list[PlannedOperation]:
        """Rounds: most parties come about the same time, some late, some twice, some not at all."""
        parties = self._dice.between("parties", 0, 2, max(2, len(self._cast.clients)))
        rounds = self._dice.between("rounds", 0, 3, 8)
        arrivals = []
        for index in range(rounds * parties):
            cycle, party = divmod(index, parties)
            if self._dice.between("absent", index, 0, 19) == 0:
                continue
            start_us = cycle * self._cast.duration_us // rounds
            late_us = self._dice.between("late", index, 0, 1500) * 1000
            at_us = min(start_us + late_us, self._cast.duration_us)
            args: dict[str, int | str | bool | None] = {
                "party": f"party-{party + 1}",
                "expected": parties,
                "timeout_ms": self._dice.choice("arrive-timeout", index, (800, 3000, 6000)),
            }
            client = self._cast.clients[party % len(self._cast.clients)]
            arrivals.append(PlannedOperation(at_us, client, "barrier.arrive", "barrier-1", args))
        return arrivals


ARGUMENTS: dict[str, tuple[str, ...]] = {
    "lock.hold": ("timeout_ms", "hold_ms"),
    "lock.try": ("hold_ms",),
    "lock.guard": ("timeout_ms", "hold_ms"),
    "lock.destroy": (),
    "semaphore.hold": ("timeout_ms", "hold_ms", "permits", "n"),
    "semaphore.try": ("hold_ms", "permits", "n"),
    "semaphore.available": ("permits",),
    **LEADER_ARGUMENTS,
    "barrier.arrive": ("party", "expected", "timeout_ms"),
    "counter.add": ("amount",),
    "counter.subtract": ("amount",),
    "counter.get": (),
    "counter.destroy": (),
    "map.put": ("key", "value"),
    "map.get": ("key",),
    "map.delete": ("key",),
    "map.contains": ("key",),
    "set.add": ("value",),
    "set.remove": ("value",),
    "set.contains": ("value",),
    "set.size": (),
    "queue.enqueue": ("value",),
    "queue.dequeue": (),
    "queue.peek": (),
    "queue.size": (),
    "entity.tell": ("count",),
    "entity.ask": ("timeout_ms",),
    "inbox.tell": ("count", "which"),
    **MORE_ARGUMENTS,
    **JOB_ARGUMENTS,
    **LASTING_ARGUMENTS,
    **SERVICE_ARGUMENTS,
    **MEMORY_ARGUMENTS,
    **TREE_ARGUMENTS,
    **LEDGER_ARGUMENTS,
}
"""Kind of operation -> its arguments."""
