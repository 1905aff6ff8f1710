"""What receivers remember of the processes that send to them: the last number of each, so that none is overtaken.

A row is worth its place while something older may still be on its way. So a process is forgotten, by all receivers at
once, when nothing came of it for `KEPT_NS` and it is gone: no message waits longer than that for its leader.

A process that is not known says itself who it is. What it sends is counted under that key and its address together, so
nothing of it counts beside the numbers of the process that has the key; see `authority.heard_as`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from casty.address import NodeAddress, said_at, unproven_key
from casty.config import SECOND_NS
from casty.ports import Clock, Timer

__all__ = ["KEPT_NS", "Heard", "Senders"]

KEPT_NS = 15 * SECOND_NS
"""After so long without a message of a process that is gone it is forgotten; more than `region_router.WAIT_NS`."""

ROWS_A_TURN = 1000
PAUSE_NS = 10_000_000


class Heard:
    """The last number that one receiver has of each sender.

    Bounds: a row per process that sent something and is there, or was less than `KEPT_NS` ago; at most `most`, and the
    one that was silent longest is forgotten first.
    """

    __slots__ = ("_latest", "_most", "_senders", "last")

    def __init__(self, senders: Senders, most: int) -> None:
        self._senders = senders
        self._most = most
        self.last: dict[str, int] = {}
        """By sender: the highest number that came from it."""
        self._latest = ""
        """Whoever sent last, whose row is the last one while it is there: mostly the next message is of the same."""

    def is_overtaken(self, source: str, number: int) -> bool:
        """Whether a later message of the same sender came first."""
        if "?" in source and source[-1] != "?":  # who ends so said no address
            source = self._senders.known_as(source)
        rows, senders = self.last, self._senders
        known = rows.get(source, 0) if source == self._latest else rows.pop(source, 0)
        last = known or self._last_unproven(source)
        rows[source] = max(last, number)
        self._latest = source
        if not known or senders.timer is None:
            senders.came(source, self)
        else:  # as there, of a process of which there is a row here: so it is for nearly every message
            senders.known[source].last_ns = senders.now()
            senders.known.move_to_end(source)
        if len(rows) > self._most:
            oldest = next(iter(rows))
            del rows[oldest]
            senders.let_go(oldest, self)
        return number <= last

    def _last_unproven(self, source: str) -> int:
        """Return the last number that a node sent before it was known, from the address that is known for it by now."""
        former = self._senders.unproven(source)
        if former is None or former not in self.last:
            return 0
        self._senders.let_go(former, self)
        return self.last.pop(former)

    def forget(self, source: str) -> None:
        """That process is gone."""
        self.last.pop(source, None)

    def close(self) -> None:
        """The receiver is gone."""
        for source in self.last:
            self._senders.let_go(source, self)
        self.last.clear()


class _Sender:
    __slots__ = ("last_ns", "receivers")

    def __init__(self) -> None:
        self.last_ns = 0
        self.receivers: dict[Heard, None] = {}
        """Who has a row of it: the same number of rows as in all `Heard` together."""


class Senders:
    """The senders that receivers of one process have rows of.

    Bounds: a row per process that a receiver has one of, so it goes with the last of those.

    Parameters
    ----------
    clock
        Tells how long a process was silent.
    is_there
        Whether a process, by its peer key, is known to live.
    address_of
        Where a node is that is known, by its peer key; None for one that is not, and for clients.
    """

    def __init__(
        self, clock: Clock, is_there: Callable[[str], bool], address_of: Callable[[str], NodeAddress | None]
    ) -> None:
        self._clock = clock
        self._is_there = is_there
        self._address_of = address_of
        # Who was silent longest comes first: who is due is found without looking at the others.
        self.known: OrderedDict[str, _Sender] = OrderedDict()
        self.now = clock.now
        self.timer: Timer | None = None

    def known_as(self, source: str) -> str:
        """Return the peer key of a process that was not known where its message came in, if it is known here."""
        key, said = said_at(source)
        if not said:
            return source
        address = self._address_of(key)
        return key if address is not None and str(address) == said else source

    def unproven(self, key: str) -> str | None:
        """Return under which key a node that is known was heard before; None for whoever is no such node."""
        address = self._address_of(key)
        return None if address is None else unproven_key(key, address)

    def came(self, source: str, receiver: Heard) -> None:
        """A receiver has a row of that process, as of now."""
        sender = self.known.get(source)
        if sender is None:
            sender = self.known[source] = _Sender()
        else:
            self.known.move_to_end(source)
        sender.receivers[receiver] = None
        sender.last_ns = self._clock.now()
        if self.timer is None:
            self._arm(sender.last_ns + KEPT_NS)

    def let_go(self, source: str, receiver: Heard) -> None:
        """A receiver has no row of that process any more."""
        sender = self.known.get(source)
        if sender is not None:
            sender.receivers.pop(receiver, None)
            if not sender.receivers:
                del self.known[source]

    def _arm(self, when_ns: int) -> None:
        self.timer = self._clock.call_at(when_ns, self._look)

    def _look(self) -> None:
        """Forget who is due, so many rows a turn; whoever is there is looked at again as long after."""
        self.timer = None
        now_ns = self._clock.now()
        for _ in range(ROWS_A_TURN):
            if not self.known:
                return
            source, sender = next(iter(self.known.items()))
            if now_ns - sender.last_ns < KEPT_NS:
                self._arm(sender.last_ns + KEPT_NS)
                return
            if self._is_there(source):
                sender.last_ns = now_ns
                self.known.move_to_end(source)
            else:
                self._forget_one(source, sender)
        self._arm(now_ns + PAUSE_NS)

    def _forget_one(self, source: str, sender: _Sender) -> None:
        receiver, _ = sender.receivers.popitem()
        receiver.forget(source)
        if not sender.receivers:
            del self.known[source]

    def close(self) -> None:
        """Look no more."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
