"""Numbers of requests that gateways and nodes share; part of the wire version."""

from __future__ import annotations

__all__ = [
    "AFTER",
    "AT_ONCE",
    "CONTROL_SLOT",
    "KEEPALIVE_FIELDS",
    "MARKS_BYTES",
    "OP_CONTROL",
    "OP_KEEPALIVE",
    "OP_READ",
    "OP_WRITE",
    "RELAY",
    "ROW_EPOCH",
    "ROW_GIVEN_UP",
    "ROW_HELD",
    "ROW_LOW",
    "ROW_PROOF",
    "ROW_SESSION",
    "ROW_SLOT",
    "ROW_WAITING",
    "SCAN",
]

AT_ONCE = 128
"""Requests or answers in one frame. Each costs some ten to fifty microseconds where it arrives, all in one turn."""

OP_WRITE, OP_READ, OP_CONTROL, OP_KEEPALIVE = 1, 2, 3, 4
"""The operations: a log entry of a slot, a read of a slot, an entry of the control group, and one row of a keep-alive
where only another node reaches the slot's leader."""

RELAY = 8
"""Added to an operation by a gateway that cannot reach the slot's leader itself."""

CONTROL_SLOT = -1
"""The slot number under which a request means the control group."""

SCAN = 99
"""A read of ``[kind, prefix, [SCAN, after]]``: the entities of a kind in this slot that begin with the prefix, as a
page ``[entities, is_more]``. The next page is asked for by the last entity of the one before; the first by ``b""``."""

AFTER = 1
"""Field of such a query: the entity after which the page begins."""

ROW_SLOT, ROW_EPOCH, ROW_SESSION, ROW_WAITING, ROW_HELD, ROW_GIVEN_UP, ROW_LOW, ROW_PROOF = range(8)
"""Fields of a row of a keep-alive."""

KEEPALIVE_FIELDS = (7, 8)
"""A row of a keep-alive: ``[slot, epoch, session, waiting, held, abandoned, low, proof]``; without a proof it keeps no
session alive."""

MARKS_BYTES = 1024
"""What a request may be longer than its command: its gateway measured it with the marks of another moment."""
