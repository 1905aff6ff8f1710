"""A job queue: no job is lost with its worker, and one that nobody can do is set aside, to be looked at."""

import asyncio

from casty import ClusterClient, ClusteredActorSystem, Distributed, Queue

JOBS = 8
WORKERS = 3


def job_queue(d: Distributed) -> Queue[str]:
    """What everybody says of it: at most 100 jobs at a time, and each is tried three times."""
    return d.queue[str]("jobs", maxsize=100, max_deliveries=3)


async def work(d: Distributed, done: list[str]) -> None:
    """Do jobs until there is none for a while."""
    jobs = job_queue(d)
    while True:
        try:
            job = await jobs.reserve(visibility_s=30.0, timeout=1.0)
        except TimeoutError:
            return
        if job.item == "job 3":
            await job.nack()  # or nothing: it is free again after 30 s, or when this process ends
        elif await job.ack():
            done.append(job.item)


async def run(d: Distributed) -> tuple[list[str], str | None]:
    """Put jobs in, let workers do them, and look at what they could not do."""
    for number in range(JOBS):
        await job_queue(d).put(f"job {number}")  # waits where there are 100 already
    done: list[str] = []
    await asyncio.gather(*(work(d, done) for _ in range(WORKERS)))
    return sorted(done), await job_queue(d).dead_letters.dequeue()


async def main() -> None:
    async with ClusteredActorSystem(name="office", host="127.0.0.1", port=0) as system:
        async with ClusterClient(contact_points=[system.self_node], system_name="office") as client:
            done, dead = await run(client.distributed())
            print("done:", ", ".join(done))
            print("given up after three times:", dead)


if __name__ == "__main__":
    asyncio.run(main())
