"""Services: in peace every listing and every subscriber's last one show exactly the living registered actors (46).

What is registered is known from what the workload asked each node for, never from the cluster. Each life of an actor
has a path of its own, so a listing that shows an actor of a dead incarnation differs from what is expected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from casty.events import DeadLettered

from ..violation import Violation

if TYPE_CHECKING:
    from casty.actor.ref import ActorRef
    from casty.actor.services import Listing

    from ...kernel.trace import Trace, TraceEvent
    from ...world.process import Process

__all__ = ["ServiceChecks", "Subscriber"]

_RECEPTIONIST = "$receptionist"
_FULL = "the mailbox is full"
_IDENTITY, _ENDS_WELL = 5, 46


class Subscriber:
    """Somebody who asked to be told of a service.

    Parameters
    ----------
    process
        Where it lives, in the present incarnation.
    key
        The service.
    path
        Its own.
    """

    __slots__ = ("key", "last", "life", "path", "process")

    def __init__(self, process: Process, key: str, path: str) -> None:
        self.process = process
        self.life = process.incarnation.ordinal
        self.key = key
        self.path = path
        self.last: list[str] | None = None

    @property
    def is_alive(self) -> bool:
        """Whether it can still be told anything."""
        return self.process.is_up and self.process.incarnation.ordinal == self.life

    def __str__(self) -> str:
        return f"{self.path} at {self.process.name}"


class _Offer:
    __slots__ = ("life", "process", "ref")

    def __init__(self, process: Process, ref: ActorRef[Any]) -> None:
        self.process = process
        self.life = process.incarnation.ordinal
        self.ref = ref

    @property
    def is_alive(self) -> bool:
        return self.process.is_up and self.process.incarnation.ordinal == self.life


class ServiceChecks:
    """What the workload registered, and who listens: a row per registration and per subscription of the run."""

    def __init__(self) -> None:
        self._offers: dict[str, dict[str, _Offer]] = {}
        self._ever: dict[tuple[str, str], None] = {}
        self._listening: list[Subscriber] = []
        self._is_deaf = False
        self.violations: list[Violation] = []

    def follow(self, trace: Trace) -> None:
        """Look for lost messages in the trace of a simulated world; real processes have none."""
        trace.subscribe(self._heard_of, DeadLettered)

    # -- what the workload does

    def offered(self, process: Process, key: str, ref: ActorRef[Any]) -> None:
        """A node was asked to register an actor of its own."""
        name = _name(process.name, ref.id)
        self._offers.setdefault(key, {})[name] = _Offer(process, ref)
        self._ever[key, name] = None

    def taken_back(self, process: Process, key: str, ref: ActorRef[Any]) -> None:
        """A node was asked to take an actor out, or to stop it."""
        self._offers.get(key, {}).pop(_name(process.name, ref.id), None)

    def offers_of(self, process: Process, key: str) -> list[ActorRef[Any]]:
        """Return what a node offers, the oldest first."""
        offers = self._offers.get(key, {}).values()
        return [one.ref for one in offers if one.process is process and one.is_alive]

    def listening(self, process: Process, key: str, ref: ActorRef[Any]) -> Subscriber:
        """Somebody subscribes."""
        subscriber = Subscriber(process, key, ref.id)
        self._listening.append(subscriber)
        return subscriber

    def heard(self, subscriber: Subscriber, listing: Listing[Any]) -> None:
        """A listing came to a subscriber."""
        subscriber.last = self.seen(subscriber.key, listing, str(subscriber))

    def seen(self, key: str, listing: Listing[Any], by: str) -> list[str]:
        """Look at a listing: each instance once, and none that nobody registered; returns them, sorted."""
        names = [_name(one.node.host, one.ref.id) for one in listing.instances]
        strays = [name for name in names if (key, name) not in self._ever]
        if strays or len(dict.fromkeys(names)) < len(names) or listing.key.name != key:
            text = f"{by} sees {names} of {listing.key.name}; never registered: {strays}"
            self.violations.append(Violation(_IDENTITY, f"service {key}", text))
        return sorted(names)

    # -- in peace

    def keys(self) -> list[str]:
        """Return the services that anybody registered for or listens to."""
        return list(dict.fromkeys([*self._offers, *(one.key for one in self._listening)]))

    def expected(self, key: str) -> list[str]:
        """Return the living registered actors of a service, sorted."""
        return sorted(name for name, offer in self._offers.get(key, {}).items() if offer.is_alive)

    def unheard(self) -> list[str]:
        """Return, in words, which living subscribers do not know the present listing."""
        found: list[str] = []
        for one in [] if self._is_deaf else self._listening:
            expected = self.expected(one.key)
            if one.is_alive and one.last != expected:
                found.append(f"{one} last heard {one.last} of {one.key}, where {expected} are registered")
        return found

    def differing(self, key: str, listing: Listing[Any], by: str) -> list[str]:
        """Return, in words, what is wrong with a listing of now."""
        names, expected = self.seen(key, listing, by), self.expected(key)
        if self._is_deaf or names == expected:
            return []
        return [f"{by} sees {names} of {key}, where {expected} are registered"]

    def broken(self, text: str) -> None:
        """Report what did not become right in time."""
        self.violations.append(Violation(_ENDS_WELL, "services", text))

    def _heard_of(self, entry: TraceEvent) -> None:
        """A full mailbox dropped what was asked of a receptionist, or told a subscriber: then nothing is sure."""
        event = entry.event
        if isinstance(event, DeadLettered) and event.reason == _FULL:
            is_listening = any(one.path == event.target for one in self._listening)
            self._is_deaf = self._is_deaf or is_listening or event.target.endswith(_RECEPTIONIST)


def _name(host: str, path: str) -> str:
    return f"{path}@{host}"
