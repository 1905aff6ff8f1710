"""What lock, semaphore, read-write lock and election share on the slot: waiters in order, grants, revoked holds.

A lock or an election is a queue with a capacity of one; a read-write lock is one whose writers take all there is and
whose readers take one. What is taken is the sum of the grants and revoked holds: a running sum, changed where an entry
of those tables is, and made anew from them when a snapshot is loaded. A revoked hold is a hold whose structure was
destroyed: its owner may not know yet, so it takes its share of any later structure of that name until the owner
confirmed or its session ended.

What ends or grants many requests does so in parts: who waited when it was destroyed is *dismissed*, still waits as far
as anybody can see, and is told a part at a time, like those who are granted what became free.

A line exists while somebody holds or waits: with the last of them its record goes, permits included. Tokens grow all
the same, for the slot counts them, not the record. Only a semaphore with another number of permits than it was created
with stays until it is destroyed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import Any, NamedTuple

from casty.distributed.machines.base import (
    DESTROYED,
    LOCK,
    NO_EFFECTS,
    NOT_WAITING,
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
    Structure,
)
from casty.tuples import new_tuple

__all__ = [
    "INFO", "REQUEST_BYTES", "Dismissed", "Key", "LineStructure", "Owners", "Share", "WaitQueue", "release_command",
    "told_of",
]  # fmt: skip

Key = tuple[int, int]
"""(session, sequence number) of a request."""

INFO = 2
"""The query who holds, and how many wait; `SlotMachine.query` puts names in the place of sessions."""

REVOKED, GRANTS, WAITERS, DISMISSED = range(4)
"""Which tables of a dump they are."""

LINE_BYTES = 900
REQUEST_BYTES = 600
"""About what a line takes, and each request of it with what its session remembers of it."""

# Replies without details are shared: nobody changes a reply.
_QUEUED: Reply = [QUEUED]
_DONE: Reply = [OK]
_RELEASED: Reply = [OK, True]
_REFUSED: Reply = [OK, None]
_DESTROYED: Reply = [DESTROYED]
_NOT_WAITING: Reply = [NOT_WAITING]


class Share(NamedTuple):
    """What a request asks for, the token that it holds once granted, and what its owner calls itself."""

    token: int
    amount: int
    label: bytes = b""


def release_command(kind: int, token: int, seq: int) -> Command:
    """Return the command that ends a hold: of a lock by its token, of all other kinds by the request's number."""
    return [RELEASE, token if kind == LOCK else seq]


class Owners:
    """An index of requests by session: a session's end costs what that session had, not what everyone has."""

    __slots__ = ("seqs",)

    def __init__(self) -> None:
        self.seqs: dict[int, int | dict[int, None]] = {}
        """By session: the number of its only request, or a table of all of them."""

    def __contains__(self, session: int) -> bool:
        return session in self.seqs

    def add(self, key: Key) -> None:
        """Count a request, which is not there, as its session's."""
        session, seq = key
        seqs = self.seqs.get(session)
        if seqs is None:
            self.seqs[session] = seq
            return
        if not isinstance(seqs, dict):
            seqs = self.seqs[session] = {seqs: None}
        assert seq not in seqs, f"request {key} was applied twice"
        seqs[seq] = None

    def remove(self, key: Key) -> None:
        """Forget the request."""
        session, seq = key
        seqs = self.seqs[session]
        if type(seqs) is dict:
            del seqs[seq]
            if not seqs:
                del self.seqs[session]
        elif seqs == seq:
            del self.seqs[session]
        else:
            raise KeyError(key)

    def of(self, session: int) -> list[Key]:
        """Return the session's requests."""
        seqs = self.seqs.get(session, ())
        return [(session, seqs)] if isinstance(seqs, int) else [(session, seq) for seq in seqs]


Dismissed = dict[Key, Reply]
"""Requests that are over and not told yet, with what they are told, in the order of their making."""

_NOBODY: Any = MappingProxyType({})
"""A table with nobody in it. Most lines never need more than that of the grants: a line is made and goes with each hold
that nobody else waits for, so a table is made when the first request comes into it."""


def told_of(dismissed: Dismissed, owners: Owners, most: int = PAID_AT_ONCE) -> list[Effect]:
    """Tell the first of those who are dismissed."""
    effects = [Effect(*key, dismissed[key]) for key in islice(dismissed, most)]
    for session, seq, _ in effects:
        del dismissed[session, seq]
        owners.remove((session, seq))
    return effects


class WaitQueue:
    """The state of one structure. ``capacity == 0``: nobody holds or waits, only what is over is left.

    Invariants: nothing is granted beyond `capacity`; the grants' amounts exceed it only where it was made smaller
    after they were granted; the first waiter would fit alone, and fits now only while that is owed; a request is in
    exactly one of `waiters`, `grants`, `revoked` and `dismissed`, and `owners` knows exactly those; `taken` is the sum
    of the amounts in `grants` and `revoked`; `founded` is 0 if and only if `capacity` is.
    """

    __slots__ = ("capacity", "dismissed", "founded", "grants", "owners", "revoked", "taken", "waiters")

    def __init__(self, capacity: int, founded: int | None = None) -> None:
        self.capacity = capacity
        self.founded = capacity if founded is None else founded
        """The capacity that it was created with; another one than `capacity` once it was resized."""
        # Ordered: a plain dictionary walks over the holes of all earlier waiters to find its first entry.
        self.waiters: OrderedDict[Key, Share] = _NOBODY
        self.grants: dict[Key, Share] = {}
        self.revoked: dict[Key, Share] = _NOBODY
        self.dismissed: Dismissed = _NOBODY
        self.taken = 0
        self.owners = Owners()

    def wait(self, key: Key, share: Share) -> None:
        """Put a request behind all who wait."""
        if self.waiters is _NOBODY:
            self.waiters = OrderedDict()
        self.waiters[key] = share

    def revoke(self, shares: Mapping[Key, Share]) -> None:
        """These are lost; their owners do not know it yet."""
        if not shares:
            return
        if self.revoked is _NOBODY:
            self.revoked = {}
        self.revoked.update(shares)

    def dismiss(self, replies: Mapping[Key, Reply]) -> None:
        """These are over, and are told so in their turn."""
        if not replies:
            return
        if self.dismissed is _NOBODY:
            self.dismissed = {}
        self.dismissed.update(replies)

    def begin(self, capacity: int) -> None:
        """Have this capacity from now on, unless it has one."""
        if not self.capacity:
            self.capacity = self.founded = capacity

    def free(self) -> int:
        """What may be granted now; below zero while more is held than a smaller capacity or successor has."""
        return self.capacity - self.taken

    def ask(self, amount: int, ctx: Context, may_wait: bool, label: bytes = b"") -> Reply:
        """Grant at once, queue, or answer that it is taken."""
        fits = not self.waiters and amount <= self.free()
        if not fits and not may_wait:
            return _REFUSED
        if not fits and ctx.waiters >= ctx.max_waiters:
            return [OVERLOADED, "max_waiters", ctx.max_waiters]
        caller, token = ctx.caller, ctx.next_token()
        key = (caller[0], caller[1])
        share = new_tuple(Share, (token, amount, label))
        self.owners.add(key)
        if not fits:
            self.wait(key, share)
            return _QUEUED
        self.grants[key] = share
        self.taken += amount
        return [OK, token]

    def find(self, key: Key) -> dict[Key, Share] | None:
        """Return the table that has the request."""
        if key in self.grants:
            return self.grants
        if key in self.waiters:
            return self.waiters
        return self.revoked if key in self.revoked else None

    def drop(self, key: Key) -> bool:
        """Forget all about a request; whoever calls this promotes afterwards."""
        if key in self.dismissed:
            del self.dismissed[key]
            self.owners.remove(key)
            return True
        table = self.find(key)
        if table is None:
            return False
        share = table.pop(key)
        if table is not self.waiters:
            self.taken -= share[1]
        self.owners.remove(key)
        return True

    def promote(self, most: int = PAID_AT_ONCE) -> list[Effect]:
        """Grant to the first waiters what is free, strictly in order: a large request is not starved."""
        effects: list[Effect] = []
        free = self.free()
        while self.waiters and len(effects) < most:
            key = next(iter(self.waiters))
            share = self.waiters[key]
            if share.amount > free:
                break
            del self.waiters[key]
            self.grants[key] = share
            self.taken += share.amount
            free -= share.amount
            effects.append(Effect(key[0], key[1], [OK, share.token]))
        return effects

    def destroy(self) -> None:
        """Dismiss all waiters, turn all holds into revoked holds; whoever calls this pays afterwards."""
        self.dismiss(dict.fromkeys(self.waiters, _DESTROYED))
        self.waiters = _NOBODY
        self.revoke(self.grants)
        self.grants.clear()
        self.capacity = self.founded = 0

    def pay(self) -> Sequence[Effect]:
        """Something ended: return what comes of that for others, or the first part."""
        if self.dismissed:
            effects = told_of(self.dismissed, self.owners)
            return effects + self.promote(PAID_AT_ONCE - len(effects))
        return self.promote() if self.waiters else NO_EFFECTS

    def owes(self) -> bool:
        """Whether there is another part."""
        if self.dismissed:
            return True
        return bool(self.waiters) and next(iter(self.waiters.values())).amount <= self.free()

    def is_of_one(self) -> bool:
        """Whether the line is nothing but one hold: it goes with that."""
        return (
            len(self.grants) == 1
            and not (self.waiters or self.revoked or self.dismissed)
            and self.capacity == self.founded
        )

    def has_rest(self) -> bool:
        """Whether something is left besides the capacity, its waiters and grants."""
        return bool(self.revoked or self.dismissed)

    def kept(self) -> WaitQueue | None:
        """Return what stays: a capacity while somebody holds or waits or it was resized; nothing without a rest."""
        if self.waiters or self.grants or self.capacity != self.founded:
            return self
        self.capacity = self.founded = 0
        return self if self.has_rest() else None


class LineStructure(Structure[WaitQueue]):
    """What is the same for all kinds of which something is held."""

    __slots__ = ()

    def _asked(self, queue: WaitQueue, amount: int, ctx: Context, may_wait: bool) -> Decision:
        """After the line got its capacity: ask it."""
        reply = queue.ask(amount, ctx, may_wait)
        kept = queue if queue.grants or queue.waiters else queue.kept()
        return new_tuple(Decision, (kept, reply, NO_EFFECTS, 0, ()))

    def _paid(self, queue: WaitQueue, reply: Reply, gone: int = 0, *, is_owing: bool = False) -> Decision:
        """Something ended. Where it owes already, parts are under way: what ended has its turn in one of these."""
        effects = NO_EFFECTS if is_owing else queue.pay()
        return new_tuple(Decision, (queue.kept(), reply, effects, gone, ()))

    def _destroyed(self, queue: WaitQueue | None) -> Decision:
        if queue is None or not queue.capacity:
            return Decision(queue, [OK, False])
        queue.destroy()
        return self._paid(queue, [OK, True])

    def _released(self, queue: WaitQueue | None, key: Key) -> Decision:
        """End a hold. That of a destroyed structure was lost already, but here its owner confirms it."""
        if queue is None:
            return Decision(None, [OK, False])
        held = key in queue.grants
        if held and queue.is_of_one():
            return new_tuple(Decision, (None, _RELEASED, NO_EFFECTS, key[1], ()))
        if not held and key not in queue.revoked:
            return Decision(queue, [OK, False])
        is_owing = queue.owes()
        queue.drop(key)
        return self._paid(queue, [OK, held], gone=key[1], is_owing=is_owing)

    def cancel(self, state: WaitQueue, session: int, seq: int) -> Decision:
        """Withdraw a waiter; see `Structure.cancel`."""
        key = (session, seq)
        if key not in state.waiters and key not in state.dismissed:
            return Decision(state, _NOT_WAITING)
        is_owing = state.owes()
        state.drop(key)
        return self._paid(state, _DONE, is_owing=is_owing)

    def abandon(self, state: WaitQueue, session: int, seq: int) -> Decision:
        """Remove waiter, hold or revoked hold; see `Structure.abandon`."""
        is_owing = state.owes()
        if not state.drop((session, seq)):
            return Decision(state, _DONE)
        return self._paid(state, _DONE, is_owing=is_owing)

    def end_session(self, state: WaitQueue, session: int) -> Decision:
        """Give back exactly what the session had; see `Structure.end_session`."""
        is_owing = state.owes()
        for key in state.owners.of(session):
            state.drop(key)
        return self._paid(state, _DONE, is_owing=is_owing)

    def owes(self, state: WaitQueue) -> bool:
        """See `Structure.owes`."""
        return bool(state.waiters or state.dismissed) and state.owes()

    def pay(self, state: WaitQueue) -> Decision:
        """See `Structure.pay`."""
        return self._paid(state, _DONE)

    def involves(self, state: WaitQueue, session: int) -> bool:
        """Whether the session waits, holds or haunts; see `Structure.involves`."""
        return session in state.owners

    def outcome(self, state: WaitQueue, session: int, seq: int) -> Reply | None:
        """What the request would be answered now; see `Structure.outcome`."""
        key = (session, seq)
        share = state.grants.get(key) or state.revoked.get(key)
        if share is not None:
            # A revoked hold was granted before: its repetition hears so as well, and of the loss by keep-alive.
            return [OK, share.token]
        return _QUEUED if key in state.waiters or key in state.dismissed else None

    def is_held(self, state: WaitQueue, session: int, seq: int) -> bool:
        """Whether the request holds what it was granted; see `Structure.is_held`."""
        return (session, seq) in state.grants

    def _info(self, state: WaitQueue | None) -> Reply:
        """Answer [the first grant, how many are granted, how many wait].

        The first grant is ``[session, token, label, amount]``, None where there is none.
        """
        if state is None:
            return [OK, [None, 0, 0]]
        first = next(iter(state.grants), None)
        holder = None
        if first is not None:
            share = state.grants[first]
            holder = [first[0], share.token, share.label, share.amount]
        return [OK, [holder, len(state.grants), len(state.waiters)]]

    def waiting(self, state: WaitQueue) -> int:
        """How many requests wait."""
        return len(state.waiters) + len(state.dismissed)

    def weight(self, state: WaitQueue) -> int:
        """Return about what waiters, grants, revoked holds and those who are dismissed take."""
        requests = len(state.waiters) + len(state.grants) + len(state.revoked) + len(state.dismissed)
        return LINE_BYTES + REQUEST_BYTES * requests

    def freeze(self, state: WaitQueue) -> Frozen:
        """See `Structure.freeze`. Revoked, granted, waiting: a session's requests come in the order of their making."""
        tables: tuple[dict[Any, Any], ...] = (state.revoked, state.grants, state.waiters, state.dismissed)
        return Frozen([state.capacity, state.founded], tuple(Pairs(table) for table in tables))

    def begin(self, head: Any) -> WaitQueue:
        """See `Structure.begin`."""
        return WaitQueue(*head)

    def extend(self, state: WaitQueue, table: int, rows: Sequence[Any]) -> None:
        """See `Structure.extend`."""
        if table == DISMISSED:
            state.dismiss({(session, seq): reply for (session, seq), reply in rows})
        else:
            self._load(state, table, {(session, seq): Share(*row) for (session, seq), row in rows})
        for (session, seq), _ in rows:
            state.owners.add((session, seq))

    def _load(self, state: WaitQueue, table: int, shares: dict[Key, Share]) -> None:
        """Put requests into a table of a dump; see `freeze`."""
        if table == WAITERS:
            for key, share in shares.items():
                state.wait(key, share)
            return
        if table == REVOKED:
            state.revoke(shares)
        else:
            state.grants.update(shares)
        state.taken += sum(share.amount for share in shares.values())
