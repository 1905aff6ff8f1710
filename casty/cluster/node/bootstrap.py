"""How a process becomes part of a cluster: it founds one with its co-founders, or joins one that lives.

A quarter of a second after another the arriving process tells everyone it is linked with who it is. Members
answer with their cluster; blank processes answer in kind. `control/formation.py` decides; this shell carries its
messages.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from casty.address import NodeAddress
from casty.cluster.control.formation import JOINING, STARTED, VIEW, Founding, Identity, Policy
from casty.cluster.node.links import Links, key_of
from casty.errors import RemoteProtocolError
from casty.ports import Clock, Timer
from casty.transport.connection import Connection
from casty.wire import frames
from casty.wire.pack import pack, unpack

__all__ = ["MEMBER", "Bootstrap"]

KIND = 0
"""Where a message of a founding says what it is."""

MEMBER = 7
"""The answer of a member: [MEMBER, generation, cluster id, [[host, port], ...], whether we are one]."""

TICK_NS = 250_000_000
COMPLAIN_NS = 5_000_000_000
ASK_AGAIN_NS = 1_000_000_000
"""The shortest time between two questions to join, or between two for the addresses of members."""


class Bootstrap:
    """Runs until this process has its control group.

    Parameters
    ----------
    on_founded
        Called once with the founding document when the founding is safe to start.
    on_joined
        Called once with the generation when the cluster has this process as a member.
    """

    def __init__(
        self,
        founding: Founding,
        identity: Identity,
        links: Links,
        clock: Clock,
        on_founded: Callable[[dict[str, Any]], None],
        on_joined: Callable[[int], None],
        complain: Callable[[str], None],
        seed_troubles: Callable[[], list[str]] = list,
    ) -> None:
        self._founding = founding
        self._identity = identity
        self._links = links
        self._clock = clock
        self._on_founded = on_founded
        self._on_joined = on_joined
        self._complain = complain
        self._seed_troubles = seed_troubles
        self._timer: Timer | None = None
        self._began_ns = clock.now()
        self._complained_ns = self._began_ns
        self._asked_ns = self._began_ns
        self._looked_ns = self._began_ns - ASK_AGAIN_NS
        self.is_done = False
        self.cluster_id = ""
        """The cluster that this process is of; empty until that is known."""

    def begin(self) -> None:
        """Start asking around."""
        self._tick()

    def reseed(self, policy: Policy) -> None:
        """The seeds are others now; whoever takes part in a founding already sticks to those that he had."""
        if not self.is_done:
            self._founding.reseed(policy)

    def restored(self, cluster_id: str) -> None:
        """The disk says which cluster this process is of: it founds none, and joins none."""
        self._founding.join_instead(cluster_id)
        self.cluster_id = cluster_id
        self.close()

    def close(self) -> None:
        """Stop."""
        self.is_done = True
        if self._timer is not None:
            self._timer.cancel()

    def hear(self, generation: object) -> None:
        """Learn of a generation that somebody knows, so that the next one is higher."""
        self._founding.hear(generation)

    @property
    def heard_generation(self) -> int:
        """The highest generation that anybody told of."""
        return self._founding.heard_generation

    def met(self, connection: Connection) -> None:
        """A link to a node is up: say who this is at once."""
        if not self.is_done:
            connection.send(frames.FOUNDING, pack(self._founding.view()))

    def _tick(self) -> None:
        now_ns = self._clock.now()
        view = pack(self._founding.view())
        for connection in self._links.everyone():
            connection.send(frames.FOUNDING, view)
        self._carry(self._founding.tick(now_ns))
        if self._founding.phase == JOINING:
            self._ask_to_join()
        self._conclude()
        if not self.is_done and now_ns - self._complained_ns >= COMPLAIN_NS:
            self._complained_ns = now_ns
            self._complain(self.describe())
        self._timer = self._clock.call_at(now_ns + TICK_NS, self._tick)

    def on_control_state(self, cluster_id: str) -> None:
        """The control state is here: stop asking around. Who missed the start is still answered.

        Parameters
        ----------
        cluster_id
            What the state says that the cluster is; empty before the founding.
        """
        self.close()
        self.cluster_id = cluster_id or self.cluster_id

    def _carry(self, outbox: list[tuple[str, list[object]]]) -> None:
        if not outbox:
            return  # as after nearly every view: there are as many as pairs of nodes
        by_node = {connection.remote.node_id: connection for connection in self._links.everyone()}
        for node_id, message in outbox:
            connection = by_node.get(node_id)
            if connection is not None:
                connection.send(frames.FOUNDING, pack(message))

    def _ask_to_join(self) -> None:
        body = pack(self._identity.plain)
        for connection in self._links.everyone():
            connection.send(frames.JOIN, body)

    def ask_again(self, now_ns: int) -> bool:
        """Ask to join now and then, also with a control group at hand; say whether it was asked now.

        Called while this process is not known to be up. Whoever was silent on its way in is given up, and nobody sends
        the entries that say so to one who was given up.
        """
        if self.is_done and now_ns - self._asked_ns >= ASK_AGAIN_NS:
            self._asked_ns = now_ns
            self._ask_to_join()
            return True
        return False

    def look_around(self) -> None:
        """Ask whoever was reached at a named address where the members are; once in a second at most.

        Called when a node speaks as one that this node should know. A member that was cut off while others joined may
        be led by one of these, and learns of it from nobody but that leader, who sends the log only to those who
        answer. A stranger is never believed: members tell, and then it is dialled.
        """
        now_ns = self._clock.now()
        if now_ns - self._looked_ns >= ASK_AGAIN_NS:
            self._looked_ns = now_ns
            view = pack(self._founding.view())
            for connection in self._links.named():
                connection.send(frames.FOUNDING, view)

    def on_frame(self, connection: Connection, body: bytes) -> None:
        """Take a founding message or a member's answer."""
        message: Any = unpack(body)
        if not isinstance(message, list) or not message:
            raise RemoteProtocolError("founding: expected a list that starts with a kind")
        now_ns = self._clock.now()
        kind = message[KIND]
        if kind != VIEW and not self._is_named(connection):
            return
        if kind == MEMBER:
            self._on_member(message)
        else:
            self._carry(self._founding.step(now_ns, key_of(connection), message))
        self._conclude()

    def _is_named(self, connection: Connection) -> bool:
        """Whether this process dialled a seed, or where a member told it to, and that process answered.

        Anybody may show itself (`VIEW`): the seeds that it names are compared. What moves a ballot, and what a member
        of a cluster says, counts from these only: where a process says that it listens is no proof.
        """
        return self._links.is_named(key_of(connection))

    def _on_member(self, message: list[Any]) -> None:
        if len(message) != 5:
            raise RemoteProtocolError("founding: expected five fields in a member's answer")
        _, generation, cluster_id, rows, knows_us = message
        if not isinstance(rows, list):
            raise RemoteProtocolError("founding: expected the addresses of members in a member's answer")
        addresses = [_address(row) for row in rows]
        self._founding.hear(generation)
        if self.cluster_id not in ("", cluster_id):
            return  # a seed of this one is of another cluster of the same name
        if self.is_done:
            self._links.want_told(addresses)
            return
        self._founding.join_instead(cluster_id)
        if self._founding.phase == JOINING:
            self._links.want_told(addresses)
            if knows_us:
                self.close()
                self._on_joined(generation)

    def _conclude(self) -> None:
        if not self.is_done and self._founding.phase == STARTED:
            self.is_done = True
            assert self._founding.document is not None
            self._on_founded(self._founding.document)

    def describe(self) -> str:
        """Say what the process still waits for to become part of a cluster."""
        linked = ", ".join(connection.remote.node_id for connection in self._links.everyone()) or "nobody"
        differing = self._founding.seed_sets_met()
        text = (
            f"not in a cluster yet: {self._founding.phase}; linked with {linked}; "
            f"own seed set {list(self._founding.policy.seed_set)}"
        )
        if differing:
            text += f"; other seed sets met: { {node: list(seeds) for node, seeds in differing.items()} }"
        text += "".join(f"; {trouble}" for trouble in (*self._seed_troubles(), *self._links.troubles()))
        document = self._founding.document
        if document is not None:
            text += f"; the founder is {document['founder']}: restart it if it does not answer"
            silent = self._founding.waits_for(self._clock.now())
            if silent:
                text += (
                    f"; the founding that this process agreed to also names {', '.join(silent)}, not heard "
                    "of: start them; restart this process only if they are gone for good"
                )
        return text


def _address(row: Any) -> NodeAddress:
    if not isinstance(row, list) or [type(part) for part in row] != [str, int]:
        raise RemoteProtocolError(f"founding: expected [host, port] of a member, found {row!r:.100}")
    return NodeAddress(*row)
