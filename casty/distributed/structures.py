"""The table of kinds: what a slot looks a command's structure up in."""

from __future__ import annotations

from typing import Any

from casty.distributed.barrier import BARRIERS
from casty.distributed.core import Structure
from casty.distributed.counter import COUNTERS
from casty.distributed.fence import FENCES
from casty.distributed.lock import LOCKS
from casty.distributed.map import MAPS
from casty.distributed.queue import QUEUES
from casty.distributed.semaphore import SEMAPHORES
from casty.distributed.set import SETS

__all__ = ["STRUCTURES"]

STRUCTURES: dict[int, Structure[Any]] = {
    structure.kind: structure
    for structure in (COUNTERS, MAPS, SETS, QUEUES, LOCKS, SEMAPHORES, BARRIERS, FENCES)
}
