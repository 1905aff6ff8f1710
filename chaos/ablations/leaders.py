"""Planted bugs in resized semaphores, read-write locks, elections, and sessions with their own time to live."""

from __future__ import annotations

from typing import Any

from casty.cluster.sessions.gateway import Gateway
from casty.cluster.slots.lifetimes import Heard, Lifetimes
from casty.cluster.slots.session_record import SlotSession
from casty.distributed import rw_lock
from casty.distributed.machines.base import OK, Decision, Frozen
from casty.distributed.machines.election import ElectionLine, ElectionStructure
from casty.distributed.machines.rw_lock import READ, WHOLE, RwLockStructure
from casty.distributed.machines.semaphore import SemaphoreStructure
from casty.distributed.machines.wait_queue import WaitQueue
from casty.distributed.semaphore import Semaphore

from .bug import Planted, bug_in, shown

__all__ = ["LEADERS"]


def _grants_as_before(line: Any) -> int:
    """Permits that were taken away are granted all the same."""
    free: int = max(line.capacity, line.founded) - line.taken
    return free


def _forgets_resize(line: Any) -> Any:
    """The number of permits that was changed goes with the last who holds or waits."""
    if line.waiters or line.grants:
        return line
    line.capacity = line.founded = 0
    return line if line.has_rest() else None


def _strands_waiters(_structure: Any, line: Any, permits: int) -> Decision:
    """Who waits for more permits than there are now goes on waiting, and all behind it."""
    before, line.capacity = line.capacity, permits
    effects = line.pay()
    return Decision(line.kept(), [OK, before, line.founded], effects)


def _grants_later(right: Any) -> Any:
    """More permits are granted only when something is given back."""

    def resized(structure: Any, line: Any, permits: int) -> Decision:
        if permits <= line.capacity:
            decision: Decision = right(structure, line, permits)
            return decision
        before, line.capacity = line.capacity, permits
        return Decision(line.kept(), [OK, before, line.founded])

    return resized


def _own_to_the_last(right: Any) -> Any:
    async def resize(semaphore: Any, permits: int) -> int:
        """Whoever resized it goes by that number from then on."""
        before: int = await right(semaphore, permits)
        semaphore._permits = permits
        return before

    return resize


def _reader_passes(right: Any) -> Any:
    """A reader does not wait behind a writer that waits: it shares with those who read."""

    def ask(line: Any, amount: int, ctx: Any, may_wait: bool, label: bytes = b"") -> Any:
        if line.capacity != WHOLE or amount != 1 or amount > line.free():
            return right(line, amount, ctx, may_wait, label)
        waiters, line.waiters = line.waiters, type(line.waiters)()
        reply = right(line, amount, ctx, may_wait, label)
        line.waiters = waiters
        return reply

    return ask


def _writer_shares(right: Any) -> Any:
    """A writer takes as little as a reader."""

    def decide(structure: Any, state: Any, command: Any, ctx: Any) -> Decision:
        is_asking = command[0] in (1, 2)
        decision: Decision = right(structure, state, [command[0], READ] if is_asking else command, ctx)
        return decision

    return decide


def _tells_nobody(_line: Any) -> list[Any]:
    """Watchers are not told that another leads."""
    return []


def _without_watchers(right: Any) -> Any:
    """A snapshot has no watchers."""

    def freeze(structure: Any, state: Any) -> Frozen:
        head, tables = right(structure, state)
        return Frozen(head, (*tables[:-1], []))

    return freeze


def _unowned_watcher(right: Any) -> Any:
    """A watch outlives its session."""

    def watch(line: Any, known: int, ctx: Any) -> Any:
        reply = right(line, known, ctx)
        key = (ctx.caller.session, ctx.caller.seq)
        if key in line.watchers:
            line.owners.remove(key)
        return reply

    return watch


def _usual_for_all(right: Any) -> Any:
    """The slot's leader gives up each session after the cluster's time to live."""

    def hear(heard: Any, session: int, _ttl_ms: int, at_ns: int) -> None:
        right(heard, session, 0, at_ns)

    return hear


def _unsaid_ttl(gateway: Any, ttl_s: float) -> None:
    """A client counts on its own time to live, and tells no slot of it."""
    gateway.core.keep_alive.own_ttl_ns = int(ttl_s * 1e9)


def _ttl_not_dumped(right: Any) -> Any:
    """A snapshot has no times to live."""

    def freeze(session: Any) -> Frozen:
        head, tables = right(session)
        return Frozen([*head[:-1], 0], tables)

    return freeze


def _any_ttl(_lifetimes: Any, _ttl_ms: int) -> None:
    """A client may ask for any time to live."""


def _never_holding(_holds: Any) -> bool:
    """A task that reads waits to write, and so for itself."""
    return False


LEADERS = (
    Planted("shrunk-and-granted", "resize", "semaphore", WaitQueue, "free", _grants_as_before),
    Planted("resize-forgotten", "resize", "semaphore", WaitQueue, "kept", _forgets_resize),
    Planted(
        "resize-strands-waiters",
        "resize",
        "semaphore",
        SemaphoreStructure,
        "_resized",
        _strands_waiters,
        True,
    ),
    bug_in("resize-grants-later", "resize", "semaphore", SemaphoreStructure, "_resized", _grants_later, True),
    shown(
        bug_in("resized-away", "resize", "semaphore", Semaphore, "resize", _own_to_the_last),
        "tests/spec/test_resize.py::test_whoever_resized_it_goes_on_when_others_resize_it_again",
    ),
    bug_in("reader-passes-writer", "fairness", "rw_lock", WaitQueue, "ask", _reader_passes),
    bug_in("writer-shares", "exclusion", "rw_lock", RwLockStructure, "decide", _writer_shares),
    Planted("watchers-not-told", "election", "election", ElectionLine, "tell", _tells_nobody),
    bug_in(
        "snapshot-without-watchers", "snapshot", "election", ElectionStructure, "freeze", _without_watchers
    ),
    bug_in("watch-outlives-session", "expiry", "election", ElectionLine, "watch", _unowned_watcher),
    bug_in("usual-ttl-for-all", "expiry", "lock", Heard, "hear", _usual_for_all, True),
    Planted("ttl-unsaid", "expiry", "lock", Gateway, "lives", _unsaid_ttl, True),
    bug_in("ttl-not-in-snapshot", "snapshot", "lock", SlotSession, "freeze", _ttl_not_dumped),
    shown(
        Planted("any-ttl", "bounds", "lock", Lifetimes, "refusal", _any_ttl),
        "tests/spec/test_session_ttl.py::test_a_time_out_of_bounds_is_refused",
    ),
    shown(
        Planted("upgrade-waits-for-itself", "deadlock", "rw_lock", rw_lock, "_is_holding", _never_holding),
        "tests/spec/test_rw_lock.py::test_an_upgrade_is_refused",
    ),
)
