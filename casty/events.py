"""What a node or client reports through `Runtime.observe`: typed, past tense, one stream for everyone."""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "DeadLettered",
    "Event",
    "HoldGranted",
    "HoldLost",
    "LeaderElected",
    "LinkDown",
    "LinkUp",
    "MemberChanged",
    "MessagesUnconfirmed",
    "MessagesWereLost",
    "Redirected",
    "ReplicaFailed",
    "SessionEnded",
    "SessionOpened",
    "SettingDiffered",
    "SteppedDown",
    "TopologyChanged",
]


class LinkUp(NamedTuple):
    """A handshake succeeded with `peer` (a peer key or client id)."""

    peer: str


class LinkDown(NamedTuple):
    """A link that had been up ended."""

    peer: str
    reason: str


class LeaderElected(NamedTuple):
    """This node leads `group` from now on."""

    group: int
    epoch: int
    term: int


class SteppedDown(NamedTuple):
    """This node no longer leads `group`."""

    group: int
    epoch: int
    term: int


class SessionOpened(NamedTuple):
    """A gateway's session in a slot was committed."""

    group: int
    session: int


class SessionEnded(NamedTuple):
    """A session closed by itself (`expired` False) or was given up."""

    group: int
    session: int
    expired: bool


class HoldGranted(NamedTuple):
    """A lock or permit was granted in committed state."""

    group: int
    kind: int
    entity: bytes
    session: int
    seq: int
    token: int


class HoldLost(NamedTuple):
    """A client stopped trusting a hold it had."""

    slot: int
    session: int
    seq: int
    reason: str


class Redirected(NamedTuple):
    """A request reached a node that does not lead its slot."""

    slot: int


class DeadLettered(NamedTuple):
    """A message could not be delivered."""

    target: str
    reason: str


class MessagesWereLost(NamedTuple):
    """A broken link took so many messages of actors; `source` is the sender's peer key."""

    source: str
    messages: int


class MessagesUnconfirmed(NamedTuple):
    """A process, by its peer key, has ended before it confirmed that it took so many messages of actors."""

    target: str
    messages: int


class MemberChanged(NamedTuple):
    """A member's status changed in the applied control state."""

    node_id: str
    status: str


class TopologyChanged(NamedTuple):
    """An observer adopted a newer topology."""

    generation: int
    version: int


class SettingDiffered(NamedTuple):
    """A caller named another `shards` value than the one recorded."""

    name: str
    recorded: int
    given: int


class EventsRecovered(NamedTuple):
    """An event-sourced actor came back: the state after event `base` from a snapshot, the others one by one."""

    path: str
    base: int
    number: int


class ReplicaFailed(NamedTuple):
    """A replica raised and was taken out of its group; it is refilled from the others."""

    group: int
    epoch: int
    reason: str


Event = tuple[object, ...]
"""Any of the named tuples above, or of those that a package of the library adds for itself."""
