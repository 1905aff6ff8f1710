"""A real node that was suspended while its entities were at work: the rest of one step runs on, and nothing else.

Python cannot interrupt code between two awaits. A process has one thread for its actors, so at most one step of one
entity is in hand when it is suspended, and that one began while the lease lasted.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from time import monotonic
from typing import NamedTuple

import pytest

from casty import ClusterClient, Settings, ShardEnvelope
from casty.cli.processes import HOST, free_ports

pytestmark = [pytest.mark.live, pytest.mark.slow]

NAME = "suspended"
ENTITIES = 24
SETTINGS = Settings(slots=8)
WITHIN_S = 60
TICKS = 20

PROGRAM = f"""
import asyncio, sys, time
from casty import Behaviors, ClusteredActorSystem, Settings
from casty.cluster.actors.activations import ActivationLease

lasts, looked = ActivationLease.lasts, [0.0]
def look(lease):
    at = time.monotonic()
    if lasts(lease):
        looked[0] = at
        return True
    return False
ActivationLease.lasts = look

out = open(sys.argv[1], "w", buffering=1)
def note(what, entity=""):
    out.write(f"{{time.monotonic():.6f}} {{looked[0]:.6f}} {{what}} {{entity}}\\n")

def entity(entity_id):
    async def setup(ctx):
        note("begin", entity_id)
        ctx.on_stop(lambda: note("hook", entity_id))
        async def handle(ctx, message):
            for _ in range(3000):
                await asyncio.sleep(0.003)
                sum(range(20000))
                note("effect", entity_id)
        return Behaviors.receive(handle)
    return Behaviors.setup(setup)

async def main():
    ports = [int(port) for port in sys.argv[3:]]
    system = ClusteredActorSystem(
        name="{NAME}", host="{HOST}", port=int(sys.argv[2]), seed_nodes=[("{HOST}", port) for port in ports],
        required_quorum=3, config=Settings(slots={SETTINGS.slots}),
    )
    async with system:
        system.region_ref("r", entity, num_shards={SETTINGS.slots})
        print("up", flush=True)
        while True:
            await asyncio.sleep(0.1)
            note("tick")
asyncio.run(main())
"""


class OperationContext(NamedTuple):
    """What an entity did, when, and when its lease was last looked at and lasted."""

    at_s: float
    looked_s: float
    what: str
    entity: str


class Node:
    """One process, and what its entities wrote."""

    def __init__(self, process: Process, path: Path) -> None:
        self.process = process
        self._path = path

    def contexts(self, what: str) -> list[OperationContext]:
        lines = [
            line.split() for line in self._path.read_text().splitlines()[:-1]
        ]  # the last may be half written
        return [
            OperationContext(float(line[0]), float(line[1]), line[2], line[-1])
            for line in lines
            if line[2] == what
        ]


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[tuple[list[Node], list[tuple[str, int]]]]:
    ports = free_ports(3)
    made: list[Node] = []
    for number, port in enumerate(ports):
        path = tmp_path / f"acts-{number}"
        words = [sys.executable, "-c", PROGRAM, str(path), str(port), *map(str, ports)]
        made.append(Node(await asyncio.create_subprocess_exec(*words, stdout=PIPE), path))
    for node in made:
        assert node.process.stdout is not None
        assert await asyncio.wait_for(node.process.stdout.readline(), WITHIN_S) == b"up\n"
    yield made, [(HOST, port) for port in ports]
    for node in made:
        node.process.kill()
        await node.process.wait()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not condition():
            await asyncio.sleep(0.05)


async def _keep_telling(client: ClusterClient) -> None:
    region = client.entity_ref("r", num_shards=SETTINGS.slots)
    while True:
        for number in range(ENTITIES):
            region.tell(ShardEnvelope(f"e{number}", "work"))
        await asyncio.sleep(0.2)


async def test_nothing_but_the_rest_of_the_step_in_hand_runs_after_the_lease(
    nodes: tuple[list[Node], list[tuple[str, int]]],
) -> None:
    made, contacts = nodes
    async with ClusterClient(contact_points=contacts, system_name=NAME) as client:
        await client.ready(timeout=30)
        telling = asyncio.create_task(_keep_telling(client))
        await until(lambda: sum(len(node.contexts("begin")) for node in made) >= ENTITIES)
        node = max(made, key=lambda node: len(node.contexts("begin")))
        others = [other for other in made if other is not node]
        node.process.send_signal(signal.SIGSTOP)
        stopped_s = monotonic()
        mine = {context.entity for context in node.contexts("begin")}
        assert mine, "it has work"

        def began() -> dict[str, float]:
            contexts = [
                context for other in others for context in other.contexts("begin") if context.at_s > stopped_s
            ]
            contexts.sort(reverse=True)  # an entity may move on: the first time counts
            return {context.entity: context.at_s for context in contexts if context.entity in mine}

        await until(lambda: len(began()) == len(mine))
        node.process.send_signal(signal.SIGCONT)
        ticks = len(node.contexts("tick"))
        await until(lambda: len(node.contexts("tick")) >= ticks + TICKS)
        telling.cancel()

    late = [
        context
        for what in ("effect", "hook")
        for context in node.contexts(what)
        if context.entity in mine
        and context.at_s > began()[context.entity]
        and not any(
            begin.entity == context.entity and stopped_s < begin.at_s <= context.at_s
            for begin in node.contexts("begin")
        )
    ]
    assert len(late) <= 1
    assert all(context.what == "effect" and context.looked_s < began()[context.entity] for context in late), (
        "begun in time"
    )
