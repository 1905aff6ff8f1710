"""The simulator: whole clusters in one process, on virtual time, from one seed. In a wheel: ``casty.sim``."""

from .errors import CrashedError, DeadlockError, EscapeError, TimeLimitError
from .faults import FAMILIES, Faults, Undo
from .paths import NetworkProfile
from .process import Process
from .simulate import Simulation, simulate
from .trace import Trace, TraceEvent
from .world import World

__all__ = [
    "FAMILIES",
    "CrashedError",
    "DeadlockError",
    "EscapeError",
    "Faults",
    "NetworkProfile",
    "Process",
    "Simulation",
    "TimeLimitError",
    "Trace",
    "TraceEvent",
    "Undo",
    "World",
    "simulate",
]
