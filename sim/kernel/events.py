"""What the world itself puts into the trace: what was done to processes, clocks and the network, and by a plan."""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "ClockChanged", "Crashed", "FaultBegan", "FaultEnded", "LinkFault", "Paused", "Resumed", "Started", "Stopped",
    "UncaughtError",
]  # fmt: skip


class Started(NamedTuple):
    """A process began an incarnation."""

    ordinal: int
    node_id: str


class Crashed(NamedTuple):
    """A process died without running a line."""

    is_power_loss: bool


class Stopped(NamedTuple):
    """A process ended by itself."""


class Paused(NamedTuple):
    """A process was held."""


class Resumed(NamedTuple):
    """A held process went on."""


class ClockChanged(NamedTuple):
    """A machine's clock was bent."""

    how: str
    amount: int


class LinkFault(NamedTuple):
    """Something was done to the network between two machines."""

    what: str
    source: str
    target: str


class UncaughtError(NamedTuple):
    """A process left an error to its event loop."""

    message: str
    error: str


class FaultBegan(NamedTuple):
    """A fault of the plan was applied."""

    kind: str
    targets: tuple[str, ...]


class FaultEnded(NamedTuple):
    """A fault of the plan is over."""

    kind: str
    targets: tuple[str, ...]
