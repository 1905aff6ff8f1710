"""What one process offers as services, and how the control group comes to know it. Pure.

What is offered is state, not commands. A process announces changes of it in a chain: each announcement carries a
number and the number of the one before, and the control state takes an announcement only on top of that one. So it
may be lost, doubled or late: taken twice it changes nothing, and one that was overtaken finds a higher number. There
is one announcement at a time; it goes out unchanged until it is confirmed, and what changes meanwhile is gathered for
the next one. Where the chain broke (this process was given up and joined again) it begins anew with `WHOLE`: all
that this process had announced goes, and everything is announced again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from casty.limits import MAX_SERVICE_KEY_BYTES, MAX_SERVICE_REF_BYTES

__all__ = ["WHOLE", "Announcement", "Offers", "flaw_of_offer", "size_of"]

WHOLE = -1
"""Instead of the number before: this announcement is the first of everything."""

ANNOUNCED_BYTES = 16 * 1024
"""One announcement has no more than this, or a single change: it fits into every frame and every log entry."""


class Announcement(NamedTuple):
    """Changes of what a process offers: rows (key, ref, whether it is offered), on top of announcement `previous`."""

    previous: int
    number: int
    changes: tuple[tuple[str, str, bool], ...]


class Offers:
    """What this process offers.

    Bounds: `_wanted` has a row per offered instance, `_changes` one per instance that differs from what was announced;
    a row goes when it is taken back, or announced.
    """

    __slots__ = ("_changes", "_flying", "_number", "_previous", "_wanted")

    def __init__(self) -> None:
        self._wanted: dict[tuple[str, str], None] = {}
        self._changes: dict[tuple[str, str], bool] = {}
        self._flying: Announcement | None = None
        self._number = 0
        self._previous = 0

    def __len__(self) -> int:
        """How many instances are offered."""
        return len(self._wanted)

    def offer(self, key: str, ref: str) -> None:
        """Offer an instance; one that is offered already stays as it is."""
        if (key, ref) not in self._wanted:
            self._wanted[key, ref] = None
            self._change(key, ref, is_on=True)

    def take_back(self, key: str, ref: str) -> None:
        """Offer an instance no more."""
        if (key, ref) in self._wanted:
            del self._wanted[key, ref]
            self._change(key, ref, is_on=False)

    def withdraw(self) -> None:
        """Take back everything."""
        for key, ref in list(self._wanted):
            self.take_back(key, ref)

    def _change(self, key: str, ref: str, *, is_on: bool) -> None:
        """Note a change that is to be announced; it undoes one that was not sent yet."""
        if self._changes.pop((key, ref), None) is None:
            self._changes[key, ref] = is_on

    def next(self) -> Announcement | None:
        """Return what is to be sent: the announcement that is not confirmed, or the next; None when all is known."""
        if self._flying is None and (self._changes or self._previous == WHOLE):
            self._number += 1
            self._flying = Announcement(self._previous, self._number, tuple(self._gather()))
        return self._flying

    def _gather(self) -> list[tuple[str, str, bool]]:
        rows: list[tuple[str, str, bool]] = []
        size = 0
        for key, ref in list(self._changes):
            size += size_of(key, ref)
            if rows and size > ANNOUNCED_BYTES:
                break
            rows.append((key, ref, self._changes.pop((key, ref))))
        return rows

    def confirmed(self, number: int, refused: Iterable[tuple[str, str]]) -> None:
        """The control state has an announcement, but for the instances that it refused; a late one says nothing."""
        if self._flying is None or self._flying.number != number:
            return
        self._flying = None
        self._previous = number
        for key, ref in refused:
            # Taken back meanwhile: what is not there need not be taken out.
            self._wanted.pop((key, ref), None)
            self._changes.pop((key, ref), None)

    def anew(self, recorded: int) -> None:
        """The control state does not have the number before, but `recorded`: everything is to be announced again."""
        self._flying = None
        self._previous = WHOLE
        self._number = max(self._number, recorded)
        self._changes = dict.fromkeys(self._wanted, True)

    def follow(self, recorded: int) -> None:
        """A version of the cluster shows this number of ours; one that is ahead of us withdrew what we announced.

        So did one that shows none, where this process was removed, forgotten and joined again. That version may also be
        older than the first confirmation: then everything is announced once more, which changes nothing.
        """
        if recorded > self._number or (recorded == 0 and self._previous > 0):
            self.anew(recorded)


def size_of(key: str, ref: str) -> int:
    """Return the bytes that one instance counts for."""
    return len(key.encode()) + len(ref.encode())


def flaw_of_offer(key: str, ref: str) -> str | None:
    """Say which bound an instance exceeds by itself; None when it may be announced."""
    for what, text, bound in (("key", key, MAX_SERVICE_KEY_BYTES), ("address", ref, MAX_SERVICE_REF_BYTES)):
        size = len(text.encode())
        if size > bound:
            return f"its {what} has {size} bytes, the bound is {bound}"
    return None
