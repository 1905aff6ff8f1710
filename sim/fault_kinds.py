"""The kinds of fault that a plan may name, and what each needs."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["FAULTS", "LASTING", "Shape"]

_MANY = 64


class Shape(NamedTuple):
    """How many targets a fault has, and which numbers it takes."""

    least: int
    most: int
    args: tuple[str, ...] = ()


FAULTS: dict[str, Shape] = {
    "delay": Shape(2, 2, ("delay_us",)),
    "jitter": Shape(2, 2, ("jitter_us",)),
    "loss": Shape(2, 2, ("ppm",)),
    "fragment": Shape(2, 2, ("ppm",)),
    "link_loss": Shape(2, 2),
    "reset": Shape(2, 2),
    "half_open": Shape(2, 2),
    "one_way_cut": Shape(2, 2),
    "split": Shape(1, _MANY),
    "ring": Shape(1, _MANY),
    "bridge": Shape(1, _MANY),
    "crash": Shape(1, 1, ("is_power_loss",)),
    "restart": Shape(1, 1),
    "pause": Shape(1, 1),
    "clock_drift": Shape(1, 1, ("ppm",)),
    "client_crash": Shape(1, 1),
    "client_pause": Shape(1, 1),
    "client_cancel": Shape(1, 1, ("which",)),
}
"""Kind -> shape.

``delay``, ``jitter``, ``loss``, ``fragment``: the direction from the first target to the second changes.
``link_loss``: both directions are cut for a while. ``reset``: links between both end with an error, truncating what
is on its way (a half-written frame). ``half_open``: links between both swallow bytes and never end. ``split``: the
named machines are cut off from all others. ``ring``, ``bridge``: shapes among the named machines.
``crash``: a node dies and comes back, as a new incarnation of the same node id, after the duration; ``restart``: the
same at once. ``pause``, ``client_pause``: SIGSTOP. ``client_cancel``: the client's
so-many-th call under way (modulo their number) is cancelled.
"""

LASTING = (
    "delay", "jitter", "loss", "fragment", "link_loss", "one_way_cut", "split", "ring", "bridge", "crash", "pause",
    "clock_drift", "client_crash", "client_pause",
)  # fmt: skip
"""Kinds that last for their duration."""
