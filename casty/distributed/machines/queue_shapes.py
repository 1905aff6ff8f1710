"""What is asked of a queue, by number: its operations and queries."""

from __future__ import annotations

from casty.limits import MAX_NUMBER
from casty.schema import Maybe, Number, OneOf

__all__ = [
    "ACK",
    "APPEND",
    "BOUND",
    "DEAD_PEEK",
    "DEAD_SIZE",
    "DEQUEUE",
    "ENQUEUE",
    "ENQUEUE_AS",
    "FLAG",
    "GET",
    "MAX_REQUEUED",
    "NACK",
    "PASSING",
    "PEEK",
    "PUT",
    "PUT_BACK",
    "REMOVE",
    "REQUEUE",
    "RESERVE",
    "RESERVED",
    "SETUP",
    "SET_ASIDE",
    "SIZE",
    "TAKE_DEAD",
    "WAITING",
]  # fmt: skip

ENQUEUE, DEQUEUE, PUT_BACK, PUT, GET, RESERVE, ACK, NACK, REQUEUE, TAKE_DEAD, ENQUEUE_AS = range(1, 12)
REMOVE, SET_ASIDE, SETUP, APPEND = range(12, 16)
"""What only a history has: changes that nobody asked for in these words."""

PEEK, SIZE, DEAD_PEEK, DEAD_SIZE, RESERVED = range(1, 6)

WAITING = (PUT, GET, RESERVE)
"""Operations whose requests may wait, or hold something."""

PASSING = (ENQUEUE, DEQUEUE)
"""Operations that change what no request waits for or holds, unless they have effects."""

MAX_REQUEUED = 128
"""Dead letters that one command puts back: each may go to somebody who waits."""

FLAG = OneOf((False, True))
BOUND = Maybe(Number(1, MAX_NUMBER))
"""A setting of the queue; None is whatever is recorded, or no bound where nothing is."""
