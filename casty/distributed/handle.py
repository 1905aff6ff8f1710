"""What every client class shares: the way to the cluster, checked arguments, replies as errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from casty import runtime
from casty.checks import check_name, check_timeout, shown
from casty.distributed.machines.base import (
    BROKEN,
    DESTROY,
    DESTROYED,
    FULL,
    KIND_NAMES,
    MISMATCH,
    OK,
    OVERLOADED,
    UNSAVED,
    Command,
    Reply,
)
from casty.distributed.port import EntityGateway, Port, RegionRef
from casty.errors import (
    BrokenBarrier,
    CastyError,
    Destroyed,
    EncodingError,
    InternalError,
    JournalError,
    Mismatch,
    OutcomeUnknown,
    Overloaded,
    Undecodable,
)
from casty.ports import Timer

__all__ = ["Deadline", "Handle", "check_gateway", "failure", "has_port", "partly"]


SECOND_NS = 1_000_000_000


class Deadline:
    """The deadline of an operation that takes several calls.

    Parameters
    ----------
    timeout_s
        In seconds from now; None is never.
    """

    __slots__ = ("_clock", "_end_ns")

    def __init__(self, timeout_s: float | None) -> None:
        self._clock = runtime.current().clock
        self._end_ns = None if timeout_s is None else self._clock.now() + int(timeout_s * SECOND_NS)

    def left_s(self) -> float | None:
        """What is left, in seconds, at least 0; None without a deadline."""
        return None if self._end_ns is None else max(0, self._end_ns - self._clock.now()) / SECOND_NS

    def call(self, callback: Callable[[], object]) -> Timer | None:
        """Call back when it passes; None without a deadline."""
        return None if self._end_ns is None else self._clock.call_at(self._end_ns, callback)


class Handle:
    """A client of one named structure; cheap, and holds no connection.

    Parameters
    ----------
    gateway
        The system or client to go through, or any other `EntityGateway`.
    region_ref
        The region behind an `EntityGateway` without a port of its own; not used with a system or a client.
    name
        The structure's name; not empty.
    timeout
        Deadline of each call in seconds; None waits for ever.
    """

    __slots__ = ("_entity", "_gateway", "_latest", "_name", "_plain", "_timeout_s", "_was_used")
    _kind: ClassVar[int]

    def __init__(
        self, *, gateway: EntityGateway, region_ref: RegionRef | None, name: str, timeout: float | None = 5.0
    ) -> None:
        check_name(name)
        check_timeout(timeout)
        self._gateway: Any = gateway  # its private port is not in the protocol
        self._plain = None if has_port(gateway) else _plain_port(gateway, region_ref)
        self._latest = self._plain
        self._name = name
        self._entity = name.encode()
        self._timeout_s = timeout
        # What is held and barriers leave no record when nobody uses them: their user knows that they were.
        self._was_used = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name!r:.100}>"

    def __reduce_ex__(self, protocol: object) -> Any:
        """Refuse to be copied or pickled."""
        raise TypeError(
            f"{self!r} cannot be copied or pickled: it works through the client or system that it was made with, and "
            "what it holds is its own; make another by the same name, there"
        )

    @property
    def _label(self) -> str:
        """Which structure it is, for the text of an error."""
        return f"{KIND_NAMES[self._kind]} {self._name!r:.100}"

    @property
    def _port(self) -> Port:
        # Asked anew each time: a gateway that is not started, or closed meanwhile, says so by itself.
        port: Port = self._gateway.structures if self._plain is None else self._plain
        self._latest = port
        return port

    async def _command(self, command: Command) -> Any:
        reply = await self._port.command(self._kind, self._entity, command, timeout_s=self._timeout_s)
        return reply[1] if reply[0] == OK else self._refused(reply)

    async def _read(self, query: Command) -> Any:
        reply = await self._port.read(self._kind, self._entity, query, timeout_s=self._timeout_s)
        return reply[1] if reply[0] == OK else self._refused(reply)

    def _refused(self, reply: Reply) -> Any:
        raise failure(reply, self._label)

    def _decoded(self, data: bytes, *, was_applied: bool) -> Any:
        """Return the value of the cluster's bytes; `was_applied`: whether the call had changed something before."""
        # By the port that brought them: where the gateway was closed since, the call was applied all the same.
        assert self._latest is not None, "bytes come from a call, and a call takes a port"
        try:
            return self._latest.decode(data)
        except EncodingError as error:
            outcome = "the call was applied" if was_applied else "nothing was changed"
            raise Undecodable(
                f"{self._label}: the value cannot be decoded here; {outcome}, and `data` of "
                f"this error has its {len(data)} bytes: {error}",
                data,
                was_applied,
            ) from error

    async def destroy(self) -> bool:
        """Destroy the structure; the name may be used again at once.

        Whoever waits on it gets `Destroyed`. What is held of it is lost, and of its name nothing is granted
        before each former holder knows, or its session ended.

        Returns
        -------
        bool
            True if it existed. Of what is held, and of barriers, nothing is kept while nobody holds or waits: it
            existed if somebody does, or for the instance that used it since it was destroyed last.

        Raises
        ------
        Unavailable
            No quorum until the deadline; nothing happened.
        OutcomeUnknown
            The deadline passed after it was sent; it happened once or not at all.
        """
        existed = bool(await self._command([DESTROY]))
        return self.take_use() or existed

    def take_use(self) -> bool:
        """Return whether this instance used what may leave no record; False from then on until it does again."""
        was_used, self._was_used = self._was_used, False
        return was_used


def failure(reply: Reply, what: str) -> CastyError:
    """Return the error that a reply other than ``[OK, ...]`` stands for."""
    status = reply[0]
    if status == MISMATCH:
        return Mismatch(
            f"{what}: expected {reply[1]}={shown(reply[2])} as recorded when it was created, found {shown(reply[3])}; "
            "use the recorded value, or destroy it first"
        )
    if status == DESTROYED:
        return Destroyed(f"{what} was destroyed while the call waited; nothing was granted")
    if status == BROKEN:
        return BrokenBarrier(f"{what}: a party of this generation was lost")
    if status == FULL:
        return Overloaded(f"{what}: {full_text(*reply[1:])}")
    if status == UNSAVED:
        return JournalError(
            f"{what}: its last changes, up to number {reply[1]}, are not on record, and no more are taken; use it "
            "through a gateway with its journal"
        )
    if status == OVERLOADED:
        return Overloaded(f"{what}: the bound {reply[1]}={reply[2]} of its slot is reached; try again later")
    return InternalError(
        f"{what}: expected the reply of a structure, found {shown(reply, 200)}; please report this"
    )


def partly(what_is_done: str, error: CastyError) -> OutcomeUnknown:
    """Return the error of a call of several steps whose first ones were applied, and a later one was not."""
    unknown = OutcomeUnknown(f"{what_is_done}: {error}")
    unknown.__cause__ = error
    return unknown


def full_text(node_id: str, budget_bytes: int, used_bytes: int, largest: list[list[Any]]) -> str:
    """Say what a node without memory for more answered: its budget, its use and what uses it."""
    use = use_text(node_id, budget_bytes, used_bytes, largest)
    return (
        f"nothing was changed: {use}; remove something, or give the nodes more memory (memory_budget_bytes)"
    )


def use_text(node_id: str, budget_bytes: int, used_bytes: int, largest: list[list[Any]]) -> str:
    """Say how much of its budget a node uses, and what for."""
    users = [
        f"{KIND_NAMES.get(kind, kind)} {name!r} {size_bytes:,} bytes" for kind, name, size_bytes in largest
    ]
    return (
        f"node {node_id} uses {used_bytes:,} of the {budget_bytes:,} bytes of its memory budget; the largest: "
        f"{', '.join(users) or 'many small ones'}"
    )


def has_port(gateway: object) -> bool:
    """Whether the gateway offers the private port; runs no property, which may not be ready yet."""
    return hasattr(type(gateway), "structures") or "structures" in getattr(gateway, "__dict__", ())


def check_gateway(gateway: object) -> None:
    """Raise `TypeError` unless structures can be reached through `gateway`."""
    if not has_port(gateway) and not callable(getattr(gateway, "entity_ask", None)):
        raise TypeError(
            "gateway: expected a ClusteredActorSystem, a ClusterClient or another EntityGateway, "
            f"found {shown(gateway)}"
        )


def _plain_port(gateway: EntityGateway, region_ref: RegionRef | None) -> Port:
    from casty.distributed.plain_port import (
        PlainPort,  # most programs never need it, nor the actors it brings
    )

    check_gateway(gateway)
    if region_ref is None:
        raise TypeError("region_ref: required with a gateway that has no structures of its own, found None")
    return PlainPort(gateway, region_ref)
