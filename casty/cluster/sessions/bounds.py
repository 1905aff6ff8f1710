"""How much a gateway does at once, and says."""

from __future__ import annotations

__all__ = ["BATCH", "CLOSED", "CONFIRMED_AT_ONCE", "MAX_ANSWERS", "PROBES"]

PROBES = 16
"""How many parked calls of a slot find out whether it serves again."""
CONFIRMED_AT_ONCE = 256
"""A keep-alive goes out early when so many outcomes are to be confirmed."""
CLOSED = "closed by its own client or system"
MAX_ANSWERS = 500
"""Characters of what contact points answered that an error tells."""
BATCH = 256
"""How many calls are sent in one turn of the loop because something changed; the others follow in the next."""
