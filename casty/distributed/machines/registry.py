"""The table of kinds: what a slot looks a command's structure up in."""

from __future__ import annotations

from typing import Any

from casty.distributed.machines.barrier import BARRIERS
from casty.distributed.machines.base import Structure
from casty.distributed.machines.counter import COUNTERS
from casty.distributed.machines.election import ELECTIONS
from casty.distributed.machines.events import EVENT_LOGS
from casty.distributed.machines.fence import FENCES
from casty.distributed.machines.lock import LOCKS
from casty.distributed.machines.map import MAPS
from casty.distributed.machines.queue import QUEUES
from casty.distributed.machines.record import RECORDS
from casty.distributed.machines.rw_lock import RW_LOCKS
from casty.distributed.machines.semaphore import SEMAPHORES
from casty.distributed.machines.set import SETS

__all__ = ["STRUCTURES"]

STRUCTURES: dict[int, Structure[Any]] = {
    structure.kind: structure
    for structure in (
        COUNTERS, MAPS, SETS, QUEUES, LOCKS, SEMAPHORES, BARRIERS, FENCES, RW_LOCKS, ELECTIONS, EVENT_LOGS, RECORDS,
    )
}  # fmt: skip
