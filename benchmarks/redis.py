"""Redis with its asyncio client and its own Lock, where both are installed: unreplicated, for comparison."""

from __future__ import annotations

import asyncio
import importlib
import shutil
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.measure import Result, measure
from casty.cli.processes import free_ports

__all__ = ["run_redis"]

HOST = "127.0.0.1"


async def run_redis(callers: list[int], seconds: float) -> list[Result]:
    """Measure increments and lock cycles; nothing when Redis is not installed."""
    program = shutil.which("redis-server")
    try:
        library: Any = importlib.import_module("redis.asyncio")
    except ImportError:
        library = None
    if program is None or library is None:
        print("Redis is not installed here (redis-server and the package redis): no comparison")
        return []
    port = free_ports(1)[0]
    process = await asyncio.create_subprocess_exec(
        program, "--port", str(port), "--save", "", "--appendonly", "no", stdout=asyncio.subprocess.DEVNULL
    )
    try:
        return await _measure(library, port, callers, seconds)
    finally:
        process.terminate()
        await process.wait()


async def _measure(library: Any, port: int, callers: list[int], seconds: float) -> list[Result]:
    client = library.Redis(host=HOST, port=port)
    await _connect(client)
    results = []
    for count in callers:
        shared: list[Callable[[], Awaitable[object]]] = [_Increment(client)] * count
        results.append(await measure("Redis increment", shared, seconds))
    for count in callers:
        cycles = [_Cycle(client, f"own-{number}") for number in range(count)]
        results.append(await measure("Redis lock cycle, one lock a caller", cycles, seconds))
    await client.aclose()
    return results


async def _connect(client: Any) -> None:
    for _ in range(50):
        try:
            await client.ping()
        except OSError:
            await asyncio.sleep(0.1)
        else:
            return


class _Increment:
    def __init__(self, client: Any) -> None:
        self._client = client

    async def __call__(self) -> None:
        await self._client.incr("shared")


class _Cycle:
    def __init__(self, client: Any, name: str) -> None:
        self._lock = client.lock(name, timeout=30)

    async def __call__(self) -> None:
        await self._lock.acquire()
        await self._lock.release()
