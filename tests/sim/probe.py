"""One run with everything in it that tends to differ; prints its digest. Run by `test_sim_determinism`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import NamedTuple

from casty.ports import Link
from casty.runtime import current
from sim.world.process import Process
from sim.world.world import World


class Seen(NamedTuple):
    """Something that a process noticed."""

    what: str
    detail: object


def see(what: str, detail: object) -> None:
    """Report into the trace."""
    current().observe(Seen(what, detail))


class Echo:
    """Sends back what it gets, a few times."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.left = 20

    def data_received(self, data: bytes) -> None:
        see("data", data)
        if self.left:
            self.left -= 1
            self.link.write(data)

    def link_lost(self, reason: BaseException | None) -> None:
        see("lost", type(reason).__name__)


async def child(index: int) -> None:
    try:
        await asyncio.sleep(0 if index == 9 else 10)
        raise ValueError(index)
    except asyncio.CancelledError:
        see("cancelled", index)
        raise


async def abort_group() -> None:
    """The ninth child fails; the order in which the others hear of it is the order of a set."""
    try:
        async with asyncio.TaskGroup() as group:
            for index in range(12):
                group.create_task(child(index))
    except* ValueError as errors:
        see("group", len(errors.exceptions))


async def numbers() -> AsyncIterator[int]:
    try:
        for number in range(10):
            yield number
            await asyncio.sleep(0.001)
    finally:
        see("generator closed", None)


async def primitives() -> None:
    """Everything in asyncio that keeps tasks in sets, or takes a different number of steps per version."""
    tasks = [asyncio.create_task(asyncio.sleep(0.01, index)) for index in range(8)]
    done, _ = await asyncio.wait(tasks)
    see("wait", [task.result() for task in done])
    tasks = [asyncio.create_task(asyncio.sleep(0.01, index)) for index in range(8)]
    see("as_completed", [await future for future in asyncio.as_completed(tasks)])
    see("wait_for", await asyncio.wait_for(asyncio.sleep(0.01, "value"), 1))
    try:
        await asyncio.wait_for(asyncio.sleep(10), 0.05)
    except TimeoutError:
        see("timeout", None)
    for index in range(10):
        asyncio.get_running_loop().call_later(0.5, see, "timer", index)
    async for number in numbers():
        if number == 3:
            break
    await asyncio.sleep(1)
    see("random", current().entropy.below("probe", 10**30))


async def serve(process: Process) -> object:
    return await current().transport.listen("", 1, Echo)


async def work(process: Process) -> object:
    tasks = [asyncio.create_task(abort_group()), asyncio.create_task(primitives())]
    for name in ("a", "b", "c"):
        link = await current().transport.dial(name, 1, Echo)
        link.write(b"hello from " + process.name.encode())
    await asyncio.gather(*tasks)
    return tasks


async def main(world: World) -> None:
    for name in ("a", "b", "c"):
        world.add_node(name, serve)
        await world.start(name)
    for name in ("d", "e"):
        world.add_node(name, work)
    await asyncio.gather(world.start("d"), world.start("e"))
    cut = world.partition(["a"], ["d", "e"])
    world.pause("b", 1.0)
    await asyncio.sleep(2)
    cut.heal()
    world.crash("c")
    await asyncio.sleep(1)
    await world.restart("c")
    await abort_group()


def digest_of(seed: int) -> str:
    """Run the probe for one seed."""
    with World(seed) as world:
        world.run(main(world))
        return world.digest()


if __name__ == "__main__":
    noise = [bytearray(odd) for odd in range(1, 1 + 1000 * int(sys.argv[2])) for _ in range(3)]
    del noise[::2]
    print(*[digest_of(int(seed)) for seed in sys.argv[1].split(",")])
