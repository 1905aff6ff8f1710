"""The simulator: whole clusters in one process, on virtual time, from one seed. In a wheel: ``casty.sim``."""

from .faults.settings import FAMILIES, Faults
from .kernel.errors import CrashedError, DeadlockError, EscapeError, TimeLimitError
from .kernel.trace import Trace, TraceEvent
from .net.partitions import Undo
from .net.path import NetworkProfile
from .plans.json_reader import PlanError
from .plans.plan import FaultEvent, Plan
from .runner.simulate import Simulation, simulate
from .world.process import Process
from .world.world import World

__all__ = [
    "FAMILIES",
    "CrashedError",
    "DeadlockError",
    "EscapeError",
    "FaultEvent",
    "Faults",
    "NetworkProfile",
    "Plan",
    "PlanError",
    "Process",
    "Simulation",
    "TimeLimitError",
    "Trace",
    "TraceEvent",
    "Undo",
    "World",
    "simulate",
]
