"""Planted bugs: one-line breakages, patched into the library from outside, that the simulator has to find.

A checker that never found anything proves nothing. Each ablation replaces one named attribute by a wrong one; the
runner counts the seeds until a run of its scenario fails, and the suite fails when one is not found any more.
"""

from .clients import CLIENTS
from .consensus import CONSENSUS
from .registry import Ablation, Finding, find, planted
from .sessions import SESSIONS
from .structures import STRUCTURES

__all__ = ["ABLATIONS", "Ablation", "Finding", "find", "planted"]

ABLATIONS: dict[str, Ablation] = {
    ablation.name: ablation for ablation in (*CONSENSUS, *SESSIONS, *STRUCTURES, *CLIENTS)
}
"""All planted bugs, by name."""
