"""A message on its way to a sharded entity, and how it travels.

``ENTITY`` body: ``[shard type, num shards, entity id, source key, number, relays, sender or None,
payload, generation:cluster id]``.
"""

from __future__ import annotations

from typing import Any

from casty.actor.unread import MESSAGE_BYTES
from casty.address import ActorAddress
from casty.cluster.actors.remote import plain_sender, sender_of
from casty.errors import RemoteProtocolError
from casty.limits import MAX_NUMBER
from casty.wire.pack import pack

__all__ = ["EntityMessage", "read_row"]

FIELDS = 9
"""Of an ``ENTITY`` frame."""


class EntityMessage:
    """One message on its way to an entity."""

    __slots__ = (
        "entity_id",
        "from_slot",
        "home",
        "num_shards",
        "number",
        "payload",
        "relay_paths",
        "sender",
        "shard",
        "shard_type",
        "since_ns",
        "size_bytes",
        "slot",
        "source",
        "why",
    )  # fmt: skip

    def __init__(
        self,
        shard_type: str,
        num_shards: int,
        entity_id: str,
        source: str,
        number: int,
        relay_paths: int,
        sender: ActorAddress | None,
        since_ns: int,
        payload: bytes,
        from_slot: int | None = None,
        home: str | None = None,
    ) -> None:
        self.home = home
        """The cluster and generation that it is for; None for one of this process, which is for the present one."""
        self.from_slot = from_slot
        """The slot of the entity of this process that says it; None for all other senders."""
        self.shard_type = shard_type
        self.num_shards = num_shards
        self.entity_id = entity_id
        self.shard = -1
        """Of the entity; known when it is routed."""
        self.slot = -1
        """Where the shard lies, by the topology in which its leader was looked up last."""
        self.source = source
        self.number = number
        self.relay_paths = relay_paths
        self.sender = sender
        self.since_ns = since_ns
        self.payload = payload
        self.size_bytes = MESSAGE_BYTES + len(payload)
        """What it counts for while it waits or is unread."""
        self.why = "no topology yet"

    def body(self, relay_paths: int, home: str) -> bytes:
        """Return the body of the frame in which it goes on."""
        return pack(
            [self.shard_type, self.num_shards, self.entity_id, self.source, self.number, relay_paths,
             plain_sender(self.sender), self.payload, home]
        )  # fmt: skip


def read_row(row: Any, system: str, now_ns: int) -> EntityMessage:
    """Return the message that another process sent; raises `RemoteProtocolError` for what none sends."""
    if not isinstance(row, list) or len(row) != FIELDS:
        raise RemoteProtocolError(f"entity message: expected {FIELDS} fields")
    shard_type, num_shards, entity_id, source, number, relay_paths, sender, payload, home = row
    # What was unpacked has no subtypes but bool, which no process sends here: `type` costs half of `isinstance`.
    if not (
        type(shard_type) is type(entity_id) is type(source) is type(home) is str
        and type(num_shards) is type(number) is type(relay_paths) is int
        and (sender is None or type(sender) is list)
        and type(payload) is bytes
    ):
        raise RemoteProtocolError("entity message: found a field of the wrong type")
    if not (1 <= num_shards <= MAX_NUMBER and 0 <= number <= MAX_NUMBER and 0 <= relay_paths <= MAX_NUMBER):
        raise RemoteProtocolError(
            f"entity message: expected numbers from 0 to {MAX_NUMBER}, of shards from 1"
        )
    address = sender_of(sender, system)
    return EntityMessage(
        shard_type, num_shards, entity_id, source, number, relay_paths, address, now_ns, payload, home=home
    )
