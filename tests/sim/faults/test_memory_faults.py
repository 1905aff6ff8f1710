"""Little memory as a fault: it is given and taken back by number, also to nodes that restart meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from casty import Settings
from casty.actor.behavior import Behaviors
from casty.actor.context import ActorContext
from casty.actor.sharding import ShardEnvelope
from casty.errors import Overloaded
from sim import World
from sim.checks.history.contracts import WITHOUT_MEMORY, check_contract
from sim.faults.memory import MemoryFaults
from sim.history import History
from sim.plans.plan import ClusterShape, FaultEvent, Plan, PlannedOperation
from sim.runner.run import run_plan

if TYPE_CHECKING:
    from casty.distributed.queue import Queue

SETTINGS = Settings(slots=2, snapshot_entries=8, retained_entries=0)


def budget_of(world: World, name: str) -> Any:
    system: Any = world.processes[name].value
    return system._node.memory.budget


class Systems(dict[str, object]):
    """What each process runs now."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def get(self, name: str, default: Any = None) -> Any:
        return self._world.processes[name].value


def faults_of(world: World) -> MemoryFaults:
    return MemoryFaults(world, Systems(world))


def test_of_several_the_youngest_counts_and_each_ends_by_itself() -> None:
    async def main(world: World) -> None:
        await world.cluster(3, config=SETTINGS)
        await world.until(lambda: budget_of(world, "node-1").usage.total > 0, timeout_s=5)
        whole, used = budget_of(world, "node-1").budget_bytes, budget_of(world, "node-1").used_bytes
        faults = faults_of(world)
        first = faults.shrink(["node-1"], 200)
        assert budget_of(world, "node-1").budget_bytes == 2 * used
        second = faults.shrink(["node-1", "node-2"], 300)
        assert budget_of(world, "node-1").budget_bytes == 3 * used
        first.heal()
        assert budget_of(world, "node-1").budget_bytes == 3 * used
        second.heal()
        assert budget_of(world, "node-1").budget_bytes == budget_of(world, "node-2").budget_bytes == whole

    with World(1) as world:
        world.run(main(world), limit_s=60)


def test_a_node_that_restarts_has_as_little_until_the_fault_ends() -> None:
    async def main(world: World) -> None:
        await world.cluster(3, config=SETTINGS)
        await world.until(lambda: budget_of(world, "node-1").usage.total > 0, timeout_s=5)
        whole = budget_of(world, "node-1").budget_bytes
        fault = faults_of(world).shrink(["node-1"], 150)
        little = budget_of(world, "node-1").budget_bytes
        await world.restart("node-1")
        assert budget_of(world, "node-1").budget_bytes == little < whole
        fault.heal()
        assert budget_of(world, "node-1").budget_bytes == whole

    with World(2) as world:
        world.run(main(world), limit_s=60)


def test_a_node_that_starts_while_faults_end_has_what_the_last_one_left() -> None:
    async def main(world: World) -> None:
        await world.cluster(3, config=SETTINGS)
        await world.until(lambda: budget_of(world, "node-1").usage.total > 0, timeout_s=5)
        whole = budget_of(world, "node-1").budget_bytes
        systems: dict[str, object] = {"node-1": world.processes["node-1"].value}
        faults = MemoryFaults(world, systems)
        first, second = faults.shrink(["node-1"], 150), faults.shrink(["node-1"], 200)
        system = systems.pop("node-1")
        second.heal()
        systems["node-1"] = system
        first.heal()
        await asyncio.sleep(0.2)
        assert budget_of(world, "node-1").budget_bytes == whole

    with World(3) as world:
        world.run(main(world), limit_s=60)


def is_open(world: World) -> bool:
    budgets = [budget_of(world, name) for name in world.node_names]
    return not any(budget.is_full or budget.full_peers for budget in budgets)


async def fill(queue: Queue[bytes]) -> int:
    """Enqueue until that is refused; return how many items went in."""
    count = 0
    while True:
        try:
            await queue.enqueue(bytes(1000))
        except Overloaded:
            return count
        count += 1


def test_a_full_cluster_can_be_emptied_and_takes_as_much_again() -> None:
    async def main(world: World) -> None:
        await world.cluster(3, config=SETTINGS)
        queue = (await world.client()).distributed().queue[bytes]("q")
        await queue.enqueue(b"first")
        await world.until(lambda: budget_of(world, "node-1").usage.state > 0, timeout_s=5)
        faults_of(world).shrink(world.node_names, 1000)
        former = [budget_of(world, name).usage for name in world.node_names]
        await world.until(
            lambda: all(budget_of(world, name).usage is not former[at] for at, name in enumerate(world.node_names)),
            timeout_s=5,
        )  # fmt: skip
        counts = []
        for _ in range(2):
            counts.append(await fill(queue))
            while await queue.dequeue() is not None:
                pass
            await world.until(lambda: is_open(world), timeout_s=5)
        assert counts[0] > 5 and counts[1] > counts[0] // 2, counts

    with World(3) as world:
        world.run(main(world), limit_s=120)


@pytest.mark.parametrize(
    ("kind", "is_fine"),
    [("queue.enqueue", True), ("lock.acquire", True), ("queue.dequeue", False), ("lock.release", False),
     ("map.delete", False), ("counter.get", False), ("semaphore.available", False)],
)  # fmt: skip
def test_only_what_grows_is_refused_for_memory(kind: str, is_fine: bool) -> None:
    history = History()
    operation = history.call("client-1", kind, "a", {}, 0)
    history.failed(operation, WITHOUT_MEMORY, 1)
    assert (check_contract(operation, 0.1, 5.0) is None) is is_fine
    is_put_back = check_contract(operation, 0.1, 5.0, has_journal=True, is_restored=False) is None
    assert is_put_back is (kind != "lock.release"), "the first use of what is on record puts it back"
    assert (check_contract(operation, 0.1, 5.0, has_journal=True) is None) is is_fine


def test_a_plan_of_little_memory_holds_and_meets_refusals() -> None:
    fills = [
        PlannedOperation(at, "client-1", "queue.fill", "queue-large-1", {"value": at, "count": 30})
        for at in (1_500_000, 4_000_000)
    ]
    empty = PlannedOperation(3_000_000, "client-2", "queue.empty", "queue-large-1", {})
    names = ("node-1", "node-2", "node-3")
    fault = FaultEvent(1_400_000, "memory", names, 4_000_000, {"percent": 300})
    shape = ClusterShape(3, 2, {"slots": 2, "snapshot_entries": 8, "retained_entries": 0})
    result = run_plan(Plan("memory", 1, shape, (*fills, empty), (fault,), 6_000_000))
    assert result.verdict == "held", result.violations
    assert result.goals["a call was refused for memory"] >= 2
    assert result.goals["a full node was open again"] >= 3


def test_an_entity_that_does_not_read_fills_its_node_and_no_more() -> None:
    async def main(world: World) -> None:
        await world.cluster(1, config=SETTINGS)
        (name,) = world.node_names
        system: Any = world.processes[name].value
        go = asyncio.Event()
        handled: list[int] = []

        async def handle(ctx: ActorContext[bytes], message: bytes) -> None:
            await go.wait()
            handled.append(len(message))

        region = system.spawn(
            Behaviors.sharded(lambda entity_id: Behaviors.receive(handle), num_shards=2), "slow"
        )
        budget = budget_of(world, name)
        await world.until(lambda: budget.usage.total > 0, timeout_s=5)
        budget.budget_bytes = 2 * budget.used_bytes + 200_000
        client = await world.client()
        remote: Any = client.entity_ref("slow", num_shards=2)
        for _ in range(50):
            remote.tell(ShardEnvelope("e", bytes(10_000)))
        with pytest.raises(Overloaded, match=r"memory budget.*unread messages"):
            await client.ask(remote, lambda reply_to: ShardEnvelope("e", bytes(100_000)), timeout=10)
        status = system._node.status()["memory"]
        assert status["mailboxes_bytes"] > 100_000
        assert status["refused_messages"] > 0
        assert budget.used_bytes <= budget.budget_bytes * 17 // 16
        go.set()
        await world.until(lambda: is_open(world) and budget.unread.size_bytes == 0, timeout_s=5)
        count = len(handled)
        assert count > 10
        region.tell(ShardEnvelope("e", b"again"))
        await world.until(lambda: len(handled) == count + 1, timeout_s=5)

    with World(5) as world:
        world.run(main(world), limit_s=60)
