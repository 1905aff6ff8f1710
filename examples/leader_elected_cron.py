"""A job that one of many processes runs at a time, and never twice for one tick, whoever dies, pauses or is cut off.

A leader is not enough for that: one that was paused may wake up and go on where its successor is already at work. So
each tick is claimed before its job runs, in a register that refuses whoever leads no more: claims carry the number of
the term. Who does not know whether its claim was taken leaves that job out: at most once, not at least once.
"""

import asyncio
from collections.abc import Awaitable, Callable

from casty import ClusteredActorSystem, Distributed
from casty.errors import LockLost, OutcomeUnknown, Unavailable

Job = Callable[[str, int], Awaitable[None]]


async def cron(d: Distributed, name: str, job: Job, *, every_s: float = 0.2, last: int = 10) -> None:
    """Lead whenever it is this process's turn, until the last tick was claimed by somebody."""
    while True:
        try:
            async with d.election("cron", candidate=name) as election:
                assert election.token is not None
                if await lead(d, election.token, name, job, every_s, last):
                    return
        except (LockLost, Unavailable, OutcomeUnknown):
            continue  # whoever leads now goes on after the last claim; this process waits for its next turn


async def lead(d: Distributed, term: int, name: str, job: Job, every_s: float, last: int) -> bool:
    """Run the job tick by tick while this term lasts; True once the last tick was claimed."""
    claims = d.fence("cron-claims")
    # From here on the register refuses former leaders, so the last claim that it knows of is the last there is.
    if not await claims.check(term):
        return False
    claimed, _ = await claims.read()
    for tick in range((claimed or 0) + 1, last + 1):
        await asyncio.sleep(every_s)
        if not await claims.write(term, tick):
            return False
        await job(name, tick)
    return True


async def main() -> None:
    runs: list[tuple[str, int]] = []
    is_half_done = asyncio.Event()

    async def report(name: str, tick: int) -> None:
        runs.append((name, tick))
        print(f"{name} runs the job of tick {tick}")
        if tick == 5:
            is_half_done.set()

    async with ClusteredActorSystem(name="office", host="127.0.0.1", port=0, node_id="first") as first:
        second = ClusteredActorSystem(
            name="office", host="127.0.0.1", port=0, node_id="second", seed_nodes=[first.self_node]
        )
        async with second:
            leading = asyncio.create_task(cron(second.distributed(), "second", report))
            while await first.distributed().election("cron").leader() is None:
                await asyncio.sleep(0.05)
            following = asyncio.create_task(cron(first.distributed(), "first", report))
            await is_half_done.wait()
            leading.cancel()
            await asyncio.wait([leading])
        await following
    ticks = [tick for _, tick in runs]
    print("ticks:", len(ticks), "of them twice:", len(ticks) - len(set(ticks)))


if __name__ == "__main__":
    asyncio.run(main())
