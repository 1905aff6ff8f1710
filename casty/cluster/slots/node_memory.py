"""What one node uses of its memory budget: measured once a second, and asked before anything that grows is proposed.

The rules are in `multiraft/memory_budget.py`; this finds out the numbers, says in the log when they close or open the
node, and puts them into refusals and the status.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from casty.checks import shown
from casty.cluster.multiraft.host import Group, Host
from casty.cluster.multiraft.memory_budget import MemoryBudget, Usage
from casty.cluster.slots.records import grows
from casty.cluster.slots.schema import CALLED, OF_KIND
from casty.cluster.slots.weights import Weights
from casty.distributed.handle import use_text
from casty.distributed.machines.base import EVENTS, FULL, KIND_NAMES, MAP, Reply
from casty.distributed.machines.events import log_label
from casty.distributed.machines.registry import STRUCTURES
from casty.errors import Overloaded, RemoteProtocolError
from casty.wire.pack import unpack

__all__ = ["ENTRY_BYTES", "NodeMemory", "SlotUsage"]

log = logging.getLogger("casty.node")

MEASURE_NS = 1_000_000_000
ENTRY_BYTES = 180
"""About what a log entry takes besides its data."""
NAMED = 3
"""How many of the largest structures a refusal names."""


class SlotUsage(Protocol):
    """What is asked of a slot's replica."""

    def weights(self) -> Weights:
        """Return the sums of its machine."""
        ...

    def state_bytes(self) -> int:
        """Return what its machine takes."""
        ...

    def feed_bytes(self) -> int:
        """Return what it remembers for those who watch its maps."""
        ...


class NodeMemory:
    """The budget of one node, with its numbers.

    Parameters
    ----------
    budget
        The rules.
    node_id
        Named in refusals.
    host, slots
        The groups, and the replicas by slot.
    buffered
        Returns the bytes that links hold.
    """

    def __init__(
        self,
        budget: MemoryBudget,
        node_id: str,
        host: Host,
        slots: Mapping[int, SlotUsage],
        buffered: Callable[[], int],
    ) -> None:
        self.budget = budget
        self.refused_messages = 0
        """How many messages for actors and entities found no room."""
        self._node_id = node_id
        self._host = host
        self._slots = slots
        self._buffered = buffered
        self._due_ns = 0
        self._largest: list[list[Any]] = []
        self._was_full = False

    def tick(self, now_ns: int) -> None:
        """Measure, if that is due; called at every heartbeat."""
        if now_ns >= self._due_ns:
            self._due_ns = now_ns + MEASURE_NS
            self.measure()

    def measure(self) -> None:
        """Measure now, and say so where that closes or opens the node."""
        groups = self._host.groups.values()
        logs = sum(group.core.log.size_bytes + ENTRY_BYTES * len(group.core.log.entries) for group in groups)
        usage = Usage(
            state=sum(slot.state_bytes() for slot in self._slots.values()),
            logs=logs,
            mailboxes=self.budget.unread.size_bytes,
            transfers=self._host.transfer_bytes,
            buffers=self._buffered() + sum(slot.feed_bytes() for slot in self._slots.values()),
        )
        budget = self.budget
        budget.measured(usage)
        self._largest = self.largest() if budget.is_full else []
        has_changed = budget.is_full != self._was_full
        self._was_full = budget.is_full
        if has_changed and budget.is_full:
            log.warning(
                "memory budget used up: %s bytes of %s (state %s, logs %s, mailboxes %s, transfers %s, buffers %s); "
                "what grows is refused until use falls to %s; largest: %s",
                usage.total, budget.budget_bytes, *usage, budget.low_bytes, self._largest,
            )  # fmt: skip
        elif has_changed:
            log.warning("memory budget: open again at %s bytes of %s", usage.total, budget.budget_bytes)

    def refusal(self, group: Group, entry: list[Any], state: Any) -> Reply | None:
        """Return the answer to a command that grows where there is no memory for it; None lets it pass.

        Parameters
        ----------
        group
            The slot's group, led here.
        entry
            A checked COMMAND entry.
        state
            The present state of its entity, None where it does not exist.
        """
        structure = STRUCTURES[entry[OF_KIND]]
        if not grows(entry[OF_KIND], state, entry[CALLED]):
            return None
        if not self.budget.refuses(group.core.peers, is_record=not structure.stores_values):
            return None
        budget = self.budget
        if not self._largest:
            self._largest = self.largest()
        return [FULL, self._node_id, budget.budget_bytes, budget.used_bytes, self._largest]

    def mail_refusal(self, size_bytes: int) -> Overloaded | None:
        """Return the error of a message for an actor here where there is no memory for it, and count it; else None.

        Parameters
        ----------
        size_bytes
            What it counts for until it is read.
        """
        budget = self.budget
        if budget.takes_message(size_bytes):
            return None
        if budget.is_stale:
            self.measure()
            if budget.takes_message(size_bytes):
                return None
        self.refused_messages += 1
        if not self._largest:
            self._largest = self.largest()
        use = use_text(self._node_id, budget.budget_bytes, budget.used_bytes, self._largest)
        return Overloaded(
            f"the message was not taken: {use}; {budget.unread.size_bytes:,} bytes are unread messages; let actors "
            "read, remove something, or give the nodes more memory (memory_budget_bytes)"
        )

    def largest(self) -> list[list[Any]]:
        """Return [kind, name, bytes] of the largest structures here; where all are small, of whole kinds."""
        weights = [slot.weights() for slot in self._slots.values()]
        rows = [(size, *key) for one in weights for key, size in one.large.items()]
        if rows:
            return [[kind, _name(kind, entity), size] for size, kind, entity in heapq.nlargest(NAMED, rows)]
        kinds = [(sum(one.by_kind[kind] for one in weights), kind) for kind in KIND_NAMES]
        return [[kind, "(all)", size] for size, kind in heapq.nlargest(NAMED, kinds) if size]

    def document(self) -> dict[str, object]:
        """Return what the status says about memory."""
        self.measure()
        budget = self.budget
        return {
            "budget_bytes": budget.budget_bytes,
            "used_bytes": budget.used_bytes,
            "low_bytes": budget.low_bytes,
            **{f"{name}_bytes": value for name, value in budget.usage._asdict().items()},
            "is_full": budget.is_full,
            "refused_messages": self.refused_messages,
            "full_peers": list(budget.full_peers),
            "largest": [[KIND_NAMES[kind], name, size] for kind, name, size in self.largest()],
        }


def _name(kind: int, entity: bytes) -> str:
    """Return what people call an entity: the name of its structure, for a map with the key's bytes."""
    if kind == MAP:
        try:
            plain: Any = unpack(entity)
            name, key = plain
        except (RemoteProtocolError, TypeError, ValueError):
            # Whoever made it did not use our client; its bytes are its name.
            return repr(entity)[:100]
        return f"{name}[{shown(key, 60)}]"
    if kind == EVENTS:
        return log_label(entity)[:200]
    return entity.decode(errors="replace")[:200]
