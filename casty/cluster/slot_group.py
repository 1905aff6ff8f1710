"""A slot's replica on one node: the slot machine, and while the replica leads, the leader's soft state."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from casty.cluster.host import Group
from casty.cluster.proposals import BUSY, NOT_LEADER, OK, UNKNOWN, Answers, Proposals
from casty.cluster.slot_leader import SlotLeader
from casty.cluster.slot_machine import SlotMachine, check_entry, check_read
from casty.config import SECOND_NS, Settings
from casty.consensus import Entry
from casty.distributed.core import KIND_NAMES, QUEUED
from casty.runtime import Runtime

__all__ = ["SlotReplica"]
