"""How often calls are sent: requests are counted on the wire, by who sent them and under which call id.

A call is sent again when it was refused, or when its link or its leader is gone: at distances that double while the
slot refuses, and at once only where something changed. So its attempts grow with what changed and slowly with time.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING, Any

from casty.cluster.slots.operations import OP_READ, OP_WRITE, RELAY
from casty.events import LeaderElected, LinkDown, LinkUp, SteppedDown, TopologyChanged
from casty.wire import frames
from casty.wire.pack import unpack

from ..violation import Violation

if TYPE_CHECKING:
    from ...kernel.incarnation import Incarnation
    from ...kernel.trace import TraceEvent
    from ...world.world import World

__all__ = ["Attempts"]

_read_header = Struct(">IB").unpack_from
_HEADER_BYTES = 5
_LENGTH_BYTES = 4
_SECOND_NS = 1_000_000_000
FREE, PER_S = 16, 2
"""Attempts of a call that need no reason, at first and for each second of waiting. The longest distance of two is
0.8 s, and it takes four attempts to get there; answers to other calls make it two at each distance at most.
"""
_CHANGES = (LeaderElected, SteppedDown, LinkUp, LinkDown, TopologyChanged)


class _Sent:
    """The attempts of one call."""

    __slots__ = ("changes", "first_ns", "times")

    def __init__(self, now_ns: int, changes: int) -> None:
        self.first_ns = now_ns
        self.changes = changes
        self.times = 0


class Attempts:
    """The requests of all gateways, and the frames of all processes.

    Parameters
    ----------
    world
        Whose network is listened to.
    report
        Takes a violation.
    """

    def __init__(self, world: World, report: Callable[[Violation], None]) -> None:
        self._world = world
        self._report = report
        self._calls: dict[tuple[str, int], _Sent] = {}
        """A row for each call that was ever sent; the run ends with them."""
        self._changes = 0
        self.frames: dict[int, int] = {}
        """Kind -> how many frames of it were written so far."""
        world.network.watchers.append(self._written)
        world.trace.subscribe(self._heard, *_CHANGES)

    def _heard(self, entry: TraceEvent) -> None:
        del entry
        self._changes += 1

    def _written(self, owner: Incarnation, data: bytes) -> None:
        """Look at the frames of one write: connections hand over whole ones. A rogue sends what it likes."""
        if owner.name in self._world.rogues:
            return
        counts, at, last = self.frames, 0, len(data) - _HEADER_BYTES
        while at <= last:
            size, kind = _read_header(data, at)
            counts[kind] = counts.get(kind, 0) + 1
            after = at + _LENGTH_BYTES + size
            if kind == frames.REQUEST:
                self._requests(owner, data[at + _HEADER_BYTES : after])
            at = after

    def _requests(self, owner: Incarnation, body: bytes) -> None:
        items: Any = unpack(body)
        now_ns = self._world.now_ns
        for call_id, slot, _, operation, *_ in items:
            if call_id < 0 or operation & ~RELAY not in (OP_READ, OP_WRITE):
                continue
            sent = self._calls.get((owner.label, call_id))
            if sent is None:
                sent = self._calls[owner.label, call_id] = _Sent(now_ns, self._changes)
            sent.times += 1
            self._check(owner.label, call_id, slot, sent)

    def _check(self, label: str, call_id: int, slot: int, sent: _Sent) -> None:
        waited_s = (self._world.now_ns - sent.first_ns) / _SECOND_NS
        changes = self._changes - sent.changes
        if sent.times > FREE + round(PER_S * waited_s) + changes // 2:
            times = f"{sent.times} times in {waited_s:.3f} s and {changes} changes"
            text = f"call {call_id} on slot {slot} went out {times}"
            self._report(Violation(9, label, text))
