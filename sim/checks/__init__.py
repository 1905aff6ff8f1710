"""Checkers: of histories, which only know what clients saw, and of steps, which look into the nodes."""

from .histories import check_history
from .violation import PROPERTIES, Violation, ViolationError

__all__ = ["PROPERTIES", "Violation", "ViolationError", "check_history"]
