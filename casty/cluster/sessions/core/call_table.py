"""The calls of one gateway: which are under way, which of them are parked, and when each is due.

A call is *parked* while nothing can be sent for it: no topology, no leader, no link, no session yet, no room in
the session's window; or while the last answer refused it. It stays under way meanwhile. Calls are parked by slot, so
that those which wait for one slot cost nothing to another: whatever happens is looked up by slot, never by call.

A slot with parked calls is tried again at once when something changes that may help, and otherwise after a pause that
doubles while calls are refused. That the slot answered somebody is a hint and no change: it may refuse some calls for
long and serve others. It makes all parked calls go again, but no more often than they would without it.
"""

from __future__ import annotations

from itertools import islice
from typing import NamedTuple

from casty.cluster.sessions.core.call import IS_PARKED, Call
from casty.cluster.sessions.core.deadlines import RETRY, Deadlines
from casty.cluster.sessions.core.effects import Step
from casty.cluster.sessions.core.life import CallEvent, CallState
from casty.cluster.slots.operations import OP_WRITE
from casty.config import SECOND_NS

__all__ = ["MAX_PARKED", "NO_SLOT", "RETRY", "CallTable", "Try"]

NO_SLOT = -1
"""Where calls are parked whose slot is not known, for want of a topology."""

FIRST_PAUSE_NS = SECOND_NS // 20
LONGEST_PAUSE_NS = 16 * FIRST_PAUSE_NS
RESET_AFTER_NS = 4 * LONGEST_PAUSE_NS
"""Pauses begin with the first one again when a slot refused nothing for so long."""
MAX_PARKED = 100_000
CANCEL_LEAD_NS = SECOND_NS // 5
"""How long before its deadline a waiting call is withdrawn, if that is less than a quarter of its time."""


_DONE, _END = CallState.DONE, CallEvent.END


class _Pause:
    """How often the refused calls of one slot go again. It goes when nothing was refused for long."""

    __slots__ = ("next_ns", "reset_ns", "woken_ns")

    def __init__(self) -> None:
        self.next_ns = FIRST_PAUSE_NS
        """How long the next one is; it doubles up to `LONGEST_PAUSE_NS`."""
        self.reset_ns = 0
        """From when on the next one is the first again; moves on with every refusal."""
        self.woken_ns = 0
        """From when on an answer makes them go again."""


class Try(NamedTuple):
    """What is to be tried of the parked calls of a slot.

    `most` is how many of the oldest that need no number, None for a few that find out whether the slot serves.
    `is_admission`: some that wait for a number can have it; nothing else is tried.
    """

    slot: int
    most: int | None
    is_admission: bool = False


class _Parked:
    """The parked calls of one slot. It goes with the last of them."""

    __slots__ = ("admits", "count", "due_ns", "routed", "unnumbered")

    def __init__(self) -> None:
        self.unnumbered: dict[int, Call] = {}
        """Those that wait for a session, or for room in its window; the oldest first."""
        self.routed: dict[int, Call] = {}
        """Those that wait for a way to the leader, or were refused."""
        self.due_ns: int | None = None
        """When they are tried again; None until that is planned."""
        self.count: int | None = None
        """How many of `routed` are tried then, as something changed; None: a few find out whether it did."""
        self.admits = False
        """Whether some of `unnumbered` go on in the next turn of the loop."""


class CallTable:
    """The calls of one gateway. A row of a call goes when the call ends.

    Parameters
    ----------
    step
        The step under way.

    The keys of `deadlines` are the identities of calls, negative for their withdrawals, and `RETRY`.
    """

    __slots__ = (
        "_by_slot", "_last_id", "_numbered", "_retry_ns", "_step", "calls", "deadlines", "parked", "parked_count",
        "pauses",
    )  # fmt: skip

    def __init__(self, step: Step) -> None:
        self._step = step
        self._by_slot: dict[int, dict[int, Call]] = {}
        """Those of `calls` whose slot is known, by it; no row is empty."""
        self.parked: dict[int, _Parked] = {}
        """By slot; those that went first in the last turn are behind the others."""
        self._numbered: dict[tuple[int, int], Call] = {}
        """Waiting calls of `calls` that have a number, by slot and number."""
        self._last_id = 0
        """No identity is given twice, so a late answer finds nobody else's call."""
        self._retry_ns: int | None = None
        """The one entry of `RETRY` in `deadlines` that is live; no parked call is due before it."""
        self.calls: dict[int, Call] = {}
        """Every call that is under way; none of them is `DONE` or `GIVEN`."""
        self.parked_count = 0
        """How many calls are in `parked`: those whose state is a parked one."""
        self.pauses: dict[int, _Pause] = {}
        """Of each slot that lately refused a call, or had no way to its leader."""
        self.deadlines = Deadlines(step, self._is_live)

    def _is_live(self, when_ns: int, key: int) -> bool:
        # An earlier instant takes the place of a later one, whose entry stays in the heap.
        return when_ns == self._retry_ns if key == RETRY else abs(key) in self.calls

    def add(self, call: Call) -> None:
        """The call is under way, until it ends."""
        call_id = call.call_id = self._last_id = self._last_id + 1
        self.calls[call_id] = call
        deadline_ns = call.deadline_ns
        if deadline_ns is not None:
            if call.is_waiting:
                # First, as it is due first: the alarm is set once.
                lead_ns = min(CANCEL_LEAD_NS, (deadline_ns - call.started_ns) // 4)
                self.deadlines.add(deadline_ns - lead_ns, -call_id)
            self.deadlines.add(deadline_ns, call_id)

    def index_by_slot(self, call: Call) -> None:
        """The call's slot is known."""
        calls = self._by_slot.get(call.slot)
        if calls is None:
            calls = self._by_slot[call.slot] = {}
        calls[call.call_id] = call

    def end(self, call: Call, event: CallEvent = _END) -> None:
        """The call is over, or given what it took; harmless if it was over before."""
        call_id, state = call.call_id, call.state
        self.calls.pop(call_id, None)
        if IS_PARKED[state]:
            self._take_out(call)
        if state is not _DONE:
            call.move(event)
        if call.is_waiting and call.seq:
            self.unnumber(call)
        calls = self._by_slot.get(call.slot)
        if calls is not None:
            calls.pop(call_id, None)
            if not calls:
                del self._by_slot[call.slot]

    # -- numbers

    def number(self, call: Call) -> None:
        """A waiting call has its number in its slot's session; a later session's call replaces an earlier one's."""
        self._numbered[call.slot, call.seq] = call

    def unnumber(self, call: Call) -> None:
        """The number is not the call's any more."""
        if self._numbered.get((call.slot, call.seq)) is call:
            del self._numbered[call.slot, call.seq]

    def numbered(self, slot: int, seq: int) -> Call | None:
        """Return the waiting call that has this number in the slot's session; no other has an outcome to come."""
        return self._numbered.get((slot, seq))

    # -- parking

    def park(self, call: Call) -> None:
        """Nothing can be sent for it now."""
        if not call.is_parked:
            self.parked_count += 1
        call.move(CallEvent.PARK)
        call.sent_to = None
        parked = self.parked.get(call.slot)
        if parked is None:
            parked = self.parked[call.slot] = _Parked()
        needs_number = call.operation == OP_WRITE and not call.payload and call.slot != NO_SLOT
        (parked.unnumbered if needs_number else parked.routed)[call.call_id] = call
        self.retry_later(call.slot)

    def unpark(self, call: Call) -> None:
        """Something may be sent for it now."""
        if call.is_parked:
            self._take_out(call)
            call.move(CallEvent.RESUME)

    def _take_out(self, call: Call) -> None:
        self.parked_count -= 1
        # A call gets its slot while it is not parked, and its bytes with its number, after it was taken out.
        parked = self.parked[call.slot]
        if parked.routed.pop(call.call_id, None) is None:
            del parked.unnumbered[call.call_id]
        if not parked.routed and not parked.unnumbered and parked.due_ns is None and not parked.admits:
            del self.parked[call.slot]

    def parked_slots(self) -> list[int]:
        """Return the slots that have parked calls."""
        return list(self.parked)

    def first_unnumbered(self, slot: int) -> Call | None:
        """Return the oldest parked call of a slot that needs a number in its session first."""
        parked = self.parked.get(slot)
        return None if parked is None else next(iter(parked.unnumbered.values()), None)

    def unnumbered(self, slot: int, most: int) -> list[Call]:
        """Return the oldest of them."""
        parked = self.parked.get(slot)
        return [] if parked is None else list(islice(parked.unnumbered.values(), most))

    def routed(self, slot: int, most: int) -> list[Call]:
        """Return the oldest parked calls of a slot that need no number."""
        parked = self.parked.get(slot)
        return [] if parked is None else list(islice(parked.routed.values(), most))

    def routed_count(self, slot: int) -> int:
        """Return how many parked calls of a slot need no number."""
        parked = self.parked.get(slot)
        return 0 if parked is None else len(parked.routed)

    # -- trying again

    def retry_now(self, slot: int, count: int | None = None) -> None:
        """Something changed that may help: try all parked calls of a slot, or `count`, in the next turn of the loop."""
        parked = self.parked.get(slot)
        if parked is not None:
            parked.count = max(parked.count or 0, len(parked.routed) if count is None else count)
            self._plan(parked, self._step.now_ns)

    def admit_soon(self, slot: int) -> None:
        """More calls of a slot can have a number: in the next turn of the loop."""
        parked = self.parked.get(slot)
        if parked is not None and not parked.admits:
            parked.admits = True
            self._see_to(self._step.now_ns)

    def behind(self, slot: int) -> None:
        """The slot had something of this turn's fill: the others come first in the next one."""
        parked = self.parked.pop(slot, None)
        if parked is not None:
            self.parked[slot] = parked

    def served(self, slot: int) -> None:
        """The slot answered a call: whoever was refused may try again, unless that was tried a moment ago."""
        pause = self.pauses.get(slot)
        if pause is None:
            return
        now_ns = self._step.now_ns
        if now_ns < pause.woken_ns:
            return
        if now_ns >= pause.reset_ns:
            del self.pauses[slot]
        # Twice, as they go again without this as well.
        pause.woken_ns = now_ns + 2 * pause.next_ns
        self.retry_now(slot)

    def retry_later(self, slot: int, *, is_longer: bool = True) -> None:
        """See that a few of a slot's parked calls are tried after a pause, the next time after a longer one."""
        parked = self.parked.get(slot)
        if parked is None or parked.due_ns is not None:
            return
        now_ns = self._step.now_ns
        pause = self.pauses.get(slot)
        if pause is None or now_ns >= pause.reset_ns:
            pause = self.pauses[slot] = _Pause()
        self._plan(parked, now_ns + pause.next_ns)
        pause.reset_ns = now_ns + RESET_AFTER_NS
        if is_longer:
            pause.next_ns = min(2 * pause.next_ns, LONGEST_PAUSE_NS)

    def _plan(self, parked: _Parked, when_ns: int) -> None:
        parked.due_ns = when_ns
        self._see_to(when_ns)

    def _see_to(self, when_ns: int) -> None:
        if self._retry_ns is None or when_ns < self._retry_ns:
            self._retry_ns = when_ns
            self.deadlines.add(when_ns, RETRY)

    def due(self) -> list[Try]:
        """Return what to try now that `RETRY` is due."""
        now_ns = self._step.now_ns
        self._retry_ns = None
        found = []
        next_ns: int | None = None
        for slot, parked in list(self.parked.items()):
            is_admission, parked.admits = parked.admits, False
            if parked.due_ns is not None and parked.due_ns <= now_ns:
                found.append(Try(slot, parked.count))
                parked.due_ns, parked.count = None, None
            else:
                if parked.due_ns is not None:
                    next_ns = parked.due_ns if next_ns is None else min(next_ns, parked.due_ns)
                if is_admission:
                    found.append(Try(slot, None, is_admission=True))
            if parked.due_ns is None and not parked.routed and not parked.unnumbered:
                del self.parked[slot]
        if next_ns is not None:
            self._see_to(next_ns)
        return found

    # -- by slot

    def of_slot(self, slot: int) -> list[Call]:
        """Return the calls on a slot."""
        return list(self._by_slot.get(slot, {}).values())

    def slots(self) -> list[int]:
        """Return the slots that have calls."""
        return list(self._by_slot)
