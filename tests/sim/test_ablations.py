"""A check without a planted bug proves nothing: each of the easy ones has to be found, and soon."""

from __future__ import annotations

import logging

import pytest

from chaos.ablations.actors import ACTORS
from chaos.ablations.boundary import BOUNDARY
from chaos.ablations.bug import Planted, find, planted
from chaos.ablations.clients import CLIENTS
from chaos.ablations.memory import MEMORY
from chaos.ablations.planted import FIRST, PLANTED
from chaos.ablations.remains import REMAINS
from sim.executor import run_plan
from sim.result import HELD
from sim.swarm import ROGUE, expand

SOON = 12
EASY = [bug for bug in (*FIRST, *CLIENTS, *ACTORS, *MEMORY, *REMAINS, *BOUNDARY) if not bug.is_hard]


@pytest.mark.slow
@pytest.mark.parametrize("bug", EASY, ids=lambda bug: bug.name)
def test_a_planted_bug_is_found(bug: Planted, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL + 1)
    finding = find(bug, range(SOON))
    assert finding is not None, f"{bug.name} breaks {bug.safeguard}, and nobody noticed"
    sound = run_plan(expand(bug.scenario, finding.seed))
    assert sound.verdict == HELD, "without the bug the same seed holds"


def test_every_bug_replaces_something_and_is_taken_out_again() -> None:
    assert len({bug.name for bug in PLANTED}) == len(PLANTED) >= 30
    for bug in PLANTED:
        sound = vars(bug.owner)[bug.attribute]
        with planted(bug):
            assert vars(bug.owner)[bug.attribute] is bug.broken is not sound
        assert vars(bug.owner)[bug.attribute] is sound


def test_a_third_of_them_need_a_coincidence() -> None:
    # What a node lets in takes one frame that it should not: nothing has to coincide.
    inside = [bug for bug in PLANTED if bug.scenario != ROGUE]
    assert sum(bug.is_hard for bug in inside) >= len(inside) // 4
    assert len({bug.safeguard for bug in PLANTED}) >= 10
