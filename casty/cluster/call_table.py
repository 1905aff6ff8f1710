"""The calls of one gateway: which are under way, which of them are parked, and when each is due.

A call is *parked* while nothing can be sent for it: no topology, no leader, no link, no session yet, no room in
the session's window. It stays under way meanwhile. Parked calls are tried again on every change that may help,
and a twentieth of a second later in any case.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from casty.cluster.calls import Call, Deadlines
from casty.cluster.ledger import Entity
from casty.cluster.operations import OP_WRITE
from casty.config import SECOND_NS
from casty.distributed.core import Reply
from casty.runtime import Clock

__all__ = ["MAX_PARKED", "RETRY", "CallTable"]

RETRY = 0
"""The key with which `on_due` hears that parked calls should be tried again; call identities begin at 1."""

RETRY_NS = SECOND_NS // 20
MAX_PARKED = 100_000


class CallTable:
    """The calls of one gateway.

    Parameters
    ----------
    clock
        Tells when calls are due.
    on_due
        Called with the identity of a call at each of its instants, negative for its withdrawal, or with `RETRY`.
    """

    __slots__ = ("_by_slot", "_clock", "_last_id", "_retry_ns", "calls", "deadlines", "parked")

    def __init__(self, clock: Clock, on_due: Callable[[int], None]) -> None:
        self._clock = clock
        self._by_slot: dict[int, dict[int, Call]] = {}
        self._last_id = 0
        self._retry_ns = 0
        self.calls: dict[int, Call] = {}
        self.parked: dict[int, Call] = {}
        self.deadlines = Deadlines(clock, on_due, self._is_live)

    def _is_live(self, key: int) -> bool:
        return key == RETRY or abs(key) in self.calls

    def make(self, operation: int, entity: Entity, timeout_ns: int | None) -> Call:
        """Return a new call; it is under way once it was added."""
        now_ns = self._clock.now()
        deadline_ns = None if timeout_ns is None else now_ns + timeout_ns
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._last_id += 1
        return Call(self._last_id, operation, entity, future, now_ns, deadline_ns)

    def add(self, call: Call) -> None:
        """The call is under way, until it is forgotten."""
        self.calls[call.call_id] = call
        if call.deadline_ns is not None:
            self.deadlines.add(call.deadline_ns, call.call_id)

    def settle_in(self, call: Call) -> None:
        """The call's slot is known."""
        calls = self._by_slot.get(call.slot)
        if calls is None:
            calls = self._by_slot[call.slot] = {}
        calls[call.call_id] = call

    def forget(self, call: Call) -> None:
        """The call is over."""
        self.calls.pop(call.call_id, None)
        self.parked.pop(call.call_id, None)
        calls = self._by_slot.get(call.slot)
        if calls is not None:
            calls.pop(call.call_id, None)

    def park(self, call: Call) -> None:
        """Nothing can be sent for it now."""
        call.is_parked = True
        call.sent_to = None
        self.parked[call.call_id] = call
        self.retry_later()

    def unpark(self, call: Call) -> None:
        """Something may be sent for it now."""
        self.parked.pop(call.call_id, None)
        call.is_parked = False

    def retry_later(self) -> None:
        """See that the parked calls are tried again soon."""
        if self._retry_ns == 0:
            self._retry_ns = self._clock.now() + RETRY_NS
            self.deadlines.add(self._retry_ns, RETRY)

    def retries(self) -> list[Call]:
        """Return what is parked, now that `RETRY` is due."""
        self._retry_ns = 0
        return list(self.parked.values())

    def unnumbered(self, slot: int) -> Iterator[Call]:
        """Return the parked calls on a slot that need a number in its session first."""
        return (
            call
            for call in self.parked.values()
            if call.slot == slot and call.operation == OP_WRITE and not call.payload
        )

    def of_slot(self, slot: int) -> list[Call]:
        """Return the calls on a slot."""
        return list(self._by_slot.get(slot, {}).values())

    def slots(self) -> list[int]:
        """Return the slots that have calls."""
        return [slot for slot, calls in self._by_slot.items() if calls]
