"""The planted bugs. Each replaces one named attribute; the library has no switch for any of them."""

from __future__ import annotations

from typing import Any

from casty.cluster.slots.leader import SlotLeader
from casty.cluster.slots.machine import SlotMachine
from casty.cluster.slots.schema import EXPIRE
from casty.consensus import Core, leading
from casty.consensus.state import State
from casty.distributed.machines.barrier import BarrierStructure
from casty.distributed.machines.base import Decision
from casty.distributed.machines.wait_queue import LineStructure, WaitQueue
from casty.wire.pack import pack

from .actors import ACTORS
from .boundary import BOUNDARY
from .bounds import BOUNDS
from .bug import Planted
from .bundles import BUNDLES
from .clients import CLIENTS
from .consensus import CONSENSUS
from .control import CONTROL
from .debts import DEBTS
from .discovery import DISCOVERY
from .disks import DISKS
from .elastic import ELASTIC
from .floods import SHARES
from .forgotten import FORGOTTEN
from .founding import FINISHED_BY_FEWER, FOUNDING, LATE_JOIN
from .halves import BY_TESTS, HALVES
from .holds import HOLDS
from .lasting import LASTING
from .leaders import LEADERS
from .ledgers import LEDGERS
from .lives import LIVES
from .memory import MEMORY
from .queues import QUEUES
from .rare import RARE
from .recorded import RECORDED_BUGS
from .recovery import RECOVERY
from .remains import REMAINS
from .resting import RESTING
from .schemas import MUTANTS, SCHEMAS
from .sessions import SESSIONS
from .snapshots import SNAPSHOTS
from .streams import STREAMS
from .structures import STRUCTURES
from .supervised import SUPERVISED
from .turns import TURNS
from .watched import WATCHED
from .watches import WATCHES
from .zones import ZONES

__all__ = ["PLANTED"]


def _no_dedup(_machine: Any, _session: Any, _number: int, _seq: int) -> None:
    """Nothing was ever seen before."""


def _eternal_lease(state: Any) -> int:
    return int(state.now_ns) + 10**12 if state.role.name == "LEADER" else 0


def _never_sticky(_state: Any, _now_ns: int, _candidate: str) -> bool:
    return False


def _commit_alone(state: Any, _now_ns: int) -> None:
    state.commit = max(state.commit, state.log.last_index)
    state.dirty = True


def _one_token(_machine: Any) -> int:
    return (1 << 33) + 1


def heard_ns_of(leader: Any, session: int) -> int:
    """Return when a leader heard of a session; 0 where it did not."""
    heard = leader._heard
    ttl_ns = heard._ttl_ns.get(session)
    return 0 if ttl_ns is None else int(heard._tables[ttl_ns][session])


def _hasty_expiry(leader: Any, now_ns: int, _work: int = 0) -> list[bytes]:
    return [
        pack([EXPIRE, session])
        for session in leader._machine.sessions
        if now_ns - heard_ns_of(leader, session) > leader._ttl_ns // 6
    ]


_true_free = WaitQueue.free


def _one_permit_more(queue: WaitQueue) -> int:
    return _true_free(queue) + (1 if queue.capacity > 1 else 0)


def _kept_waiter(_structure: Any, state: Any, _session: int, _seq: int) -> Decision:
    """A withdrawal that leaves the waiter, or the hold, where it is."""
    return Decision(state, [0])


def _keeps_grants(_structure: Any, state: Any, _session: int) -> Decision:
    """A session's end that gives nothing back."""
    return Decision(state, [0])


_true_arrive = vars(BarrierStructure)["_arrive"]


def _one_party_less(structure: Any, assembly: Any, node_id: str, expected: int, ctx: Any) -> Decision:
    decision: Decision = _true_arrive(structure, assembly, node_id, max(1, expected - 1), ctx)
    return decision


FIRST = (
    Planted("no-dedup", "dedup", "mixed", SlotMachine, "known", _no_dedup),
    Planted("eternal-lease", "lease", "mixed", Core, "lease_until_ns", _eternal_lease),
    Planted("never-sticky", "vote", "mixed", State, "is_sticky", _never_sticky),
    Planted("commit-alone", "commit rule", "mixed", leading, "advance_commit", _commit_alone),
    Planted("one-token", "fencing", "lock", SlotMachine, "_next_token", _one_token),
    Planted("hasty-expiry", "expiry", "lock", SlotLeader, "due", _hasty_expiry),
    Planted("one-permit-more", "permits", "semaphore", WaitQueue, "free", _one_permit_more),
    Planted("ghost-waiter", "withdrawal", "lock", LineStructure, "abandon", _kept_waiter),
    Planted("kept-grants", "permit recovery", "semaphore", LineStructure, "end_session", _keeps_grants),
    Planted("one-party-less", "barrier generation", "barrier", BarrierStructure, "_arrive", _one_party_less),
)

PLANTED = (
    *FIRST, *CONSENSUS, *SESSIONS, *CONTROL, *SNAPSHOTS, *STRUCTURES, *HOLDS, *LEADERS, *CLIENTS, *ACTORS, *FORGOTTEN,
    *RARE, *BOUNDS, *HALVES, *REMAINS, *LIVES, *WATCHED, *WATCHES, *TURNS, *DEBTS, *SUPERVISED, *STREAMS, *RESTING,
    *MEMORY, *BOUNDARY, *SCHEMAS, *BY_TESTS, *SHARES, *FOUNDING, FINISHED_BY_FEWER, *LATE_JOIN, *MUTANTS,
    *RECORDED_BUGS, *ELASTIC, *DISKS, *QUEUES, *LASTING, *LEDGERS, *RECOVERY, *ZONES, *DISCOVERY, *BUNDLES,
)  # fmt: skip
"""All planted bugs: consensus, sessions, snapshots, structures, actors and the client's side."""
