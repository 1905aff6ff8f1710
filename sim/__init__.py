"""The simulator: whole clusters in one process, on virtual time, from one seed. In a wheel: ``casty.sim``."""

from .errors import CrashedError, DeadlockError, EscapeError, TimeLimitError
from .faults import Undo
from .paths import NetworkProfile
from .process import Process
from .trace import Trace, TraceEvent
from .world import World

__all__ = [
    "CrashedError",
    "DeadlockError",
    "EscapeError",
    "NetworkProfile",
    "Process",
    "TimeLimitError",
    "Trace",
    "TraceEvent",
    "Undo",
    "World",
]
