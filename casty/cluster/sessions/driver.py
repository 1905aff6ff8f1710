"""What drives a `SessionCore`: it tells the time, performs effects, and owns futures and timers. It decides nothing."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from casty.cluster.sessions.core import effects as out
from casty.cluster.sessions.core import inputs
from casty.cluster.sessions.core.call import Call
from casty.cluster.sessions.core.client_session import Held
from casty.cluster.sessions.core.effects import Alarm
from casty.cluster.sessions.core.life import CallState
from casty.cluster.sessions.core.retries import BATCH
from casty.cluster.sessions.core.session_core import SessionCore
from casty.cluster.sessions.grant import Hold
from casty.cluster.sessions.outbox import Outgoing
from casty.cluster.sessions.routes import Routes
from casty.config import Settings
from casty.errors import MessageTooLarge, RemoteProtocolError
from casty.events import HoldLost
from casty.ports import Runtime, Timer
from casty.transport.output_batch import OutputBatch
from casty.wire import frames
from casty.wire.pack import pack, unpack

__all__ = ["Driver"]

ATTEMPT_BYTES = 16
_GIVEN = CallState.GIVEN
_NOTHING: Iterator[inputs.Input] = iter(())


class Driver:
    """The core of one gateway, and what it needs of the world.

    Parameters
    ----------
    runtime, routes, settings
        Ports, ways, bounds.
    gateway_id
        Identity of this process in sessions, for people who look at them.
    output
        The owner's, if it has one; see `Outgoing`.

    Bounds: `_futures` has a row per call under way, `_holds` per hold.
    """

    __slots__ = (
        "_clock", "_closed", "_futures", "_holds", "_is_left", "_is_stepping", "_observe", "_outgoing", "_performers",
        "_queue", "_routes", "_timers", "_when_left", "core",
    )  # fmt: skip

    def __init__(
        self,
        runtime: Runtime,
        routes: Routes,
        settings: Settings,
        gateway_id: bytes,
        output: OutputBatch | None = None,
    ) -> None:
        self._clock = runtime.clock
        self._observe = runtime.observe
        self._routes = routes
        entropy = runtime.entropy
        self.core = SessionCore(
            routes,
            settings,
            gateway_id,
            lambda: entropy.token("attempt", ATTEMPT_BYTES),
            lambda count: entropy.below("way around", count),
        )
        self._outgoing = Outgoing(routes, self._never_left, self._too_large, output)
        self._futures: dict[Call, asyncio.Future[Any]] = {}
        """Who waits for each call; a row goes with the outcome, or when nobody waits any more."""
        self._holds: dict[Held, Hold] = {}
        """What users have of what is held; a row goes when it is over."""
        self._timers: list[Timer | None] = [None for _ in Alarm]
        self._queue: deque[inputs.Input] = deque()
        """What came while a step was performed: a node answers itself at once."""
        self._is_stepping = False
        self._closed: asyncio.Future[None] | None = None
        self._is_left = False
        self._when_left: dict[Callable[[], None], None] = {}
        """Who is told that this is being left; a row goes when whoever asked takes it back."""
        self._performers: dict[type, Callable[[Any], None]] = {
            tuple: self._outgoing.add,
            Call: self._finish,
            out.Fail: self._fail,
            out.WakeAt: self._wake_at,
            out.SendKeepAlive: self._send_keep_alive,
            out.Hint: self._hint,
            Held: self._let_go,
            out.Lost: self._lose,
            out.SessionsClosed: self._sessions_closed,
        }

    # -- steps

    def step(self, one: inputs.Input, others: Iterator[inputs.Input] = _NOTHING) -> None:
        """Give the core an input, then the others, and perform what comes of each.

        What comes meanwhile waits for its turn, which is before the next of the others.
        """
        queue = self._queue
        if self._is_stepping:
            queue.append(one)
            queue.extend(others)
            return
        self._is_stepping = True
        performers, core, now = self._performers, self.core, self._clock.now
        effects: list[out.Effect] = []
        at = 0
        following: inputs.Input | None = one
        try:
            while following is not None:
                effects, at = core.step(now(), following), 0
                for effect in effects:
                    at += 1
                    performers[type(effect)](effect)
                following = queue.popleft() if queue else next(others, None)
        except BaseException:
            # A frame that no link takes is no reason to forget who waits, or the next alarm.
            self._perform_rest(effects, at)
            raise
        finally:
            self._is_stepping = False

    def _perform_rest(self, effects: list[out.Effect], done: int) -> None:
        try:
            for at in range(done, len(effects)):
                done = at + 1
                self._performers[type(effects[at])](effects[at])
        except BaseException:
            self._perform_rest(effects, done)
            raise

    def _send_keep_alive(self, one: out.SendKeepAlive) -> None:
        self._routes.send(one.node_id, frames.KEEPALIVE, pack([one.nonce, one.rows]))

    def _finish(self, call: Call) -> None:
        hold, held = None, call.held
        if held is not None:
            hold = self._holds[held] = Hold(self._clock, held)
        future = self._futures.pop(call, None)
        if future is not None and not future.done():
            # With the hold, which may be lost again before the task that waits has its turn.
            future.set_result((call.reply, hold) if call.is_waiting else call.reply)

    def _fail(self, one: out.Fail) -> None:
        future = self._futures.pop(one.call, None)
        if future is not None and not future.done():
            future.set_exception(one.error)

    def _let_go(self, held: Held) -> None:
        self._holds.pop(held, None)

    def _lose(self, one: out.Lost) -> None:
        held, reason = one
        hold = self._holds.pop(held, None)
        if hold is not None:
            hold.lost.set_result(reason)
        if self._observe:
            self._observe(HoldLost(held.session.slot, held.session.number or 0, held.seq, reason))

    def _hint(self, one: out.Hint) -> None:
        self._routes.hint(one.slot, one.leader, one.term)
        # Not here and now: what this step still wants would come after what the next one wants.
        self._queue.appendleft(inputs.Hinted(one.slot, one.leader, one.call_id))

    def _wake_at(self, one: out.WakeAt) -> None:
        alarm, when_ns = one
        timer = self._timers[alarm]
        if timer is not None:
            timer.cancel()
        self._timers[alarm] = None if when_ns is None else self._clock.call_at(when_ns, self._ring, alarm)

    def _ring(self, alarm: Alarm) -> None:
        self._timers[alarm] = None
        self.step(inputs.Woken(alarm))

    def _sessions_closed(self, one: out.SessionsClosed) -> None:
        del one
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(None)

    # -- calls

    async def call(self, call: Call, one: inputs.ConfirmLoss | None = None) -> Any:
        """Return the reply to a call; of one that may wait, with its hold or None.

        `one` is the input that it begins with, None if that is the call itself.

        Whoever is cancelled here gives the call up, and so does a coroutine that is closed, with its loop or by its
        owner.
        """
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._futures[call] = future
        try:
            self.step(call if one is None else one)
            result = await future
        except BaseException:
            # Of a call that ended with an error nothing is left to be given up.
            self._futures.pop(call, None)
            self.step(inputs.GiveUp(call))
            raise
        if call.state is _GIVEN:
            self.step(inputs.Taken(call))
        return result

    # -- what links bring

    def on_reply(self, body: bytes) -> None:
        """Take a reply frame."""
        items: Any = unpack(body)
        if not isinstance(items, list):
            raise RemoteProtocolError("reply frame: expected a list")
        replies = _replies(items)
        first = next(replies, None)
        if first is not None:
            self.step(first, replies)

    def on_keepalive_ack(self, body: bytes) -> None:
        """Take the acknowledgement of a keep-alive."""
        message: Any = unpack(body)
        if not isinstance(message, list) or len(message) != 2 or not isinstance(message[1], list):
            raise RemoteProtocolError("keep-alive answer: expected [nonce, rows]")
        if any(not isinstance(row, list) or len(row) != 7 for row in message[1]):
            raise RemoteProtocolError("keep-alive answer: expected rows of seven")
        self.step(inputs.KeptAlive(*message))

    def _never_left(self, node_id: str, call_id: int) -> None:
        self.step(inputs.NeverLeft(node_id, call_id))

    def _too_large(self, call_id: int, error: MessageTooLarge) -> None:
        self.step(inputs.TooLarge(call_id, error))

    # -- the end

    async def close(self) -> None:
        """End every call and session; what was held is free at once where the slot answers in time.

        When it is cancelled it ends at once, and the slots expire what they were not told of.
        """
        if self.core.is_closed:
            return
        self._leave()
        try:
            self.step(inputs.EndCalls(BATCH))
            while self.core.table.calls:
                await self._next_turn()
                self.step(inputs.EndCalls(BATCH))
            self._closed = asyncio.get_running_loop().create_future()
            self.step(inputs.EndSessions(is_told=True))
            while not self.core.keep_alive.is_told:
                await self._next_turn()
            await self._closed
        finally:
            self.abort()

    def when_left(self, callback: Callable[[], None]) -> Callable[[], None]:
        """See `Port.when_left`."""

        def take_back() -> None:
            self._when_left.pop(callback, None)

        if self._is_left:
            callback()
        else:
            self._when_left[callback] = None
        return take_back

    def _leave(self) -> None:
        self._is_left = True
        callbacks, self._when_left = self._when_left, {}
        for callback in callbacks:
            callback()

    async def _next_turn(self) -> None:
        """Let the loop do what else is due."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self._clock.call_at(self._clock.now(), turn.set_result, None)
        try:
            await turn
        finally:
            timer.cancel()

    def abort(self) -> None:
        """End every call and session here and now; the slots expire the sessions."""
        self._leave()
        self.step(inputs.EndCalls(len(self.core.table.calls)))
        self.step(inputs.EndSessions(is_told=False))


def _replies(items: list[Any]) -> Iterator[inputs.Replied]:
    """Yield what a reply frame has, each checked when it is asked for: what is before a malformed one counts."""
    for item in items:
        if type(item) is not list or len(item) != 2 or type(item[0]) is not int:
            raise RemoteProtocolError("reply: expected [call id, reply]")
        if type(item[1]) is not list or not item[1]:
            raise RemoteProtocolError("reply: expected a status first")
        yield item
