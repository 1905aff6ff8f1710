"""Allocations that fail: a replica raises `MemoryError` once, when it did what it was asked for.

Nobody can go on after that: the state may be changed by half, and who asked was told nothing. So that replica has to be
gone from its group in the same turn, whatever it was at, and everything else of the node goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, cast

from ..checks.step.introspection import InFront, node_of
from ..checks.violation import Violation
from ..net.partitions import Undo
from ..plans.fault_kinds import ALLOCATING, PLANNED
from ..world.world import World

if TYPE_CHECKING:
    from casty.cluster.multiraft.host import Group, Host, Replica
    from casty.cluster.slots.replica import SlotReplica
    from casty.ports import GroupWrite, Storage

__all__ = ["Allocations"]

_NUMBER = 52


class Recorder(Protocol):
    """What a fault tells of itself."""

    violations: list[Violation]

    def goal(self, name: str) -> None:
        """Count something interesting."""


class Allocations:
    """Which node cannot allocate, and at what.

    Parameters
    ----------
    world, stage
        The run.
    systems
        What each process runs.
    """

    def __init__(self, world: World, recorder: Recorder, systems: Mapping[str, object]) -> None:
        self._world = world
        self._recorder = recorder
        self._systems = systems

    def arm(self, name: str, number: int) -> Undo:
        """Let the next replica of a node fail that does this, of those that it has now: once, or not at all."""
        node = node_of(self._systems.get(name))
        if node is None or not self._world.processes[name].is_up:
            return Undo(_nothing)
        host = node.host
        failing = _Failing(ALLOCATING[number % len(ALLOCATING)], partial(self._struck, name, host))
        for group in host.groups.values():
            group.replica = replica = _Replica(group, group.replica, failing)
            if group.number - 1 in node.requests.slots:
                # It lets everything else through.
                node.requests.slots[group.number - 1] = cast("SlotReplica", replica)
        host.storage = _Storage(host, host.storage, failing)
        return Undo(failing.disarm)

    def _struck(self, name: str, host: Host, what: str, groups: Sequence[Group]) -> None:
        self._recorder.goal(f"no memory to {what}")
        self._world.after(0.0, self._look, name, host, what, groups)

    def _look(self, name: str, host: Host, what: str, groups: Sequence[Group]) -> None:
        for group in groups:
            if host.groups.get(group.number) is group and self._world.processes[name].is_up:
                text = f"goes on after it had no memory to {what}"
                self._recorder.violations.append(
                    Violation(_NUMBER, f"group {group.number} of {group.core.id}", text)
                )


class _Failing:
    """What fails next; nothing when it did, or was disarmed."""

    def __init__(self, what: str, struck: Callable[[str, Sequence[Group]], None]) -> None:
        self._what = what
        self._struck = struck

    def disarm(self) -> None:
        """Nothing fails any more."""
        self._what = ""

    def at(self, what: str, groups: Sequence[Group]) -> None:
        """Fail, if this is what fails next."""
        if self._what == what:
            self._what = ""
            self._struck(what, groups)
            raise MemoryError(f"{PLANNED} to {what}")


class _Around:
    """Stands in front of something and lets everything through."""

    def __init__(self, group: Group, inner: Any, failing: _Failing) -> None:
        self._group = group
        self._inner = inner
        self._failing = failing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _done(self, what: str, answer: Any = None) -> Any:
        self._failing.at(what, [self._group])
        return answer


class _Replica(_Around, InFront):
    """A replica of a slot or of the control group."""

    def __init__(self, group: Group, inner: Replica, failing: _Failing) -> None:
        super().__init__(group, inner, failing)
        self.inner = inner

    def role_changed(self, group: Group) -> None:
        """See `Replica`."""
        self.inner.role_changed(group)

    def serve_read(self, token: int) -> None:
        """See `Replica`."""
        self.inner.serve_read(token)

    def refuse_read(self, token: int) -> None:
        """See `Replica`."""
        self.inner.refuse_read(token)

    def close(self) -> None:
        """See `Replica`."""
        self.inner.close()

    def apply(self, index: int, entry: Any) -> None:
        """Apply an entry, and fail."""
        self._done("apply", self._inner.apply(index, entry))

    def begin_load(self) -> Any:
        """Begin to restore a state, part by part."""
        return _Load(self._group, self._inner.begin_load(), self._failing)

    def begin_dump(self) -> Any:
        """Begin to dump the state, part by part."""
        return _Dump(self._group, self._inner.begin_dump(), self._failing)

    def write(self, *arguments: Any) -> None:
        """Propose an entry, and fail."""
        self._done("ask", self._inner.write(*arguments))

    def read(self, *arguments: Any) -> None:
        """Begin a read, and fail."""
        self._done("ask", self._inner.read(*arguments))

    def keep_alive(self, *arguments: Any) -> Any:
        """Keep a session alive, and fail."""
        return self._done("ask", self._inner.keep_alive(*arguments))


class _Load(_Around):
    """A state on its way in."""

    def take(self, part: bytes) -> None:
        """Restore a part, and fail."""
        self._done("restore", self._inner.take(part))


class _Dump(_Around):
    """A state on its way out."""

    def next_part(self) -> tuple[bytes, bool]:
        """Make a part, and fail."""
        part: tuple[bytes, bool] = self._done("dump", self._inner.next_part())
        return part


class _Storage:
    """The storage port of a node; a batch is of several groups."""

    def __init__(self, host: Host, inner: Storage, failing: _Failing) -> None:
        self._host = host
        self._inner = inner
        self._failing = failing

    def persist(self, writes: Iterable[GroupWrite], done: Callable[[], None]) -> None:
        """Refuse a batch at once, or let it through."""
        self._failing.at("write", [self._host.groups[write.group] for write in writes])
        self._inner.persist(writes, done)


def _nothing() -> None:
    """Nothing was armed."""
