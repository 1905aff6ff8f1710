"""When a probe is late: a slot that gets another leader gives the sessions of the dead their time anew."""

from __future__ import annotations

import pytest

from casty.cluster.control.placement import slot_of
from casty.cluster.multiraft.numbers import group_of
from casty.distributed.machines.base import LOCK
from casty.events import LeaderElected
from sim.kernel.trace import Trace
from sim.workloads.patience import Patience

S = 1_000_000_000
SLOTS = 8
GROUP = group_of(slot_of(LOCK, b"one", SLOTS))


def patience_of(*elections: tuple[int, int]) -> Patience:
    """What was elected when, in seconds, and of which group."""
    patience = Patience(SLOTS, within_s=30.0, anew_s=20.0)
    trace = Trace()
    patience.follow(trace)
    for second, group in elections:
        trace.add(second * S, "node-1", LeaderElected(group, 1, 1))
    return patience


@pytest.mark.parametrize(
    ("elections", "ended_s", "is_late"),
    [
        ((), 40, False),
        ((), 41, True),
        (((9, GROUP),), 41, True),
        (((24, GROUP),), 41, False),
        (((24, GROUP + 1),), 41, True),
        (((42, GROUP),), 41, True),
    ],
)
def test_what_takes_longer_than_a_session_is_late_unless_its_slot_got_another_leader_meanwhile(
    elections: tuple[tuple[int, int], ...], ended_s: int, is_late: bool
) -> None:
    assert patience_of(*elections).is_late("lock", "one", 10 * S, ended_s * S) is is_late
