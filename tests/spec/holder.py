"""Takes a lock and one of two permits, and keeps both until it is killed.

``holder.py SYSTEM NAME PORT [CERTIFICATE AUTHORITY]``; it says ``held`` when it has them.
"""

from __future__ import annotations

import asyncio
import sys

from casty import ClusterClient
from casty.tls import Config


async def main(system: str, name: str, port: str, *paths: str) -> None:
    tls = Config.from_paths(certfile=paths[0], cafile=paths[1]) if paths else None
    async with ClusterClient(
        contact_points=[("127.0.0.1", int(port))], system_name=system, tls=tls
    ) as client:
        d = client.distributed()
        await d.lock(name).acquire()
        await d.semaphore(name, permits=2).acquire()
        print("held", flush=True)
        await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
