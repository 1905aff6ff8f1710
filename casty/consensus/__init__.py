"""Raft as a value: no I/O, no clock, no randomness inside."""

from casty.consensus.core import Core
from casty.consensus.log import DATA, MEMBERSHIP, NOOP, Entry
from casty.consensus.membership import Membership
from casty.consensus.rounds import Rounds
from casty.consensus.snapshot import Outbound, Snapshot
from casty.consensus.values import (
    Limits,
    NotLeading,
    ProgressReport,
    ProposalRefused,
    Ready,
    Restored,
    Role,
    Timing,
)

__all__ = [
    "DATA",
    "MEMBERSHIP",
    "NOOP",
    "Core",
    "Entry",
    "Limits",
    "Membership",
    "NotLeading",
    "Outbound",
    "ProgressReport",
    "ProposalRefused",
    "Ready",
    "Restored",
    "Role",
    "Rounds",
    "Snapshot",
    "Timing",
]
