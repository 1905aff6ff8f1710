"""Actors: one live activation, under its node's lease; no message twice or out of order (7, 42, 43)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from casty.cluster.actors.activations import EntityStopped
from casty.consensus import Role

from ...kernel.events import Resumed
from ..violation import Violation
from .introspection import host_of

if TYPE_CHECKING:
    from ...kernel.trace import TraceEvent
    from ...world.process import Process
    from ...world.world import World

__all__ = ["Activation", "ActorChecks"]

_AWAKE_NS = 50_000_000
"""A process that was held stops what has no lease any more at once, but not before it runs."""


class Activation:
    """One life of an actor.

    Parameters
    ----------
    name
        Of the actor, an entity's its path; an entity may live again and again under the same one.
    process
        Where it lives.
    system
        What that process runs.
    slot
        The slot whose lease it needs; None for an actor that needs none.
    """

    __slots__ = ("heard", "is_over", "name", "ordinal", "process", "slot", "system")

    def __init__(self, name: str, process: Process, system: object, slot: int | None) -> None:
        self.name = name
        self.process = process
        self.ordinal = process.incarnation.ordinal
        self.system = system
        self.slot = slot
        self.heard: dict[str, int] = {}
        self.is_over = False

    @property
    def is_live(self) -> bool:
        """Whether it can run."""
        process = self.process
        return not self.is_over and process.is_up and process.incarnation.ordinal == self.ordinal

    def __str__(self) -> str:
        return f"{self.name} at {self.process.incarnation.name}/{self.ordinal}"


class ActorChecks:
    """Told by the workload's actors what happens to them.

    Parameters
    ----------
    world
        The world that they live in.
    report
        Takes a violation.
    """

    def __init__(self, world: World, report: Callable[[Violation], None]) -> None:
        self._world = world
        self._report = report
        self._lives: dict[str, list[Activation]] = {}
        self._delivered: dict[tuple[str, str, int], Activation] = {}
        self._resumed_ns: dict[str, int] = {}
        self.counts: dict[str, int] = {}
        world.trace.subscribe(self._heard_of, Resumed, EntityStopped)

    @property
    def messages(self) -> dict[str, int]:
        """How many messages of each process were handled, by the label of its incarnation."""
        handled: dict[str, int] = {}
        for _, sender, _ in self._delivered:
            handled[sender] = handled.get(sender, 0) + 1
        return handled

    def began(self, name: str, process: Process, system: object, slot: int | None) -> Activation:
        """An actor begins to live."""
        activation = Activation(name, process, system, slot)
        lives = self._lives.setdefault(name, [])
        if slot is not None and lives:
            self._count("an entity lived again")
        lives[:] = [*(life for life in lives if life.is_live), activation]
        self._check_alone(activation)
        return activation

    def heard_by(self, name: str) -> dict[str, int]:
        """Return the last number that an actor heard of each sender."""
        lives = self._lives.get(name, [])
        return lives[-1].heard if lives else {}

    def living_entities(self) -> list[str]:
        """Return the entities that live now, as text."""
        lives = [life for lives in self._lives.values() for life in lives]
        return [str(life) for life in lives if life.slot is not None and life.is_live]

    def over(self, activation: Activation) -> None:
        """A hook of an actor runs at its end."""
        if activation.slot is None:
            activation.is_over = True
        else:
            self._check_lease(activation, activation.slot, "its hook runs")

    def goes_on(self, activation: Activation) -> None:
        """A handler of an actor is resumed after it waited."""
        if activation.slot is not None:
            self._check_lease(activation, activation.slot, "its handler goes on")

    def report(self, violation: Violation) -> None:
        """Take a violation that an actor saw."""
        self._report(violation)

    def handles(self, activation: Activation, sender: str, number: int) -> None:
        """An actor begins to handle message `number` that `sender` sent to it."""
        self._count("messages handled")
        self._check_order(activation, sender, number)
        if activation.slot is not None:
            self._check_alone(activation)
            self._check_lease(activation, activation.slot, "it handles a message")

    # -- the promises

    def _check_order(self, activation: Activation, sender: str, number: int) -> None:
        key = (activation.name, sender, number)
        first = self._delivered.setdefault(key, activation)
        last = activation.heard.get(sender, 0)
        if first is not activation or number == last:
            self._broken(7, activation, f"message {number} of {sender} came twice, first to {first}")
        elif number < last:
            self._broken(7, activation, f"message {number} of {sender} came after its message {last}")
        activation.heard[sender] = number

    def _check_alone(self, activation: Activation) -> None:
        if activation.slot is None:
            return
        if not activation.is_live:
            self._broken(42, activation, "it handles a message after its end")
        for other in self._lives[activation.name]:
            if other is not activation and other.is_live and self._is_awake(other.process):
                self._broken(42, activation, f"it lives beside {other}")

    def _check_lease(self, activation: Activation, slot: int, what: str) -> None:
        if self._leased_until_ns(activation, slot) <= activation.process.clock.now():
            self._broken(43, activation, f"{what} without a lease of its node")

    @staticmethod
    def _leased_until_ns(activation: Activation, slot: int) -> int:
        host = host_of(activation.system)
        group = None if host is None else host.groups.get(slot + 1)
        if group is None or group.core.role is not Role.LEADER:
            return 0
        return group.core.lease_until_ns()

    def _is_awake(self, process: Process) -> bool:
        since_ns = self._world.now_ns - self._resumed_ns.get(process.name, -_AWAKE_NS)
        return not process.is_paused and since_ns >= _AWAKE_NS

    def _heard_of(self, entry: TraceEvent) -> None:
        if isinstance(entry.event, Resumed):
            self._resumed_ns[entry.node] = entry.t_ns
        elif isinstance(entry.event, EntityStopped):
            # Not its hook: that does not run where the lease ended first.
            for life in self._lives.get(entry.event.path, ()):
                if life.slot is not None and life.process.name == entry.node:
                    life.is_over = True

    def _broken(self, number: int, activation: Activation, text: str) -> None:
        self._report(Violation(number, str(activation), text))

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1
