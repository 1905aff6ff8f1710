"""The memory budgets of nodes: they are kept, the numbers are true, and who has room takes more again (54)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from casty.actor.unread import MESSAGE_BYTES
from casty.address import process_of
from casty.cluster.multiraft.memory_budget import STALE_SHARE
from casty.cluster.slots.node_memory import ENTRY_BYTES
from casty.cluster.slots.weights import SESSION_BYTES, weight_of
from casty.consensus import Role
from casty.events import SessionEnded

from ..violation import Violation, ViolationError
from .introspection import actors_of, machine_of, node_of
from .protected import OfMailbox

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from casty.actor.mailbox import Mailbox
    from casty.cluster.actors.wiring import ClusterActors
    from casty.cluster.multiraft.memory_budget import MemoryBudget
    from casty.cluster.slots.machine import SlotMachine

    from ...kernel.trace import TraceEvent
    from ...world.process import Process
    from .introspection import HostView

__all__ = ["Budgets", "check_calm", "check_usage", "is_open"]

_NUMBER = 54
_UNTOLD_NS = 1_000_000_000
_LATE_NS = 2_000_000_000
"""A node measures once a second, at a heartbeat; what it does not notice in twice that time it never does."""


class Budgets:
    """Looks at the nodes of one world again and again."""

    def __init__(self) -> None:
        self._noted: dict[str, bool] = {}
        """The processes, in their incarnations, that were ever full or wrong: the others have no rows below."""
        self._wrong_since: dict[str, tuple[str, int, tuple[int, int]]] = {}
        """Process in its incarnation -> what is wrong with its state, since when on its clock, and with which budget it
        measured last and which one it has: a fault may have given it another one between two looks, and by that one it
        was right, or it measured by the former one and was right by that."""
        self._full_at: dict[str, int] = {}
        """Process in its incarnation -> the budget of which it is full."""
        self._old_at: dict[str, tuple[int, int]] = {}
        """Process in its incarnation -> its budget, and what it accepted since a measurement that is too old."""
        self.reopened = 0
        """How often a node that was full had room again within the same budget."""
        self._full_since_ns: dict[str, int] = {}
        """Peer key -> since when on its clock the process is full."""
        self._untold: dict[tuple[str, str], tuple[int, object]] = {}
        """Leader in its incarnation, full peer -> since when on the leader's clock every look found it untold, on which
        link: what was told goes with the link, so it has to be told again on the next one."""

    def look(self, process: Process, system: object) -> None:
        """Compare the state of a node's budget with its use; raises `ViolationError` for what lasts."""
        budget = _budget_of(system)
        if budget is None:
            return
        label = process.incarnation.label
        if not budget.is_full and label not in self._noted and not _wrong(budget):
            return
        self._noted[label] = True
        self._note_full(process, budget)
        if budget.is_full:
            self._check_age(process, budget)
            self._full_at[label] = budget.budget_bytes
        elif self._full_at.pop(label, None) == budget.budget_bytes:
            self.reopened += 1
        wrong = "" if process.is_paused else _wrong(budget)
        now_ns = process.clock.now()
        usage = budget.usage
        measured_by = (budget.room_bytes + usage.total - usage.mailboxes, budget.budget_bytes)
        known = self._wrong_since.get(label)
        if known is None or known[0] != wrong or known[2] != measured_by:
            self._wrong_since[label] = (wrong, now_ns, measured_by)
        elif wrong and now_ns - known[1] > _LATE_NS:
            text = f"{wrong}: {budget.used_bytes} bytes of {budget.budget_bytes} are used"
            raise ViolationError(Violation(_NUMBER, process.name, text))

    def _check_age(self, process: Process, budget: MemoryBudget) -> None:
        """Who refuses what grows measures when much was accepted, for it does not know what was removed since.

        A budget that just became smaller makes a measurement old without anything accepted: of two looks the second
        one tells. Raises `ViolationError`.
        """
        label, accepted_bytes = process.incarnation.label, budget.accepted_bytes
        known = self._old_at.pop(label, None)
        if accepted_bytes < budget.room_bytes or accepted_bytes * STALE_SHARE < budget.budget_bytes:
            return
        self._old_at[label] = (budget.budget_bytes, accepted_bytes)
        if known is not None and known[0] == budget.budget_bytes and known[1] < accepted_bytes:
            text = f"it refuses what grows, and {accepted_bytes} bytes were accepted since it measured what it uses"
            raise ViolationError(Violation(_NUMBER, process.name, text))

    def _note_full(self, process: Process, budget: MemoryBudget) -> None:
        key = process.incarnation.label
        if not budget.is_full:
            self._full_since_ns.pop(key, None)
        else:
            self._full_since_ns.setdefault(key, process.clock.now())

    def look_at_led(self, live: Sequence[tuple[Process, HostView]], systems: Mapping[str, object]) -> None:
        """Whoever leads a group with a full node, and hears it, refuses for it; raises `ViolationError`."""
        if not self._full_since_ns:
            self._untold = {}
            return
        nodes = {process.name: node_of(systems[process.name]) for process, _ in live}
        keys = {node.replica_id: process for process, _ in live if (node := nodes[process.name]) is not None}
        full = [key for key, process in keys.items() if self._is_long_full(process)]
        former, self._untold = self._untold, {}
        for process, host in live if full else ():
            node = nodes[process.name]
            assert node is not None, "it has replicas"
            told, links = node.memory.budget.full_peers, node.links.by_replica_id
            for key in full:
                pair, link = (process.incarnation.label, key), links.get(key)
                if key in told or not _leads(host, key):
                    continue
                since_ns, on_link = former.get(pair, (0, None))
                if on_link is not link or link is None:
                    since_ns = process.clock.now()
                self._untold[pair] = (since_ns, link)
                # Heartbeats answered long after: one answer may have come just before its link was reset.
                if node.host.rounds.answered.get(key, 0) - since_ns > _UNTOLD_NS:
                    text = f"leads a group with {key} and does not know that it is full"
                    raise ViolationError(Violation(_NUMBER, process.name, text))

    def _is_long_full(self, process: Process) -> bool:
        since_ns = self._full_since_ns.get(process.incarnation.label)
        is_long = since_ns is not None and process.clock.now() - since_ns > _LATE_NS
        return is_long and not process.is_paused


def _leads(host: HostView, key: str) -> bool:
    return any(
        group.core.role is Role.LEADER and key in map(process_of, group.core.peers)
        for group in host.groups.values()
    )


def _wrong(budget: MemoryBudget) -> str:
    """Return what is wrong now; a budget that was just changed may be so until the next measurement."""
    if budget.is_full and budget.used_bytes <= budget.low_bytes:
        return "it has room and refuses what grows"
    if not budget.is_full and budget.used_bytes >= budget.budget_bytes:
        return "it takes more although its budget is used up"
    return ""


def is_open(system: object) -> bool:
    """Whether a node refuses nothing: it is not full, and heard of nobody who is."""
    budget = _budget_of(system)
    return budget is None or not (budget.is_full or budget.full_peers)


def check_usage(name: str, system: object) -> list[Violation]:
    """Compare what a node says it uses with what a walk over everything finds."""
    node = node_of(system)
    if node is None:
        return []
    node.memory.measure()
    usage = node.memory.budget.usage
    groups = list(node.host.groups.values())
    state = sum(_state_bytes(machine) for group in groups if (machine := machine_of(group)) is not None)
    logs = sum(ENTRY_BYTES + len(entry.data) for group in groups for entry in group.core.log.entries)
    mail = _unread_bytes(actors_of(system))
    pairs = (("state", usage.state, state), ("logs", usage.logs, logs), ("mailboxes", usage.mailboxes, mail))
    return [
        Violation(_NUMBER, name, f"it counts {said} bytes of {what}, and a walk finds {found}")
        for what, said, found in pairs
        if said != found
    ]


def _budget_of(system: object) -> MemoryBudget | None:
    node = node_of(system)
    return None if node is None else node.memory.budget


def _unread_bytes(actors: ClusterActors | None) -> int:
    """Return what lies in mailboxes and waits for leaders; 0 for a node without actors."""
    if actors is None:
        return 0
    unread = sum(_mailbox_bytes(cell.mailbox) for cell in actors.local.cells.values())
    kept = sum(item.size_bytes for items in actors.router.waiting_by_shard.values() for item in items)
    return unread + kept


def _mailbox_bytes(mailbox: Mailbox[Any]) -> int:
    sizes = OfMailbox.sizes_of(mailbox)
    return sum(sizes) if sizes else MESSAGE_BYTES * len(OfMailbox.items_of(mailbox))


def _state_bytes(machine: SlotMachine) -> int:
    entities = sum(weight_of(key, state) for key, state in machine.entities.items())
    replies = sum(session.reply_bytes for session in machine.sessions.values())
    return entities + replies + SESSION_BYTES * len(machine.sessions)


def check_calm(trace: Iterable[TraceEvent]) -> list[Violation]:
    """Where nothing but memory is short, no session expires: keep-alives are never refused (18, 54)."""
    return [
        Violation(_NUMBER, f"session {entry.event.session}", "expired while nothing but memory was short")
        for entry in trace
        if isinstance(entry.event, SessionEnded) and entry.event.expired
    ]
