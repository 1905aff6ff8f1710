"""Planted bugs in the memory budget: what is counted, what is refused, and when there is room again."""

from __future__ import annotations

from functools import partial
from typing import Any

from casty.actor.mailbox import Mailbox
from casty.actor.unread import MESSAGE_BYTES
from casty.cluster.multiraft.heartbeats import Heartbeats
from casty.cluster.multiraft.host import Host
from casty.cluster.multiraft.memory_budget import MemoryBudget
from casty.cluster.multiraft.proposals import BUSY
from casty.cluster.sessions.core.life import CallState
from casty.cluster.sessions.core.session_core import SessionCore
from casty.cluster.slots.machine import SlotMachine
from casty.cluster.slots.replica import SlotReplica
from casty.cluster.slots.weights import Weights
from casty.consensus.log import Log
from casty.distributed.machines.base import FULL
from casty.distributed.machines.map import MapStructure
from casty.distributed.machines.queue import QueueStructure
from casty.distributed.machines.semaphore import SemaphoreStructure
from sim.plans.fault_kinds import ALLOCATING

from .bug import Planted, bug_in

__all__ = ["MEMORY"]


def _always(_structure: Any, _state: Any, _command: Any) -> bool:
    """Whatever is asked is said to grow."""
    return True


def _without_renewals(right: Any) -> Any:
    """A full node puts keep-alives off."""

    def keep_alive(replica: Any, group: Any, row: Any) -> Any:
        if replica._budget.is_full:
            return [replica._slot, BUSY, [], [], [], None, group.core.term]
        return right(replica, group, row)

    return keep_alive


def _stays_full(right: Any) -> Any:
    """Who was full once never has room again."""

    def judge(budget: Any) -> None:
        was_full = budget.is_full
        right(budget)
        budget.is_full = was_full or budget.is_full

    return judge


def _never_full(_budget: Any) -> None:
    """The budget is not looked at."""


def _kept(right: Any) -> Any:
    """What an entity gives back is not taken off."""

    def changed(weights: Any, key: Any, before: int, after: int) -> None:
        right(weights, key, min(before, after), after)

    return changed


def _twice(right: Any) -> Any:
    """A state that was restored is added to the one that it replaces."""

    def become(machine: Any, other: Any) -> None:
        before = list(machine.weights.by_kind)
        right(machine, other)
        machine.weights.by_kind[:] = [a + b for a, b in zip(before, machine.weights.by_kind, strict=True)]

    return become


def _compacted_in_part(right: Any) -> Any:
    """Compacted entries stay in the count of bytes."""

    def compact(log: Any, *arguments: Any) -> Any:
        before = log.size_bytes
        answer = right(log, *arguments)
        log.size_bytes = before
        return answer

    return compact


def _refused_and_done(right: Any) -> Any:
    """What is refused is proposed all the same."""

    def write(replica: Any, group: Any, payload: bytes, proof: bytes, answers: Any, call_id: int) -> None:
        right(replica, group, payload, proof, answers, call_id)
        if replica._budget.is_full and replica.leader is not None:
            replica.proposals.propose(group.core, payload, _Nobody(), 0)

    return write


def _counted_for_ever(right: Any) -> Any:
    """What an actor read stays counted as unread."""

    async def get(mailbox: Any) -> Any:
        message = await right(mailbox)
        mailbox._unread.size_bytes += MESSAGE_BYTES
        return message

    return get


class _Nobody:
    def add(self, call_id: int, reply: list[object]) -> None:
        """Nobody waits."""


def _silent(right: Any) -> Any:
    """A full node does not say so."""

    def on_heartbeat(heartbeats: Any, *arguments: Any) -> None:
        was_full, heartbeats._budget.is_full = heartbeats._budget.is_full, False
        right(heartbeats, *arguments)
        heartbeats._budget.is_full = was_full

    return on_heartbeat


def _believed_for_ever(_budget: Any, _peers: Any) -> None:
    """Who was full when it was asked last stays so for whoever asks it no more."""


def _not_in_doubt(right: Any) -> Any:
    """A call in doubt that is refused is called refused."""

    def on_answer(core: Any, call: Any, reply: Any) -> None:
        if reply[0] == FULL and call.was_in_doubt and not call.is_parked:
            call.state = CallState.SENT
        right(core, call, reply)

    return on_answer


def _goes_on(what: str, right: Any) -> Any:
    """A replica that had no memory for one kind of work goes on as if it had been done."""

    def fail(host: Any, group: Any, error: Exception, *, is_told: bool = False) -> None:
        if not (isinstance(error, MemoryError) and str(error).endswith(what)):
            right(host, group, error, is_told=is_told)

    return fail


MEMORY: tuple[Planted, ...] = (
    Planted("a full node refuses what a queue gives back", "54", "memory", QueueStructure, "grows", _always),
    Planted("a full node refuses deletions", "54", "memory", MapStructure, "grows", _always),
    Planted("a full node refuses releases", "54", "memory", SemaphoreStructure, "grows", _always),
    bug_in("a full node refuses keep-alives", "54", "memory", SlotReplica, "keep_alive", _without_renewals),
    bug_in("a full node stays full", "54", "memory", MemoryBudget, "_judge", _stays_full),
    Planted("removals count at the next measurement only", "54", "memory", MemoryBudget, "is_stale", False),
    Planted("a budget is not kept", "54", "memory", MemoryBudget, "_judge", _never_full),
    bug_in("what is removed stays counted", "54", "memory", Weights, "changed", _kept),
    bug_in("a restored state is counted twice", "54", "mixed", SlotMachine, "become", _twice),
    bug_in("what is read stays counted as unread", "54", "mixed", Mailbox, "get", _counted_for_ever),
    bug_in("compacted entries stay counted", "54", "memory", Log, "compact", _compacted_in_part),
    bug_in("what is refused is done", "54", "memory", SlotReplica, "write", _refused_and_done),
    bug_in("a full node does not say so", "54", "memory", Heartbeats, "_on_heartbeat", _silent),
    Planted("a peer that was full is believed for ever", "54", "mixed", MemoryBudget, "asks", _believed_for_ever, True),
    bug_in("a call in doubt is called refused", "54", "mixed", SessionCore, "_on_answer", _not_in_doubt, True),
    *(
        bug_in(
            f"goes on without memory to {what}", "52", "memory", Host, "fail", partial(_goes_on, what),
            is_hard=what in ("dump", "restore", "write"),
        )
        for what in ALLOCATING
    ),
)  # fmt: skip
