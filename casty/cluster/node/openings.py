"""How many sessions the process at one link may open. Pure.

A session lives for its time to live also when nobody keeps it alive, in the memory of three nodes, and a slot takes
`max_sessions` of them: a process that opens as many as it can would keep all others out. A client needs one in each
slot that it uses, and another one when that ended: when it slept too long, or the cluster was made anew. So a link may
open some thousand at once, and beyond that so many a second as a client might ever need.
"""

from __future__ import annotations

from casty.config import SECOND_NS

__all__ = ["AT_ONCE", "EACH_NS", "Openings"]

AT_ONCE = 8_192
"""Sessions that a link may open without a pause: two for each slot of a cluster with as many as there may be."""

EACH_NS = SECOND_NS // 256
"""After so long it may open one more."""


class Openings:
    """What one link opened lately."""

    __slots__ = ("_free_ns",)

    def __init__(self) -> None:
        self._free_ns = 0
        """When the link may open `AT_ONCE` again, if it opens nothing until then."""

    def takes(self, now_ns: int) -> bool:
        """Count one more session, if the link may open one."""
        free_ns = max(self._free_ns, now_ns) + EACH_NS
        if free_ns - now_ns > AT_ONCE * EACH_NS:
            return False
        self._free_ns = free_ns
        return True
