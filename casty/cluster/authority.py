"""Who may say what: the one table that judges a frame before anything else of a node looks at it. Pure.

The roles of a link, from what its hello said and what this node knows:

``STATUS``    asks for the status and for nothing else.
``CLIENT``    a client: speaks for itself.
``STRANGER``  a process that says it is a node, whom neither configuration nor founding names, and that this node has
              not reached at the address it gives. It may found, ask to join, and otherwise what a client may.
``PEER``      a node that no configuration names, and that answered this node's own dial at its address: a newcomer, a
              founder before the founding, whoever was added while this node was cut off, a member that was removed.
              A node without a configuration, too, hears only whom it reached: else it would follow anybody.
``MEMBER``    a process that the applied control state names, incarnation included, and has not removed.

Consensus messages of others than members are judged per group (`hears`), because these are legitimate:

- A founder, a learner, a voter of a joint configuration: a configuration in the log names it.
- A leader outside the new configuration that still has to commit it: the old configuration stays in the log's history
  until it is compacted, and it is the leader that the replica follows.
- A leader that this replica's older configuration does not name: the entries that name it are what is lacking. It is
  heard when it was reached at its address and no leader that is known here may hold a lease: a higher term alone moves
  nobody who has a leader.
- A replica without a configuration: it takes one from a node that it reached, as its seeds named them.

Beats of a stranger are dropped: their answers go over a link that this node dialled, so there is none yet. What it
leads (``HINTS``) and who its clients are (``CLIENTS``) is said once only; it is kept until it is a peer or member. A
frame that is dropped here is one that the protocols take for lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from casty.address import node_id_of, process_of
from casty.consensus import Core, Role
from casty.wire import frames

__all__ = [
    "CARRIED",
    "CLIENT",
    "CLOSE",
    "DROP",
    "GROUP",
    "KEEP",
    "MEMBER",
    "PEER",
    "ROLE_NAMES",
    "RULES",
    "STATUS",
    "STRANGER",
    "TAKE",
    "TO_CLIENT",
    "Rule",
    "Speaker",
    "hears",
    "is_door",
    "may_ask_receptionist",
    "may_name",
]  # fmt: skip

STATUS, CLIENT, STRANGER, PEER, MEMBER = range(5)
ROLE_NAMES = ("status", "client", "stranger", "peer", "member")

TAKE = "take"
DROP = "drop"
"""Counted, and logged once a second at most."""
CLOSE = "close"
"""No correct process sends it: the link ends."""
KEEP = "keep"
"""It counts when the other end is a peer or a member."""
GROUP = "group"
"""Each group's configuration decides; see `hears`."""


class Rule(NamedTuple):
    """What becomes of a frame kind from each role, what it reaches, and for whom it may speak."""

    status: str
    client: str
    stranger: str
    peer: str
    member: str
    destination: str
    speaks_for: str


RULES: dict[int, Rule] = {
    # kind                     status client stranger peer   member  destination            speaks for
    frames.FOUNDING:       Rule(CLOSE, CLOSE, TAKE,  TAKE,  TAKE,  "the founding",         "itself, if a seed"),
    frames.JOIN:           Rule(CLOSE, CLOSE, TAKE,  TAKE,  TAKE,  "the control leader",  "itself; members pass on"),
    frames.CONSENSUS:      Rule(CLOSE, CLOSE, GROUP, GROUP, TAKE,  "groups of this node",  "itself"),
    frames.BEAT:           Rule(CLOSE, CLOSE, DROP,  TAKE,  TAKE,  "groups it leads",      "itself"),
    frames.BEAT_ACK:       Rule(CLOSE, CLOSE, DROP,  TAKE,  TAKE,  "groups led here",      "itself"),
    frames.ROWS:           Rule(CLOSE, CLOSE, DROP,  TAKE,  TAKE,  "groups it leads",      "itself"),
    frames.ROWS_ACK:       Rule(CLOSE, CLOSE, DROP,  TAKE,  TAKE,  "groups led here",      "itself"),
    frames.HINTS:          Rule(CLOSE, CLOSE, KEEP,  TAKE,  TAKE,  "the leader table",     "itself"),
    frames.CLIENTS:        Rule(CLOSE, CLOSE, KEEP,  TAKE,  TAKE,  "the ways to clients",  "its clients"),
    frames.REQUEST:        Rule(CLOSE, TAKE,  TAKE,  TAKE,  TAKE,  "slots; control: nodes", "itself, its clients"),
    frames.REPLY:          Rule(CLOSE, CLOSE, DROP,  TAKE,  TAKE,  "calls of this node",   "itself"),
    frames.KEEPALIVE:      Rule(CLOSE, TAKE,  TAKE,  TAKE,  TAKE,  "slots",                "itself"),
    frames.KEEPALIVE_ACK:  Rule(CLOSE, CLOSE, DROP,  TAKE,  TAKE,  "sessions of this node", "itself"),
    frames.SUBSCRIBE:      Rule(CLOSE, TAKE,  TAKE,  TAKE,  TAKE,  "the topology",         "itself"),
    frames.STATUS:         Rule(TAKE,  TAKE,  TAKE,  TAKE,  TAKE,  "the status",           "itself"),
    frames.ACTOR:          Rule(CLOSE, TAKE,  TAKE,  TAKE,  TAKE,  "named doors",          "itself, its clients"),
    frames.RELAY:          Rule(CLOSE, TAKE,  TAKE,  TAKE,  TAKE,  "named doors elsewhere", "itself, its clients"),
    frames.ENTITY:         Rule(CLOSE, TAKE,  TAKE,  TAKE,  TAKE,  "entities of regions",  "itself; a node passes on"),
    frames.ENTITY_REFUSED: Rule(CLOSE, TAKE,  TAKE,  TAKE,  TAKE,  "an open question",     "whoever was asked"),
}  # fmt: skip
"""Frames to a node. What is not here is no frame that an open link may carry, and ends it."""

TO_CLIENT = (
    frames.REPLY, frames.KEEPALIVE_ACK, frames.TOPOLOGY, frames.HINT_DELTA, frames.ACTOR, frames.ENTITY_REFUSED,
)  # fmt: skip
"""Frames that a client takes, of the nodes that it dialled."""

CARRIED = frozenset((frames.ACTOR, frames.RELAY, frames.ENTITY, frames.ENTITY_REFUSED))
"""Kinds that a node may carry for somebody else: what is wrong inside is not its fault and does not end its link."""

DOORS = ("$receptionist", "$ask/", "$region/")
"""What of the library's own is reached from the network; everything else that begins with $ is local."""


class Speaker(NamedTuple):
    """The end of a link: its role, its peer key, and whether a node id is a member's."""

    role: int
    key: str
    is_member: Callable[[str], bool]


def may_name(speaker: Speaker, source: str, *, passes_on: bool = False) -> bool:
    """Whether a frame of this link may come from the process `source`, a peer key.

    A client or stranger names itself only. A node names itself and its clients, so no other member, except in what it
    `passes_on`: a message for an entity follows the leader through other nodes.
    """
    if source == speaker.key:
        return True
    if speaker.role < PEER:
        return False
    return passes_on or not speaker.is_member(node_id_of(source))


def is_door(path: str) -> bool:
    """Whether a path, without its leading slash, is reached from the network."""
    return not path.startswith("$") or path.startswith(DOORS)


def may_ask_receptionist(message: object, questions: tuple[type, ...]) -> bool:
    """Whether a receptionist takes a message of another process: questions only, registrations are the owner's."""
    return isinstance(message, questions)


def hears(core: Core, sender: str, now_ns: int, role: int) -> bool:
    """Whether a replica steps a message of a process, a peer key, that is no member; see the head of this module."""
    if core.leader is not None and process_of(core.leader) == sender:
        return True
    for _, membership in core.history.items:
        if any(process_of(id) == sender for id in membership.members):
            return True
    if role < PEER:
        return False
    return not core.history.items or (core.role is not Role.LEADER and not core.is_sticky(now_ns, sender))
