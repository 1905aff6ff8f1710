"""Workers that start together, share a queue, and never are more than two at the printer."""

import asyncio

from casty import ClusterClient, ClusteredActorSystem, Distributed

WORKERS = 3


async def worker(d: Distributed, number: int) -> int:
    await d.barrier("start", node_id=f"worker-{number}").arrive(expected=WORKERS)
    jobs, printer = d.queue[str]("jobs"), d.semaphore("printer", 2)
    done = 0
    while (job := await jobs.dequeue()) is not None:
        async with printer:
            print(f"worker {number} prints {job}")
        done += 1
    return done


async def main() -> None:
    async with ClusteredActorSystem(name="office", host="127.0.0.1", port=0) as system:
        async with ClusterClient(contact_points=[system.self_node], system_name="office") as client:
            d = client.distributed()
            for number in range(9):
                await d.queue[str]("jobs").enqueue(f"page {number}")
            done = await asyncio.gather(*(worker(d, number) for number in range(WORKERS)))
            print("pages printed:", sum(done))


if __name__ == "__main__":
    asyncio.run(main())
