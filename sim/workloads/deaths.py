"""Deaths in peace: what a node has when it dies is lost, and what is on the way to it, so a question is asked again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..world.world import World

__all__ = ["UNNOTICED_NS", "died_since"]

UNNOTICED_NS = 1_000_000_000
"""Within so long who is linked with a process that died knows it: what it sends before goes to the dead one."""


def died_since(world: World, began_ns: int) -> bool:
    """Whether a process was started anew since then, or so shortly before that not everybody knew."""
    return any(process.started_ns > began_ns - UNNOTICED_NS for process in world.processes.values())
