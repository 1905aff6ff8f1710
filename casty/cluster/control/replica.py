"""The control group's replica on one node."""

from __future__ import annotations

from collections.abc import Callable

from casty.cluster.control.machine import ControlMachine
from casty.cluster.multiraft.host import Group
from casty.cluster.multiraft.numbers import CONTROL
from casty.cluster.multiraft.proposals import Proposals, ReplySink, answer
from casty.cluster.multiraft.snapshot_transfers import Whole, WholeLoad
from casty.consensus import Core, Entry

__all__ = ["CONTROL", "ControlReplica", "heard_ns"]

PART_BYTES = 32 * 1024


def heard_ns(group: Group | None, now_ns: int) -> int:
    """Return when the control group's leader was heard of last, here; 0 where none is known.

    Who follows without a vote takes its leader for there until it hears of another one.
    """
    if group is None or group.core.leader is None:
        return 0
    return now_ns if group.is_leading else group.core.last_heard_ns()


class ControlReplica:
    """Applies control entries and says when the cluster looks different.

    One that failed and begins anew keeps the state that it knows, for whoever asks what the cluster looks like, and
    puts another one together out of what it is told. That takes its place once it is as new.
    """

    __slots__ = ("_on_change", "_on_role", "_rebuilt", "machine", "proposals")

    def __init__(self, on_change: Callable[[], None], on_role: Callable[[Group], None]) -> None:
        self.machine = ControlMachine()
        self.proposals = Proposals()
        self._on_change = on_change
        self._on_role = on_role
        self._rebuilt: ControlMachine | None = None
        """What is applied since this replica began anew, until it is as new as what it knew before."""

    def begin_anew(self) -> None:
        """The replica failed, maybe in the middle of an entry, and begins without a log."""
        self._rebuilt = ControlMachine()

    def propose(self, core: Core, data: bytes, answers: ReplySink, call_id: int) -> bool:
        """Propose a checked entry; the answer comes when it is applied."""
        return self.proposals.propose(core, data, answers, call_id)

    def apply(self, index: int, entry: Entry) -> None:
        """Apply one committed entry."""
        version = self.machine.version
        if self._rebuilt is None:
            reply = self.machine.apply(entry.data)
        else:
            reply = self._rebuilt.apply(entry.data)
            if self._rebuilt.version >= version:
                self._restore(self._rebuilt.dump())
        waiting = self.proposals.take(index, entry.term)
        if waiting is not None:
            waiting.answer(reply)
        if self.machine.version != version:
            self._on_change()

    def role_changed(self, group: Group) -> None:
        """Leadership moved."""
        # Between two looks it may have gone and come back: then only what an earlier term proposed is not ours.
        answer(self.proposals.take_waiting(group.core.term if group.is_leading else None))
        self._on_role(group)

    def close(self) -> None:
        """The replica failed; what was proposed may be applied by others."""
        answer(self.proposals.take_waiting())

    def serve_read(self, token: int) -> None:
        """Nobody reads through the control group: every node has its state."""
        raise AssertionError(f"read {token} in the control group")

    def refuse_read(self, token: int) -> None:
        """See `serve_read`."""
        raise AssertionError(f"read {token} in the control group")

    def begin_dump(self) -> Whole:
        """Begin to dump the machine's state, which is small."""
        return Whole(self.machine.dump(), PART_BYTES)

    def begin_load(self) -> WholeLoad:
        """Begin to put another state together."""
        return WholeLoad(self._restore)

    def _restore(self, data: bytes) -> None:
        if self._rebuilt is not None:
            self._rebuilt.load(data)
            if self._rebuilt.version < self.machine.version:
                return
        self.machine.load(data)
        self._rebuilt = None
        self._on_change()
