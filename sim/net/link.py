"""One end of a simulated connection: an ordered byte stream with latency, cuts and violent ends.

Bytes behave as over TCP: a cut does not lose them, it holds them until the path works again; a reset
truncates what was on its way; a half-open link swallows everything and reports nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from casty.ports import LinkHandler

from ..kernel.draws import Draws
from ..kernel.incarnation import Handle, Incarnation
from ..kernel.loop import SimLoop
from .path import Path

__all__ = ["SimLink"]

WINDOW_BYTES = 256 * 1024
"""What the kernels on both sides buffer; only bytes beyond it count as not taken by the network."""


class Batch:
    """Bytes that travel together, or the end of a stream."""

    __slots__ = ("error", "is_end", "number", "parts", "size")

    def __init__(self, data: bytes | None, error: BaseException | None = None) -> None:
        self.number = 0
        """Its place in the stream, from 1; an error has none: it overtakes what it makes void."""
        self.is_end = data is None
        self.parts: list[bytes] = [] if data is None else [data]
        self.size = 0 if data is None else len(data)
        self.error = error


class Fabric(Protocol):
    """What a link needs of the network that it is part of."""

    loop: SimLoop
    draws: Draws
    watchers: list[Callable[[Incarnation, bytes], None]]

    def post(self, owner: Incarnation, callback: Callable[..., object], *args: object) -> None:
        """Run a callback in a process's context, when the process gets to it."""

    def deliver_at(self, due_ns: int, link: SimLink, batch: Batch) -> None:
        """Let a batch arrive at an instant."""

    def send_fragments(self, link: SimLink, batch: Batch, due_ns: int, sequence: int) -> int:
        """Send a batch in pieces; returns when the last one arrives."""
        ...

    def forget(self, link: SimLink) -> None:
        """Drop an ended link once both sides know."""


class SimLink:
    """One end of a link. Implements `casty.ports.Link`.

    Parameters
    ----------
    network
        Makes links and knows the paths between machines.
    owner
        The process that has this end.
    path
        The way from here to the other end.
    label
        Names this link and direction in draws, the same in every run.
    peer
        The other end's host and port.
    """

    __slots__ = (
        "_ahead", "_batch", "_due_ns", "_firm_ns", "_in_flight_bytes", "_is_paused", "_numbered", "_on_drained",
        "_passed", "_sent_at_ns", "_unread", "_writes", "draw_key", "early", "handler", "held", "is_closed", "is_gone",
        "is_reset", "is_silent", "is_tls", "label", "network", "number", "owner", "path", "peer", "remote", "slowed",
        "throttled_until_ns", "tie",
    )  # fmt: skip

    remote: SimLink
    handler: LinkHandler | None
    number: int

    def __init__(
        self, network: Fabric, owner: Incarnation, path: Path, label: str, peer: tuple[str, int]
    ) -> None:
        self.network = network
        self.owner = owner
        self.path = path
        self.label = label
        self.peer = peer
        self.handler = None
        self.is_closed = False  # this side ended it, or learned that it ended
        self.is_gone = False  # `link_lost` was reported, or its process is dead
        self.is_silent = False  # half-open: what is written here vanishes
        self.is_reset = False
        self.is_tls = False
        self.held: deque[Batch] = deque()
        self.early: list[Batch] = []  # what arrived before the process took the link
        self.slowed: deque[tuple[Handle, Batch]] = deque()  # deliveries that a slow path put off
        self.throttled_until_ns = 0
        self._batch: Batch | None = None
        self._sent_at_ns = -1
        self._due_ns = 0
        self._firm_ns = 0  # when the last thing before those in `slowed` arrives
        self._writes = 0
        self._in_flight_bytes = 0
        self._numbered = 0
        self._passed = 0
        self._ahead: dict[int, Batch] = {}
        """What arrived before something that was written earlier: a cut holds what arrives and what is written as it
        comes, and what was under way at its end arrives before what was held. A stream has one order."""
        self._is_paused = False
        self._unread: deque[Batch] = deque()  # what arrived and its process does not want to read yet
        self._on_drained: Callable[[], None] | None = None
        self.draw_key = network.draws.key("link", label)
        self.tie = self.draw_key - (1 << 63)  # half of the links come before timers of the same instant

    @property
    def buffered_bytes(self) -> int:
        """Bytes beyond what the network and the other side's kernel hold."""
        return max(0, self._in_flight_bytes - WINDOW_BYTES)

    def proves(self, host: str) -> bool:
        """Certificates are not simulated."""
        del host
        return True

    def write(self, data: bytes) -> None:
        """Send bytes; those of one instant travel together."""
        if self.is_closed or self.is_reset or self.owner.is_dead or not data:
            return
        network, size = self.network, len(data)
        for watcher in network.watchers:
            watcher(self.owner, data)
        self._in_flight_bytes += size
        batch = self._batch
        if batch is not None and self._sent_at_ns == network.loop.now_ns:
            batch.parts.append(bytes(data))
            batch.size += size
            return
        self._send(Batch(bytes(data)))

    def write_parts(self, parts: Sequence[bytes]) -> None:
        """Send pieces as one."""
        self.write(b"".join(parts))

    def pause_reading(self) -> None:
        """Leave what arrives in the kernel, whose buffer it takes up."""
        self._is_paused = True

    def resume_reading(self) -> None:
        """Read what arrived meanwhile, in later turns."""
        if self._is_paused:
            self._is_paused = False
            self.network.post(self.owner, self._read_on)

    def when_drained(self, callback: Callable[[], None]) -> None:
        """Call back when the kernels hold all that was written."""
        self._on_drained = callback
        self._look_drained()

    def _look_drained(self) -> None:
        if self._on_drained is not None and not self.buffered_bytes:
            callback, self._on_drained = self._on_drained, None
            self.network.post(self.owner, callback)

    def close(self) -> None:
        """End the stream after what was written."""
        self._finish(None)

    def abort(self) -> None:
        """Drop what is queued and end at once; the other side sees a reset."""
        self.held.clear()
        self._finish(ConnectionResetError("the other side aborted the link"))

    def _finish(self, error: BaseException | None) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        if not self.owner.is_dead:
            self._send(Batch(None, error))
            self.network.post(self.owner, self._lose, None)

    def die(self, *, is_silent: bool) -> None:
        """Lose the process that had this end. Its kernel resets the link, unless the machine is silent."""
        if not self.is_closed and not is_silent:
            self._send(Batch(None, ConnectionResetError("the other process died")))
        self.is_closed = self.is_gone = True
        self.is_silent = self.is_silent or is_silent

    def attach(self, handler: LinkHandler) -> None:
        """Give the link to its process, and with it what arrived before."""
        self.handler = handler
        early, self.early = self.early, []
        for batch in early:
            self.take(batch)

    def reset(self) -> None:
        """Break the link in both directions, cutting what is on its way at a drawn byte."""
        for end in (self, self.remote):
            end._truncate()
            end.is_reset = True
            if not end.slowed:
                end._firm_ns = end._due_ns
            error = ConnectionResetError("the network reset the link")
            if end.path.is_cut or end.is_silent:
                self.network.post(end.remote.owner, end.remote._lose, error)
            else:
                self.network.deliver_at(max(end._due_ns, self.network.loop.now_ns), end, Batch(None, error))

    # -- sending

    def _send(self, batch: Batch) -> None:
        network, path = self.network, self.path
        self._writes += 1
        self._batch = None
        if self.is_silent:
            return
        if path.cuts or self.held:
            self.held.append(self.numbered(batch))
            return
        now_ns = network.loop.now_ns
        if path.bytes_per_s and not self.slowed:
            self._firm_ns = self._due_ns
        due_ns = now_ns + path.delay_ns(self, now_ns, self._writes, batch.size)
        if due_ns < self._due_ns:
            due_ns = self._due_ns
        self._due_ns = due_ns
        if path.fragment_ppm and batch.size > 1 and path.is_fragmenting(self.label, self._writes):
            self._due_ns = network.send_fragments(self, batch, due_ns, self._writes)
            return
        if not batch.is_end:
            self._batch = batch
            self._sent_at_ns = now_ns
        network.deliver_at(due_ns, self, self.numbered(batch))

    def numbered(self, batch: Batch) -> Batch:
        """Give a batch its place in the stream."""
        if batch.error is None:
            self._numbered += 1
            batch.number = self._numbered
        return batch

    def release(self) -> None:
        """Send on what a cut held, in order, after the time that retransmission takes."""
        held, self.held = self.held, deque()
        if not held:
            return
        now_ns = self.network.loop.now_ns
        if not self.slowed:
            self._firm_ns = self._due_ns
        self._due_ns = max(self._due_ns, now_ns + self.path.retransmission_ns(self.label, self._writes))
        for batch in held:
            self.network.deliver_at(self._due_ns, self, batch)

    def hurry(self) -> None:
        """A limit of throughput is over, or another one counts: what it put off comes as soon as it can."""
        put_off, self.slowed = self.slowed, deque()
        if not put_off:
            return
        now_ns = self.network.loop.now_ns
        self.throttled_until_ns, self._due_ns = now_ns, self._firm_ns
        for handle, batch in put_off:
            handle.cancel()
            self._due_ns = max(
                self._due_ns, now_ns + self.path.delay_ns(self, now_ns, self._writes, batch.size)
            )
            self.network.deliver_at(self._due_ns, self, batch)

    # -- arriving, at this end's other side

    def arrive(self, batch: Batch) -> None:
        """Bring a batch to the other end; called at its instant, whatever the process there does."""
        if self._batch is batch:
            self._batch = None
        if self.slowed and self.slowed[0][1] is batch:
            self.slowed.popleft()
        remote = self.remote
        if self.is_silent or remote.is_silent:
            return
        if self.path.cuts or self.held:
            self.held.append(batch)
            return
        if remote.owner.is_dead:
            self._answer_dead(batch)
        elif batch.error is not None:
            self._pass(batch)
        elif batch.number == self._passed + 1 and not self._ahead:
            self._passed += 1
            self.network.post(remote.owner, remote.take, batch)
        else:
            self._ahead[batch.number] = batch
            while (following := self._ahead.pop(self._passed + 1, None)) is not None:
                self._passed += 1
                self._pass(following)

    def _pass(self, batch: Batch) -> None:
        remote = self.remote
        self.network.post(remote.owner, remote.take, batch)

    def _answer_dead(self, batch: Batch) -> None:
        """Bytes for a process that is gone are answered with a reset."""
        if not batch.is_end and not self.is_closed:
            self.remote._send(Batch(None, ConnectionResetError("nobody has the other end any more")))

    def take(self, batch: Batch) -> None:
        """Give a batch to the handler; runs in the process that has this end."""
        if self.handler is None and not self.is_gone:
            self.early.append(batch)
            return
        if (self._is_paused or self._unread) and not self.is_gone and batch.error is None:
            self._unread.append(batch)
            return
        self._hand_on(batch)

    def _read_on(self) -> None:
        """Read one batch of those that arrived, and the next one after whatever that causes."""
        if self._is_paused or not self._unread:
            return
        self._hand_on(self._unread.popleft())
        if self._unread:
            self.network.post(self.owner, self._read_on)

    def _hand_on(self, batch: Batch) -> None:
        remote = self.remote
        remote._in_flight_bytes -= batch.size
        if remote._on_drained is not None:
            remote._look_drained()
        if self.is_gone or self.handler is None:
            return
        if batch.is_end:
            self._lose(batch.error)
        elif not self.is_closed and batch.size:
            parts = batch.parts
            self.handler.data_received(parts[0] if len(parts) == 1 else b"".join(parts))

    def _lose(self, error: BaseException | None) -> None:
        if self.is_gone:
            return
        self.is_closed = self.is_gone = True
        self._on_drained = None
        self._unread.clear()
        self.network.forget(self)
        if self.handler is not None:
            self.handler.link_lost(error)

    def _truncate(self) -> None:
        """Lose what this end still had on its way, but for a drawn number of leading bytes of one batch."""
        batch, self._batch = self._batch, None
        self.held.clear()
        if batch is not None and batch.size > 1:
            kept = self.network.draws.below("truncate", self.label, self._writes, batch.size)
            data = b"".join(batch.parts)[:kept]
            batch.parts = [data] if data else []
            self._in_flight_bytes -= batch.size - len(data)
            batch.size = len(data)
