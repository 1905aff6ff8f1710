"""The kinds of frames. Numbers are part of the wire version: they are never reused for something else."""

from __future__ import annotations

from casty.errors import RemoteProtocolError

__all__ = [
    "ACTOR",
    "BACKUP",
    "BACKUP_REPLY",
    "BUNDLE",
    "CHALLENGE",
    "CLIENTS",
    "COMMAND",
    "COMMAND_REPLY",
    "CONSENSUS",
    "ENTITY",
    "ENTITY_REFUSED",
    "FOUNDING",
    "HEARTBEAT",
    "HEARTBEAT_ACK",
    "HELLO",
    "HINTS",
    "HINT_DELTA",
    "JOIN",
    "KEEPALIVE",
    "KEEPALIVE_ACK",
    "PING",
    "PONG",
    "PROOF",
    "REFUSED",
    "REGIONS",
    "RELAY",
    "REMOVED",
    "REMOVED_ACK",
    "REPLY",
    "REQUEST",
    "ROWS",
    "ROWS_ACK",
    "SALVAGE",
    "SALVAGE_REPLY",
    "SENT",
    "SETTLED",
    "STATUS",
    "STATUS_REPLY",
    "SUBSCRIBE",
    "TAKEN",
    "TOPOLOGY",
    "WATCH",
    "WELCOME",
    "unexpected",
]

# Every link.
HELLO = 1
WELCOME = 2
REFUSED = 3
PING = 4
PONG = 5
TAKEN = 8
CHALLENGE = 6
PROOF = 7

# Node to node.
CONSENSUS = 16
HEARTBEAT = 17
HEARTBEAT_ACK = 18
ROWS = 19
ROWS_ACK = 20
FOUNDING = 21
JOIN = 22
HINTS = 23
CLIENTS = 24
REGIONS = 26
REMOVED = 27
REMOVED_ACK = 28

# Between any two processes, yet not a user's: it may use the room that is kept free of users' frames.
WATCH = 25

# Gateway to node and back.
REQUEST = 32
REPLY = 33
KEEPALIVE = 34
KEEPALIVE_ACK = 35
SUBSCRIBE = 36
TOPOLOGY = 37
HINT_DELTA = 38
STATUS = 40
STATUS_REPLY = 41
COMMAND = 42
COMMAND_REPLY = 43
BACKUP = 44
BACKUP_REPLY = 45
SALVAGE = 46
SALVAGE_REPLY = 47

# Actor messages.
ACTOR = 48
RELAY = 49
ENTITY = 50
ENTITY_REFUSED = 51
BUNDLE = 52
SENT = 56
SETTLED = 57


def unexpected(kind: int, role: str) -> RemoteProtocolError:
    """Return the error for a frame that the role at the other end may not send, or that nobody knows."""
    return RemoteProtocolError(f"expected a frame that a {role} may send here, found one of kind {kind}")
