"""What programs do around a client: fork, be interrupted, have threads with loops of their own, make tasks eager."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from casty import ClusterClient
from casty.cli.processes import HOST, NodeProcess, free_ports

pytestmark = [pytest.mark.live, pytest.mark.slow]

NAME = "programs"
PROGRAM = f"""
import asyncio, signal, sys
from casty import ClusterClient
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin with it ignored
async def main():
    async with ClusterClient(contact_points=[("{HOST}", int(sys.argv[1]))], system_name="{NAME}") as client:
        await client.ready()
        if sys.argv[2] == "waits":
            print("there", flush=True)
        async with client.distributed().lock("x", timeout=None):
            print("there", flush=True)
            await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    """One node; its port."""
    (port,) = free_ports(1)
    node = NodeProcess(NAME, "n", port, [port], tmp_path / "n.log")
    await node.start()
    await node.ready()
    yield port
    await node.kill()


def client_of(port: int) -> ClusterClient:
    return ClusterClient(contact_points=[(HOST, port)], system_name=NAME)


def with_its_own_client(port: int, answers: Any) -> None:
    async def main() -> bool:
        async with client_of(port) as client:
            return await client.distributed().lock("x").try_acquire()

    answers.put(asyncio.run(main()))


def with_its_parents_client(client: ClusterClient, answers: Any) -> None:
    async def main() -> int:
        return await client.distributed().counter("c").increment()

    try:
        answers.put(asyncio.run(main()))
    except Exception as error:
        answers.put(type(error).__name__)


async def test_a_fork_takes_nothing_from_its_parent(port: int) -> None:
    forking = multiprocessing.get_context("fork")
    async with client_of(port) as client:
        lock = client.distributed().lock("x")
        await lock.acquire()
        for target, given, expected in (
            (with_its_own_client, port, False),
            (with_its_parents_client, client, "NotStarted"),
        ):
            answers = forking.Queue()
            child = forking.Process(target=target, args=(given, answers))
            child.start()
            assert await asyncio.to_thread(answers.get, True, 20) == expected
            await asyncio.to_thread(child.join)
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        await asyncio.to_thread(os.waitpid, pid, 0)
        assert await client.distributed().counter("c").increment() == 1
        assert lock.held
        assert await lock.release()


@pytest.mark.parametrize("how", ["holds", "waits"])
async def test_a_program_that_is_interrupted_frees_and_says_nothing_else(port: int, how: str) -> None:
    async with client_of(port) as other:
        lock = other.distributed().lock("x", timeout=5.0)  # below the TTL of 15 s
        if how == "waits":
            await lock.acquire()
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-X", "dev", "-c", PROGRAM, str(port), how, stdout=pipe, stderr=pipe
        )
        assert child.stdout is not None
        assert await child.stdout.readline() == b"there\n"
        child.send_signal(signal.SIGINT)
        _, errors = await asyncio.wait_for(child.communicate(), 20)
        for noise in (b"never retrieved", b"destroyed", b"ResourceWarning", b"never awaited"):
            assert noise not in errors
        assert errors.rstrip().endswith(b"KeyboardInterrupt")
        if how == "holds":
            await lock.acquire()
        assert await lock.release()
        await lock.acquire()


async def test_loops_of_several_threads_are_independent(port: int) -> None:
    async def use(number: int) -> None:
        async with client_of(port) as client:
            values = client.distributed().map(f"m{number}", timeout=30.0)
            value = [2**70 + number * 10_000 + item for item in range(4_000)]
            for key in range(10):
                await values.put(key, value)
                assert await values.get(key) == value

    def thread(number: int) -> None:
        asyncio.run(use(number))

    await asyncio.gather(*(asyncio.to_thread(thread, number) for number in range(3)))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="needs eager tasks")
async def test_eager_tasks_are_fine(port: int) -> None:
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined, unused-ignore]
    async with client_of(port) as client:
        d = client.distributed()
        counts = await asyncio.gather(*(d.counter("c").increment() for _ in range(50)))
        assert sorted(counts) == list(range(1, 51))
        async with d.lock("x"), asyncio.timeout(5):
            waiting = asyncio.create_task(d.lock("x", timeout=0.2).acquire())
            with pytest.raises(TimeoutError):
                await waiting
        await asyncio.gather(*(d.barrier("b", node_id=f"{party}").arrive(3) for party in range(3)))
