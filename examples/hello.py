"""A cluster of one, a lock and a counter."""

import asyncio

from casty import ClusteredActorSystem


async def main() -> None:
    async with ClusteredActorSystem(name="shop", host="127.0.0.1", port=0) as system:
        d = system.distributed()
        async with d.lock("till") as lock:
            total = await d.counter("sales").increment()
            print(f"sale {total}, fencing token {lock.token}")


if __name__ == "__main__":
    asyncio.run(main())
