"""etcd with three members on the same disk and an asyncio client, where both are installed: for comparison.

What is nearest to each of our calls:

- *put*: one put.
- *increment*: a transaction that compares the value read last and puts the next one; each caller has a key of its own,
  so it always succeeds. etcd has no counter; the version of a key counts its puts, but says nothing of amounts.
- *lock cycle*: a lease that lasts while the process does, a transaction that takes the key if nobody has it, and one
  that deletes it. The client's own lock grants a lease for each cycle, three round trips in place of two.
"""

from __future__ import annotations

import asyncio
import importlib
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from benchmarks.measure import Result, measure
from casty.cli.processes import free_ports

__all__ = ["Etcd", "missing_for_etcd"]

HOST = "127.0.0.1"
MEMBERS = 3
START_S = 30.0
TTL_S = 60

Call = Callable[[], Awaitable[object]]


def missing_for_etcd() -> str | None:
    """Return what of it is not installed here; None when all is."""
    missing = [] if shutil.which("etcd") else ["etcd (Debian: etcd-server)"]
    try:
        importlib.import_module("aetcd")
    except ImportError:
        missing.append("the package aetcd")
    return " and ".join(missing) or None


class Etcd:
    """A cluster of three processes on one machine.

    Parameters
    ----------
    folder
        Where its data goes, on the disk that is measured.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[asyncio.subprocess.Process] = []
        self._client: Any = None
        self._lease: Any = None

    async def start(self) -> None:
        """Start the members and link with one of them; raises `TimeoutError` when they do not serve."""
        ports = free_ports(2 * MEMBERS)
        peers = {f"e{number}": f"http://{HOST}:{ports[number]}" for number in range(MEMBERS)}
        cluster = ",".join(f"{name}={url}" for name, url in peers.items())
        for number, (name, url) in enumerate(peers.items()):
            client = f"http://{HOST}:{ports[MEMBERS + number]}"
            self._processes.append(
                await asyncio.create_subprocess_exec(
                    "etcd", "--name", name, "--data-dir", str(self._folder / name), "--listen-peer-urls", url,
                    "--initial-advertise-peer-urls", url, "--listen-client-urls", client, "--advertise-client-urls",
                    client, "--initial-cluster", cluster, "--initial-cluster-state", "new", "--log-level", "error",
                    stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
                )
            )  # fmt: skip
        library: Any = importlib.import_module("aetcd")
        self._client = library.Client(host=HOST, port=ports[MEMBERS], timeout=30)
        async with asyncio.timeout(START_S):
            while not await self._serves(library):
                await asyncio.sleep(0.2)
        self._lease = await self._client.lease(TTL_S)

    async def _serves(self, library: Any) -> bool:
        try:
            await self._client.put(b"started", b"1")
        except library.exceptions.ClientError:
            return False
        return True

    async def stop(self) -> None:
        """End all of it."""
        if self._client is not None:
            await self._client.close()
        for process in self._processes:
            process.kill()
            await process.wait()

    async def line(self, name: str, callers: int, seconds: float) -> Result:
        """Measure one of `CALLS`."""
        await self._client.refresh_lease(self._lease.id)
        calls: list[Call] = [CALLS[name](self._client, self._lease, number) for number in range(callers)]
        return await measure(f"etcd: {name}", calls, seconds)


class _Put:
    def __init__(self, client: Any, lease: Any, number: int) -> None:
        del lease
        self._client = client
        self._key = b"put-%d" % number
        self._count = 0

    async def __call__(self) -> None:
        self._count += 1
        await self._client.put(self._key, b"%d" % self._count)


class _Increment:
    def __init__(self, client: Any, lease: Any, number: int) -> None:
        del lease
        self._client = client
        self._key = b"count-%d" % number
        self._value: bytes | None = None

    async def __call__(self) -> None:
        client, changes = self._client, self._client.transactions
        if self._value is None:
            await client.put(self._key, b"0")
            self._value = b"0"
        value = b"%d" % (int(self._value) + 1)
        done, _ = await client.transaction(
            compare=[changes.value(self._key) == self._value],
            success=[changes.put(self._key, value)],
            failure=[],
        )
        assert done, "nobody else has this key"
        self._value = value


class _Cycle:
    def __init__(self, client: Any, lease: Any, number: int) -> None:
        self._client = client
        self._lease = lease
        self._key = b"lock-%d" % number

    async def __call__(self) -> None:
        client, changes = self._client, self._client.transactions
        taken, _ = await client.transaction(
            compare=[changes.create(self._key) == 0],
            success=[changes.put(self._key, b"mine", lease=self._lease)],
            failure=[],
        )
        assert taken, "nobody else takes this lock"
        given, _ = await client.transaction(
            compare=[changes.value(self._key) == b"mine"], success=[changes.delete(self._key)], failure=[]
        )
        assert given, "it was ours"


CALLS: dict[str, Callable[[Any, Any, int], Call]] = {
    "increment, one counter a caller": _Increment,
    "map put": _Put,
    "lock cycle, one lock a caller": _Cycle,
}
"""By the name of our own line that it stands beside."""
