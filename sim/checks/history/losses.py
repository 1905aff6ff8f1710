"""Holds that were called destroyed: somebody has to have asked for that."""

from __future__ import annotations

from collections.abc import Iterable

from casty.distributed.port import LOST_DESTROYED
from casty.events import HoldLost

from ...history import History
from ...kernel.trace import TraceEvent
from ..violation import Violation

__all__ = ["check_losses"]


def check_losses(trace: Iterable[TraceEvent], history: History) -> list[Violation]:
    """A leader that calls an acknowledged grant gone, although nobody destroyed anything, lacks it (3)."""
    if any(operation.kind.endswith(".destroy") for operation in history):
        return []
    return [
        Violation(3, f"slot {entry.event.slot}", f"the hold of {entry.node} was lost: {LOST_DESTROYED}")
        for entry in trace
        if isinstance(entry.event, HoldLost) and entry.event.reason == LOST_DESTROYED
    ]
