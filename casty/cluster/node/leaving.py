"""How a node leaves for good: it says so until the cluster has let it go. One per process (ADR 0037).

States: member --`leave`--> leaving --no configuration names it--> removed. The status is asked for by writing it again,
as the entries that end a membership may not reach who is no member any more.
"""

from __future__ import annotations

from collections.abc import Callable

from casty.cluster.control.machine import STATUS, ControlMachine
from casty.cluster.node.relays import ControlCalls
from casty.config import SECOND_NS
from casty.errors import Unavailable
from casty.ports import Clock
from casty.wire.pack import pack

__all__ = ["Leaving"]

ASK_S = 0.5
WRITE_S = 2.0


class Leaving:
    """The end of one process's membership.

    Parameters
    ----------
    clock
        Tells when it takes too long.
    node_id, incarnation
        This process.
    machine
        What it knows of the cluster.
    calls
        Writes control entries.
    linked
        Returns the nodes that can be asked now, this one first.
    on_asked
        Called whenever the cluster has this process leaving.

    Attributes
    ----------
    has_begun
        Whether this process is to leave: it asks nobody to let it in again.
    is_over
        Whether the cluster has let it go: nothing is left to hand over.
    """

    def __init__(
        self,
        clock: Clock,
        node_id: str,
        incarnation: str,
        machine: ControlMachine,
        calls: ControlCalls,
        linked: Callable[[], list[str]],
        on_asked: Callable[[], object],
    ) -> None:
        self._clock = clock
        self._node_id = node_id
        self._incarnation = incarnation
        self._machine = machine
        self._calls = calls
        self._linked = linked
        self._attempts = 0
        """So many questions in a row had no answer, of all who wait."""
        self.has_begun = False
        self.is_over = False
        self._on_asked = on_asked

    def follow(self) -> None:
        """The control state changed: an operator may have asked this process to leave."""
        me = self._machine.members.get(self._node_id)
        if me is not None and me.incarnation == self._incarnation and me.status == "leaving":
            self._on_asked()

    def is_alone(self) -> bool:
        """Whether no other member is there that could take anything over, now or later."""
        others = [row for row in self._machine.members.values() if row.node_id != self._node_id]
        return not any(row.is_counted or row.status == "joining" for row in others)

    def replicas(self) -> list[int]:
        """Return the slots that have this node in a configuration, as far as is known."""
        return [slot for slot, row in enumerate(self._machine.slots) if row.names(self._node_id)]

    async def leave(self, timeout_s: float) -> None:
        """Return when the cluster has let this process go, or nobody is left who could.

        Raises
        ------
        TimeoutError
            It took longer; the text says what keeps it. It goes on, and may be waited for again.
        """
        self.has_begun = True
        until_ns = self._clock.now() + int(timeout_s * SECOND_NS)
        entry = pack([STATUS, self._node_id, self._incarnation, "leaving"])
        while not (self.is_over or self.is_alone()):
            left_s = (until_ns - self._clock.now()) / SECOND_NS
            if left_s <= 0:
                raise TimeoutError(self._complaint(timeout_s))
            try:
                reply = await self._calls.write(entry, min(WRITE_S, left_s), self._whom())
            except Unavailable:
                self._attempts += 1
                continue
            self._attempts = 0
            self.is_over = reply[1:] in ([None], ["removed"])
            if not self.is_over:
                await self._clock.sleep(min(ASK_S, left_s))

    def _whom(self) -> str | None:
        """Return whom to ask; None: whoever leads as is known here.

        Without an answer every second time one of the others, one after the other, as who is no member hears of no new
        leader. But the next leader may also be known here, and may be this very process.
        """
        others = self._linked()[1:]
        return others[self._attempts // 2 % len(others)] if self._attempts % 2 and others else None

    def _complaint(self, timeout_s: float) -> str:
        slots = self.replicas()
        what = (
            f"a place in {len(slots)} slots ({slots[0]} ...)" if slots else "its vote, or no leader answers"
        )
        return (
            f"node {self._node_id} has not left after {timeout_s} s; it still has {what}. "
            "It serves and goes on leaving"
        )
