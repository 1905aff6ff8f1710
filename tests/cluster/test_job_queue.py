"""The example of a job queue in a simulated cluster: nodes and workers end, and every job is done or set aside."""

from __future__ import annotations

import asyncio

from casty import Settings
from casty.errors import OutcomeUnknown, Unavailable
from examples.job_queue import JOBS, job_queue, run, work
from sim import World

SETTINGS = Settings(slots=4, heartbeat_s=0.1, election_min_s=0.5, election_max_s=0.75, session_ttl_s=3.0)
EXPECTED = [f"job {number}" for number in range(JOBS) if number != 3]


def test_it_does_what_it_prints() -> None:
    async def main(world: World) -> None:
        await world.cluster(3, config=SETTINGS)
        assert await run((await world.client("office")).distributed()) == (EXPECTED, "job 3")

    with World(9_924_001) as world:
        world.run(main(world), limit_s=120.0)
        assert world.errors == []


def test_no_job_is_lost_with_a_node_or_a_worker() -> None:
    """Done are all that were acknowledged to a worker that lives, and those that the dead one had acknowledged."""

    async def main(world: World) -> None:
        await world.cluster(3, config=SETTINGS)
        jobs = job_queue((await world.client("office")).distributed())
        for number in range(JOBS):
            await jobs.put(f"job {number}")
        doomed = job_queue((await world.client("doomed")).distributed())
        held = [await doomed.reserve() for _ in range(3)]
        assert [one.item for one in held] == ["job 0", "job 1", "job 2"]
        assert await held[0].ack()
        world.crash("doomed")
        done = [held[0].item]

        async def worker(name: str) -> None:
            d = (await world.client(name)).distributed()
            while await jobs.size() or await jobs.reserved():
                try:
                    await work(d, done)
                except (OutcomeUnknown, Unavailable):
                    continue  # the leader died under it: what it had reserved is free again, or acknowledged

        workers = [asyncio.ensure_future(worker(f"worker-{number}")) for number in range(2)]
        await asyncio.sleep(0.02)
        world.crash(world.node_names[0])
        await asyncio.sleep(2.0)
        await world.restart(world.node_names[0])
        await asyncio.gather(*workers)
        # An acknowledgement of which its worker did not hear may count as well: each job is done once, at most.
        assert len(done) == len(dict.fromkeys(done))
        assert [job for job in EXPECTED if job not in done] == []
        assert await jobs.dead_letters.dequeue() == "job 3"
        assert [await jobs.size(), await jobs.reserved(), await jobs.dead_letters.size()] == [0, 0, 0]

    with World(9_924_002) as world:
        world.run(main(world), limit_s=240.0)
        assert world.errors == []
