"""Who may say what: the one table that judges a frame before anything else of a node looks at it. Pure.

The roles of a link, from what its hello said and what this node knows:

``STATUS``    asks for the status, and commands what an operator may; nothing else.
``CLIENT``    a client: speaks for itself.
``STRANGER``  a process that says it is a node, and whom nobody names. It may show itself to those who found, ask to
              join, and otherwise what a client may. That it listens where it says counts for nothing.
``PEER``      a node that answered this node's own dial at an address that is named: a seed, a member's, or one that
              such a node gave as a member's. A founder before the founding, a member as a node sees it that was cut
              off or is new itself, the successor of a member before it has joined, a member that was removed.
``MEMBER``    a process that the applied control state names, incarnation and address included, and has not removed.

When a stranger speaks as only members do, the node asks those that are named where the members are: it may have been
cut off while others joined (`Bootstrap.look_around`). If one of these is who spoke, it is a peer within two seconds.

Consensus messages are judged per group and kind (`hears`), those of members as well: a member that has no place in a
group has no say there. Whoever is the leader that the replica follows, or is named by a configuration in its log, is
heard with everything: founders, learners, the voters of a joint configuration, and a leader outside the new one, as the
old configuration stays in the history until it is compacted. Of others:

- Appends and snapshots of a peer or member are heard by a replica without a configuration, which takes one from
  whoever leads, and by one that follows no living leader: the entries that name the sender are what it lacks. While a
  leader that is known here may hold a lease, a higher term moves nobody. Nothing is lost by that: a leader that was
  replaced loses its majority, or hears of the new term from those who left it, and steps down; its followers hear
  others one `election_min` later.
- So are requests for votes: the core gives a vote to a candidate that it does not know only if its log is ahead.
- Replies, the order to stand, and news of replicas are not: they count only from whom the configuration in force
  names, and that one is in the history.

Heartbeats of a stranger are dropped. What it leads (``HINTS``) and who its clients are (``CLIENTS``) is said once only;
it is kept until it is a peer or member. A frame that is dropped here is one that the protocols take for lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from casty.address import NodeAddress, node_id_of, process_of, unproven_key
from casty.consensus import Core, Role, messages
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
    "heard_as",
    "hears",
    "is_public_name",
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
    frames.JOIN:           Rule(CLOSE, CLOSE, TAKE,  TAKE,  TAKE,  "the control leader",  "itself; members relay"),
    frames.CONSENSUS:      Rule(CLOSE, CLOSE, GROUP, GROUP, GROUP, "groups of this node",  "itself"),
    frames.HEARTBEAT:           Rule(CLOSE, CLOSE, DROP,  TAKE,  TAKE,  "groups it leads",      "itself"),
    frames.HEARTBEAT_ACK:       Rule(CLOSE, CLOSE, DROP,  TAKE,  TAKE,  "groups led here",      "itself"),
    frames.ROWS:           Rule(CLOSE, CLOSE, DROP,  TAKE,  TAKE,  "groups it leads",      "itself"),
    frames.ROWS_ACK:       Rule(CLOSE, CLOSE, DROP,  TAKE,  TAKE,  "groups led here",      "itself"),
    frames.HINTS:          Rule(CLOSE, CLOSE, KEEP,  TAKE,  TAKE,  "the leader table",     "itself"),
    frames.CLIENTS:        Rule(CLOSE, CLOSE, KEEP,  TAKE,  TAKE,  "the ways to clients",  "its clients"),
    frames.REGIONS:        Rule(CLOSE, CLOSE, DROP,  TAKE,  TAKE,  "a line in the log",    "itself"),
    frames.REMOVED:          Rule(CLOSE, CLOSE, DROP,  TAKE,  TAKE,  "an answer",            "itself"),
    frames.REMOVED_ACK:      Rule(CLOSE, CLOSE, DROP,  TAKE,  TAKE,  "replicas without a place", "itself"),
    frames.WATCH:          Rule(CLOSE, TAKE,  DROP,  TAKE,  TAKE,  "watches",              "itself; a node passes on"),
    frames.REQUEST:        Rule(CLOSE, TAKE,  TAKE,  TAKE,  TAKE,  "slots; control: nodes", "itself, its clients"),
    frames.REPLY:          Rule(CLOSE, CLOSE, DROP,  TAKE,  TAKE,  "calls of this node",   "itself"),
    frames.KEEPALIVE:      Rule(CLOSE, TAKE,  TAKE,  TAKE,  TAKE,  "slots",                "itself"),
    frames.KEEPALIVE_ACK:  Rule(CLOSE, CLOSE, DROP,  TAKE,  TAKE,  "sessions of this node", "itself"),
    frames.SUBSCRIBE:      Rule(CLOSE, TAKE,  TAKE,  TAKE,  TAKE,  "the topology",         "itself"),
    frames.STATUS:         Rule(TAKE,  TAKE,  TAKE,  TAKE,  TAKE,  "the status",           "itself"),
    frames.COMMAND:        Rule(TAKE,  CLOSE, CLOSE, CLOSE, CLOSE, "members",              "an operator"),
    frames.BACKUP:         Rule(TAKE,  CLOSE, CLOSE, CLOSE, CLOSE, "slots led here",       "an operator"),
    frames.SALVAGE:        Rule(TAKE,  CLOSE, CLOSE, CLOSE, CLOSE, "all groups of this node", "an operator"),
    frames.ACTOR:          Rule(CLOSE, TAKE,  TAKE,  TAKE,  TAKE,  "public names",          "itself, its clients"),
    frames.RELAY:          Rule(CLOSE, TAKE,  TAKE,  TAKE,  TAKE,  "public names elsewhere", "itself, its clients"),
    frames.ENTITY:         Rule(CLOSE, TAKE,  TAKE,  TAKE,  TAKE,  "entities of regions",  "itself; a node passes on"),
    frames.ENTITY_REFUSED: Rule(CLOSE, TAKE,  TAKE,  TAKE,  TAKE,  "an open question",     "whoever was asked"),
    frames.BUNDLE:         Rule(CLOSE, TAKE,  TAKE,  TAKE,  TAKE,  "as its messages",      "as its messages"),
    frames.SENT:           Rule(CLOSE, TAKE,  TAKE,  TAKE,  TAKE,  "the count of losses",  "itself"),
    frames.SETTLED:        Rule(CLOSE, TAKE,  TAKE,  TAKE,  TAKE,  "the count of losses",  "itself"),
}  # fmt: skip
"""Frames to a node. What is not here is no frame that an open link may carry, and ends it."""

TO_CLIENT = (
    frames.REPLY, frames.KEEPALIVE_ACK, frames.TOPOLOGY, frames.HINT_DELTA, frames.ACTOR, frames.ENTITY_REFUSED,
    frames.BUNDLE, frames.SENT, frames.SETTLED, frames.WATCH,
)  # fmt: skip
"""Frames that a client takes, of the nodes that it dialled."""

CARRIED = frozenset(
    (frames.WATCH, frames.ACTOR, frames.RELAY, frames.ENTITY, frames.ENTITY_REFUSED, frames.BUNDLE)
)
"""Kinds that a node may carry for somebody else: what is wrong inside is not its fault and does not end its link."""

OF_UNNAMED = (messages.APPEND, messages.SNAPSHOT, messages.VOTE, messages.PRE_VOTE)
"""Consensus messages that a replica may hear of a process that none of its configurations names."""

PUBLIC_NAMES = ("$receptionist", "$ask/", "$region/")
"""What of the library's own is reached from the network; everything else that begins with $ is local."""


class Speaker(NamedTuple):
    """The end of a link: its role, its peer key, whether a node id is a member's, and where it says that it is."""

    role: int
    key: str
    is_member: Callable[[str], bool]
    address: NodeAddress | None = None


def may_name(speaker: Speaker, source: str, *, passes_on: bool = False) -> bool:
    """Whether a frame of this link may come from the process `source`, a peer key.

    A client or stranger names itself only. A node names itself and its clients, so no other member, except in what it
    `passes_on`: a message for an entity follows the leader through other nodes, and what is said of watches goes around
    a link that is not there.
    """
    if source == speaker.key:
        return True
    if speaker.role < PEER:
        return False
    return passes_on or not speaker.is_member(node_id_of(source))


def heard_as(speaker: Speaker, source: str) -> str:
    """Return under which key the messages of `source`, which this link may name, are counted, here and further on.

    Who is no node that is known says who it is, and nothing tells whether that is so: it may have the key of a process
    that is not known yet. Its messages are counted apart from that one's, or those would be late beside its numbers.
    """
    if speaker.role >= PEER or source != speaker.key:
        return source
    if speaker.role == CLIENT:
        return f"{source}?"  # as below
    return unproven_key(source, speaker.address if speaker.role == STRANGER else None)


def is_public_name(path: str) -> bool:
    """Whether a path, without its leading slash, is reached from the network."""
    return not path.startswith("$") or path.startswith(PUBLIC_NAMES)


def may_ask_receptionist(message: object, questions: tuple[type, ...]) -> bool:
    """Whether a receptionist takes a message of another process: questions only, registrations are the owner's."""
    return isinstance(message, questions)


def hears(core: Core, sender: str, now_ns: int, role: int, kind: object) -> bool:
    """Whether a replica steps a message of a kind from a process, a peer key; see the head of this module.

    `kind` is of `casty.consensus.messages`, None for news of a replica.
    """
    # The two usual cases cost a comparison each: this is asked for every message.
    if core.leader == sender or sender in core.progress or _is_named(core, sender):
        return True
    if role < PEER or kind not in OF_UNNAMED:
        return False
    return not core.history.items or (core.role is not Role.LEADER and not core.is_sticky(now_ns, sender))


def _is_named(core: Core, sender: str) -> bool:
    if core.leader is not None and process_of(core.leader) == sender:
        return True
    return any(process_of(id) == sender for _, membership in core.history.items for id in membership.members)
