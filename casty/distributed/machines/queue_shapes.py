"""What is asked of a queue: its operations and queries, and their fields."""

from __future__ import annotations

from casty.distributed.machines.base import COUNT, DESTROY, NO_FIELDS, Shapes
from casty.limits import MAX_NUMBER
from casty.schema import Data, Maybe, Number, OneOf, Row

__all__ = [
    "ACK", "APPEND", "BURY", "DEAD_PEEK", "DEAD_SIZE", "DEQUEUE", "ENQUEUE", "ENQUEUE_AS", "GET", "MAX_REQUEUED",
    "NACK", "PEEK", "PUT", "PUT_BACK", "QUERY_SHAPES", "REMOVE", "REQUEUE", "RESERVE", "RESERVED", "SETUP", "SHAPES",
    "SIZE", "TAKE_DEAD", "WAITING",
]  # fmt: skip

ENQUEUE, DEQUEUE, PUT_BACK, PUT, GET, RESERVE, ACK, NACK, REQUEUE, TAKE_DEAD, ENQUEUE_AS = range(1, 12)
REMOVE, BURY, SETUP, APPEND = range(12, 16)
"""What only a history has: changes that nobody asked for in these words."""

PEEK, SIZE, DEAD_PEEK, DEAD_SIZE, RESERVED = range(1, 6)

WAITING = (PUT, GET, RESERVE)
"""Operations whose requests may wait, or hold something."""

MAX_REQUEUED = 128
"""Dead letters that one command puts back: each may go to somebody who waits."""

FLAG = OneOf((False, True))
_BOUND = Maybe(Number(1, MAX_NUMBER))
"""A setting of the queue; None is whatever is recorded, or no bound where nothing is."""

SHAPES: Shapes = {
    DESTROY: NO_FIELDS,
    ENQUEUE: Row((Data(),)),
    DEQUEUE: NO_FIELDS,
    PUT_BACK: Row((Data(), COUNT, COUNT, Maybe(COUNT), FLAG)),
    PUT: Row((Data(), _BOUND, _BOUND)),
    GET: Row((_BOUND, _BOUND)),
    RESERVE: Row((Number(1, MAX_NUMBER), FLAG, _BOUND, _BOUND)),
    ACK: Row((COUNT,)),
    NACK: Row((COUNT,)),
    REQUEUE: Row((Number(1, MAX_REQUEUED),)),
    TAKE_DEAD: NO_FIELDS,
    REMOVE: Row((COUNT,)),
    BURY: Row((COUNT,)),
    SETUP: Row((_BOUND, _BOUND, Number(1, MAX_NUMBER))),
    APPEND: Row((Data(),)),
    ENQUEUE_AS: Row((Data(), _BOUND, _BOUND)),
}
QUERY_SHAPES: Shapes = dict.fromkeys((PEEK, SIZE, DEAD_PEEK, DEAD_SIZE, RESERVED), NO_FIELDS)
