"""After the faults: every structure that was used has to work, and what was acknowledged has to be there.

Probes are recorded like any other operation, so the history checkers see the final state too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from casty.cluster.control.placement import slot_of
from casty.distributed.machines.barrier import WAITING
from casty.distributed.machines.base import BARRIER, COUNTER, QUEUE
from casty.distributed.machines.queue_shapes import RESERVED
from casty.distributed.queue import Queue
from casty.transport.link_watch import MISSED_PINGS

from ..checks.step.introspection import gateway_of
from ..checks.violation import Violation
from ..history import Value
from ..plans.plan import PlannedOperation
from .operations import perform
from .patience import Patience
from .recorder import OperationContext, RunRecorder
from .values import numbers_of

if TYPE_CHECKING:
    from casty.client import ClusterClient
    from casty.system import ClusteredActorSystem

    from ..world.process import Process

__all__ = ["look_at_everything", "probe", "probe_from_member", "probe_growth"]

_PROBED = ("lock", "semaphore", "rw_lock", "election", "barrier", "counter", "map", "set", "queue")
_PROBE_TIMEOUT_MS = 12_000
_LOOK_S = 0.25
_GRANTED, _ENDS_WELL, _SERVES_AGAIN = 27, 46, 54
_OF_ONE = ("lock.acquire", "rw_lock.acquire", "election.acquire")


async def probe(
    recorder: RunRecorder, process: Process, client: ClusterClient, patience: Patience, silent_s: float
) -> None:
    """Use everything once more, from one client; what does not work in time is a violation (27, 46).

    Parameters
    ----------
    silent_s
        A link that says nothing for so long is asked, and found dead somewhat later.
    """
    await _until_sessions_last(recorder, process, client, patience, silent_s * (1 + 1 / MISSED_PINGS))
    await _until_nobody_waits(recorder, client, patience)
    for structure in _PROBED:
        entities = recorder.history.by_entity(structure)
        for entity in sorted(entities):
            first = next(iter(entities[entity]))
            is_resized = any(one.kind == "semaphore.resize" for one in entities[entity])
            args = {**first.args, "resized": is_resized}
            await _probe_one(recorder, process, client, structure, entity, args, patience)


async def probe_from_member(
    recorder: RunRecorder, process: Process, system: ClusteredActorSystem | None, slots: int
) -> None:
    """Ask every slot something through a member's own system; it has to know the way to all of them (46)."""
    for entity in _one_of_each_slot(slots):
        if system is None or process.value is not system:
            # A fault that began while others were probed took it down; whoever it is now joins again.
            recorder.skipped.append(f"probe from {process.name}, which is not there")
            return
        planned = PlannedOperation(0, process.name, "counter.get", entity)
        before = len(recorder.history)
        await perform(
            OperationContext(recorder, process, recorder.journals.distributed(process, system), planned)
        )
        for operation in list(recorder.history)[before:]:
            if not recorder.is_well(operation):
                text = f"probe {operation}"
                recorder.violations.append(Violation(_ENDS_WELL, entity, text, (operation.number,)))
                return


async def probe_growth(recorder: RunRecorder, process: Process, client: ClusterClient, slots: int) -> None:
    """Store something in every slot, once nobody is short of memory any more (54)."""
    for entity in _one_of_each_slot(slots, "queue", QUEUE):
        for kind in ("queue.enqueue", "queue.dequeue"):
            planned = PlannedOperation(0, process.name, kind, entity, {"value": -1})
            before = len(recorder.history)
            await perform(
                OperationContext(recorder, process, recorder.journals.distributed(process, client), planned)
            )
            for operation in list(recorder.history)[before:]:
                # A slot whose limits are small may have no room for one name more.
                if not operation.is_ok and operation.error != "Overloaded":
                    text = f"nobody is short of memory any more: {operation}"
                    recorder.violations.append(Violation(_SERVES_AGAIN, entity, text, (operation.number,)))
                    return


async def look_at_everything(recorder: RunRecorder, process: Process, client: ClusterClient) -> None:
    """Read each entity that was used, through the journal: what others did without it is on record then (44)."""
    reads = {"counter": "counter.get", "map": "map.get", "set": "set.size", "queue": "queue.size"}
    for structure, kind in reads.items():
        for entity, operations in sorted(recorder.history.by_entity(structure).items()):
            keys = dict.fromkeys(operation.args.get("key") for operation in operations)
            for key in keys:
                args: dict[str, Value] = {} if key is None else {"key": key}
                args["timeout_ms"] = _PROBE_TIMEOUT_MS
                planned = PlannedOperation(0, process.name, kind, entity, args)
                await perform(
                    OperationContext(
                        recorder, process, recorder.journals.distributed(process, client), planned
                    )
                )


def _one_of_each_slot(slots: int, structure: str = "counter", structure_kind: int = COUNTER) -> Iterator[str]:
    seen: dict[int, None] = {}
    number = 0
    while len(seen) < slots:
        number += 1
        name = f"{structure}-probe-{number}"
        slot = slot_of(structure_kind, name.encode(), slots)
        if slot not in seen:
            seen[slot] = None
            yield name


async def _until_sessions_last(
    recorder: RunRecorder, process: Process, client: ClusterClient, patience: Patience, found_s: float
) -> None:
    """Wait until no session may end before a link is found dead: its end leaves a call over such a link in doubt."""
    gateway, began_ns = gateway_of(client), recorder.world.now_ns

    def last() -> bool:
        least_ns = process.clock.now() + round(found_s * 1e9)
        sessions = () if gateway is None else gateway.sessions_by_slot.values()
        return all(session.number is None or session.covered_until_ns > least_ns for session in sessions)

    while recorder.world.now_ns < began_ns + patience.most_ns:
        if last():
            break
        await asyncio.sleep(_LOOK_S)


async def _until_nobody_waits(recorder: RunRecorder, client: ClusterClient, patience: Patience) -> None:
    """A party that died waits on until its session ends; only then a barrier can be probed."""
    began_ns = recorder.world.now_ns
    for entity in sorted(recorder.history.by_entity("barrier")):
        await _until_none(recorder, client, patience, "barrier", entity, began_ns)


async def _until_none(
    recorder: RunRecorder,
    client: ClusterClient,
    patience: Patience,
    structure: str,
    entity: str,
    began_ns: int,
) -> None:
    """Wait until nobody waits for a barrier, or has reserved an item of a queue; too long is a violation."""
    world = recorder.world
    kind, query = (BARRIER, WAITING) if structure == "barrier" else (QUEUE, RESERVED)
    while world.now_ns < began_ns + patience.most_ns:
        asked_ns = world.now_ns
        reply = await client.structures.read(
            kind, entity.encode(), [query], timeout_s=_PROBE_TIMEOUT_MS / 1000
        )
        if reply[1] == 0:
            break
        if patience.is_late(structure, entity, began_ns, asked_ns):
            text = f"{reply[1]} of dead clients are there {(asked_ns - began_ns) / 1e9:.1f} s later"
            recorder.violations.append(Violation(_ENDS_WELL, f"{structure} {entity}", text))
            break
        await asyncio.sleep(_LOOK_S)


async def _probe_one(
    recorder: RunRecorder,
    process: Process,
    client: ClusterClient,
    structure: str,
    entity: str,
    args: Mapping[str, Value],
    patience: Patience,
) -> None:
    before = len(recorder.history)
    if structure == "queue":
        await _drain(recorder, process, client, entity, patience)
    else:
        for planned in _plans(structure, entity, process.name, args, patience.most_ns // 1_000_000):
            await perform(
                OperationContext(recorder, process, recorder.journals.distributed(process, client), planned)
            )
    for operation in list(recorder.history)[before:]:
        is_late = patience.is_late(structure, entity, operation.call_ns, operation.end_ns)
        if is_late or not recorder.is_well(operation):
            number = _GRANTED if operation.kind in _OF_ONE else _ENDS_WELL
            text = f"probe {operation}{', late' if is_late else ''}"
            recorder.violations.append(Violation(number, f"{structure} {entity}", text, (operation.number,)))
            return


def _plans(
    structure: str, entity: str, client: str, args: Mapping[str, Value], timeout: int
) -> list[PlannedOperation]:
    permits = args.get("permits", 1)
    members: list[tuple[str, dict[str, Value]]] = [
        ("set.contains", {"value": value}) for value in range(1, 5)
    ]
    keys: list[tuple[str, dict[str, Value]]] = [("map.get", {"key": key}) for key in range(1, 4)]
    probes: dict[str, list[tuple[str, dict[str, Value]]]] = {
        "lock": [("lock.hold", {"timeout_ms": timeout})],
        # All permits at once: a grant that was never given back shows here.
        "semaphore": [
            *([("semaphore.resize", {"permits": permits, "to": permits})] if args.get("resized") else ()),
            ("semaphore.hold", {"timeout_ms": timeout, "permits": permits, "n": permits}),
        ],
        # A reader that was never given back shows to the writer, and a watch tells of whoever leads.
        "rw_lock": [("rw_lock.write", {"timeout_ms": timeout}), ("rw_lock.read", {"timeout_ms": timeout})],
        "election": [("election.lead", {"timeout_ms": timeout}), ("election.look", {})],
        # A party of its own, alone: an arrival that was never withdrawn shows as a mismatch.
        "barrier": [("barrier.arrive", {"timeout_ms": timeout, "party": "probe", "expected": 1})],
        "counter": [("counter.add", {"amount": 1}), ("counter.get", {})],
        "map": [*keys, ("map.items", {})],
        "set": [*members, ("set.size", {})],
    }
    return [PlannedOperation(0, client, kind, entity, own) for kind, own in probes[structure]]


async def _drain(
    recorder: RunRecorder, process: Process, client: ClusterClient, entity: str, patience: Patience
) -> None:
    """What somebody reserved who is gone comes back with the end of its session, or with its visibility."""
    d = recorder.journals.distributed(process, client)
    items = numbers_of(d, entity, _PROBE_TIMEOUT_MS / 1000)
    await _until_none(recorder, client, patience, "queue", entity, recorder.world.now_ns)
    context = OperationContext(
        recorder, process, d, PlannedOperation(0, process.name, "queue.dequeue", entity)
    )
    for _ in range(len(recorder.history) + 1):
        asked, value = await context.call("queue.dequeue", {}, items.dequeue())
        if not asked.is_ok:
            return
        if value is None:
            break
    if isinstance(items, Queue):
        value = 0
        while value is not None:
            asked, value = await context.call("queue.dead", {}, items.dead_letters.dequeue())
            if not asked.is_ok:
                return
    await context.call("queue.drained", {}, _nothing())


async def _nothing() -> None:
    """The queue was seen empty."""
