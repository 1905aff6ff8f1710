"""What the actors of a process take part in at its node: one value, handed over once (`Node.attach`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from casty.cluster.control.topology import Topology
from casty.transport.connection import Connection
from casty.wire.hello import Hello

__all__ = ["NO_ACTORS", "ActorHooks"]

Handler = Callable[[Connection, bytes], None]


def _always(slot: int) -> bool:
    del slot
    return True


def _no_flaw(hello: Hello) -> str | None:
    del hello
    return None


def _nobody(key: str) -> bool:
    del key
    return False


def _nothing(key: str, count: int) -> None:
    del key, count


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorHooks:
    """What a node tells its actors, and asks them.

    Parameters
    ----------
    handlers
        What takes frames of the kinds that are for actors; none of them is a kind of the node's own.
    on_topology
        Told a newer topology, or the same one when leaders changed; in this order.
    on_link
        Told each link that begins (True) or has ended, whoever is at the other end; in this order.
    flaw_of_client
        Says whether a client's id is that of another living client.
    may_transfer
        Asked before a slot is handed over: volatile entities stop first. Asked again until it says yes.
    messages_lost
        Returns how many messages nobody will handle, by what became of them.
    on_lost, on_unconfirmed, is_there
        See `Losses`.
    """

    handlers: Mapping[int, Handler] = field(default_factory=dict)
    on_topology: tuple[Callable[[Topology], None], ...] = ()
    on_link: tuple[Callable[[Connection, bool], None], ...] = ()
    flaw_of_client: Callable[[Hello], str | None] = _no_flaw
    may_transfer: Callable[[int], bool] = _always
    messages_lost: Callable[[], dict[str, int]] = dict
    on_lost: Callable[[str, int], None] = _nothing
    on_unconfirmed: Callable[[str, int], None] = _nothing
    is_there: Callable[[str], bool] = _nobody


NO_ACTORS = ActorHooks()
"""A node before its actors are there: it hands over at once, and nobody hears of links."""
