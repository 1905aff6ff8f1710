"""What structures return and yield, by name: for annotations, and to tell events apart."""

from __future__ import annotations

from casty.distributed.holding_info import Leader
from casty.distributed.map_watch import MapChange, MapState, MapWatch
from casty.distributed.reservation import Reservation
from casty.distributed.rw_lock import RwLock

__all__ = ["Leader", "MapChange", "MapState", "MapWatch", "Reservation", "RwLock"]
