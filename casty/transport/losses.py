"""What broken links took: every message that was sent over a link and not taken from it is counted (ADR 0028).

Whoever sends counts what it sends over each link, and whoever takes counts what it takes (`Connection.messages_out`,
`messages_in`). A link that is there loses nothing. When it has ended, the sender says so over its next link to the
same process: how many it had sent. The other end counts the difference to what it took, once it has nothing left of
that link itself, and confirms it; until then it is said over each new link. Nothing is said of a link of which the
other end had confirmed everything.

A process that has ended tells nobody what it took. What it had not confirmed is *unconfirmed*: lost, or handled
shortly before the end. That it took is confirmed once a second.

``SENT`` body: ``[number of this link, [[number of a link that ended, messages sent, of these confirmed], ...], [numbers
of links that did not end, ...]]``; numbers are the sender's own and never used twice. ``SETTLED`` body: ``[numbers of
links, ...]``.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

from casty.address import peer_key
from casty.config import SECOND_NS
from casty.errors import RemoteProtocolError
from casty.ports import Clock, Timer
from casty.transport.connection import Connection
from casty.wire import frames
from casty.wire.pack import pack, unpack

__all__ = ["KEPT_NS", "LinkCounted", "Losses"]

KEPT_NS = 15 * SECOND_NS
"""After so long without a link to a process that is gone, nothing more is told about links to it."""

MAX_ENDED = 256
"""Links to or from one process that have ended and are not settled; of more, what the first of them took is
unconfirmed."""

MAX_PROCESSES = 65_536
"""Processes without a link of which something is to be settled; of more, the first is forgotten."""

MAX_SENT = 1 << 40
"""Messages over one link that are believed."""

_COUNTED = -1


class LinkCounted(NamedTuple):
    """A link to `peer`, a peer key, has ended: what this end had sent and taken, by the number that the sender gave."""

    peer: str
    out: int
    sent: int
    into: int
    taken: int


class _Link:
    __slots__ = ("into", "out", "process")

    def __init__(self, process: _Process, out: int) -> None:
        self.process = process
        self.out = out
        """The number that this end gave it; 0 where it sends no messages."""
        self.into = 0
        """The number that the other end gave it; 0 as long as it gave none."""


class _Process:
    """One process at the other end of links."""

    __slots__ = ("idle_ns", "key", "links", "newest", "said", "sent", "taken")

    def __init__(self, key: str) -> None:
        self.key = key
        self.links: dict[Connection, _Link] = {}
        self.sent: dict[int, tuple[int, int]] = {}
        """Links of this end that ended: messages sent, and of these, confirmed."""
        self.taken: dict[int, int] = {}
        """Links of the other end that ended here: messages taken, or that it is settled. At most `MAX_ENDED`."""
        self.said: dict[int, int] = {}
        """Links that ended there and not here: messages sent; a row goes with the end of the link here."""
        self.newest = 0
        """The highest number of a link of the other end."""
        self.idle_ns = 0


class Losses:
    """The count of one process.

    Parameters
    ----------
    clock
        Tells how long a process had no link.

    Attributes
    ----------
    handlers
        What takes the frames of this module, by kind.
    on_lost
        Told (peer key, count) of messages that a link from that process took.
    on_unconfirmed
        Told (peer key, count) of messages to a process that has ended before it confirmed them.
    on_counted
        Told of each link that ended.
    is_there
        Whether a process, by its peer key, is known to live.

    Bounds: `_processes` has a row per process with a link, and per process without one of whose links something is not
    settled; those are at most `MAX_PROCESSES`, and go after `KEPT_NS` unless the process lives.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.on_lost: Callable[[str, int], None] = _nothing
        self.on_unconfirmed: Callable[[str, int], None] = _nothing
        self.on_counted: Callable[[LinkCounted], None] | None = None
        self.is_there: Callable[[str], bool] = _nobody
        self.handlers: dict[int, Callable[[Connection, bytes], None]] = {
            frames.SENT: self.on_sent,
            frames.SETTLED: self.on_settled,
        }
        self._number = 0
        """Of this end's last link that counts messages; it never falls, so that no number is used twice."""
        self.links: dict[Connection, _Link] = {}
        """Those that have not ended."""
        self._processes: dict[tuple[str, str], _Process] = {}
        self._idle: OrderedDict[tuple[str, str], _Process] = OrderedDict()
        """Those without a link, the one that lost its last link first comes first."""
        self._timer: Timer | None = None

    # -- links

    def tell(
        self,
        on_lost: Callable[[str, int], None],
        on_unconfirmed: Callable[[str, int], None],
        on_counted: Callable[[LinkCounted], None] | None,
        is_there: Callable[[str], bool],
    ) -> None:
        """Tell somebody from now on; until then messages are counted and nobody hears of it."""
        self.on_lost, self.on_unconfirmed = on_lost, on_unconfirmed
        self.on_counted, self.is_there = on_counted, is_there

    def opened(self, connection: Connection) -> None:
        """A link is there: say first of all what those before it were sent, if messages go over it from here."""
        name = _name(connection)
        process = self._processes.get(name)
        if process is None:
            process = self._processes[name] = _Process(
                peer_key(connection.remote.node_id, connection.remote.incarnation)
            )
        self._idle.pop(name, None)
        sends = connection.is_dialled or connection.remote.role == "client"
        if sends:
            self._number += 1
        link = self.links[connection] = process.links[connection] = _Link(
            process, self._number if sends else 0
        )
        if link.out:
            self._say(connection, link)

    def _say(self, connection: Connection, link: _Link) -> None:
        process = link.process
        ended = [[number, sent, confirmed] for number, (sent, confirmed) in process.sent.items()]
        others = [other.out for other in process.links.values() if other.out]
        connection.send(frames.SENT, pack([link.out, ended, others]))

    def closed(self, connection: Connection) -> None:
        """A link is over, and nothing more is taken from it."""
        link = self.links.pop(connection, None)
        if link is None:
            return
        process, sent, taken = link.process, connection.messages_out, connection.messages_in
        del process.links[connection]
        if self.on_counted is not None:
            self.on_counted(LinkCounted(process.key, link.out, sent, link.into, taken))
        if link.into:
            self._ended_here(process, link.into, taken)
        if link.out and sent > connection.confirmed:
            self._ended_there(process, link.out, sent, connection.confirmed)
        if not process.links:
            self._rest(_name(connection), process)

    def _ended_there(self, process: _Process, number: int, sent: int, confirmed: int) -> None:
        if len(process.sent) >= MAX_ENDED:
            first = next(iter(process.sent))
            self._give_up(process, first)
        process.sent[number] = (sent, confirmed)
        for connection, link in process.links.items():
            if link.out:
                self._say(connection, link)
                return

    def _ended_here(self, process: _Process, number: int, taken: int) -> None:
        said = process.said.pop(number, None)
        if taken:
            process.taken[number] = taken
        if len(process.taken) > MAX_ENDED:
            del process.taken[next(iter(process.taken))]
        if said is not None:
            self._count_lost(process, number, said, 0)
            self._confirm(process, [number])

    # -- what the other end says

    def on_sent(self, connection: Connection, body: bytes) -> None:
        """Take what the other end sent over the links that have ended for it."""
        number, ended, others = _sent_row(body)
        link = self.links.get(connection)
        if link is None:
            return
        process = link.process
        link.into = number
        here = {other.into for other in process.links.values()}
        settled = []
        for former, sent, confirmed in ended:
            if former in here:
                process.said[former] = sent
            else:
                self._count_lost(process, former, sent, confirmed)
                settled.append(former)
        if number >= process.newest:
            process.newest = number
            told = dict.fromkeys((*(row[0] for row in ended), *others))
            process.taken = {former: taken for former, taken in process.taken.items() if former in told}
        if settled:
            connection.send(frames.SETTLED, pack(settled))

    def _count_lost(self, process: _Process, number: int, sent: int, confirmed: int) -> None:
        """Both ends are through with a link: what was not taken is lost. It may be said again, and counts once.

        Where nothing is known of it any more, what the other end knows to have been taken was.
        """
        taken = process.taken.get(number, confirmed)
        process.taken[number] = _COUNTED
        if taken != _COUNTED and sent > taken:
            self.on_lost(process.key, sent - taken)

    def _confirm(self, process: _Process, numbers: list[int]) -> None:
        for connection in process.links:
            connection.send(frames.SETTLED, pack(numbers))
            return

    def on_settled(self, connection: Connection, body: bytes) -> None:
        """The other end has counted what links took."""
        numbers: Any = unpack(body)
        if not isinstance(numbers, list) or not all(type(number) is int for number in numbers):
            raise RemoteProtocolError("settled: expected a list of numbers")
        link = self.links.get(connection)
        if link is not None:
            for number in numbers:
                link.process.sent.pop(number, None)

    # -- processes without a link

    def _rest(self, name: tuple[str, str], process: _Process) -> None:
        process.said.clear()
        if not (process.sent or process.taken):
            del self._processes[name]
            return
        process.idle_ns = self._clock.now()
        self._idle[name] = process
        if len(self._idle) > MAX_PROCESSES:
            self._forget(next(iter(self._idle)))
        self._arm()

    def _arm(self) -> None:
        if self._timer is None and self._idle:
            first = next(iter(self._idle.values()))
            self._timer = self._clock.call_at(first.idle_ns + KEPT_NS, self._look)

    def _look(self) -> None:
        """Forget who is gone; whoever lives is looked at again as long after."""
        self._timer = None
        now_ns = self._clock.now()
        for name, process in list(self._idle.items()):
            if now_ns - process.idle_ns < KEPT_NS:
                break
            if self.is_there(process.key):
                process.idle_ns = now_ns
                self._idle.move_to_end(name)
            else:
                self._forget(name)
        self._arm()

    def _forget(self, name: tuple[str, str]) -> None:
        process = self._idle.pop(name)
        del self._processes[name]
        for number in list(process.sent):
            self._give_up(process, number)

    def _give_up(self, process: _Process, number: int) -> None:
        sent, confirmed = process.sent.pop(number)
        self.on_unconfirmed(process.key, sent - confirmed)

    def close(self) -> None:
        """Count no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._idle.clear()


def _nothing(key: str, count: int) -> None:
    del key, count


def _nobody(key: str) -> bool:
    del key
    return False


def _name(connection: Connection) -> tuple[str, str]:
    """Return by what a process is known here: its key and where it says that it is, so that none counts for another."""
    remote = connection.remote
    return peer_key(remote.node_id, remote.incarnation), f"{remote.role} {remote.address}"


def _sent_row(body: bytes) -> tuple[int, list[tuple[int, int, int]], list[int]]:
    row: Any = unpack(body)
    if (
        not isinstance(row, list)
        or [type(field) for field in row] != [int, list, list]
        or row[0] < 1
        or len(row[1]) > MAX_ENDED
        or not all(isinstance(ended, list) and len(ended) == 3 for ended in row[1])
        or not all(
            type(number) is int and 0 <= number <= MAX_SENT
            for number in (row[0], *row[2], *(field for ended in row[1] for field in ended))
        )
    ):
        raise RemoteProtocolError("sent: expected [number, [[number, sent, confirmed], ...], [number, ...]]")
    return row[0], [(number, sent, confirmed) for number, sent, confirmed in row[1]], row[2]
