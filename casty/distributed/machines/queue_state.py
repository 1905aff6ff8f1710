"""The state of a queue: its items, who has one of them, and who waits.

Where an item may be::

    fresh --handed over--> gone                     (DEQUEUE, or GET: with the request that took it)
    fresh --reserved--> reserved --acked--> gone
    reserved --given back--> returned, or dead      (nacked, its session over, not visible any more: all the same here)
    returned --as from fresh
    dead --requeued--> fresh, as a new item         (or taken out for good)

Items are numbered in the order in which they came. Who takes one gets the lowest number that nobody has, so an item
that comes back is in its order again. Numbers of fresh items have no gaps: the items alone are kept.

Invariants: while somebody waits for an item there is none that is free; while somebody waits for room there is none;
a request is in exactly one of `getters`, `putters`, `reserved`, `revoked` and `dismissed`, and `owners` knows exactly
those.
"""

from __future__ import annotations

from bisect import insort
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from casty.distributed.machines.base import MISMATCH, OK, Command, Effect, Frozen, Pairs, Reply
from casty.distributed.machines.queue_shapes import ENQUEUE, PUT_BACK, REMOVE, SET_ASIDE, SETUP
from casty.distributed.machines.wait_queue import Dismissed, Key, Owners, told_of
from casty.tuples import new_tuple

__all__ = ["Ask", "Item", "Items", "Reservation", "taken"]

QUEUE_BYTES = 1_750
REQUEST_BYTES = 600
"""About what the tables take, and each request in them with what its session remembers of it."""

ITEM_BYTES = 48
"""About what one item takes besides its bytes."""

FIRST = 1
"""The first number: those of a destroyed queue begin anew, as they do where its history is replayed."""


class Item(NamedTuple):
    """An item that was handed out before, or stands among those that were."""

    number: int
    data: bytes
    deliveries: int
    """How often it was reserved."""


class Ask(NamedTuple):
    """What a waiting request asks for: an item, or a reservation with a token and a visibility."""

    token: int
    visibility_ms: int
    """0 for one that takes the item for good."""


class Reservation(NamedTuple):
    """What a request holds."""

    token: int
    visibility_ms: int
    number: int
    data: bytes
    deliveries: int

    def reply(self) -> Reply:
        """Return what the request is answered, however often it asks."""
        return [OK, self.token, self.data, self.deliveries, self.visibility_ms]


class Items:
    """The state of one queue; see the head of this module.

    Attributes
    ----------
    exists
        Whether there is a queue: something was put into it since it was destroyed last. Otherwise somebody waits, or
        holds a reservation of what was destroyed.
    maxsize, max_deliveries
        What was fixed when it was made; None is no bound.
    life
        Tells queues of one name apart: an item is given back to the one that it was taken from, or not at all.
    next
        The number of the next item.
    changes
        What was done to the items by the decision under way, as commands that do the same where nobody waits or holds
        anything: that is what goes on record.
    """

    __slots__ = (
        "changes",
        "dead",
        "dismissed",
        "exists",
        "fresh",
        "getters",
        "life",
        "max_deliveries",
        "maxsize",
        "next",
        "owners",
        "putters",
        "reserved",
        "returned",
        "revoked",
        "size_bytes",
    )  # fmt: skip

    def __init__(self) -> None:
        self.exists = False
        self.maxsize: int | None = None
        self.max_deliveries: int | None = None
        self.life = 0
        self.next = FIRST
        self.fresh: deque[bytes] = deque()
        self.returned: list[Item] = []
        """By number; all below those of `fresh`, as is whatever is dead or reserved."""
        self.dead: OrderedDict[int, tuple[bytes, int]] = OrderedDict()
        """By number, in the order in which they were given up: bytes and deliveries."""
        self.reserved: dict[Key, Reservation] = {}
        self.revoked: dict[Key, Reservation] = {}
        """Reservations of a destroyed queue, until their owners confirm that: what they were answered stays so."""
        # Ordered: a plain dictionary walks over the holes of all earlier waiters to find its first entry.
        self.getters: OrderedDict[Key, Ask] = OrderedDict()
        self.putters: OrderedDict[Key, bytes] = OrderedDict()
        self.dismissed: Dismissed = {}
        """Who waited when the queue was destroyed and is not told yet; as of a line, see `wait_queue`."""
        self.owners = Owners()
        self.size_bytes = 0
        """Of all items, wherever they are, and of those that wait for room."""
        self.changes: list[Command] = []

    # -- what there is

    def __len__(self) -> int:
        """Return how many items are free."""
        return len(self.fresh) + len(self.returned)

    @property
    def room(self) -> bool:
        """Whether another item may come in; reserved ones keep their places."""
        return self.maxsize is None or len(self) + len(self.reserved) < self.maxsize

    @property
    def first_fresh(self) -> int:
        """The number of the first fresh item, or of the next one that comes."""
        return self.next - len(self.fresh)

    @property
    def is_needed(self) -> bool:
        """Whether anything of it has to be remembered."""
        return bool(self.exists or self.getters or self.revoked or self.dismissed)

    def first(self) -> Item | None:
        """Return the item that is next."""
        if self.returned:
            return self.returned[0]
        return Item(self.first_fresh, self.fresh[0], 0) if self.fresh else None

    def weight(self) -> int:
        """Return about how many bytes all of it takes."""
        held = len(self.reserved) + len(self.revoked)
        return QUEUE_BYTES + self.size_bytes + REQUEST_BYTES * (held + self.count_waiting())

    def count_waiting(self) -> int:
        """Return how many requests wait, or do as far as anybody can see."""
        return len(self.getters) + len(self.putters) + len(self.dismissed)

    # -- settings

    def mismatch(self, maxsize: int | None, max_deliveries: int | None) -> Reply | None:
        """Return what is answered to a request with other settings than are recorded; None as a setting fits any."""
        rows = (("maxsize", self.maxsize, maxsize), ("max_deliveries", self.max_deliveries, max_deliveries))
        for name, recorded, given in rows:
            if given is not None and given != recorded and (self.exists or recorded is not None):
                return [MISMATCH, name, recorded, given]
        return None

    def fix(self, maxsize: int | None, max_deliveries: int | None) -> None:
        """Record settings where there is no queue yet; those of who waits already stay."""
        keep = bool(self.getters)
        self.maxsize = self.maxsize if keep and maxsize is None else maxsize
        self.max_deliveries = self.max_deliveries if keep and max_deliveries is None else max_deliveries

    def create(self, life: int) -> None:
        """From now on there is a queue."""
        self.exists, self.life = True, life
        if (self.maxsize, self.max_deliveries) != (None, None):
            self.changes.append([SETUP, self.maxsize, self.max_deliveries, self.next])

    # -- items come and go

    def add(self, data: bytes) -> None:
        """Take an item in."""
        # As `append`, which most items would cost another call.
        self.fresh.append(data)
        self.next += 1
        self.size_bytes += ITEM_BYTES + len(data)
        self.changes.append([ENQUEUE, data])

    def append(self, data: bytes) -> None:
        """Append an item, under the next number."""
        self.fresh.append(data)
        self.next += 1
        self.size_bytes += ITEM_BYTES + len(data)

    def insert(self, item: Item) -> None:
        """Put an item to its place in the order, before all that are fresh."""
        insort(self.returned, item)

    def put_back(self, item: Item, *, is_dead: bool) -> None:
        """An item that was gone is there again."""
        self.size_bytes += ITEM_BYTES + len(item.data)
        if is_dead:
            self.dead[item.number] = (item.data, item.deliveries)
        else:
            self.insert(item)
        self.changes.append([PUT_BACK, item.data, item.number, item.deliveries, None, is_dead])

    def revive(self) -> None:
        """Append the oldest dead letter as a new item."""
        _, (data, _) = self.dead.popitem(last=False)
        self.size_bytes -= ITEM_BYTES + len(data)
        self.append(data)

    def shift(self) -> Item | None:
        """Take the next item out of the order."""
        if self.returned:
            return self.returned.pop(0)
        return self.shift_fresh() if self.fresh else None

    def pull(self, number: int) -> Item | None:
        """Take a free item out of the order, wherever it stands."""
        if number >= self.next:
            return None
        while self.first_fresh < number:
            # There is going to be a gap: what is before it does not count as fresh any more.
            self.returned.append(self.shift_fresh())
        if self.first_fresh == number and self.fresh:
            return self.shift_fresh()
        for at, item in enumerate(self.returned):
            if item.number == number:
                del self.returned[at]
                return item
        return None

    def shift_fresh(self) -> Item:
        """Take the first fresh item."""
        fresh = self.fresh
        return new_tuple(Item, (self.next - len(fresh), fresh.popleft(), 0))

    def drop_item(self, item: Item) -> None:
        """An item is gone for good."""
        self.size_bytes -= ITEM_BYTES + len(item.data)
        self.changes.append([REMOVE, item.number])

    def take(self, item: Item) -> Reply:
        """Give an item away for good, and return the answer; as `drop_item` and `taken`, in one call."""
        number, data, deliveries = item
        self.size_bytes -= ITEM_BYTES + len(data)
        self.changes.append([REMOVE, number])
        return [OK, data, number, deliveries, self.life, False]

    def take_next(self) -> Reply | None:
        """Give the next item away for good, and return the answer; None if there is none."""
        fresh = self.fresh
        if self.returned or not fresh:
            item = self.shift()
            return None if item is None else self.take(item)
        # The usual one: as `shift` and `take`, without an item in between.
        number, data = self.next - len(fresh), fresh.popleft()
        self.size_bytes -= ITEM_BYTES + len(data)
        self.changes.append([REMOVE, number])
        return [OK, data, number, 0, self.life, False]

    def give_back(self, item: Item) -> bool:
        """Put an item back that was reserved, or give it up; True if it is dead."""
        if self.max_deliveries is not None and item.deliveries >= self.max_deliveries:
            self.discard(item)
            return True
        self.insert(item)
        return False

    def discard(self, item: Item) -> None:
        """Give an item up that nobody has."""
        self.dead[item.number] = (item.data, item.deliveries)
        self.changes.append([SET_ASIDE, item.number])

    # -- requests

    def serve(self, key: Key, ask: Ask, item: Item) -> Reply:
        """Give an item that nobody has to a request, and return its answer."""
        if not ask.visibility_ms:
            return self.take(item)
        self.owners.add(key)
        reservation = Reservation(*ask, item.number, item.data, item.deliveries + 1)
        self.reserved[key] = reservation
        return reservation.reply()

    def wait_for_item(self, key: Key, ask: Ask) -> None:
        """Put a request behind all that wait for an item."""
        self.getters[key] = ask
        self.owners.add(key)

    def wait_for_room(self, key: Key, data: bytes) -> None:
        """Put a request behind all that wait for room; its item takes memory already."""
        self.putters[key] = data
        self.size_bytes += ITEM_BYTES + len(data)
        self.owners.add(key)

    def finish(self, key: Key) -> None:
        """What a request reserved is gone for good."""
        self.owners.remove(key)
        self.drop_item(Item(*self.reserved.pop(key)[2:]))

    def unreserve(self, key: Key) -> None:
        """What a request reserved was never delivered: nobody counts that."""
        held = self.reserved.pop(key)
        self.owners.remove(key)
        self.insert(Item(held.number, held.data, held.deliveries - 1))

    def hand_over(self, key: Key, to: Key) -> None:
        """What a request reserved is another's reservation from now on."""
        self.reserved[to] = self.reserved.pop(key)
        self.owners.remove(key)
        self.owners.add(to)

    def drop_revoked(self, key: Key) -> bool:
        """Forget a reservation of a destroyed queue; False if there is none."""
        revoked = self.revoked.pop(key, None)
        if revoked is None:
            return False
        self.size_bytes -= ITEM_BYTES + len(revoked.data)
        self.owners.remove(key)
        return True

    def drop(self, key: Key) -> bool:
        """Forget a request, if it is known, what it reserved given back; True if that is dead now."""
        if self.getters.pop(key, None) is not None or self.dismissed.pop(key, None) is not None:
            self.owners.remove(key)
        elif (data := self.putters.pop(key, None)) is not None:
            self.size_bytes -= ITEM_BYTES + len(data)
            self.owners.remove(key)
        elif (held := self.reserved.pop(key, None)) is not None:
            self.owners.remove(key)
            return self.give_back(Item(*held[2:]))
        else:
            self.drop_revoked(key)
        return False

    def promote(self) -> list[Effect]:
        """Serve who waits, each line in its order, as long as there is something for its first."""
        effects: list[Effect] = []
        while True:
            if self.getters and (item := self.shift()) is not None:
                key, ask = self.getters.popitem(last=False)
                self.owners.remove(key)
                effects.append(Effect(*key, self.serve(key, ask, item)))
            elif self.putters and self.room:
                key, data = self.putters.popitem(last=False)
                self.owners.remove(key)
                self.size_bytes -= ITEM_BYTES + len(data)
                self.add(data)
                effects.append(Effect(*key, [OK, None]))
            else:
                return effects

    def destroy(self, reply: Reply) -> list[Effect]:
        """Tell all who wait, or the first part of them, and keep of the rest who has to hear of it."""
        for waiting in (self.getters, self.putters):
            self.dismissed.update(dict.fromkeys(waiting, reply))
        self.revoked.update(self.reserved)
        for table in (self.getters, self.putters, self.fresh, self.returned, self.dead, self.reserved):
            table.clear()
        self.exists, self.next, self.life = False, FIRST, 0
        self.fix(None, None)  # also where something is left of it: settings end with the queue
        self.size_bytes = sum(ITEM_BYTES + len(revoked.data) for revoked in self.revoked.values())
        return self.tell()

    def tell(self) -> list[Effect]:
        """Tell the first of those who are dismissed."""
        return told_of(self.dismissed, self.owners)

    # -- snapshots

    def freeze(self) -> Frozen:
        """See `Structure.freeze`."""
        head = [self.exists, self.maxsize, self.max_deliveries, self.life, self.next]
        requests = (Pairs(self.revoked), Pairs(self.reserved), Pairs(self.getters), Pairs(self.putters))
        others = (Pairs(self.dead), Pairs(self.dismissed))
        return Frozen(head, (list(self.fresh), list(self.returned), *requests, *others))

    @staticmethod
    def begin(head: Any) -> Items:
        """See `Structure.begin`."""
        items = Items()
        items.exists, items.maxsize, items.max_deliveries, items.life, items.next = head
        return items

    def extend(self, table: int, rows: Sequence[Any]) -> None:
        """See `Structure.extend`."""
        if table == 0:
            self.fresh.extend(rows)
            self.size_bytes += sum(ITEM_BYTES + len(data) for data in rows)
        elif table == 1:
            self.returned.extend(Item(*row) for row in rows)
            self.size_bytes += sum(ITEM_BYTES + len(row[1]) for row in rows)
        elif table == 6:
            self.dead.update((number, (data, deliveries)) for number, (data, deliveries) in rows)
            self.size_bytes += sum(ITEM_BYTES + len(dead[0]) for _, dead in rows)
        else:
            self._extend_requests(table, rows)

    def _extend_requests(self, table: int, rows: Sequence[Any]) -> None:
        for (session, seq), row in rows:
            key = (session, seq)
            self.owners.add(key)
            if table == 4:
                self.getters[key] = Ask(*row)
                continue
            if table == 7:
                self.dismissed[key] = row
                continue
            self.size_bytes += ITEM_BYTES
            if table == 5:
                self.putters[key] = row
                self.size_bytes += len(row)
            else:
                held = Reservation(*row)
                (self.revoked, self.reserved)[table - 2][key] = held
                self.size_bytes += len(held.data)


def taken(item: Item, life: int, *, is_dead: bool = False) -> Reply:
    """Return what a request is answered that took an item for good: all that is needed to put it back."""
    return [OK, item.data, item.number, item.deliveries, life, is_dead]
