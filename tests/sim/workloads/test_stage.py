"""The workload's side of a run."""

from __future__ import annotations

import asyncio

from casty.cluster.slots.applied import TOKEN_BITS
from sim import World
from sim.workloads.recorder import RunRecorder


def test_what_happens_at_one_instant_has_an_order() -> None:
    async def main(world: World) -> None:
        recorder = RunRecorder(world)
        moments = [recorder.moment() for _ in range(3)]
        await asyncio.sleep(0.001)
        moments += [recorder.moment(), world.now_ns + 1, recorder.moment() + 1]
        assert moments == sorted(set(moments))
        assert moments[3] == world.now_ns

    with World(1) as world:
        world.run(main(world))


def test_what_a_cluster_granted_that_lost_its_memory_excludes_nobody_after_it() -> None:
    with World(1) as world:
        recorder = RunRecorder(world)
        held = recorder.history.call("client-1", "lock.acquire", "a", {}, recorder.moment())
        recorder.history.ok(held, 1, recorder.moment())
        recorder.is_sure(held)
        before_ns = held.until_ns
        assert before_ns is not None
        recorder.memory_is_lost([5])
        recorder.is_sure(held)
        assert held.until_ns == before_ns
        for generation, is_judged in ((5, False), (6, True)):
            heard_late = recorder.history.call("client-3", "lock.acquire", "a", {}, recorder.moment())
            recorder.history.ok(heard_late, (generation << TOKEN_BITS) + 1, recorder.moment())
            recorder.is_sure(heard_late)
            assert (heard_late.until_ns is not None) is is_judged, (
                "the answer of a lost cluster may come late"
            )
        later = recorder.history.call("client-2", "lock.acquire", "a", {}, recorder.moment())
        recorder.history.ok(later, 2, recorder.moment())
        recorder.is_sure(later)
        assert later.until_ns is not None and later.until_ns > before_ns
