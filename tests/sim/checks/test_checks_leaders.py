"""The check of leaders without a majority: one that goes on, and one whose node is closed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from casty.cluster.multiraft.host import Host
from casty.config import Settings
from casty.consensus import Role
from sim import World
from sim.checks.step.check import StepChecks
from sim.world.process import Process

SETTINGS = Settings(heartbeat_s=0.25, election_min_s=1.0, election_max_s=1.5)


@pytest.mark.parametrize("is_closed", [False, True])
def test_a_leader_whose_lease_is_over(is_closed: bool) -> None:
    """A node whose start came to nothing leads nobody any more, though its process goes on."""

    async def idle(_: Process) -> None:
        """Run nothing by itself."""

    with World(1) as world:
        process = world.add_node("a", idle)
        world.run(world.start("a"))
        host = Host(process.runtime, lambda *_: True, 1 << 20)
        core: Any = SimpleNamespace(
            id="a", term=1, role=Role.LEADER, leader_since_ns=process.clock.now(), is_established=True,
            is_lease_barred=False, lease_until_ns=lambda: 0, membership_index=0, membership=None,
        )  # fmt: skip
        group: Any = SimpleNamespace(number=0, epoch=1, core=core)
        host.groups[0] = group
        checks = StepChecks(world, SETTINGS)
        checks.running("a", SimpleNamespace(_node=SimpleNamespace(host=host, key="a")))
        if is_closed:
            host.close()
        world.run_until(5.0)
        found = [] if checks.first is None else [checks.first.number]
        assert found == ([] if is_closed else [14])
