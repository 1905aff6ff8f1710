"""One link with frames on it: handshake, staging, batching, bounds, pings.

Bytes in: `Connection.data_received` cuts frames and hands each to the handler, all inside one turn. On a link that a
node took (one with an `Intake`) only as many as its budget allows: the others wait here, and the link is not read
meanwhile. Bytes out: `Connection.send` stages, and the turn's end writes everything staged at once. No task and no
future on either path.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from casty.checks import shown
from casty.config import SECOND_NS, Settings
from casty.errors import EncodingError, MessageTooLarge, ProtocolError, RemoteProtocolError
from casty.ports import Link, Runtime, Timer
from casty.tls import TlsError
from casty.transport.handler import HandlerOf, HandshakeOf
from casty.transport.inbound import InboundBytes
from casty.transport.intake import CLIENT, FLOOD_NS, FULL_BYTES, MEMBER, Intake, Share
from casty.transport.link_failed import LinkFailed
from casty.transport.link_watch import LinkWatch, Look
from casty.transport.output_batch import OutputBatch
from casty.transport.staging import Staging
from casty.wire import frames
from casty.wire.framing import APART_BYTES, HEADER_BYTES, FrameBuffer, frame, joined
from casty.wire.hello import Hello
from casty.wire.pack import Plain, pack, unpack

__all__ = ["Connection", "ConnectionHandler", "Handshake", "LinkFailed"]

LINGER_S = 1.0
"""How long a closed link may take to send what was queued."""
LOOK_UNITS = 8
"""So many units are served between two looks at the clock."""
_HANDSHAKE, _OPEN, _CLOSED = range(3)
_FIRST_MESSAGE, _LAST_MESSAGE = frames.ACTOR, frames.ENTITY
"""Kinds of frames with a message of an actor."""

Rest = Callable[[], bool]
"""Does the next part of some work; True when nothing is left of it."""


class Connection:
    """Frames over one link.

    Attributes
    ----------
    remote
        Who is at the other end; meaningful once open.
    welcome_extra
        What the acceptor's cluster told this dialler.
    is_dialled
        Whether this end made the link.
    dialled_at
        The address for which this end made it, as it was told; None where the other end did.
    max_frame_bytes
        What both ends take, in bytes; meaningful once open.
    closed_reason
        Why it is over; None until then.
    has_failed
        Whether it is over because of the other end, which sent what cannot be, or nothing for too long.
    messages_out, messages_in
        How many frames with a message of an actor were staged, and how many were taken.
    confirmed
        How many of those that were staged the other end said that it took; it says so once a look, if there is news.
    """

    __slots__ = (
        "_buffer", "_charged", "_handler", "_handshake", "_inbound", "_inbox", "_intake", "_is_blocked", "_is_heard",
        "_is_lost", "_is_marked", "_is_paused", "_is_timed", "_later", "_link_bytes", "_most_bytes", "_output",
        "_runtime", "_served", "_settings", "_staged", "_staged_bytes", "_state", "_taken_bytes", "_timer",
        "_told_in", "_unread_bytes", "_was_open", "_watch", "_written_bytes", "closed_reason", "confirmed",
        "dialled_at", "has_failed", "is_dialled", "link", "max_frame_bytes", "messages_in", "messages_out", "remote",
        "share", "welcome_extra",
    )  # fmt: skip

    def __init__(
        self,
        runtime: Runtime,
        settings: Settings,
        handler: ConnectionHandler,
        output: OutputBatch,
        link: Link,
        handshake: Handshake,
        *,
        is_dialled: bool,
        inbound: InboundBytes | None = None,
        intake: Intake[Connection] | None = None,
    ) -> None:
        self._runtime = runtime
        self._inbound = inbound
        self._intake = intake
        self._inbox: deque[tuple[int, bytes]] = deque()
        """Frames that were read and not served; while there are any, the link is not read."""
        self._later: deque[Rest] = deque()
        """What is left of frames that were served in part, goes before the inbox."""
        self._unread_bytes = 0
        """At least what the inbox holds."""
        self._charged = 0
        self._served = 0
        """Units of the present turn, or of the last one."""
        self.share = Share()
        """How much of it is served in a turn, where it is a client's."""
        self._is_timed = False
        self._is_paused = False
        self._is_blocked = False
        """Whether answers wait for the other end to read them, so many that nothing more is served."""
        self._written_bytes = self._taken_bytes = 0
        self._settings = settings
        self._handler = handler
        self._output = output
        self.link = link
        """What carries the bytes."""
        self._handshake = handshake
        self._buffer = FrameBuffer(settings.max_hello_bytes)
        self._staged = Staging()
        self._staged_bytes = 0
        self._most_bytes = settings.max_outbound_bytes  # of it, for what others say than nodes to each other
        self._link_bytes = 0  # what the link held when it was last asked
        self._is_marked = False
        self._is_heard = False
        self._is_lost = False
        self._was_open = False
        self._watch = LinkWatch()
        self._state = _HANDSHAKE
        self._timer: Timer | None = None
        self.remote = Hello("", "", "", "")
        self.welcome_extra: dict[str, Plain] = {}
        self.is_dialled = is_dialled
        self.dialled_at: tuple[str, int] | None = None
        self.max_frame_bytes = settings.max_frame_bytes
        self.closed_reason: str | None = None
        self.has_failed = False
        self.messages_out = self.messages_in = self.confirmed = self._told_in = 0

    def begin(self) -> None:
        """Start the handshake and its clock."""
        if self._state != _HANDSHAKE:
            return
        self._arm(self._settings.hello_timeout_s, self._handshake_late)
        self._handshake.begin(self)

    # -- what owners use

    @property
    def is_open(self) -> bool:
        """Whether the handshake succeeded and nothing ended the connection since."""
        return self._state == _OPEN

    @property
    def peer(self) -> tuple[str, int]:
        """The other end's socket address, for messages only."""
        return self.link.peer

    def proves(self, host: str) -> bool:
        """Whether the other end may say that it is reached at `host`; see `Link.proves`."""
        return self.link.proves(host)

    @property
    def buffered_bytes(self) -> int:
        """Bytes sent that the network has not taken yet."""
        return self._staged_bytes + self.link.buffered_bytes

    def send(self, kind: int, body: bytes, tail: bytes = b"") -> bool:
        """Stage one frame for the end of the turn; `tail` is the rest of a body that comes in two pieces.

        Returns
        -------
        bool
            False when the connection is not open or its outbound bound is reached; nothing was staged then.

        Raises
        ------
        MessageTooLarge
            When the frame is longer than either end accepts: the caller has to split.
        """
        if self._state != _OPEN:
            return False
        size = len(body) + len(tail)
        if size >= self.max_frame_bytes:
            limit = f"max_frame_bytes ({self.max_frame_bytes})"
            raise MessageTooLarge(f"expected a frame below {limit}, found {size} bytes of kind {kind}")
        most_bytes = self._most_bytes if kind >= frames.REQUEST else self._settings.max_outbound_bytes
        room_bytes = most_bytes - self._staged_bytes - size - HEADER_BYTES
        if self._link_bytes > room_bytes and self._is_full(room_bytes):
            return False
        if _FIRST_MESSAGE <= kind <= _LAST_MESSAGE:
            self.messages_out += 1
        self._staged_bytes += self._staged.add(kind, body, tail, self.max_frame_bytes)
        if not self._watch.has_said and kind > frames.TAKEN and self._watch.said():
            self._arm_look()
        if not self._is_marked:
            self._is_marked = True
            self._output.mark(self)
        return True

    def probe(self) -> None:
        """Look soon whether the other end is there, however long nothing was said."""
        if self._state == _OPEN and self._watch.said():
            self._arm_look()

    def charge(self, units: int) -> None:
        """A frame of this link costs so many units of its budget more than one."""
        self._charged += units

    def defer(self, rest: Rest) -> None:
        """Do the rest of what a frame asked for in later shares of this link: before its next frames, with room."""
        self._later.append(rest)
        if self._intake is not None and not self._is_blocked:
            self._intake.wait(self)

    @property
    def has_budget(self) -> bool:
        """Whether what this link asks for is done in parts; what members ask is done at once."""
        return self._intake is not None and not self._intake.is_member(self)

    def has_room(self, more_bytes: int = 0) -> bool:
        """Whether answers of so many bytes, on top of those that were sent, may wait for the other end.

        A turn ends with what its share of answers has, and the answer that went beyond it: a large one costs the system
        milliseconds to take.
        """
        if self._staged_bytes > CLIENT.answer_bytes and self.has_budget:
            return False
        limit_bytes = FULL_BYTES - self._staged_bytes - more_bytes
        if self._link_bytes <= limit_bytes:
            return True
        self._link_bytes = self.link.buffered_bytes
        return self._link_bytes <= limit_bytes or not self.has_budget

    def flush(self) -> None:
        """Hand everything staged to the network at once; what is long is not copied for that."""
        self._is_marked = False
        staged = self._staged.take()
        if staged:
            is_long = self._staged_bytes >= APART_BYTES
            parts = joined(staged) if is_long else [b"".join(staged)]
            self._written_bytes += self._staged_bytes
            self._staged_bytes = 0
            if is_long:
                self.link.write_parts(parts)
            else:
                self.link.write(parts[0])
            self._link_bytes = self.link.buffered_bytes

    def close(self, reason: str) -> None:
        """End it: what is staged still leaves, nothing more is taken. The handler hears of it later."""
        if self._state == _CLOSED:
            return
        self._end(reason)
        self.flush()
        self.link.close()
        if not self._is_lost:
            asyncio.get_running_loop().call_soon(self._report)
            self._arm(LINGER_S, self.link.abort)

    def abort(self, reason: str) -> None:
        """End the connection at once and drop what is staged."""
        self._staged.take()
        self._staged_bytes = 0
        self.close(reason)
        self.link.abort()

    # -- what handshakes use

    def greet(self, kind: int, body: bytes) -> None:
        """Write one frame of the handshake."""
        self.link.write(frame(kind, body))

    def opened(self, remote: Hello, extra: dict[str, Plain], max_frame_bytes: int) -> None:
        """The handshake succeeded: raise the limits and tell the handler."""
        assert self._state == _HANDSHAKE, "a handshake ends once"
        self.remote = remote
        self.welcome_extra = extra
        self.max_frame_bytes = self._buffer.limit_bytes = max_frame_bytes
        self._is_timed = remote.role != "node"  # members' time is nobody's to take
        if remote.role == "node":
            # What clients have passed on to a slow member must leave room for what keeps it a member.
            self._most_bytes -= self._settings.max_outbound_bytes // 4
            self._watch.may_rest(self._output.resting)
        self._state = _OPEN
        self._was_open = True
        self._arm_look()
        self._handler.on_open(self)

    # -- what the link calls

    def data_received(self, data: bytes) -> int:
        """Cut frames and hand them on, all inside one turn."""
        self._is_heard = True
        if self._is_timed and self._intake is not None:
            self._timed(self._intake, data)
        else:
            self._in_turn(data)
        if self._watch.is_resting and self.messages_in != self._told_in:
            self._watch.wake()
            self._arm_look()  # to confirm them
        return self._buffer.missing_bytes

    def work(self) -> None:
        """Take a share of the rotation; see `Intake`."""
        if self._state == _OPEN and self._intake is not None:
            self._timed(self._intake, None)

    def _timed(self, intake: Intake[Connection], data: bytes | None) -> None:
        self._served = 0
        began_ns = intake.now()
        self._in_turn(data)
        now_ns = intake.now()
        intake.spent(now_ns - began_ns, self)
        self.share.served(self._served, now_ns - began_ns, now_ns, intake.changes)

    def _in_turn(self, data: bytes | None) -> None:
        output, intake = self._output, self._intake
        output.begin()
        try:
            if data is None:
                self._serve()
            else:
                self._receive(data)
        except (ProtocolError, EncodingError, MessageTooLarge) as error:
            self._fail(str(error))
        except Exception as error:  # the link reader: a bug of ours must not take the node with it
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"a frame from {self._name()} raised", "exception": error}
            )
            self._fail(f"internal error: {error!r}")
        finally:
            if self._inbound is not None:
                held_bytes = self._buffer.held_bytes + self._unread_bytes
                self._inbound.holds(self, 0 if self._state == _CLOSED else held_bytes)
            output.end()
        if intake is not None and (
            self._is_paused or self._inbox or self._later or self._link_bytes > FULL_BYTES
        ):
            self._rest(intake)

    def _receive(self, data: bytes) -> None:
        while self._state == _HANDSHAKE:
            first = self._buffer.feed_one(data)
            if first is None:
                return
            self._handshake.on_frame(self, *first)
            data = b""
        if self._state != _OPEN:
            return
        self._take(self._buffer.feed(data), len(data))

    def _take(self, cut: list[tuple[int, bytes]], size_bytes: int) -> None:
        """Serve what was cut from so many bytes, or let it wait."""
        intake, units = self._intake, 0
        if intake is None or (self._may_serve(intake) and (len(cut) == 1 or self._is_little(len(cut)))):
            for kind, body in cut:
                if kind > frames.TAKEN:
                    if _FIRST_MESSAGE <= kind <= _LAST_MESSAGE:
                        self.messages_in += 1
                    self._handler.on_frame(self, kind, body)
                else:
                    self._on_basic_frame(kind, body)
                if self._state != _OPEN:
                    return
                units += 1
                if intake is not None and (
                    self._charged or self._later or self._staged_bytes > CLIENT.answer_bytes
                ):
                    break
            taken, units = units, units + self._charged
            self._charged = 0
            if intake is None or taken == len(cut):
                self._served += units
                return
            cut = cut[taken:]
        self._inbox.extend(cut)
        if self._may_serve(intake):
            self._serve(units)
        if self._inbox:
            self._unread_bytes += size_bytes
            intake.wait(self)

    def _may_serve(self, intake: Intake[Connection]) -> bool:
        """Whether what came is served where it came, with nothing of this link before it and time left for it."""
        if self._is_paused or self._link_bytes > FULL_BYTES:
            return False
        return not self._is_timed or intake.has_time(self)

    def _is_little(self, count: int) -> bool:
        """Whether so many frames are served at once as well as through the inbox: nobody would look at the time."""
        return (
            count <= LOOK_UNITS
            and not (self._inbox or self._later or self.share.is_small)
            and self._link_bytes + self._staged_bytes <= FULL_BYTES
        )

    def _serve(self, units: int = 0) -> None:
        """Hand on what waits, as far as the budget of this link allows in one turn, of which `units` are used up."""
        inbox, later, intake = self._inbox, self._later, self._intake
        assert intake is not None, "others are served at once"
        budget = CLIENT if not self.share.is_small else CLIENT._replace(units=self.share.units, ns=FLOOD_NS)
        began_ns = 0
        look_at = LOOK_UNITS
        check_at = min(look_at, budget.units)
        on_frame = self._handler.on_frame
        while (inbox or later) and self._state == _OPEN:
            if units >= check_at or self._staged_bytes > budget.answer_bytes:
                is_late = False
                if units >= look_at:
                    look_at = units + LOOK_UNITS
                    began_ns = began_ns or intake.now()  # the first of them cost no look
                    is_late = intake.now() - began_ns > budget.ns
                if is_late or units >= budget.units or self._staged_bytes > budget.answer_bytes:
                    if budget is MEMBER or not intake.is_member(self):
                        break
                    budget = MEMBER
                check_at = min(look_at, budget.units)
                continue
            if units == 0 and not self.has_room():
                break
            if later:
                if later[0]():
                    later.popleft()
            else:
                kind, body = inbox.popleft()
                if kind > frames.TAKEN:
                    if _FIRST_MESSAGE <= kind <= _LAST_MESSAGE:
                        self.messages_in += 1
                    on_frame(self, kind, body)
                else:
                    self._on_basic_frame(kind, body)
            units += 1
            if self._charged:
                units += self._charged
                self._charged = 0
        self._served += units
        if not inbox:
            self._unread_bytes = 0

    def _rest(self, intake: Intake[Connection]) -> None:
        """Stop reading a link with work left, or with answers that it does not take; see that it goes on."""
        if not (self._inbox or self._later or self._link_bytes > FULL_BYTES):
            if self._is_paused:
                self._is_paused = False
                self.link.resume_reading()
            return
        if self._state != _OPEN:
            return
        if self.has_room():
            if self._inbox or self._later:
                self._pause()
                intake.wait(self)
            elif self._is_paused:
                self._is_paused = False
                self.link.resume_reading()
        elif not self._is_blocked:
            self._is_blocked = True
            self._pause()
            self.link.when_drained(self._drained)

    def _pause(self) -> None:
        if not self._is_paused:
            self._is_paused = True
            self.link.pause_reading()

    def _drained(self) -> None:
        """The other end took what waited for it."""
        self._is_blocked = False
        if self._state == _OPEN and self._intake is not None:
            self._intake.wait(self)

    def link_lost(self, reason: BaseException | None) -> None:
        """The link is gone."""
        self._is_lost = True
        if self._state != _CLOSED:
            if self._state == _HANDSHAKE and isinstance(reason, TlsError):
                self._handshake.failed(self, str(reason))
                if self._runtime.observe:
                    self._runtime.observe(LinkFailed(self._name(), str(reason)))
            self._end("the other end closed the link" if reason is None else f"link lost: {reason}")
            self._report()
        self._disarm()

    # -- inside

    def _on_basic_frame(self, kind: int, body: bytes) -> None:
        if kind == frames.PING:
            self.send(frames.PONG, b"")
        elif kind == frames.TAKEN:
            self._on_taken(body)
        elif kind != frames.PONG:
            raise RemoteProtocolError(f"expected no handshake frame on an open link, found kind {kind}")

    def _on_taken(self, body: bytes) -> None:
        count = unpack(body)
        if type(count) is not int or not self.confirmed <= count <= self.messages_out:
            raise RemoteProtocolError(
                f"taken: expected {self.confirmed} to {self.messages_out} messages, found {shown(count)}"
            )
        self.confirmed = count

    def _fail(self, reason: str) -> None:
        if self._state == _CLOSED:
            return
        self.has_failed = True
        if self._runtime.observe:
            self._runtime.observe(LinkFailed(self._name(), reason))
        if self._state == _HANDSHAKE:
            self._handshake.failed(self, reason)
        self.close(reason)

    def _name(self) -> str:
        host, port = self.link.peer
        return self.remote.node_id or f"{host}:{port}"

    def _is_full(self, room_bytes: int) -> bool:
        self._link_bytes = self.link.buffered_bytes
        return self._link_bytes > room_bytes

    def _end(self, reason: str) -> None:
        self._state = _CLOSED
        self._inbox.clear()
        self._later.clear()
        if self._inbound is not None:
            self._inbound.holds(self, 0)
        if self._intake is not None:
            self._intake.forget(self)
        self.closed_reason = reason
        self._watch.wake()
        self._disarm()

    def _report(self) -> None:
        assert self.closed_reason is not None, "only an ended connection reports"
        self._output.begin()
        try:
            self._handshake.ended(self, self.closed_reason)
            if self._was_open:
                self._handler.on_closed(self, self.closed_reason)
        finally:
            self._output.end()

    def _arm(self, delay_s: float, callback: Callable[[], None]) -> None:
        self._disarm()
        clock = self._runtime.clock
        self._timer = clock.call_at(clock.now() + int(delay_s * SECOND_NS), callback)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _handshake_late(self) -> None:
        self._timer = None
        reason = f"no handshake within {self._settings.hello_timeout_s} s"
        if self._runtime.observe:
            self._runtime.observe(LinkFailed(self._name(), reason))
        # A pause of either process, or a slow path: not what a refusal means.
        self._handshake.late(self, reason)
        self.close(reason)

    def _arm_look(self) -> None:
        self._arm(self._watch.pause_s(self._settings.unreachable_after_s), self._check)

    def _check(self) -> None:
        """Ping a silent link, and give up one that stays silent."""
        # A late tick counts once, so a pause of this process is no silence of the other.
        is_told = self.messages_in == self._told_in
        look = self._watch.look(is_silent=self._is_silent(), is_busy=not is_told)
        self._is_heard = False
        if look is Look.DEAD:
            self._fail(f"half-open: silent for {self._settings.unreachable_after_s} s")
            self.link.abort()
            return
        if not is_told and self.send(frames.TAKEN, pack(self.messages_in)):
            self._told_in = self.messages_in
        if look is Look.PING:
            self.send(frames.PING, b"")
        self._arm_look()

    def _is_silent(self) -> bool:
        """Whether nothing came of the other end since the last look.

        What is not read cannot be heard: then it counts whether the other end takes what waits for it, if it is that
        what reading waits for.
        """
        if not self._is_paused:
            return not self._is_heard
        before = self._taken_bytes
        self._taken_bytes = self._written_bytes - self.link.buffered_bytes
        return self._is_blocked and self._taken_bytes <= before


ConnectionHandler = HandlerOf[Connection]
"""Who hears of frames and of the end of connections."""

Handshake = HandshakeOf[Connection]
"""The half of a handshake that a connection plays."""
