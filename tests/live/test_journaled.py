"""Every process dies at once, under load: what was acknowledged is there after a restart."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from casty import ClusterClient, Distributed, EventJournal, PostgresJournal, SqliteJournal
from casty.cli.processes import HOST, NodeProcess, free_ports
from tests.live.postgres import Server

pytestmark = [pytest.mark.live, pytest.mark.slow]

NAME = "journaled"
WRITERS = 2
ROUNDS = 25
"""How many calls of each kind every writer must have had answered before everything ends."""

WRITER = f"""
import asyncio, sys
from casty import ClusterClient, Distributed, PostgresJournal, SqliteJournal

writer, port, where = sys.argv[1], int(sys.argv[2]), sys.argv[3]

async def main():
    journal = PostgresJournal(where) if where.startswith("postgresql") else SqliteJournal(where)
    async with ClusterClient(contact_points=[("{HOST}", port)], system_name="{NAME}") as client:
        d = Distributed(client, journal=journal)
        counter, jobs = d.counter("hits", timeout=60.0), d.queue("jobs", timeout=60.0)
        users, lock = d.map("users", timeout=60.0), d.lock("alone-" + writer, timeout=60.0)

        async def count():
            while True:
                print("hits", await counter.increment(), flush=True)

        async def enqueue():
            for number in range(1_000_000):
                await jobs.enqueue([writer, number])
                print("jobs", number, flush=True)

        async def put():
            for number in range(1_000_000):
                await users.put(f"{{writer}}-{{number % 5}}", number)
                print("users", number, flush=True)

        async def hold():
            while True:
                async with lock:
                    print("token", lock.token, flush=True)

        await asyncio.gather(*[count() for _ in range(4)], enqueue(), put(), hold())

asyncio.run(main())
"""


class Writer:
    """A process that uses structures, and what it said was acknowledged to it."""

    def __init__(self, name: str, port: int, where: str, log: Path) -> None:
        self.name = name
        self.hits = self.jobs = self.users = self.token = 0
        self.counts = {"hits": 0, "jobs": 0, "users": 0, "token": 0}
        self._words = ["-c", WRITER, name, str(port), where]
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, *self._words, stdout=asyncio.subprocess.PIPE, stderr=log
            )
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        async for line in self._process.stdout:
            if line.endswith(b"\n"):
                what, number = line.decode().split()
                setattr(self, what, max(getattr(self, what), int(number)))
                self.counts[what] += 1

    @property
    def is_under_way(self) -> bool:
        assert self._process is not None
        assert self._process.returncode is None, self._log.read_text()[-2_000:]
        return min(self.counts.values()) >= ROUNDS

    async def kill(self) -> None:
        """Kill it, and read what it said until then."""
        if self._process is not None and self._reading is not None:
            if self._process.returncode is None:
                self._process.kill()
            await self._process.wait()
            await self._reading


class RunRecorder:
    """Three nodes and two writers."""

    def __init__(self, folder: Path, where: str) -> None:
        self.where = where
        self.ports = free_ports(3)
        self.nodes = [
            NodeProcess(NAME, f"n{port}", port, self.ports, folder / f"n{port}.log", settings={"slots": 8})
            for port in self.ports
        ]
        self.writers = [
            Writer(f"w{number}", self.ports[number], where, folder / f"w{number}.log")
            for number in range(WRITERS)
        ]

    async def start_nodes(self) -> None:
        for node in self.nodes:
            await node.start()
        for node in self.nodes:
            await node.ready()

    async def end(self) -> None:
        """Kill -9 of every process at once."""
        await asyncio.gather(*[part.kill() for part in (*self.nodes, *self.writers)])

    def journal(self) -> EventJournal:
        return (
            PostgresJournal(self.where) if self.where.startswith("postgresql") else SqliteJournal(self.where)
        )


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(params=["sqlite", "postgres"])
async def recorder(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RunRecorder]:
    where = str(tmp_path / "journal.db")
    if request.param == "postgres":
        database: Server = request.getfixturevalue("server")
        where = database.dsn
    recorder = RunRecorder(tmp_path, where)
    yield recorder
    await recorder.end()


async def test_everything_acknowledged_is_there(
    recorder: RunRecorder, request: pytest.FixtureRequest
) -> None:
    await recorder.start_nodes()
    for writer in recorder.writers:
        await writer.start()
    async with asyncio.timeout(90):
        while not all(writer.is_under_way for writer in recorder.writers):
            await asyncio.sleep(0.05)
    await recorder.end()
    if recorder.where.startswith("postgresql"):
        database: Server = request.getfixturevalue("server")
        await asyncio.to_thread(database.kill)
        await asyncio.to_thread(database.start)
    await recorder.start_nodes()
    journal = recorder.journal()
    point = (HOST, recorder.ports[0])
    async with ClusterClient(contact_points=[point], system_name=NAME) as client:
        d = Distributed(client, journal=journal)
        await _check_counter(recorder, d)
        await _check_queue(recorder, d)
        await _check_map(recorder, d)
        for writer in recorder.writers:
            async with d.lock(f"alone-{writer.name}", timeout=60.0) as lock:
                assert lock.token is not None and lock.token > writer.token
    await _close(journal)


async def _check_counter(recorder: RunRecorder, d: Distributed) -> None:
    """Every increment that was answered, and of those under way some."""
    found = await d.counter("hits", timeout=60.0).get()
    highest = max(writer.hits for writer in recorder.writers)
    answered = sum(writer.counts["hits"] for writer in recorder.writers)
    assert max(highest, answered) <= found <= answered + 4 * WRITERS


async def _check_queue(recorder: RunRecorder, d: Distributed) -> None:
    """Each writer's items in its order, without a gap, and the last answered among them."""
    jobs = d.queue[list[object]]("jobs", timeout=60.0)
    found: dict[object, list[object]] = {writer.name: [] for writer in recorder.writers}
    while (item := await jobs.dequeue()) is not None:
        found[item[0]].append(item[1])
    for writer in recorder.writers:
        numbers = found[writer.name]
        assert numbers == list(range(len(numbers)))
        assert writer.jobs + 1 <= len(numbers) <= writer.jobs + 2


async def _check_map(recorder: RunRecorder, d: Distributed) -> None:
    """The value that was put last in each key, or the one that was under way."""
    users = d.map[str, int]("users", timeout=60.0)
    for writer in recorder.writers:
        values = [await users.get(f"{writer.name}-{key}") for key in range(5)]
        expected = [max(n for n in range(writer.users + 1) if n % 5 == key) for key in range(5)]
        under_way = (writer.users + 1) % 5
        assert values[under_way] in (expected[under_way], writer.users + 1)
        assert [*values[:under_way], *values[under_way + 1 :]] == [
            *expected[:under_way], *expected[under_way + 1 :],
        ]  # fmt: skip


async def _close(journal: EventJournal) -> None:
    if isinstance(journal, SqliteJournal):
        journal.close()
    elif isinstance(journal, PostgresJournal):
        await journal.close()
