"""A bounded queue of messages with an explicit answer to the question what happens when it is full."""

from __future__ import annotations

import asyncio
from asyncio import get_running_loop
from collections import deque
from collections.abc import Callable
from enum import Enum
from itertools import repeat
from typing import Generic, TypeVar

from casty.actor.unread import MESSAGE_BYTES, Unread
from casty.checks import check_count, shown
from casty.errors import NotStarted

__all__ = ["Mailbox", "MailboxClosed", "MailboxOverflowStrategy", "check_mailbox"]

M = TypeVar("M")

DEFAULT_CAPACITY = 10_000

# Shared by all mailboxes that have none of their own, which are most: an empty deque takes 600 bytes.
_NO_SIZES: deque[int] = deque(maxlen=0)
_NOBODY: deque[asyncio.Future[None]] = deque(maxlen=0)


class MailboxOverflowStrategy(Enum):
    """What `Mailbox.put` does when the mailbox is full."""

    drop_new = "drop_new"
    drop_oldest = "drop_oldest"
    reject = "reject"


class MailboxClosed(Exception):
    """The owner of the mailbox stops; it takes and gives nothing more."""


class Mailbox(Generic[M]):
    """Messages waiting for one actor.

    Parameters
    ----------
    capacity
        At most so many unread messages, at least 1; None takes the configured bound (10,000).
    overflow
        What happens to a message that finds the mailbox full; a dropped one becomes a dead letter.

    Raises
    ------
    TypeError, ValueError
        `capacity` is no int of at least 1, or `overflow` no strategy.

    Notes
    -----
    `_items` has a row per unread message, at most `capacity` and a few of the system's own, and `_sizes` as many or
    none; `_putters` one per caller that waits in `put_async`.

    Examples
    --------
    >>> mailbox = Mailbox[int](capacity=1)
    >>> mailbox.put(1)
    >>> mailbox.put(2)
    >>> mailbox.size()
    1
    """

    __slots__ = (
        "_capacity", "_getter", "_is_closed", "_items", "_loop", "_on_drop", "_overflow", "_putters", "_sizes",
        "_unread",
    )  # fmt: skip

    def __init__(
        self,
        capacity: int | None = None,
        overflow: MailboxOverflowStrategy = MailboxOverflowStrategy.drop_new,
    ) -> None:
        _check_overflow(overflow)
        self._capacity = None if capacity is None else check_count("capacity", capacity, 1)
        self._overflow = overflow
        self._items: deque[M] = deque()
        self._sizes: deque[int] = _NO_SIZES
        """What each of them counts for, in the same order; empty while each counts for `MESSAGE_BYTES`, as messages of
        this process do. The first other one fills it, at most once until the mailbox is empty again."""
        self._unread = Unread()
        self._getter: asyncio.Future[None] | None = None
        self._putters: deque[asyncio.Future[None]] = _NOBODY
        self._on_drop: Callable[[M], None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        """In which its actor lives; None before it has one."""
        self._is_closed = False

    def bind(self, default_capacity: int, on_drop: Callable[[M], None], unread: Unread) -> None:
        """Give the mailbox to its actor: the bound where none was chosen, who hears of drops, and where it counts."""
        if self._on_drop is not None:
            raise ValueError("mailbox: expected one that no other actor uses")
        self._capacity = default_capacity if self._capacity is None else self._capacity
        self._on_drop = on_drop
        self._loop = asyncio.get_running_loop()
        unread.size_bytes += self._unread.size_bytes
        self._unread = unread

    def put(self, message: M, size_bytes: int = MESSAGE_BYTES) -> None:
        """Add a message without waiting.

        Parameters
        ----------
        message
            What is added.
        size_bytes
            What it counts for while it is unread; see `casty.actor.unread`.

        Raises
        ------
        asyncio.QueueFull
            It is full and its strategy is ``reject``.
        NotStarted
            Its actor lives in the event loop of another thread, where nobody would wake up.
        """
        home = self._loop
        if home is not None:
            try:
                is_here = get_running_loop() is home
            except RuntimeError:
                is_here = False
            if not is_here:
                raise _elsewhere()
        # As `add`, which would cost a third more.
        items = self._items
        if len(items) >= (self._capacity or DEFAULT_CAPACITY) and not self._makes_room(message):
            return
        items.append(message)
        if self._sizes:
            self._sizes.append(size_bytes)
        elif size_bytes != MESSAGE_BYTES:
            self._note_size(size_bytes)
        self._unread.size_bytes += size_bytes
        getter = self._getter
        if getter is not None and not getter.done():
            getter.set_result(None)

    def add(self, message: M, size_bytes: int = MESSAGE_BYTES) -> None:
        """Do as `put` does, for a caller who is known to be in the actor's event loop."""
        # Of one piece with `put_beyond`, and without `is_full`: each message comes this way.
        items = self._items
        if len(items) >= (self._capacity or DEFAULT_CAPACITY) and not self._makes_room(message):
            return
        items.append(message)
        if self._sizes:
            self._sizes.append(size_bytes)
        elif size_bytes != MESSAGE_BYTES:
            self._note_size(size_bytes)
        self._unread.size_bytes += size_bytes
        getter = self._getter
        if getter is not None and not getter.done():
            getter.set_result(None)

    def put_beyond(self, message: M) -> None:
        """Add a message even to a full mailbox: the system's own, which are few."""
        self._items.append(message)
        if self._sizes:
            self._note_size(MESSAGE_BYTES)
        self._unread.size_bytes += MESSAGE_BYTES
        if self._getter is not None and not self._getter.done():
            self._getter.set_result(None)

    def _makes_room(self, message: M) -> bool:
        """Whether a full mailbox takes the message, now that its strategy was asked."""
        if self._overflow is MailboxOverflowStrategy.reject:
            raise asyncio.QueueFull(
                f"mailbox: {self.size()} unread messages are its bound; slow down or widen it"
            )
        if self._overflow is MailboxOverflowStrategy.drop_new:
            self._drop(message)
            return False
        self._drop(self._pop())
        return True

    def _note_size(self, size_bytes: int) -> None:
        """Remember what the newest message counts for."""
        sizes = self._sizes
        if not sizes:
            if sizes is _NO_SIZES:
                sizes = self._sizes = deque()
            before = len(self._items) - 1
            if before:
                sizes.extend(repeat(MESSAGE_BYTES, before))
        sizes.append(size_bytes)

    async def put_async(self, message: M) -> None:
        """Add a message, waiting for room whatever the strategy is."""
        while self.is_full:
            room = asyncio.get_running_loop().create_future()
            if self._putters is _NOBODY:
                self._putters = deque()
            self._putters.append(room)
            try:
                await room
            except asyncio.CancelledError:
                if room.done() and not room.cancelled():
                    self._wake_putter()
                raise
        self._check_open()
        self.put_beyond(message)

    async def get(self) -> M:
        """Take the oldest message, waiting for one; one caller at a time."""
        items = self._items
        while not items:
            if self._is_closed:
                self._check_open()
            self._getter = get_running_loop().create_future()
            try:
                await self._getter
            finally:
                self._getter = None
        # As `_pop`, which would cost as much as all of this.
        sizes = self._sizes
        self._unread.size_bytes -= sizes.popleft() if sizes else MESSAGE_BYTES
        message = items.popleft()
        if self._putters:
            self._wake_putter()
        return message

    def size(self) -> int:
        """How many messages are unread."""
        return len(self._items)

    def first(self) -> M:
        """Return the oldest unread message; there has to be one."""
        return self._items[0]

    def empty(self) -> bool:
        """Whether nothing is unread."""
        return not self._items

    @property
    def is_full(self) -> bool:
        """Whether the bound is reached."""
        return len(self._items) >= (self._capacity or DEFAULT_CAPACITY)

    def close(self) -> None:
        """Wake whoever waits; `get` and `put_async` raise `MailboxClosed` from now on."""
        self._is_closed = True
        if self._getter is not None and not self._getter.done():
            self._getter.set_result(None)
        while self._putters:
            self._wake_putter()

    def take_out(self, is_meant: Callable[[M], bool]) -> None:
        """Take unread messages out, as if they had never come: for rare ones, as each is looked at."""
        items, sizes = list(self._items), list(self._sizes or repeat(MESSAGE_BYTES, len(self._items)))
        kept = [(item, size) for item, size in zip(items, sizes, strict=True) if not is_meant(item)]
        if len(kept) < len(items):
            self._unread.size_bytes += sum(size for _, size in kept) - sum(sizes)
            self._items.clear()  # in place: whoever waits in `get` looks at this one
            self._items.extend(item for item, _ in kept)
            if self._sizes:
                self._sizes.clear()
                self._sizes.extend(size for _, size in kept)

    def drain(self) -> list[tuple[M, int]]:
        """Take all that is left, each with its size; what comes into a closed mailbox later counts for nobody."""
        left: list[tuple[M, int]] = []
        if self._items:
            left += zip(self._items, self._sizes or repeat(MESSAGE_BYTES, len(self._items)), strict=True)
            self._unread.size_bytes -= self._held_bytes
            self._items.clear()
            self._sizes.clear()
        if self._is_closed:
            self._unread = Unread()
        return left

    @property
    def _held_bytes(self) -> int:
        return sum(self._sizes) if self._sizes else MESSAGE_BYTES * len(self._items)

    def _pop(self) -> M:
        self._unread.size_bytes -= self._sizes.popleft() if self._sizes else MESSAGE_BYTES
        return self._items.popleft()

    def _check_open(self) -> None:
        if self._is_closed:
            raise MailboxClosed("mailbox: its actor stops")

    def _wake_putter(self) -> None:
        while self._putters:
            room = self._putters.popleft()
            if not room.done():
                room.set_result(None)
                return

    def _drop(self, message: M) -> None:
        if self._on_drop is not None:
            self._on_drop(message)


def _elsewhere() -> NotStarted:
    return NotStarted(
        "mailbox: expected the event loop in which its actor lives, found another one or none; use it there, as with "
        "loop.call_soon_threadsafe(mailbox.put, message)"
    )


def check_mailbox(mailbox: object) -> None:
    """Raise `TypeError` unless it is a mailbox or None."""
    if mailbox is not None and not isinstance(mailbox, Mailbox):
        raise TypeError(f"mailbox: expected a Mailbox or None, found {shown(mailbox)}")


def _check_overflow(overflow: object) -> None:
    if not isinstance(overflow, MailboxOverflowStrategy):
        raise TypeError(f"overflow: expected a MailboxOverflowStrategy, found {shown(overflow)}")
