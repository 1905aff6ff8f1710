"""Election: a lock whose holder leads under its own name, and of whose changes others are told.

A candidate waits in line like for a lock; whoever holds is the leader, and its fencing token the number of its term. A
*watch* waits until another leads than its caller knows of, or nobody does. It is answered at once where that is so
already: so a watcher that asks again after each answer is told of the present leader whatever it missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any, ClassVar

from casty.distributed.machines.base import (
    COUNT,
    DESTROY,
    ELECTION,
    NO_FIELDS,
    OK,
    OVERLOADED,
    PAID_AT_ONCE,
    QUEUED,
    RELEASE,
    Command,
    Context,
    Decision,
    Effect,
    Frozen,
    Pairs,
    Reply,
    Shapes,
)
from casty.distributed.machines.wait_queue import INFO, REQUEST_BYTES, Key, LineStructure, Share, WaitQueue
from casty.schema import Data, Row

__all__ = ["CAMPAIGN", "ELECTIONS", "MAX_LABEL_BYTES", "RELEASE", "WATCH", "ElectionLine"]

CAMPAIGN, WATCH = 1, 5
MAX_LABEL_BYTES = 255
"""How long the name of a candidate may be, in UTF-8."""

WATCHERS, STALE = 4, 5
"""Which tables of a dump they are."""

_QUEUED: Reply = [QUEUED]


class ElectionLine(WaitQueue):
    """A line with room for one leader, and those who watch.

    Invariants besides those of a line: a request in `watchers` or `stale` is in no other table and in `owners`; the
    leader that one in `watchers` knows of, by token, is the present one; who is in `stale` is owed to be told.
    """

    __slots__ = ("stale", "watchers")

    def __init__(self, capacity: int = 0, founded: int | None = None) -> None:
        super().__init__(capacity, founded)
        self.watchers: dict[Key, Share] = {}
        """By request: the token of the leader that its caller knows of, 0 for none, and no amount."""
        self.stale: dict[Key, Share] = {}
        """Such as knew of a former leader, and are told a part at a time."""

    def find(self, key: Key) -> dict[Key, Share] | None:
        """Return the table that has the request."""
        if key in self.watchers:
            return self.watchers
        return self.stale if key in self.stale else super().find(key)

    def leader(self) -> Share | None:
        """Return what the leader holds; None if nobody leads."""
        for share in self.grants.values():
            return share
        return None

    def said(self) -> Reply:
        """Return what a watch is answered now. The place of a token is empty: nothing is granted with it."""
        leader = self.leader()
        return [OK, None, 0, b""] if leader is None else [OK, None, leader.token, leader.label]

    def watch(self, known: int, ctx: Context) -> Reply:
        """Wait until the leader is another one than the known one; answer at once where it is."""
        said = self.said()
        if said[2] != known:
            return said
        if ctx.waiters >= ctx.max_waiters:
            return [OVERLOADED, "max_waiters", ctx.max_waiters]
        key = (ctx.caller.session, ctx.caller.seq)
        assert self.find(key) is None, f"request {key} was applied twice"
        self.watchers[key] = Share(known, 0)
        self.owners.add(key)
        return _QUEUED

    def tell(self) -> list[Effect]:
        """Tell watchers that know of another leader than the present one, or the first part of them.

        All know of the same one. It may lead again, if that is nobody, before all were told: who was not waits on.
        """
        said = self.said()
        token = said[2]
        if self.watchers and next(iter(self.watchers.values())).token != token:
            self.stale.update(self.watchers)
            self.watchers = {}
        effects: list[Effect] = []
        for key in list(islice(self.stale, PAID_AT_ONCE)):
            share = self.stale.pop(key)
            if share.token == token:
                self.watchers[key] = share
            else:
                self.owners.remove(key)
                effects.append(Effect(key[0], key[1], said))
        return effects

    def pay(self) -> Sequence[Effect]:
        """See `WaitQueue.pay`."""
        return [*super().pay(), *self.tell()]

    def owes(self) -> bool:
        """See `WaitQueue.owes`."""
        return bool(self.stale) or super().owes()

    def is_of_one(self) -> bool:
        """See `WaitQueue.is_of_one`."""
        return not (self.watchers or self.stale) and super().is_of_one()

    def has_rest(self) -> bool:
        """See `WaitQueue.has_rest`."""
        return super().has_rest() or bool(self.watchers or self.stale)


class ElectionStructure(LineStructure):
    """State: an `ElectionLine`."""

    __slots__ = ()
    kind = ELECTION
    name = "election"
    shapes: ClassVar[Shapes] = {
        DESTROY: NO_FIELDS,
        CAMPAIGN: Row((Data(MAX_LABEL_BYTES),)),
        RELEASE: Row((COUNT,)),
        WATCH: Row((COUNT,)),
    }
    query_shapes: ClassVar[Shapes] = {INFO: NO_FIELDS}

    def decide(self, state: WaitQueue | None, command: Command, ctx: Context) -> Decision:
        """CAMPAIGN carries a name and answers a token, RELEASE carries the granted request's number.

        WATCH carries the token of the leader that is known, 0 for none, and answers ``[OK, None, token, name]`` of
        another one.
        """
        assert state is None or isinstance(state, ElectionLine), "`begin` makes no other"
        operation = command[0]
        if operation == RELEASE:
            return self._released(state, (ctx.caller.session, command[1]))
        if operation == DESTROY:
            return self._destroyed(state)
        queue = ElectionLine() if state is None else state
        if operation == WATCH:
            reply = queue.watch(command[1], ctx)
            return Decision(queue.kept(), reply)
        queue.begin(1)
        reply = queue.ask(1, ctx, may_wait=True, label=command[1])
        return Decision(queue.kept(), reply, queue.tell())

    def outcome(self, state: WaitQueue, session: int, seq: int) -> Reply | None:
        """See `Structure.outcome`."""
        is_watch = (session, seq) in _watchers(state) or (session, seq) in _stale(state)
        return _QUEUED if is_watch else super().outcome(state, session, seq)

    def cancel(self, state: WaitQueue, session: int, seq: int) -> Decision:
        """See `Structure.cancel`; a watch waits as well."""
        if (session, seq) in _watchers(state) or (session, seq) in _stale(state):
            return self.abandon(state, session, seq)
        return super().cancel(state, session, seq)

    def waiting(self, state: WaitQueue) -> int:
        """How many requests wait to lead, or to hear who does."""
        return super().waiting(state) + len(_watchers(state)) + len(_stale(state))

    def grows(self, state: WaitQueue | None, command: Command) -> bool:
        """A request may wait or lead."""
        return command[0] in (CAMPAIGN, WATCH)

    def owes(self, state: WaitQueue) -> bool:
        """See `Structure.owes`; who watches is owed as well."""
        return state.owes()

    def query(self, state: WaitQueue | None, query: Command) -> Reply:
        """Answer what is known of the leader and of those who wait."""
        return self._info(state)

    def weight(self, state: WaitQueue) -> int:
        """See `Structure.weight`; a name is counted as if it were as long as it may be."""
        named = len(state.waiters) + len(state.grants) + len(state.revoked)
        watching = len(_watchers(state)) + len(_stale(state))
        return super().weight(state) + REQUEST_BYTES * watching + MAX_LABEL_BYTES * named

    def freeze(self, state: WaitQueue) -> Frozen:
        """See `Structure.freeze`."""
        head, tables = super().freeze(state)
        return Frozen(head, (*tables, Pairs(_watchers(state)), Pairs(_stale(state))))

    def begin(self, head: Any) -> WaitQueue:
        """See `Structure.begin`."""
        return ElectionLine(*head)

    def _load(self, state: WaitQueue, table: int, shares: dict[Key, Share]) -> None:
        if table < WATCHERS:
            super()._load(state, table, shares)
        else:
            (_watchers(state) if table == WATCHERS else _stale(state)).update(shares)


def _watchers(queue: WaitQueue) -> dict[Key, Share]:
    assert isinstance(queue, ElectionLine), "`begin` makes no other"
    return queue.watchers


def _stale(queue: WaitQueue) -> dict[Key, Share]:
    assert isinstance(queue, ElectionLine), "`begin` makes no other"
    return queue.stale


ELECTIONS = ElectionStructure()
