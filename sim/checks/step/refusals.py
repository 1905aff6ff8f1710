"""Limits of a slot: none is exceeded, and whoever is refused for one finds it reached (9).

What is there is counted anew from the state: the machine's own counters are among what is checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from casty.cluster.slots.lifetimes import Lifetimes
from casty.cluster.slots.machine import MachineLimits, SlotMachine
from casty.cluster.slots.schema import COMMAND, OPENINGS
from casty.distributed.machines.base import BARRIER, ELECTION, HOLDING_KINDS, OVERLOADED, QUEUE

if TYPE_CHECKING:
    from casty.config import Settings

__all__ = ["MAXSIZE", "Usage", "exceeded", "is_small", "lifetimes_of", "limits_of", "unfounded", "usage_of"]

MAXSIZE = "maxsize"
"""What a queue without room is called in a refusal: a bound of its own, and none of the slot."""

_SMALL = 1_000
"""Larger ones are met by no run, and counting who waits costs time."""


class Usage(NamedTuple):
    """How much of each limit a slot uses, and how many requests of one session wait or hold."""

    of_limits: MachineLimits
    of_session: int = 0


def limits_of(settings: Settings) -> MachineLimits:
    """Return the limits of a slot."""
    return MachineLimits(settings.max_entities, settings.max_sessions, settings.max_waiters)


def lifetimes_of(settings: Settings) -> Lifetimes:
    """Return what sessions may ask for."""
    return Lifetimes(round(1000 * settings.shortest_ttl_s), round(1000 * settings.max_session_ttl_s))


def is_small(limits: MachineLimits) -> bool:
    """Whether a run can meet any of these limits."""
    return min(limits) < _SMALL


def usage_of(machine: SlotMachine, session: int | None = None) -> Usage:
    """Count what is in a slot."""
    waiting = 0
    for (kind, _), state in machine.entities.items():
        if kind in HOLDING_KINDS:
            waiting += len(state.waiters) + len(state.dismissed)
            waiting += len(state.watchers) + len(state.stale) if kind == ELECTION else 0
        elif kind == BARRIER:
            waiting += len(state.arrivals) + len(state.dismissed)
        elif kind == QUEUE:
            waiting += len(state.getters) + len(state.putters) + len(state.dismissed)
    known = None if session is None else machine.sessions.get(session)
    of_session = 0 if known is None else len(known.waits)
    return Usage(MachineLimits(len(machine.entities), len(machine.sessions), waiting), of_session)


def exceeded(usage: Usage, limits: MachineLimits) -> str | None:
    """Say which limit a slot exceeds, if any."""
    for name, count, most in zip(limits._fields, usage.of_limits, limits, strict=True):
        if count > most:
            return f"{count} where {name} is {most}"
    return None


def unfounded(before: Usage, limits: MachineLimits, plain: list[Any], reply: list[Any]) -> str | None:
    """Say what is wrong with a refusal, given what was there before it; None when there is none, or it is right."""
    if plain[0] not in (COMMAND, *OPENINGS) or reply[0] != OVERLOADED:
        return None
    _, name, most = reply
    if name == MAXSIZE:
        return None  # looked at where its items are; see `QueueItems`
    if name not in limits._fields:
        return f"refused for {name} = {most}, which is no limit"
    at = limits._fields.index(name)
    if most != limits[at]:
        return f"refused for {name} = {most}, which is {limits[at]}"
    is_reached = before.of_limits[at] >= most
    is_session_full = name == "max_entities" and before.of_session >= limits.max_waiters + limits.max_entities
    if is_reached or is_session_full:
        return None
    return f"refused for {name} = {most}, of which {before.of_limits[at]} are used"
