"""Jobs that outlive the cluster: all nodes stop, and the next cluster goes on where the last one ended."""

import asyncio
import tempfile
from pathlib import Path

from casty import ClusteredActorSystem, SqliteJournal


async def run_cluster(path: Path, jobs: list[str]) -> None:
    """Start a cluster, enqueue jobs, do two of those that are there, and stop it."""
    async with (
        SqliteJournal(path) as journal,
        ClusteredActorSystem(name="office", host="127.0.0.1", port=0) as system,
    ):
        d = system.distributed(journal=journal)
        todo, done = d.queue[str]("jobs"), d.counter("jobs-done")
        for job in jobs:
            await todo.enqueue(job)
        for _ in range(2):
            print(f"{await todo.dequeue()} is done, job {await done.increment()}")


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.db"
        await run_cluster(path, ["page 1", "page 2", "page 3"])
        await run_cluster(path, ["page 4"])  # another cluster, whose memory was empty: pages 3 and 4


if __name__ == "__main__":
    asyncio.run(main())
