"""Losses of messages are counted: what links took, as often as they took it; and whatever else is missing (7).

Two checks, at peace. By link: what its sender had sent and its receiver had taken when it ended, as each of them says,
differ by what the receiver counted as lost. By message: of those that the workload sent and nobody handled, none is
missing in the dead letters and losses of all processes together; only of senders that live, and where no node ended, as
what one has when it ends is lost with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from casty.address import peer_key
from casty.events import DeadLettered, MessagesUnconfirmed, MessagesWereLost
from casty.transport.losses import LinkCounted

from ..violation import Violation
from .introspection import client_core_of, node_of

if TYPE_CHECKING:
    from ...kernel.trace import TraceEvent
    from ...world.world import World
    from .check import StepChecks

__all__ = ["Tallies"]

_COUNTED = 7


class Tallies:
    """The checks of one world.

    Parameters
    ----------
    world
        The world to hear of.
    checks
        Knows what runs.
    """

    def __init__(self, world: World, checks: StepChecks) -> None:
        self._world = world
        self._checks = checks
        self._sent: dict[tuple[str, str, int], int] = {}
        """By sender, receiver, and the number that the sender gave the link."""
        self._taken: dict[tuple[str, str, int], int] = {}
        self._lost: dict[tuple[str, str], int] = {}
        self._counted = 0
        self.counts: dict[str, int] = {}
        kinds = (LinkCounted, MessagesWereLost, MessagesUnconfirmed, DeadLettered)
        world.trace.subscribe(self._heard, *kinds)

    def _heard(self, entry: TraceEvent) -> None:
        match entry.event:
            case LinkCounted(peer, out, sent, into, taken):
                me = key_of(self._checks.systems.get(entry.node))
                if me is not None and out:
                    self._sent[me, peer, out] = sent
                if me is not None and into:
                    self._taken[peer, me, into] = taken
            case MessagesWereLost(source, messages):
                me = key_of(self._checks.systems.get(entry.node))
                if me is not None:
                    self._lost[source, me] = self._lost.get((source, me), 0) + messages
                self._count("messages lost with links", messages)
            case MessagesUnconfirmed(_, messages):
                self._count("messages unconfirmed", messages)
            case DeadLettered():
                self._counted += 1
            case _:
                pass

    def _count(self, what: str, messages: int) -> None:
        self._counted += messages
        self.counts[what] = self.counts.get(what, 0) + messages

    def at_peace(self, told: dict[str, int], handled: dict[str, int]) -> list[Violation]:
        """Return what is wrong, in a run of honest processes, when everything that was sent has come to its end.

        Parameters
        ----------
        told
            How many messages each process sent to actors and entities, by the label of its incarnation.
        handled
            How many of them were handled.
        """
        found, compared = [], 0
        keys = {key_of(system): system for _, system in self._checks.running_systems()}
        for (source, target), (took, numbers) in self._taken_by_links(keys).items():
            lost = self._lost.get((source, target), 0)
            compared += numbers
            if took != lost:
                text = f"links from {source} took {took} messages, and {lost} were counted"
                found.append(Violation(_COUNTED, target, text))
        if compared:
            self.counts["links compared"] = compared
        processes = self._world.processes
        if all(processes[name].starts == 1 and processes[name].is_up for name in self._world.node_names):
            self.counts["runs with every message accounted for"] = 1
            alive = [process.incarnation.label for process in processes.values() if process.is_up]
            missing = sum(told.get(label, 0) - handled.get(label, 0) for label in alive)
            if missing > self._counted:
                text = f"{missing} were not handled, {self._counted} were counted as dead letters or lost"
                found.append(Violation(_COUNTED, "messages", text))
        return found

    def _taken_by_links(self, systems: dict[str | None, object]) -> dict[tuple[str, str], tuple[int, int]]:
        """Return what links took between processes that run and are linked, and how many of them ended, by pair."""
        found: dict[tuple[str, str], tuple[int, int]] = {}
        for (source, target, number), sent in self._sent.items():
            if source in systems and target in systems and _is_linked(systems[source], target):
                took, numbers = found.get((source, target), (0, 0))
                taken = self._taken.get((source, target, number), 0)
                found[source, target] = (took + sent - taken, numbers + 1)
        return found


def key_of(system: object) -> str | None:
    """Return the peer key of a system or client; None before it has one."""
    node, client_core = node_of(system), client_core_of(system)
    if client_core is not None:
        return peer_key(client_core.client_id, client_core.incarnation)
    return None if node is None else node.key


def _is_linked(system: object, target: str) -> bool:
    """Whether a process sends messages to another one over a link that is there."""
    side = node_of(system) or client_core_of(system)
    links = () if side is None else side.losses.links.values()
    return any(link.out and link.process.key == target for link in links)
