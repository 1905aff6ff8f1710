"""What a checker reports: which invariant does not hold, and on what evidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["PROPERTIES", "Violation", "ViolationError"]

PROPERTIES: dict[int, str] = {
    1: "the history of an entity is linearizable",
    2: "a request takes effect at most once, and all replies to it are equal",
    3: "what was acknowledged is there later",
    4: "nobody acts on a topology after a newer one",
    5: "no restarted process uses its predecessor's authority",
    6: "one generation of a cluster serves at a time",
    7: "a message comes at most once, and in the order of its sender",
    8: "every request ends by its deadline",
    9: "every queue, table and window stays within its bound",
    10: "at most one leader a term",
    11: "logs match, and a committed entry is never lost or changed",
    12: "term and vote never go back",
    13: "adjacent configurations have intersecting majorities",
    14: "a leader without its majority steps down, and nobody stands against one that has it",
    15: "a snapshot and its tail equal the full log",
    16: "a leased read is not stale",
    17: "a slot has one group, and the replicas that its configuration says",
    18: "a session expires only after its time to live",
    19: "an expiry releases exactly what the session had",
    20: "a lock has at most one holder",
    21: "the tokens of a name strictly increase",
    22: "a resource that rejects lower tokens accepts no interleaved holders",
    23: "`held` is never true at two clients",
    24: "every waiter and holder belongs to a live session",
    25: "grants follow the order of requests",
    26: "a release with an old token changes nothing",
    27: "a free lock is granted to a waiter",
    28: "the grants of a semaphore never exceed its permits",
    30: "a grant of several permits is atomic, in order",
    31: "a barrier trips for exactly the expected parties",
    32: "no barrier returns before its trip",
    34: "a party counts once a generation",
    35: "a withdrawn arrival is not counted",
    36: "acknowledged items are dequeued, or still queued",
    37: "items come in the order of their commits",
    39: "an item is dequeued once",
    40: "a counter is the sum of the applied deltas",
    41: "the size is the number of elements",
    42: "an entity has one live activation at most",
    43: "an entity runs only under its node's lease",
    44: "what was answered is on record: in the journal, or as committed events of its entity",
    45: "what is on record is what was committed, in order and without gaps",
    46: "after the faults every call and every probe ends well",
    47: "after the faults what goes on in the background comes to rest",
    50: "what a link says is attributed to its own end",
    51: "no frame changes what others have",
    52: "no replica raises, and one that does is gone at once; no frame ends a link but its own",
    55: "the end of an actor is told to its watchers once, soon after it and never before",
    57: "an actor fails by what its own code raises",
    56: "whoever is told to stop is gone within the grace",
    58: "in the end replicas are where and as many as they should be, and nobody who is gone is a member",
    61: "a key is there for its time to live, and not for ever",
    62: "whoever watches a map is told each change in order, or that some are missing, with the present state",
    54: "a node at its memory budget refuses what grows, and serves everything else",
}
"""The numbered promises that a checker here looks at."""


class Violation(NamedTuple):
    """An invariant that does not hold.

    Parameters
    ----------
    number
        Of the promise, see `PROPERTIES`.
    subject
        The entity, group or process concerned.
    text
        The evidence, in words.
    operations
        Numbers of the operations of the history that show it.
    """

    number: int
    subject: str
    text: str
    operations: Sequence[int] = ()

    def __str__(self) -> str:
        title = PROPERTIES.get(self.number, "an invariant")
        return f"[{self.number}] {title}: {self.subject}: {self.text}"


class ViolationError(AssertionError):
    """Raised by a step checker, at the step that broke an invariant."""

    def __init__(self, violation: Violation) -> None:
        super().__init__(str(violation))
        self.violation = violation
