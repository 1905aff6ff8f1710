"""Checkers: black-box ones over histories, white-box ones over the state of running nodes."""

from .histories import check_history
from .linearizability import Model, Verdict, linearizable
from .steps import StepChecks
from .violation import Violation

__all__ = ["Model", "StepChecks", "Verdict", "Violation", "check_history", "linearizable"]
