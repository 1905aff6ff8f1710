"""Calls that a node sends to another node for somebody else: a hop for a client, or its own control entries.

Their call ids are negative, so they never meet those of the node's own gateway on the same link.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from casty.cluster.control.machine import MALFORMED, NOT_ON_TOP, TOO_MANY
from casty.cluster.control.outcomes import CONTRADICTS
from casty.cluster.control.schema import check_entry
from casty.cluster.multiraft.proposals import OK, UNKNOWN, ReplySink
from casty.cluster.slots.operations import CONTROL_SLOT, OP_CONTROL
from casty.config import SECOND_NS
from casty.distributed.machines.base import CODE, VALUE
from casty.errors import Mismatch, Overloaded, RemoteProtocolError, Unavailable
from casty.parts import Parts
from casty.ports import Clock, Timer
from casty.wire import frames
from casty.wire.pack import pack

__all__ = ["ControlCalls", "Relays"]

RETRY_NS = SECOND_NS // 2
MAX_RETRY_NS = 8 * SECOND_NS
"""Attempts to the same leader come at growing distances up to this one."""

FINAL = (OK, CONTRADICTS, NOT_ON_TOP, MALFORMED, TOO_MANY)
"""Replies that end a write; after any other one it is tried again."""

ENDED_AT_ONCE = 1_024
"""Calls of a link that ended which are seen to in one turn of the loop: about a millisecond."""

_NO_CALLS: dict[int, int] = {}

MAX_RELAYED = 100_000
"""Calls that one link may have passed on at once: as many as a gateway lets wait for a route."""


class Relayed(NamedTuple):
    """A call that is passed on: to which node, and where its reply goes, under which number there."""

    target: str
    answers: ReplySink
    call_id: int


class Relays:
    """Who waits for the reply to which relayed call, by link target.

    A call is kept until its final reply, the end of either link, or its caller's next attempt to send it through
    here: the leader answers only the newest. Calls of one caller are at most `MAX_RELAYED`. When a link ends its calls
    are out of the tables by which they are found at once, and seen to in parts: `casty.parts`.
    """

    def __init__(self, clock: Clock) -> None:
        self._next_id = 0
        self.waiting: dict[int, Relayed] = {}
        """By relay id, which is below 0 and never used twice."""
        self._by_caller: dict[ReplySink, dict[int, int]] = {}
        """By where answers go and the caller's own call id: the relay id. Never iterated, only one's calls are."""
        self._by_target: dict[str, dict[int, None]] = {}
        """By whom was asked, on the link that there is: relay ids."""
        self._cut_off: Parts[int] = Parts(clock, self._in_doubt, ENDED_AT_ONCE)
        self._dropped: Parts[int] = Parts(clock, self._drop_row, ENDED_AT_ONCE)

    def __len__(self) -> int:
        """How many calls are kept."""
        return len(self.waiting)

    def has_room(self, answers: ReplySink) -> bool:
        """Whether one more call of this caller may be passed on."""
        return len(self._by_caller.get(answers, ())) < MAX_RELAYED

    def expect(self, node_id: str, answers: ReplySink, call_id: int) -> int:
        """Return the id to send; its reply from `node_id` goes to `answers` under `call_id`."""
        self._next_id -= 1
        calls = self._by_caller.setdefault(answers, {})
        earlier = calls.get(call_id)
        if earlier is not None:
            self._drop_row(earlier)
        calls[call_id] = self._next_id
        self.waiting[self._next_id] = Relayed(node_id, answers, call_id)
        self._by_target.setdefault(node_id, {})[self._next_id] = None
        return self._next_id

    def on_reply(self, relay_id: int, reply: list[object], is_final: bool) -> None:
        """A reply came back; a queued call keeps waiting for its outcome."""
        waiting = self.waiting.get(relay_id)
        if waiting is None:
            return
        _, answers, call_id = waiting
        is_awaited = self._is_awaited(relay_id, answers, call_id)
        if is_final:
            self.drop(relay_id)
        if is_awaited:
            answers.add(call_id, reply)

    def drop(self, relay_id: int) -> None:
        """The call was never sent, or nobody waits for its reply any more."""
        waiting = self.waiting.get(relay_id)
        if waiting is None:
            return
        self._drop_row(relay_id)
        _, answers, call_id = waiting
        if self._is_awaited(relay_id, answers, call_id):
            calls = self._by_caller[answers]
            del calls[call_id]
            if not calls:
                del self._by_caller[answers]

    def _is_awaited(self, relay_id: int, answers: ReplySink, call_id: int) -> bool:
        """Whether the caller has its link, and this is its newest attempt."""
        return self._by_caller.get(answers, _NO_CALLS).get(call_id) == relay_id

    def _drop_row(self, relay_id: int) -> None:
        waiting = self.waiting.pop(relay_id, None)
        of_target = None if waiting is None else self._by_target.get(waiting.target)
        if waiting is not None and of_target is not None and relay_id in of_target:
            del of_target[relay_id]
            if not of_target:
                del self._by_target[waiting.target]

    def caller_lost(self, answers: ReplySink) -> None:
        """The link of a caller ended: replies for it go nowhere."""
        calls = self._by_caller.pop(answers, None)
        if calls:
            self._dropped.add(calls.values())

    def link_lost(self, node_id: str) -> None:
        """Calls in flight to a node whose link ended may or may not have been applied."""
        calls = self._by_target.pop(node_id, None)
        if calls:
            self._cut_off.add(calls)

    def _in_doubt(self, relay_id: int) -> None:
        """Answer a call that was on a link that ended, unless it is over."""
        if relay_id in self.waiting:
            self.on_reply(relay_id, [UNKNOWN], is_final=True)


class Outcome:
    """The reply that ends a write, of whichever attempt: a late one of an earlier attempt counts."""

    def __init__(self) -> None:
        self.reply: list[object] | None = None
        self._future: asyncio.Future[None] | None = None

    def add(self, call_id: int, reply: list[object]) -> None:
        """Take the reply to one attempt; a refusal leaves it to the next one."""
        del call_id
        if self.reply is None and reply and reply[CODE] in FINAL:
            self.reply = reply
            self.wake()

    def next(self) -> asyncio.Future[None]:
        """Return what is resolved by the final reply, or by `wake`."""
        self._future = asyncio.get_running_loop().create_future()
        return self._future

    def wake(self) -> None:
        """Resolve what `next` returned."""
        if self._future is not None and not self._future.done():
            self._future.set_result(None)


class _Nobody:
    def add(self, call_id: int, reply: list[object]) -> None:
        """Nobody waits for this answer."""


class ControlCalls:
    """Writes control entries from any node. They are idempotent: an unanswered one is sent again.

    Parameters
    ----------
    leader
        Returns the node id of the control leader, if known.
    send
        Stages a frame for a node id, this node included.
    """

    def __init__(
        self,
        clock: Clock,
        relays: Relays,
        leader: Callable[[], str | None],
        send: Callable[[str, int, bytes], bool],
    ) -> None:
        self._clock = clock
        self._relays = relays
        self._leader = leader
        self._send = send
        self._nobody = _Nobody()

    def tell(self, call_id: int, entry: bytes) -> None:
        """Send an entry once; nobody waits for the answer. A later one of the same id takes its place."""
        leader = self._leader()
        if leader is not None:
            relay_id = self._relays.expect(leader, self._nobody, call_id)
            body = pack([[relay_id, CONTROL_SLOT, 0, OP_CONTROL, entry, b""]])
            if not self._send(leader, frames.REQUEST, body):
                self._relays.drop(relay_id)

    async def write(self, entry: bytes, timeout_s: float, leader: str | None = None) -> list[object]:
        """Return the reply when the entry is applied; `leader` is whom to ask, None for whoever leads as is known here.

        Raises
        ------
        Mismatch
            The entry contradicts what is recorded.
        Overloaded
            The entry exceeds a limit of the cluster.
        RemoteProtocolError
            It is no entry of the control group.
        Unavailable
            No control leader answered within `timeout_s` seconds.
        """
        check_entry(entry)
        deadline_ns = self._clock.now() + int(timeout_s * SECOND_NS)
        answer = Outcome()
        sent: list[int] = []
        try:
            await self._repeat(entry, answer, sent, deadline_ns, leader)
        finally:
            for call_id in sent:
                self._relays.drop(call_id)
        reply = answer.reply
        if reply is None:
            raise Unavailable(
                f"no leader of the control group answered within {timeout_s} s; see `casty status`"
            )
        outcome, *details = reply
        if outcome == MALFORMED:
            raise RemoteProtocolError(str(reply[VALUE]))
        if outcome == CONTRADICTS:
            what, recorded, given = details
            raise Mismatch(f"{what}: recorded {recorded!r}, given {given!r}; use the recorded value")
        if outcome == TOO_MANY:
            limit, most, found = details
            raise Overloaded(f"expected at most {limit} = {most} in a cluster, found {found} others")
        return reply

    async def _repeat(
        self, entry: bytes, answer: Outcome, sent: list[int], deadline_ns: int, asked: str | None
    ) -> None:
        """Send until there is an answer: to another leader soon, to the same one at growing distances."""
        last: str | None = None
        due_ns, wait_ns = 0, RETRY_NS
        while answer.reply is None and self._clock.now() < deadline_ns:
            now_ns, leader = self._clock.now(), asked or self._leader()
            if leader is not None and (leader != last or now_ns >= due_ns):
                wait_ns = RETRY_NS if leader != last else min(2 * wait_ns, MAX_RETRY_NS)
                last, due_ns = leader, now_ns + wait_ns
                call_id = self._relays.expect(leader, answer, len(sent))
                sent.append(call_id)
                self._send(leader, frames.REQUEST, pack([[call_id, CONTROL_SLOT, 0, OP_CONTROL, entry, b""]]))
            if answer.reply is None:
                await self._look_again(answer, min(now_ns + RETRY_NS, deadline_ns))

    async def _look_again(self, answer: Outcome, until_ns: int) -> None:
        future = answer.next()
        timer: Timer = self._clock.call_at(until_ns, answer.wake)
        try:
            await future
        finally:
            timer.cancel()
