"""A lock whose effects are safe outside: the register refuses whoever lost the lock without noticing."""

import asyncio

from casty import ClusterClient, ClusteredActorSystem


async def main() -> None:
    async with ClusteredActorSystem(name="bank", host="127.0.0.1", port=0) as system:
        async with ClusterClient(contact_points=[system.self_node], system_name="bank") as client:
            d = client.distributed()
            balance, lock = d.fence("balance"), d.lock("account")
            await lock.acquire()
            late = lock.token
            await lock.release()
            async with lock:
                assert late is not None
                assert lock.token is not None
                print("new token writes:", await balance.write(lock.token, 100))
                print("old token writes:", await balance.write(late, 0))
            print("the register says", await balance.read())


if __name__ == "__main__":
    asyncio.run(main())
