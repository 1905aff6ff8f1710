"""Numbers of requests that gateways and nodes share; part of the wire version."""

from __future__ import annotations

__all__ = ["CONTROL_SLOT", "OP_CONTROL", "OP_KEEPALIVE", "OP_READ", "OP_WRITE", "RELAY", "SCAN"]

OP_WRITE, OP_READ, OP_CONTROL, OP_KEEPALIVE = 1, 2, 3, 4
"""The operations: a log entry of a slot, a read of a slot, an entry of the control group, and one row of a keep-alive
where only another node reaches the slot's leader."""

RELAY = 8
"""Added to an operation by a gateway that cannot reach the slot's leader itself."""

CONTROL_SLOT = -1
"""The slot number under which a request means the control group."""

SCAN = 99
"""A read of ``[kind, prefix, [SCAN]]``: the entities of a kind in this slot that begin with the prefix."""
