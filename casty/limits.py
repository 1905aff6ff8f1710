"""Every limit that a decoder of ours checks, in one table: what is beyond it is refused by the encoder as well.

A limit that only the reading side has turns a write that succeeded into something that nobody can read again. So each
row names who refuses a value at the call that would produce it, and who refuses it from the wire.

===================  ====================================================  ======================================
limit                refused when it is made                               refused when it is read
===================  ====================================================  ======================================
`MAX_ITEMS`          `pack`: `EncodingError`                               `unpack`
`MAX_BYTES`          `pack`: `EncodingError`                               `unpack`
`MAX_DEPTH`          `Encoder.plain`: `EncodingError`                      `Decoder.value`
`MAX_SAME_HASH`      `Encoder.plain`: `EncodingError`                      `Decoder.value`
`MAX_FLAG_BITS`      `member_name`: `EncodingError`                        `enum_of`
`MAX_PORT`           `Encoder.plain`: `EncodingError`                      `Decoder.value`, `remote.sender_of`
`MAX_TEXT_BYTES`     names of clusters, nodes and hosts: `ConfigError`     `Hello.decode`, in characters
`MAX_NAME_BYTES`     ids of gateways: by `MAX_TEXT_BYTES`                  `slot_schema`
`MAX_SERVICES`       `Registry`: not registered, with a warning             `Registry`, alike on every node
`MAX_SERVICE_*`      `Registry`: not registered, with a warning             `Registry`, alike on every node
`MAX_BUNDLE`         `Staging`: another frame begins                       `Bundles`
`MAX_REGIONS`        spawn, `entity_ref`: `Overloaded`                     `ControlMachine`, alike on every node
`MAX_POOLS`          spawn: the region is refused, with an error log   `ControlMachine`, alike on every node
`MAX_REGION_NAME_*`  spawn, `entity_ref`: `ValueError`                     `control_schema`, alike on every node
`MAX_NAME_BYTES`     ids of the parties of a barrier: `ValueError`         `slot_schema`
`MAX_NUMBER`         requests count from 1; `check_count`: `ValueError`    `slot_schema`, `slot_leader`, `remote`, ...
`MAX_INTEGER_BITS`   numbers for counters: `ValueError`                    `slot_schema`
`MAX_TTL_TICKS`      times to live of keys: `ValueError`                   `slot_schema`
`MAX_GENERATION`     a founding takes at most this                         founding documents, `control_schema`
===================  ====================================================  ======================================

How deeply plain lists nest is limited by msgpack's stack, alike on both sides. Limits that a cluster sets are in
`settings.BOUNDS`: `max_value_bytes` is checked at the call and before an entry is proposed, `max_frame_bytes` where a
frame is built. The state of a slot has no limit: it travels in parts. What others may fill (`MAX_WATCH_BYTES`,
`MAX_SUBSCRIPTION_BYTES`) is refused where it is kept, with a line in the log there: nobody else knows how full it is.
What one link may cost is in `transport.intake` and in docs/security.md.
"""

from __future__ import annotations

__all__ = [
    "MAX_BUNDLE",
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_FLAG_BITS",
    "MAX_GENERATION",
    "MAX_INTEGER_BITS",
    "MAX_ITEMS",
    "MAX_NAME_BYTES",
    "MAX_NUMBER",
    "MAX_POOLS",
    "MAX_POOL_SLOTS",
    "MAX_PORT",
    "MAX_REGIONS",
    "MAX_REGION_NAME_BYTES",
    "MAX_SAME_HASH",
    "MAX_SERVICES",
    "MAX_SERVICE_BYTES",
    "MAX_SERVICE_KEY_BYTES",
    "MAX_SERVICE_REF_BYTES",
    "MAX_SUBSCRIPTION_BYTES",
    "MAX_TEXT_BYTES",
    "MAX_TIME",
    "MAX_TTL_TICKS",
    "MAX_WATCH_BYTES",
]  # fmt: skip

MAX_ITEMS = 1_048_576
"""The longest list or dictionary. A header reserves room for what it claims, so its claim is bounded."""

MAX_BYTES = 2**30
"""The longest string; what really bounds it is the frame limit, which is at most this."""

MAX_DEPTH = 100
"""How deeply values nest. Both sides refuse more before the interpreter's or msgpack's own stack does."""

MAX_SAME_HASH = 32
"""How many others of its container a key may be compared with, as their hashes are equal, on the average of all keys:
then a container of any length costs what its length is, and no more."""

MAX_FLAG_BITS = 64
"""The longest number of a combination of flags, but for a class that has more of them."""

MAX_PORT = 65_535

MAX_TEXT_BYTES = 512
"""The longest name of a cluster, a node or a host."""

MAX_NAME_BYTES = 1024
"""The longest id of a gateway and of an attempt to open a session: a node's id with its incarnation is shorter."""

MAX_GENERATION = 2**30 - 1
"""The highest generation: fencing tokens have 30 bits for it."""

MAX_INTEGER_BITS = 14_000
"""The longest number that a counter is given, about 4,200 digits: Python turns no more than 4,300 into a text unless it
is told to, so that what is longer is refused by every program that only wants to print it."""

MAX_NUMBER = 2**63 - 1
"""The largest number that a slot keeps of a request."""

MAX_TIME = 2**60
"""The highest tick of a slot's time: with the longest time to live on top it still has eight bytes."""

MAX_TTL_TICKS = 2**40
"""The longest time to live of a key, in hundredths of a second: 348 years."""

MAX_BUNDLE = 64
"""Messages in one frame: what a link of a client may ask for in one turn."""

MAX_REGIONS = 1024
"""Names of regions in a cluster: every client has all of them, and they stay recorded."""

MAX_POOLS = 8
"""Roles that regions of a cluster may be limited to: each has slots of its own, for ever."""

MAX_POOL_SLOTS = 16
"""Slots of one such role; fewer where the cluster has fewer."""

MAX_REGION_NAME_BYTES = 1024
"""The name of a region."""

MAX_SERVICES = 10_000
"""Instances of services in a cluster: every client has all of them."""

MAX_SERVICE_BYTES = 2 * 1024 * 1024
"""Keys and addresses of all instances together."""

MAX_SERVICE_KEY_BYTES = 1024
"""The key of a service."""

MAX_SERVICE_REF_BYTES = 4096
"""The address of an instance."""

MAX_WATCH_BYTES = 8 * 1024 * 1024
"""What the watches of one other process take in this one: some sixteen thousand of them."""

MAX_SUBSCRIPTION_BYTES = 1024 * 1024
"""What the subscriptions of one other process to services take in this one: over a thousand of them."""
