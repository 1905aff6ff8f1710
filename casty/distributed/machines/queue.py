"""Queue: first in, first out by commit. An item leaves with the request that took it, and with no other.

Requests wait for an item, or for room, in the order of the log. Who reserves an item holds it as others hold a lock.
The hold ends with an ACK, and then the item is gone, or with anything else (a NACK, the end of the session, or a
withdrawal, which the leader proposes as well when its owner had it for long enough), and then the item is free again,
in its order, or dead if it was delivered too often. That is decided here and nowhere else; a late ACK finds nothing
under its number.

What was taken for good is not held: its answer has the item. As long as the slot keeps that answer nobody has confirmed
it, and a withdrawal undoes it; see `Structure.take_back`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from casty.distributed.machines.base import (
    COUNT,
    DESTROY,
    DESTROYED,
    NO_EFFECTS,
    NO_FIELDS,
    NOT_WAITING,
    OK,
    OVERLOADED,
    QUEUE,
    QUEUED,
    Command,
    Context,
    Decision,
    Frozen,
    Reply,
    Shapes,
    Structure,
)
from casty.distributed.machines.queue_shapes import (
    ACK,
    APPEND,
    BOUND,
    DEAD_PEEK,
    DEAD_SIZE,
    DEQUEUE,
    ENQUEUE,
    ENQUEUE_AS,
    FLAG,
    GET,
    MAX_REQUEUED,
    NACK,
    PEEK,
    PUT,
    PUT_BACK,
    REMOVE,
    REQUEUE,
    RESERVE,
    RESERVED,
    SET_ASIDE,
    SETUP,
    SIZE,
    TAKE_DEAD,
    WAITING,
)
from casty.distributed.machines.queue_state import Ask, Item, Items, taken
from casty.distributed.machines.wait_queue import Key
from casty.limits import MAX_NUMBER
from casty.schema import Data, Maybe, Number, Row
from casty.tuples import new_tuple

__all__ = ["DEQUEUE", "ENQUEUE", "PUT_BACK", "QUEUES", "Items"]

# Replies without details are shared: nobody changes a reply.
_DONE: Reply = [OK]
_EMPTY: Reply = [OK, None]
_NO: Reply = [OK, False]
_QUEUED: Reply = [QUEUED]
_DESTROYED: Reply = [DESTROYED]

_FOR_GOOD = Ask(0, 0)

_MAKING = (ENQUEUE_AS, PUT, GET, RESERVE)
"""Operations that say what the settings are, in their last two fields."""


class QueueStructure(Structure[Items]):
    """State: see `Items`. Empty it still exists."""

    __slots__ = ()
    kind = QUEUE
    name = "queue"
    stores_values = True
    shapes: ClassVar[Shapes] = {
        DESTROY: NO_FIELDS,
        ENQUEUE: Row((Data(),)),
        DEQUEUE: NO_FIELDS,
        PUT_BACK: Row((Data(), COUNT, COUNT, Maybe(COUNT), FLAG)),
        PUT: Row((Data(), BOUND, BOUND)),
        GET: Row((BOUND, BOUND)),
        RESERVE: Row((Number(1, MAX_NUMBER), FLAG, BOUND, BOUND)),
        ACK: Row((COUNT,)),
        NACK: Row((COUNT,)),
        REQUEUE: Row((Number(1, MAX_REQUEUED),)),
        TAKE_DEAD: NO_FIELDS,
        ENQUEUE_AS: Row((Data(), BOUND, BOUND)),
        REMOVE: Row((COUNT,)),
        SET_ASIDE: Row((COUNT,)),
        SETUP: Row((BOUND, BOUND, Number(1, MAX_NUMBER))),
        APPEND: Row((Data(),)),
    }
    query_shapes: ClassVar[Shapes] = dict.fromkeys((PEEK, SIZE, DEAD_PEEK, DEAD_SIZE, RESERVED), NO_FIELDS)

    def decide(self, state: Items | None, command: Command, ctx: Context) -> Decision:
        """Apply a checked command.

        DEQUEUE, GET and TAKE_DEAD the item and what is needed to put it
        back, or None; RESERVE a token, the item, which delivery it is and for how long; ACK and NACK whether that
        reservation held; REQUEUE how many dead letters it put back.
        """
        operation = command[0]
        items = Items() if state is None else state
        if operation == ENQUEUE:
            return self._decided(items, self._put(items, command, ctx))
        if operation == DEQUEUE:
            return self._decided(items, items.take_next() or _EMPTY)
        if operation == DESTROY:
            return self._destroy(items)
        if operation in (ACK, NACK):
            reply, gone = self._end(items, _key(ctx.caller), command[1], is_done=operation == ACK)
            return self._decided(items, reply, gone)
        wrong = items.mismatch(command[-2], command[-1]) if operation in _MAKING else None
        return self._decided(items, self._apply(items, operation, command, ctx) if wrong is None else wrong)

    def _apply(self, items: Items, operation: int, command: Command, ctx: Context) -> Reply:
        if operation in (ENQUEUE, ENQUEUE_AS, PUT):
            return self._put(items, command, ctx)
        if operation in (GET, RESERVE):
            return self._get(items, command, ctx)
        if operation == PUT_BACK:
            return self._put_back(items, *command[1:])
        if operation == REQUEUE:
            return self._requeue(items, command[1])
        if operation == TAKE_DEAD:
            return self._take_dead(items, next(iter(items.dead), 0))
        if operation == SETUP:
            return self._set_up(items, command, ctx)
        return self._replay(items, operation, command[1])

    def _destroy(self, items: Items) -> Decision:
        """Tell all who wait; who holds a reservation hears by keep-alive that it is lost."""
        existed = items.exists
        effects = items.destroy(_DESTROYED)
        return Decision(
            items if items.is_needed else None, [OK, existed], effects, 0, [[DESTROY]] if existed else ()
        )

    # -- items

    def _put(self, items: Items, command: Command, ctx: Context) -> Reply:
        """Append an item; where there is no room, say so or let it wait."""
        operation, data = command[0], command[1]
        if not items.exists:
            items.fix(*(command[2:] or (None, None)))
            items.create(ctx.next_token())
        if (items.maxsize is None or items.room) and not items.putters:
            items.add(data)
            return _EMPTY
        if operation != PUT:
            return [OVERLOADED, "maxsize", items.maxsize]
        if ctx.waiters >= ctx.max_waiters:
            return [OVERLOADED, "max_waiters", ctx.max_waiters]
        items.wait_for_room(_key(ctx.caller), data)
        return _QUEUED

    def _get(self, items: Items, command: Command, ctx: Context) -> Reply:
        """Hand out the next item, or wait for it behind all who wait already."""
        is_reserving = command[0] == RESERVE
        may_wait = command[2] if is_reserving else True
        item = items.shift()
        if item is None and not may_wait:
            return _EMPTY
        if item is None and ctx.waiters >= ctx.max_waiters:
            return [OVERLOADED, "max_waiters", ctx.max_waiters]
        ask = Ask(ctx.next_token(), command[1]) if is_reserving else _FOR_GOOD
        if item is not None:
            return items.serve(_key(ctx.caller), ask, item)
        if not items.exists:
            items.fix(command[-2], command[-1])
        items.wait_for_item(_key(ctx.caller), ask)
        return _QUEUED

    def _end(self, items: Items, caller: Key, seq: int, *, is_done: bool) -> tuple[Reply, int]:
        """End a reservation of the caller, and say which item it had, and whether that is dead now."""
        key = (caller[0], seq)
        reservation = items.reserved.get(key)
        if reservation is None:
            # That of a destroyed queue was lost already, but here its owner confirms it.
            return _NO, seq if items.drop_revoked(key) else 0
        if not is_done:
            is_dead = items.drop(key)
            return [OK, True, reservation.number, is_dead], seq
        items.finish(key)
        return [OK, True, reservation.number, False], seq

    def _put_back(
        self, items: Items, data: bytes, number: int, deliveries: int, life: int | None, is_dead: bool
    ) -> Reply:
        """Put an item back that was taken for good: if it is the queue that it was taken from, and where it was."""
        if not items.exists or life not in (None, items.life) or number >= items.first_fresh:
            return _NO
        items.put_back(Item(number, data, deliveries), is_dead=is_dead)
        return [OK, True]

    def _requeue(self, items: Items, most: int) -> Reply:
        """Append dead letters as new items, the oldest first, while there is room."""
        count = 0
        while count < most and items.dead and items.room and not items.putters:
            items.revive()
            count += 1
        if count:
            items.changes.append([REQUEUE, count])
        return [OK, count]

    def _take_dead(self, items: Items, number: int) -> Reply:
        dead = items.dead.pop(number, None)
        if dead is None:
            return _EMPTY
        item = Item(number, *dead)
        items.drop_item(item)
        return taken(item, items.life, is_dead=True)

    # -- histories

    def _set_up(self, items: Items, command: Command, ctx: Context) -> Reply:
        """Begin a queue as it was; its items are put back to their places afterwards."""
        if items.exists:
            return _NO
        _, maxsize, max_deliveries, items.next = command
        items.fix(maxsize, max_deliveries)
        items.create(ctx.next_token())
        items.changes = [command]
        return [OK, True]

    def _replay(self, items: Items, operation: int, argument: Any) -> Reply:
        """Do what a history says that was done, to an item wherever it is."""
        if operation == APPEND:
            if items.exists:
                items.add(argument)
            return [OK, items.exists]
        number: int = argument
        if number in items.dead and operation == REMOVE:
            self._take_dead(items, number)
            return [OK, True]
        item = items.pull(number)
        if item is None:
            return _NO
        if operation == REMOVE:
            items.drop_item(item)
        else:
            items.discard(item)
        return [OK, True]

    # -- what follows from it

    def _decided(self, items: Items, reply: Reply, gone: int = 0) -> Decision:
        effects = items.promote() if items.getters or items.putters else NO_EFFECTS
        changes, items.changes = items.changes, []
        if items.exists:
            return new_tuple(Decision, (items, reply, effects, gone, changes))
        if not items.getters:
            items.fix(None, None)
        return Decision(items if items.is_needed else None, reply, effects, gone, changes)

    def cancel(self, state: Items, session: int, seq: int) -> Decision:
        """Withdraw a waiter; see `Structure.cancel`."""
        key = (session, seq)
        if key not in state.getters and key not in state.putters and key not in state.dismissed:
            return Decision(state, [NOT_WAITING])
        state.drop(key)
        return self._decided(state, _DONE)

    def abandon(self, state: Items, session: int, seq: int) -> Decision:
        """Remove a waiter, or end a reservation whose item then is free again; see `Structure.abandon`."""
        state.drop((session, seq))
        return self._decided(state, _DONE)

    def end_session(self, state: Items, session: int) -> Decision:
        """Remove who waits, then give back what is reserved, in the order of the requests."""
        keys = sorted(state.owners.of(session))
        for key in sorted(keys, key=state.reserved.__contains__):
            state.drop(key)
        return self._decided(state, _DONE)

    def take_back(self, state: Items | None, session: int, seq: int, reply: Reply) -> Decision:
        """Put back what a request took, or reserved, whose answer nobody has; see `Structure.take_back`."""
        if state is not None and len(reply) > 1 and isinstance(reply[1], bytes):
            return self._decided(state, self._put_back(state, *reply[1:6]))
        if state is None or (session, seq) not in state.reserved:
            return Decision(state, _DONE)
        state.unreserve((session, seq))
        return self._decided(state, _DONE)

    def owes(self, state: Items) -> bool:
        """See `Structure.owes`."""
        return bool(state.dismissed)

    def pay(self, state: Items) -> Decision:
        """See `Structure.pay`."""
        effects = state.tell()
        return Decision(state if state.is_needed else None, _DONE, effects)

    def involves(self, state: Items, session: int) -> bool:
        """Whether the session waits, or holds a reservation; see `Structure.involves`."""
        return session in state.owners

    def outcome(self, state: Items, session: int, seq: int) -> Reply | None:
        """What the request would be answered now; see `Structure.outcome`."""
        key = (session, seq)
        held = state.reserved.get(key) or state.revoked.get(key)
        if held is not None:
            return held.reply()
        is_waiting = key in state.getters or key in state.putters or key in state.dismissed
        return _QUEUED if is_waiting else None

    def is_held(self, state: Items, session: int, seq: int) -> bool:
        """Whether the request holds what it reserved; see `Structure.is_held`."""
        return (session, seq) in state.reserved

    def waiting(self, state: Items) -> int:
        """How many requests wait."""
        return state.count_waiting()

    def query(self, state: Items | None, query: Command) -> Reply:
        """Answer the first item that is free or dead, or how many items are free, dead or reserved."""
        operation = query[0]
        if operation in (SIZE, DEAD_SIZE, RESERVED):
            if state is None:
                return [OK, 0]
            return [
                OK,
                {SIZE: len(state), DEAD_SIZE: len(state.dead), RESERVED: len(state.reserved)}[operation],
            ]
        if state is None:
            return _EMPTY
        if operation == PEEK:
            first = state.first()
            return _EMPTY if first is None else [OK, first.data]
        return [OK, next(iter(state.dead.values()))[0] if state.dead else None]

    # -- memory, records, snapshots

    def weight(self, state: Items) -> int:
        """Return the bytes of the items, and about what requests take."""
        return state.weight()

    def grows(self, state: Items | None, command: Command) -> bool:
        """Items do, and who has to wait for one; to take one, or to give it back, makes room."""
        if command[0] in (GET, RESERVE):
            return state is None or not len(state)
        return command[0] in (ENQUEUE, ENQUEUE_AS, PUT, PUT_BACK, SETUP, APPEND)

    def has_changed(self, command: Command, reply: Reply) -> bool:
        """See `Structure.has_changed`; a NACK is on record where the item is dead, a reservation never."""
        return self.change_of(command, reply) is not None

    def change_of(self, command: Command, reply: Reply) -> Command | None:
        """See `Structure.change_of`."""
        operation = command[0]
        if reply[0] != OK or operation in WAITING:
            return None
        if operation in (ENQUEUE, ENQUEUE_AS):
            return [ENQUEUE, command[1]]
        if reply[1] is None or reply[1] is False or reply[1] == 0:
            return None
        if operation in (DEQUEUE, TAKE_DEAD, ACK):
            return [REMOVE, reply[2]]
        if operation == NACK:
            return [SET_ASIDE, reply[2]] if reply[3] else None
        if operation == PUT_BACK:
            return [*command[:4], None, command[5]]
        return [REQUEUE, reply[1]] if operation == REQUEUE else command

    def rebuild(self, state: Items) -> list[Command]:
        """See `Structure.rebuild`. Reserved items are free there: those who hold them are not put on record."""
        if not state.exists:
            return []
        rows = sorted([*state.returned, *(Item(*held[2:]) for held in state.reserved.values())])
        commands: list[Command] = [[SETUP, state.maxsize, state.max_deliveries, state.first_fresh]]
        commands += [[PUT_BACK, data, number, deliveries, None, False] for number, data, deliveries in rows]
        commands += [[PUT_BACK, dead[0], number, dead[1], None, True] for number, dead in state.dead.items()]
        return [*commands, *([APPEND, data] for data in state.fresh)]

    def freeze(self, state: Items) -> Frozen:
        """See `Structure.freeze`."""
        return state.freeze()

    def begin(self, head: Any) -> Items:
        """See `Structure.begin`."""
        return Items.begin(head)

    def extend(self, state: Items, table: int, rows: Sequence[Any]) -> None:
        """See `Structure.extend`."""
        state.extend(table, rows)


def _key(caller: Key) -> Key:
    """Return a plain pair: a state has to be the same as one that was loaded."""
    return (caller[0], caller[1])


QUEUES = QueueStructure()
