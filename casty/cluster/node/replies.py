"""Reply batches: answers for one link in one turn leave together, at most `AT_ONCE` in a frame.

They leave while they are collected, and no more of them are put into bytes than may wait for the other end. Whoever
does not read keeps the rest waiting as it is: references to values that are there anyway, and reads not done yet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from casty.cluster.node.openings import Openings
from casty.cluster.slots.operations import AT_ONCE
from casty.distributed.machines.base import TOO_LARGE
from casty.errors import MessageTooLarge
from casty.wire import frames
from casty.wire.framing import APART_BYTES
from casty.wire.pack import pack, pack_before

__all__ = ["LinkReplySink", "LocalReplySink", "Outbound"]

FRAME_BYTES = 64 * 1024
"""About what one frame of answers has at most, but for one that is longer alone."""


_SHORT = frozenset((int, bool, float, type(None)))


class Outbound(Protocol):
    """What a batch is sent on."""

    def send(self, kind: int, body: bytes, tail: bytes = b"") -> bool:
        """Stage a frame of a body in one piece or two; False when the link cannot take it. Raises `MessageTooLarge`."""
        ...

    def close(self, reason: str) -> None:
        """End the link."""

    def has_room(self, more_bytes: int = 0) -> bool:
        """Whether so many bytes more may wait for the other end to read them."""
        ...

    def defer(self, rest: Callable[[], bool]) -> None:
        """Call later, when there is room, and again until it returns True."""

    def charge(self, units: int) -> None:
        """Count so many units to the link's budget."""


class LinkReplySink:
    """Collects the replies for one connection. One that does not fit the outbound queue closes the link.

    Bounds: while the other end does not take its answers, nothing more of it is read; so `_items` has a row per
    request that was under way then, and `_put_off` one per read of those.
    """

    __slots__ = (
        "_dirty",
        "_is_deferred",
        "_items",
        "_link",
        "_put_off",
        "_size_bytes",
        "is_full",
        "openings",
    )

    def __init__(self, link: Outbound, dirty: list[LinkReplySink | LocalReplySink]) -> None:
        self._link = link
        self._items: list[list[object]] = []
        self._size_bytes = 0
        self._put_off: deque[Callable[[], None]] = deque()
        self._is_deferred = False
        self._dirty = dirty
        self.openings = Openings()
        """How many sessions the other end opened over this link lately."""
        self.is_full = False
        """Whether answers have to wait, so that no read should be done now: see `put_off`."""

    def put_off(self, serve: Callable[[], None]) -> None:
        """Call `serve`, which adds an answer, when the other end took others."""
        self._put_off.append(serve)
        self._see_to_it()

    def add(self, call_id: int, reply: list[object]) -> None:
        """Answer a call at the end of this turn, or before it when that is much."""
        if not self._items:
            self._dirty.append(self)
        self._items.append([call_id, reply])
        count = len(reply)
        if count > 2 or (count == 2 and type(reply[1]) not in _SHORT):
            self._size_bytes += _size_of(reply)
            if self._size_bytes >= FRAME_BYTES:
                self.flush()

    def flush(self) -> None:
        """Send what was collected, as far as there is room."""
        while self._items:
            if not self._link.has_room():
                self._see_to_it()
                return
            self._send(self._cut())

    def _see_to_it(self) -> None:
        self.is_full = True
        if not self._is_deferred:
            self._is_deferred = True
            self._link.defer(self._go_on)

    def _go_on(self) -> bool:
        """Send a frame's fill of what waits; True when nothing is left."""
        count = 0
        while self._put_off and len(self._items) < AT_ONCE and self._size_bytes < FRAME_BYTES:
            self._put_off.popleft()()
            count += 1
        self._link.charge(count)
        if self._items:
            self._send(self._cut())
        self._is_deferred = self.is_full = bool(self._items or self._put_off)
        return not self._is_deferred

    def _cut(self) -> list[list[object]]:
        """Take what goes into the next frame."""
        items = self._items
        if len(items) <= AT_ONCE and self._size_bytes < FRAME_BYTES:
            self._items, self._size_bytes = [], 0
            return items
        count = size_bytes = 0
        for item in items[:AT_ONCE]:
            reply = item[1]
            assert isinstance(reply, list), "`add` made the item"
            size_bytes += _size_of(reply)
            count += 1
            if size_bytes >= FRAME_BYTES:
                break
        self._items = items[count:]
        self._size_bytes -= size_bytes
        return items[:count]

    def _send(self, items: list[list[object]]) -> None:
        try:
            if not self._link.send(frames.REPLY, *_packed(items)):
                self._link.close("the outbound queue is full: the other side does not read its replies")
        except MessageTooLarge as error:
            half = len(items) // 2
            if half:
                self._send(items[:half])
                self._send(items[half:])
            else:
                self._send([[items[0][0], [TOO_LARGE, str(error)]]])


def _packed(items: list[list[object]]) -> tuple[bytes, bytes]:
    """Return the body of a frame, what is long in it apart: a value that is read is not copied once more."""
    call_id, reply = items[0]
    if len(items) == 1 and isinstance(reply, list) and len(reply) > 1:
        last = reply[-1]
        if type(last) is bytes and len(last) >= APART_BYTES:
            return pack_before([[call_id, [*reply[:-1], b""]]], len(last)), last
    return pack(items), b""


def _size_of(reply: Sequence[object]) -> int:
    """Return about how many bytes a reply takes on the wire: what is long in it, exactly."""
    size_bytes = 24
    for part in reply:
        if type(part) in _SHORT:
            continue
        if isinstance(part, (bytes, str)):
            size_bytes += len(part)
        elif isinstance(part, (list, tuple)):
            size_bytes += _size_of(part)
    return size_bytes


class LocalReplySink:
    """The same for this node's own gateway."""

    __slots__ = ("_deliver", "_dirty", "_items")

    def __init__(self, deliver: Callable[[bytes], None], dirty: list[LinkReplySink | LocalReplySink]) -> None:
        self._deliver = deliver
        self._items: list[list[object]] = []
        self._dirty = dirty

    @property
    def is_full(self) -> bool:
        """What this process asks itself is bounded where it is asked."""
        return False

    def put_off(self, serve: Callable[[], None]) -> None:
        """Nothing is put off."""
        serve()

    def add(self, call_id: int, reply: list[object]) -> None:
        """Answer a call at the end of this turn."""
        if not self._items:
            self._dirty.append(self)
        self._items.append([call_id, reply])

    def flush(self) -> None:
        """Hand over what was collected."""
        items, self._items = self._items, []
        if items:
            self._deliver(pack(items))
