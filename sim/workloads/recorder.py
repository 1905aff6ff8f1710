"""What all workloads share: the history, who is busy with what, and who holds what at the moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from casty.cluster.slots.applied import TOKEN_BITS
from casty.errors import CastyError, Destroyed, Mismatch, NotStarted, OutcomeUnknown, Overloaded, Unavailable

from ..checks.history.contracts import WITHOUT_MEMORY, check_contract
from ..checks.history.map_changes import Sight
from ..checks.step.protected import OfHolder
from ..checks.step.records import Position
from ..checks.step.services import ServiceChecks
from ..checks.violation import Violation
from ..history import History, Operation, Value
from ..plans.plan import PlannedOperation
from .journals import Journals

if TYPE_CHECKING:
    from casty.distributed.facade import Distributed
    from casty.distributed.lock import Lock

    from ..world.process import Process
    from ..world.world import World
    from .ledgers import Ledgers
    from .population import Population

__all__ = ["CallEnded", "Called", "OperationContext", "RunRecorder"]

T = TypeVar("T")

_SLACK_S = 0.5
_DEFAULT_TIMEOUT_S = 5.0
_MOST_PAGES = 9
"""Of a walk through a map: each slot has a timeout of its own, and so has the question how many there are."""
_NOT_APPLIED = (Unavailable, Destroyed, Mismatch, Overloaded)
_OF_THE_JOURNAL = {
    "NotOnRecord": "calls told that they are not on record",
    "JournalError": "calls told of the journal's failure",
}
_OPEN_WHEN_LEFT = ("barrier.arrive",)


class Called(NamedTuple):
    """A client called."""

    number: int
    kind: str
    entity: str


class CallEnded(NamedTuple):
    """The call returned, or raised."""

    number: int
    outcome: str
    value: Value


class RunRecorder:
    """The workload's side of a run.

    Parameters
    ----------
    world
        Where it happens.
    has_limits
        Whether slots may refuse calls for limits of the run; that they are right to is for the step checks to say.

    Attributes
    ----------
    busy
        The tasks under way, by client; what a cancellation chooses from.
    open_calls
        Numbers of the calls under way and when they began, by living client.
    late_excused
        Clients that were paused: their calls may end late.
    skipped
        What the plan named and was not there.
    goals
        How often something interesting happened.
    shared
        Instances that several tasks of a process use, by process, incarnation and structure.
    services
        Who registered and who listens.
    population
        The actors of the scenario ``actors``; None in any other.
    ledgers
        The entities of the scenario ``entities``; None in any other.
    journals
        Who has the journal; nobody unless the run's plan says so.
    undecided
        Entities whose history the general search could neither explain nor refute within its budget.
    """

    def __init__(self, world: World, *, has_limits: bool = False) -> None:
        self.world = world
        self.has_limits = has_limits
        self.history = History()
        self.busy: dict[str, dict[int, asyncio.Task[Any]]] = {}
        self.skipped: list[str] = []
        self.goals: dict[str, int] = {}
        self.violations: list[Violation] = []
        self.undecided: list[str] = []
        self.arriving: dict[tuple[str, str], int] = {}
        self.shared: dict[tuple[str, int, str], Any] = {}
        self.services = ServiceChecks()
        self.population: Population | None = None
        self.ledgers: Ledgers | None = None
        self.journals = Journals()
        self._holders: dict[str, list[tuple[Process, int, Lock, int]]] = {}
        self.open_calls: dict[str, dict[int, int]] = {}
        self.late_excused: dict[str, None] = {}
        self._tasks_made = 0
        self._moment_ns = -1
        self._lost: dict[int, None] = {}
        """The generations of the tokens of clusters that lost all their memory."""
        self._lost_ns = -1
        """When a cluster lost all its memory last."""
        self._told: dict[tuple[str, str], int] = {}
        self.watchers: list[tuple[str, list[Sight]]] = []
        """Who watched a map, and what it was told."""
        self._actors_made: dict[tuple[str, str], int] = {}

    def moment(self) -> int:
        """Return world time, but later than any moment before: what happens at one instant has an order too.

        A member calls its own slots in no time at all.
        """
        self._moment_ns = max(self.world.now_ns, self._moment_ns + 1)
        return self._moment_ns

    def is_well(self, operation: Operation) -> bool:
        """Whether an operation of peace ended as it should."""
        return operation.is_ok or (self.has_limits and operation.error == Overloaded.__name__)

    def next_message(self, sender: str, target: str) -> int:
        """Return the number of the next message from here to there, from 1."""
        number = self._told.get((sender, target), 0) + 1
        self._told[sender, target] = number
        return number

    def watcher(self, name: str) -> list[Sight]:
        """Return where another watcher of a map writes down what it is told."""
        sights: list[Sight] = []
        self.watchers.append((name, sights))
        return sights

    def next_actor(self, label: str, kind: str) -> int:
        """Return the number of the next actor of a kind in an incarnation, from 1."""
        number = self._actors_made.get((label, kind), 0) + 1
        self._actors_made[label, kind] = number
        return number

    @property
    def messages(self) -> dict[str, int]:
        """How many messages each process, by the label of its incarnation, sent to actors and entities."""
        sent: dict[str, int] = {}
        for (sender, _), count in self._told.items():
            sent[sender] = sent.get(sender, 0) + count
        return sent

    def goal(self, name: str, count: int = 1) -> None:
        """Count something interesting."""
        self.goals[name] = self.goals.get(name, 0) + count

    def begin(self, process: Process, context: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something as a task of a client, where a cancellation can find it."""
        self._tasks_made += 1
        number = self._tasks_made
        task = process.spawn(context)
        tasks = self.busy.setdefault(process.name, {})
        tasks[number] = task
        task.add_done_callback(lambda done: tasks.pop(number, None))
        return task

    def cancel(self, client: str, which: int) -> bool:
        """Cancel one of a client's calls under way; whether there was one."""
        tasks = [task for task in self.busy.get(client, {}).values() if not task.done()]
        if not tasks:
            return False
        tasks[which % len(tasks)].cancel()
        self.goal("a call was cancelled")
        return True

    def in_flight(self) -> int:
        """Return how many calls are under way."""
        return sum(len(calls) for calls in self.open_calls.values())

    def called_before(self, time_ns: int) -> list[int]:
        """Return the calls under way that began before a time."""
        return [
            number
            for calls in self.open_calls.values()
            for number, began_ns in calls.items()
            if began_ns < time_ns
        ]

    def client_died(self, client: str) -> None:
        """A client died: its calls stay open for ever, and it holds nothing that it could act on."""
        self.busy.pop(client, None)
        self.open_calls.pop(client, None)
        if any(self.is_holding(client, name) for name in self._holders):
            self.goal("a holder died")

    # -- holds

    def is_sure(self, asked: Operation) -> None:
        """Its client is sure, at this moment, to hold what it asked for.

        What was granted by a cluster that lost all its memory excludes nobody from then on: whoever is cut off hears
        of that when its session is over (23 holds within a generation).
        """
        is_late = asked.return_ns is not None and asked.return_ns <= self._lost_ns
        if not (is_late or self._is_of_the_lost(asked)):
            asked.until_ns = self.moment()

    def _is_of_the_lost(self, asked: Operation) -> bool:
        """Whether a lost cluster granted it, by its token: the answer may come when that cluster is gone."""
        is_token = not asked.kind.startswith("queue.") and type(asked.value) is int
        return is_token and int(asked.value or 0) >> TOKEN_BITS in self._lost

    def memory_is_lost(self, generations: Iterable[int] = ()) -> None:
        """The cluster lost all its memory, in this instant; its tokens were of these generations."""
        self._lost_ns = self.moment()
        self._lost.update(dict.fromkeys(generations))
        self._holders.clear()

    def is_holding(self, client: str, name: str) -> bool:
        """Whether an instance of this client is sure to hold the lock."""
        return any(
            process.name == client and _is_sure(lock) for process, _, lock, _ in self._holders.get(name, ())
        )

    def holders(self) -> list[str]:
        """Return the clients that surely hold a lock, sorted."""
        names = {
            process.name: None
            for holders in self._holders.values()
            for process, _, lock, _ in holders
            if process.is_up and process.name.startswith("client-") and _is_sure(lock)
        }
        return sorted(names)

    def holding(self) -> int:
        """Return how many locks are surely held."""
        return sum(1 for holders in self._holders.values() for _, _, lock, _ in holders if _is_sure(lock))

    def granted(self, process: Process, name: str, lock: Lock, asked: Operation) -> None:
        """A client believes to hold from this instant on: nobody else may (23), within a generation."""
        number = asked.number
        if self._is_of_the_lost(asked):
            return
        holders = self._holders.setdefault(name, [])
        for other, ordinal, rival, rival_number in holders:
            is_running = other.is_up and other.incarnation.ordinal == ordinal
            if is_running and rival is not lock and _is_sure(rival) and _is_sure(lock):
                text = (
                    f"`held` is true for #{rival_number} of {other.name} and #{number} of {process.name} "
                    "at one instant"
                )
                self.violations.append(Violation(23, f"lock {name}", text, (rival_number, number)))
        holders[:] = [row for row in holders if row[0].is_up and _is_sure(row[2])]
        holders.append((process, process.incarnation.ordinal, lock, number))


class OperationContext:
    """One planned operation in the making: which client, which structures, and the recording of calls."""

    def __init__(
        self, recorder: RunRecorder, process: Process, distributed: Distributed, planned: PlannedOperation
    ) -> None:
        self.recorder = recorder
        self.process = process
        self.d = distributed
        self.planned = planned
        self.entity = planned.entity

    def number(self, name: str, default: int = 0) -> int:
        """Return an integer argument."""
        value = self.planned.args.get(name, default)
        return value if isinstance(value, int) else default

    def timeout_s(self, default_ms: int = 5000) -> float:
        """Return the call's timeout."""
        return self.number("timeout_ms", default_ms) / 1000

    def patience_s(self) -> float | None:
        """Return the timeout of a structure's call; None waits for ever, if the plan says null."""
        is_endless = self.planned.args.get("timeout_ms", 0) is None
        return None if is_endless else self.timeout_s()

    def next_message(self, target: str) -> tuple[str, int]:
        """Return who sends, this process in this incarnation, and which message to `target` it is."""
        sender = self.process.incarnation.label
        return sender, self.recorder.next_message(sender, target)

    def next_name(self, kind: str) -> str:
        """Return a name for another actor of this process in this incarnation."""
        label = self.process.incarnation.label
        return f"{kind}-{label.replace('/', '-')}-{self.recorder.next_actor(label, kind)}"

    def violate(self, number: int, text: str, *operations: int) -> None:
        """Report what this operation saw."""
        self.recorder.violations.append(Violation(number, self.entity, text, operations))

    async def call(
        self, kind: str, args: Mapping[str, Value], answer: Awaitable[T], entity: str | None = None
    ) -> tuple[Operation, T | None]:
        """Record a call and its end. The error of a call that did not work is recorded, not raised."""
        recorder, world = self.recorder, self.recorder.world
        operation = recorder.history.call(
            self.process.name, kind, entity or self.entity, args, recorder.moment()
        )
        world.record(self.process.name, Called(operation.number, kind, operation.entity))
        recorder.open_calls.setdefault(self.process.name, {})[operation.number] = world.now_ns
        began_ns = self.process.clock.now()
        value: T | None = None
        before = self._position(operation)
        try:
            value = await answer
        except OutcomeUnknown as error:
            recorder.history.unknown(operation, type(error).__name__, recorder.moment())
        except NotStarted as error:
            # Whoever leaves while it waits for a barrier does not learn whether that opened in this instant.
            ended = recorder.history.unknown if kind in _OPEN_WHEN_LEFT else recorder.history.failed
            ended(operation, type(error).__name__, recorder.moment())
        except _NOT_APPLIED as error:
            recorder.history.failed(operation, self._name_of(error), recorder.moment())
        except CastyError as error:
            recorder.history.unknown(operation, type(error).__name__, recorder.moment())
        except TimeoutError as error:
            # The builtin: a waiting call was withdrawn, and the slot confirmed it.
            recorder.history.failed(operation, type(error).__name__, recorder.moment())
        except asyncio.CancelledError:
            recorder.history.unknown(operation, "cancelled", recorder.moment())
            self._ended(operation, began_ns, before)
            raise
        else:
            recorder.history.ok(operation, _plain(value), recorder.moment())
            if before is not None and recorder.journals.records is not None:
                recorder.journals.records.answered(operation, before, self._position(operation))
        self._ended(operation, began_ns, before)
        return operation, value

    def _position(self, operation: Operation) -> Position | None:
        journals = self.recorder.journals
        if journals.records is None or not journals.has(operation.client):
            return None
        return journals.records.called(operation.kind, operation.entity, operation.args.get("key"))

    def _name_of(self, error: CastyError) -> str:
        """Return what the history calls an error: its type, and for one of them its reason."""
        if isinstance(error, Overloaded) and "memory budget" in str(error):
            self.recorder.goal("a call was refused for memory")
            return WITHOUT_MEMORY
        return type(error).__name__

    def _ended(self, operation: Operation, began_ns: int, before: Position | None) -> None:
        name = self.process.name
        self.recorder.open_calls.get(name, {}).pop(operation.number, None)
        limit_s = own_s = _DEFAULT_TIMEOUT_S if operation.kind.startswith("fence.") else self.patience_s()
        if operation.kind == "map.destroy":
            limit_s = 2 * _DEFAULT_TIMEOUT_S  # it lists the keys, and then deletes them: a call each
        if operation.kind == "map.items" and own_s is not None:
            limit_s = _MOST_PAGES * own_s
        self.check_end(began_ns, limit_s, operation.kind, str(operation), (operation.number,))
        took_s = (self.process.clock.now() - began_ns) / 1e9
        if operation.error in _OF_THE_JOURNAL:
            self.recorder.goal(_OF_THE_JOURNAL[operation.error])
        has_journal = self.recorder.journals.has(name)
        is_restored = not has_journal or (before is not None and before.has_stayed(self._position(operation)))
        broken = check_contract(operation, took_s, own_s, has_journal=has_journal, is_restored=is_restored)
        if broken is not None:
            self.recorder.violations.append(broken)
        event = CallEnded(operation.number, operation.outcome, operation.value)
        self.recorder.world.record(self.process.name, event)

    def check_end(
        self, began_ns: int, limit_s: float | None, kind: str, text: str, numbers: tuple[int, ...] = ()
    ) -> None:
        """What had a deadline ends by it (8), unless its process was held."""
        took_s = (self.process.clock.now() - began_ns) / 1e9
        if limit_s is None:
            return
        if took_s > limit_s + _SLACK_S and self.process.name not in self.recorder.late_excused:
            self.recorder.violations.append(
                Violation(8, kind, f"ended after {took_s:.3f} s: {text}", numbers)
            )


def _plain(value: object) -> Value:
    return value if value is None or isinstance(value, int | str | bool) else str(value)


def _is_sure(lock: Lock) -> bool:
    """What `held` would say, without its side effect of noticing a loss."""
    return any(hold.grant.is_valid for hold in OfHolder.holds_of(lock).by_token.values())
