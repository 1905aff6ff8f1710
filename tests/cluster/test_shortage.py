"""What people are told when something is wrong: a lost majority, a node id that is taken, a start that cannot end."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any

import pytest

from casty import ClusteredActorSystem, Settings
from casty.cli.health import health_of
from sim import World
from sim.world.clusters import CLUSTER_NAME, NODE_PORT
from sim.world.process import Process, Setup


def node_setup(seeds_at: list[str], settings: Settings, **options: Any) -> Setup:
    async def setup(process: Process) -> ClusteredActorSystem:
        system = ClusteredActorSystem(
            **{"name": CLUSTER_NAME, "host": process.name, "port": NODE_PORT, "config": settings, **options},
            seed_nodes=[(name, NODE_PORT) for name in seeds_at],
        )
        return await system.__aenter__()

    return setup


def test_a_node_that_lost_its_majority_says_so(caplog: pytest.LogCaptureFixture) -> None:
    async def main(world: World) -> None:
        await world.cluster(3, config=Settings(slots=4))
        left: Any = world.node(0)
        assert left.status()["missing"] == []
        cut = world.partition(["node-1"], ["node-2", "node-3"])
        with caplog.at_level(logging.WARNING, "casty.node"):
            await asyncio.sleep(17)
        status = left.status()
        assert [row["leader"] for row in status["slots"]] == [None] * 4
        assert status["leader"] is None
        text = "no leader for the control group and 4 slots (0 ...): of 3 voters node-2, node-3 cannot be reached"
        [missing] = status["missing"]
        assert re.fullmatch(re.escape(text) + ", for 1[0-9] s", missing)
        lines = [record.getMessage() for record in caplog.records]
        assert sum(line.startswith(text) for line in lines) in (2, 3)
        assert [row["group"] for row in status["lost"]] == [0, 1, 2, 3, 4]
        for row in status["lost"]:
            assert row["lacks_majority"] and row["unreachable"] == ["node-2", "node-3"]
            assert (
                row["copies"] == row["voters"] == ["node-1", "node-2", "node-3"] and 10 <= row["for_s"] < 17
            )
        [text] = [lack for lack in health_of(status).lacks if "no majority" in lack]
        assert text.startswith("the control group and 4 slots (0, 1, 2, 3): no majority for 1")
        assert "copies are with node-1, node-2, node-3, of these node-2, node-3 cannot be reached" in text
        with caplog.at_level(logging.WARNING, "casty.node"):
            await asyncio.sleep(60)
        assert any(
            "if they are gone for good: casty recover" in record.getMessage() for record in caplog.records
        )
        cut.heal()
        with caplog.at_level(logging.INFO, "casty.node"):
            await asyncio.sleep(10)
        assert [record.getMessage() for record in caplog.records].count(
            "every group here has a leader again"
        ) == 1
        assert None not in [row["leader"] for row in left.status()["slots"]]
        assert left.status()["missing"] == [] == left.status()["lost"]

    with World(1) as world:
        world.run(main(world), limit_s=150)


def test_a_node_id_that_is_taken_is_refused_and_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    async def main(world: World) -> None:
        settings = Settings(slots=4)
        await world.cluster(3, config=settings)
        client = await world.client()
        counter = client.distributed().counter("c", timeout=0.3)
        taken = world.node(1).node_id
        short = Settings(slots=4, start_timeout_s=10.0)
        world.add_node("rogue", node_setup(world.node_names, short, node_id=taken))
        with caplog.at_level(logging.WARNING, "casty.node"):
            starting = asyncio.ensure_future(world.start("rogue"))
            for total in range(1, 50):
                assert await counter.increment() == total
                await asyncio.sleep(0.2)
            with pytest.raises(
                TimeoutError, match=f"node id '{taken}' belongs to node-2:25520, which still answers"
            ):
                await starting
        texts = [record.getMessage() for record in caplog.records]
        assert any(f"rogue:{NODE_PORT} needs another --node-id" in text for text in texts)

    with World(1) as world:
        world.run(main(world), limit_s=90)


def test_a_start_that_cannot_end_says_why() -> None:
    async def main(world: World) -> None:
        await world.cluster(3, config=Settings(slots=4))
        short = Settings(slots=4, start_timeout_s=5.0)
        world.add_node("node-4", node_setup(world.node_names, short, name="another"))
        with pytest.raises(TimeoutError, match="node-1:25520: wrong cluster name"):
            await world.start("node-4")

    with World(1) as world:
        world.run(main(world), limit_s=90)
