"""Which errors a call may end with, and how early: anything else is a fault of whoever raised it (8)."""

from __future__ import annotations

from collections.abc import Mapping

from ...history import Operation
from ..violation import Violation

__all__ = ["GROWING", "MAY_RAISE", "WITHOUT_MEMORY", "check_contract"]

_READS = ("Unavailable", "Overloaded", "NotStarted")
"""Whoever only reads never is in doubt."""
_WRITES = (*_READS, "OutcomeUnknown")
_ASKS = (*_WRITES, "TimeoutError", "Destroyed", "Mismatch")
"""Calls that may wait: they are withdrawn in time, or find the structure destroyed or with other settings."""
_RELEASES = (*_WRITES, "LockLost")

MAY_RAISE: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("lock.acquire", "lock.try", "semaphore.acquire", "semaphore.try"), _ASKS),
    "barrier.arrive": (*_ASKS, "BrokenBarrier"),
    **dict.fromkeys(("lock.release", "semaphore.release"), _RELEASES),
    **dict.fromkeys(("counter.get", "map.get", "map.contains", "set.contains", "set.size"), _READS),
    **dict.fromkeys(("queue.peek", "queue.size", "map.items"), _READS),
    "queue.enqueue": (*_WRITES, "QueueFull", "Mismatch"),
    **dict.fromkeys(("queue.put", "queue.get", "queue.reserve"), _ASKS),
    "semaphore.available": (*_READS, "Mismatch"),
    "semaphore.resize": (*_WRITES, "Mismatch"),
    **dict.fromkeys(("rw_lock.acquire", "rw_lock.try", "election.acquire"), _ASKS),
    **dict.fromkeys(("rw_lock.release", "election.release"), _RELEASES),
    "election.leader": _READS,
    "election.told": ("TimeoutError", "Overloaded", "NotStarted"),
}
"""Call kind -> names of the errors in its contract; kinds that are not here are writes."""

WITHOUT_MEMORY = "Overloaded (memory)"
"""How histories call an `Overloaded` that says that the memory budget of a node is used up."""

GROWING = (
    "lock.acquire", "lock.try", "semaphore.acquire", "semaphore.try", "semaphore.resize", "rw_lock.acquire",
    "rw_lock.try", "election.acquire", "election.told", "barrier.arrive", "fence.write", "fence.check",
    "counter.add", "counter.subtract", "counter.compare_and_set", "counter.reset", "map.put", "map.put_if_absent",
    "map.compare_and_set", "map.touch", "set.add", "queue.enqueue", "queue.put", "queue.get", "queue.reserve",
)  # fmt: skip
"""Kinds of calls that may make a state larger, or make one: whoever has no memory for more refuses these only (54)."""

_ENDINGS = (
    "lock.release",
    "semaphore.release",
    "rw_lock.release",
    "election.release",
    "queue.ack",
    "queue.nack",
)
"""Kinds of calls that end a hold: what is held is in memory."""
_BY_DEADLINE = "Unavailable"
"""Raised when the time is up: while there is some left, a route may still come."""
_TICK_S = 0.1
_ENDS = ("", "cancelled")


def check_contract(
    operation: Operation,
    took_s: float,
    limit_s: float | None,
    *,
    has_journal: bool = False,
    is_restored: bool = True,
) -> Violation | None:
    """Return what is wrong with the error of an operation that ended.

    Parameters
    ----------
    took_s, limit_s
        How long it took and might take, in seconds of its client's clock; None: for ever.
    has_journal
        Whether the client has a journal, whose errors it may raise then: in doubt only where it changes something.
    is_restored
        Whether what was called was in memory from the call to its end. The first use of what is only on record puts it
        back, whatever is asked of it, but for what ends a hold.
    """
    error = operation.error
    if error in _ENDS:
        return None
    if error == WITHOUT_MEMORY:
        text = f"a full node has to serve it: {operation}"
        is_broken = operation.kind not in GROWING and (is_restored or operation.kind in _ENDINGS)
        return Violation(54, operation.kind, text, (operation.number,)) if is_broken else None
    allowed = MAY_RAISE.get(operation.kind, _WRITES)
    if has_journal:
        allowed = (*allowed, "JournalError", *(("NotOnRecord",) if "OutcomeUnknown" in allowed else ()))
    if error not in allowed:
        text = f"{error} is not one of {', '.join(allowed)}: {operation}"
        return Violation(8, operation.kind, text, (operation.number,))
    if error == _BY_DEADLINE and limit_s is None:
        return Violation(
            8, operation.kind, f"{error} of a call without a deadline: {operation}", (operation.number,)
        )
    if error == _BY_DEADLINE and limit_s is not None and took_s < limit_s - _TICK_S:
        text = f"{error} {limit_s - took_s:.3f} s before its deadline: {operation}"
        return Violation(8, operation.kind, text, (operation.number,))
    return None
