"""Takes a lock and keeps it until it is killed: ``holder.py SYSTEM LOCK PORT [CERTIFICATE AUTHORITY]``."""

from __future__ import annotations

import asyncio
import sys

from casty import ClusterClient
from casty.tls import Config


async def main(system: str, lock: str, port: str, *paths: str) -> None:
    tls = Config.from_paths(certfile=paths[0], cafile=paths[1]) if paths else None
    async with ClusterClient(
        contact_points=[("127.0.0.1", int(port))], system_name=system, tls=tls
    ) as client:
        await client.distributed().lock(lock).acquire()
        print("held", flush=True)
        await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
