"""One call of a gateway, and the deadlines of all of them behind one timer."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

from casty.cluster.sessions.client_session import Entity, Ledger
from casty.cluster.sessions.grant import Hold
from casty.cluster.slots.schema import COMMAND
from casty.config import SECOND_NS
from casty.distributed.machines.base import EVENTS, KIND_NAMES, MAP, MISMATCH, OVERLOADED, Reply
from casty.distributed.machines.events import log_label
from casty.errors import CastyError, InternalError, Mismatch, Overloaded
from casty.ports import Clock, Timer
from casty.wire.pack import pack

__all__ = ["RETRY", "Call", "Deadlines", "next_turn", "refusal_of", "seen", "settled"]

RETRY = 0
"""The key with which `on_due` hears that a slot's parked calls should be tried; call identities begin at 1."""

MIN_SWEEP = 1_024
SWEPT_AT_ONCE = 8
"""Entries that each new one looks at while the heap is swept."""
MOST_AT_ONCE = 512
"""Deadlines that are worked off in one turn of the loop: some milliseconds."""


class Call:
    """What a caller waits for.

    `seq` is 0 for what needs no number (reads, opens, withdrawals). `may_be_applied` is True once an attempt
    left and was not refused; `was_in_doubt` is what it was before the attempt under way. `only_in` is the one
    session in which the call means anything: that of the hold which a release ends. `attempt` counts the gateway's
    attempts to send anything; that of a call is its latest one. `has_taken`: its answer is an item out of a queue, and
    until its caller has it nobody says that it was answered, so that a withdrawal puts the item back.
    """

    __slots__ = (
        "attempt", "call_id", "command", "deadline_ns", "entity", "future", "has_taken", "hold", "is_parked",
        "is_queued", "is_urgent", "is_waiting", "is_withdrawing", "leader", "ledger", "may_be_applied", "only_in",
        "operation", "payload", "put_off", "sent_to", "seq", "slot", "started_ns", "was_in_doubt",
    )  # fmt: skip

    def __init__(
        self,
        call_id: int,
        operation: int,
        entity: Entity,
        future: asyncio.Future[Reply],
        now_ns: int,
        deadline_ns: int | None,
    ) -> None:
        self.call_id = call_id
        self.operation = operation
        self.entity = entity
        self.future = future
        self.started_ns = now_ns
        self.deadline_ns = deadline_ns
        self.slot = -1
        self.attempt = 0
        self.seq = 0
        self.payload = b""
        self.command: object = None
        self.sent_to: str | None = None
        self.has_taken = False
        self.hold: Hold | None = None
        self.leader: str | None = None
        self.ledger: Ledger[Hold] | None = None
        self.only_in: Ledger[Hold] | None = None
        self.put_off = ""
        """Why the slot's leader did not take it, the last time that it said so."""
        self.is_parked = False
        self.is_queued = False
        self.is_urgent = False
        self.is_waiting = False
        self.is_withdrawing = False
        self.may_be_applied = False
        self.was_in_doubt = False

    def entry(self, ledger: Ledger[Hold]) -> bytes:
        """Return the log entry of a numbered call, with the marks of this moment."""
        marks = (ledger.low, ledger.wait_low)
        return pack([COMMAND, ledger.number, self.seq, *marks, *self.entity, self.command])

    def __str__(self) -> str:
        """Name what was called, for the text of an error."""
        kind, entity = self.entity
        name = KIND_NAMES.get(kind, "call")
        if kind == MAP or not entity:
            return name  # of a map the entity is one key, in its canonical bytes
        if kind == EVENTS:
            return f"{name} of {log_label(entity):.100}"
        return f"{name} {entity.decode(errors='replace')!r:.100}"

    @property
    def timeout_s(self) -> float | None:
        """How long it may take; None for ever."""
        return None if self.deadline_ns is None else (self.deadline_ns - self.started_ns) / SECOND_NS

    def unnumber(self) -> None:
        """Its session is gone and it was never applied there: it takes part in the next one."""
        self.ledger = None
        self.seq, self.payload = 0, b""
        self.may_be_applied = False

    def fail(self, error: BaseException) -> None:
        """End with an error, unless it ended already."""
        if not self.future.done():
            self.future.set_exception(error)


class Deadlines:
    """Callbacks at instants: one heap and one timer however many there are.

    Entries of ended calls are ignored, and swept out once they may be most of the heap: a call answered
    in a millisecond must not stay here for its minute. Each new entry sweeps a few: the last leaf of a heap can go
    without any other one moving, and what is live goes into the next heap.

    Bounds: three times as many entries as were live when it was swept last, or `MIN_SWEEP` and an eighth.

    Parameters
    ----------
    clock
        Tells the time.
    on_due
        Called with a key at its instant.
    is_live
        Says whether an entry, an instant and a key, still means anything.

    `RETRY` does a turn's fill of work itself, so a turn has it once.
    """

    __slots__ = ("_clock", "_heap", "_is_live", "_on_due", "_sweep_at", "_swept", "_timer", "_timer_ns")

    def __init__(
        self, clock: Clock, on_due: Callable[[int], None], is_live: Callable[[int, int], bool]
    ) -> None:
        self._clock = clock
        self._heap: list[tuple[int, int]] = []
        self._swept: list[tuple[int, int]] = []
        """The former heap, while it is swept."""
        self._is_live = is_live
        self._sweep_at = MIN_SWEEP
        self._on_due = on_due
        self._timer: Timer | None = None
        self._timer_ns = 0

    def add(self, when_ns: int, key: int) -> None:
        """Call ``on_due(key)`` at an instant."""
        if self._swept:
            self._sweep()
        elif len(self._heap) >= self._sweep_at:
            self._heap, self._swept = [], self._heap
        heapq.heappush(self._heap, (when_ns, key))
        if self._timer is None or when_ns < self._timer_ns:
            self._arm()

    def close(self) -> None:
        """Call nothing any more."""
        self._heap.clear()
        self._swept.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _sweep(self) -> None:
        for _ in range(SWEPT_AT_ONCE):
            if not self._swept:
                break
            entry = self._swept.pop()
            if self._is_live(*entry):
                heapq.heappush(self._heap, entry)
        if not self._swept:
            self._sweep_at = max(MIN_SWEEP, 2 * len(self._heap))

    def _next(self) -> list[tuple[int, int]]:
        """Return the heap that has the next entry; an empty one where neither has any."""
        heap, swept = self._heap, self._swept
        return swept if swept and (not heap or swept[0] < heap[0]) else heap

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        heap = self._next()
        if heap:
            self._timer_ns = heap[0][0]
            self._timer = self._clock.call_at(self._timer_ns, self._fire)

    def _fire(self) -> None:
        self._timer = None
        now_ns = self._clock.now()
        # What is due beyond that follows in the next turn: many calls may have one deadline.
        has_retried = False
        for _ in range(MOST_AT_ONCE):
            heap = self._next()
            if not heap or heap[0][0] > now_ns:
                break
            when_ns, key = heap[0]
            is_live = self._is_live(when_ns, key)
            if is_live and key == RETRY and has_retried:
                break
            heapq.heappop(heap)
            if is_live:
                has_retried = has_retried or key == RETRY
                self._on_due(key)
        if self._timer is None:
            self._arm()


def seen(future: asyncio.Future[Reply]) -> None:
    """Take note of how an answer that nobody may await came out: its error must not look forgotten."""
    if not future.cancelled():
        future.exception()


async def settled(future: asyncio.Future[Reply]) -> None:
    """Wait for an answer that may as well be an error: the session then ends by its TTL."""
    try:
        await future
    except CastyError:
        return


async def next_turn(clock: Clock) -> None:
    """Let the loop do what else is due."""
    turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    timer = clock.call_at(clock.now(), turn.set_result, None)
    try:
        await turn
    finally:
        timer.cancel()


def refusal_of(reply: Reply) -> CastyError:
    """Return the error of calls whose session could not be opened."""
    if reply[0] == MISMATCH:
        low_s, high_s, found_s = (part / 1000 for part in reply[2:])
        return Mismatch(
            f"session_ttl_s: expected {low_s} to {high_s} s, as the cluster was founded with, found {found_s} s; "
            "nothing was changed: make the client with another one"
        )
    if reply[0] == OVERLOADED:
        return Overloaded(f"the slot reached {reply[1]} = {reply[2]}")
    return InternalError(f"the slot answered {reply} to an opening; please report")
