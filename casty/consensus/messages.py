"""Messages between replicas of one group: flat lists that begin with a type and the sender's term.

==================  ========================================================================================
APPEND              term, previous index, previous term, commit, sent_ns, entries as [term, kind, data]
APPEND_REPLY        term, sent_ns, outcome, index, hint index, hint term
VOTE                term, last index, last term, forced (1: the old leader asked for this election)
VOTE_REPLY          term, granted
PRE_VOTE            term asked for (not adopted), last index, last term
PRE_VOTE_REPLY      term, granted, term asked for
SNAPSHOT            term, sent_ns, index, index term, voters, outgoing, learners, since, begin, number, last,
                    part
SNAPSHOT_REPLY      term, sent_ns, index, parts restored
TIMEOUT_NOW         term
==================  ========================================================================================

APPEND_REPLY outcomes: ACCEPTED (index: our log matches up to it; hint index: our commit), REJECTED (index:
the previous index that did not match; hints: where to look next), BLANK (no configuration yet: a snapshot is
needed). ``sent_ns`` is the leader's clock and comes back unchanged; nobody else reads it.

Every message may be lost, doubled, late or out of order. Lost votes: the candidate's timer. Lost appends,
parts and their replies: the leader's retry. A lost TIMEOUT_NOW: the leader gives the transfer up and stands
again.
"""

from __future__ import annotations

from collections.abc import Sequence

from casty.consensus.log import Entry
from casty.errors import RemoteProtocolError
from casty.tuples import new_tuple

__all__ = [
    "ACCEPTED",
    "APPEND",
    "APPEND_REPLY",
    "BLANK",
    "PRE_VOTE",
    "PRE_VOTE_REPLY",
    "REJECTED",
    "SNAPSHOT",
    "SNAPSHOT_REPLY",
    "TIMEOUT_NOW",
    "VOTE",
    "VOTE_REPLY",
    "integers",
    "parse_entries",
]

APPEND = 1
APPEND_REPLY = 2
VOTE = 3
VOTE_REPLY = 4
PRE_VOTE = 5
PRE_VOTE_REPLY = 6
SNAPSHOT = 7
SNAPSHOT_REPLY = 8
TIMEOUT_NOW = 9

ACCEPTED = 0
REJECTED = 1
BLANK = 2


def integers(message: Sequence[object], count: int) -> list[int]:
    """Return the fields of a message of `count` non-negative integers, bools among them."""
    values = [value for value in message if isinstance(value, int) and value >= 0]
    if len(message) != count or len(values) != count:
        raise RemoteProtocolError(
            f"consensus message: expected {count} integers, found {len(message)} fields"
        )
    return values


def parse_entries(items: object, term: int) -> list[Entry]:
    """Check and build the entries of an append; their terms never decrease and never pass the leader's."""
    if not isinstance(items, (list, tuple)):
        raise RemoteProtocolError("append: expected a list of entries")
    entries: list[Entry] = []
    lowest = 1
    for item in items:
        try:
            entry_term, kind, data = item
            is_legal = lowest <= entry_term <= term and 0 <= kind <= 2
        except (TypeError, ValueError):
            raise RemoteProtocolError("append: expected [term, kind, data] entries") from None
        if not is_legal or type(entry_term) is not int or type(kind) is not int or type(data) is not bytes:
            raise RemoteProtocolError("append: an entry has an illegal term, kind or type")
        entries.append(new_tuple(Entry, item))
        lowest = entry_term
    return entries
