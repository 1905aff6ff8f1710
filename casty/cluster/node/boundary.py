"""What a node lets in: it gives each link its role, asks the table of authority, and keeps faults on their links."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

from casty.address import NodeAddress, machine_of, replica_id_of
from casty.checks import shown
from casty.cluster.authority import (
    CARRIED,
    CLIENT,
    DROP,
    GROUP,
    KEEP,
    MEMBER,
    PEER,
    ROLE_NAMES,
    RULES,
    STATUS,
    STRANGER,
    TAKE,
    Speaker,
    hears,
)
from casty.cluster.control.ballots import Identity
from casty.cluster.control.machine import MemberRow
from casty.cluster.control.replica import ControlReplica
from casty.cluster.multiraft.host import Group, Host
from casty.cluster.node.bootstrap import Bootstrap
from casty.cluster.node.links import Links, key_of
from casty.cluster.node.options import NodeOptions
from casty.complaint import Complaint, report_lost
from casty.config import SECOND_NS
from casty.errors import EncodingError, MessageTooLarge, ProtocolError, RemoteProtocolError
from casty.events import DeadLettered
from casty.ports import Runtime
from casty.transport.connection import Connection
from casty.wire import frames
from casty.wire.hello import Hello

__all__ = ["Boundary"]

MAX_KEPT = 16
"""Frames that are kept of one stranger: it says at first all that it leads, and its clients, and then changes."""

MAX_SAID = 100
"""Complaints about identities that are remembered, so that each is logged once."""

Handler = Callable[[Connection, bytes], None]


def _none(hello: Hello) -> None:
    del hello


class Guarded(Protocol):
    """The node whose links are judged; see `Node`."""

    runtime: Runtime
    options: NodeOptions
    node_id: str
    address: NodeAddress
    links: Links
    host: Host
    control: ControlReplica
    bootstrap: Bootstrap


class Boundary:
    """The judge at a node's links.

    Parameters
    ----------
    node
        Whose links they are.
    handlers
        What takes a frame of each kind that passed.
    flaw_of_client
        Says whether a client's id is that of another living client.

    Attributes
    ----------
    dropped
        How many frames, or messages inside of frames, did not count.

    Bounds: `_said` has `MAX_SAID` texts; `_speakers` a row per link that sent something for actors, until it ends;
    `_rows` one per link of a member, until it ends; `_kept` one per link of a stranger that said what it leads or who
    its clients are, with `MAX_KEPT` frames at most; it goes when the stranger is known, or with the link.
    """

    def __init__(
        self,
        node: Guarded,
        handlers: dict[int, Handler],
        flaw_of_client: Callable[[Hello], str | None] = _none,
    ) -> None:
        self._node = node
        self._flaw_of_client = flaw_of_client
        self._handlers = handlers
        self._kept: dict[Connection, list[tuple[int, bytes]]] = {}
        self._speakers: dict[Connection, Speaker] = {}
        """As whom each link spoke last."""
        self._rows: dict[Connection, MemberRow] = {}
        """For which row of the members each link was found to be a member's last."""
        self._judged: Connection | None = None
        """The link whose frame is handled now, for whoever asks as whom it speaks, and its role; stale, where a handler
        raised, only for a link that is closed for it."""
        self._judged_role = STATUS
        log, clock = logging.getLogger("casty.node"), node.runtime.clock
        self._complaints = {
            what: Complaint(clock, log, SECOND_NS)
            for what in ("frame", "message", "carried", "identity", "link")
        }  # fmt: skip
        self._said: dict[str, None] = {}
        self.dropped = 0

    def role_of(self, link: Connection) -> int:
        """Return the role of the other end of an open link, as of now.

        Its address counts as well as its name: before this node knew the member of that name, it could not refuse
        another process that took it.
        """
        remote = link.remote
        member = self._node.control.machine.members.get(remote.node_id)
        if member is not None and member is self._rows.get(link):
            return MEMBER  # neither the row nor what the link said of itself ever changes
        if remote.role != "node":
            return CLIENT if remote.role == "client" else STATUS
        if (
            member is not None
            and member.incarnation == remote.incarnation
            and member.status != "removed"
            and member.port == remote.port
            and member.host == remote.host
        ):
            if link.is_open:
                self._rows[link] = member
            return MEMBER
        links, key = self._node.links, key_of(link)
        if links.is_named(key) and links.address_of(key) == remote.address:
            return PEER
        return STRANGER

    def _member_at(self, node_id: str, incarnation: str) -> NodeAddress | None:
        member = self._node.control.machine.members.get(node_id)
        if member is None or member.incarnation != incarnation or member.status == "removed":
            return None
        return NodeAddress(member.host, member.port)

    def address_of(self, key: str) -> NodeAddress | None:
        """Return where a process is that links know for a peer or member; None for everybody else."""
        node_id, _, incarnation = key.rpartition("#")
        links = self._node.links
        return self._member_at(node_id, incarnation) or (
            links.address_of(key) if links.is_named(key) else None
        )

    def _check_copy(self, link: Connection) -> None:
        """Raise `RemoteProtocolError` for a process that has another one's name, incarnation included.

        It may have come before this node knew that one, and could refuse it; groups know processes by name only.
        """
        remote, known = link.remote, self._node.links.address_of(key_of(link))
        member = self._node.control.machine.members.get(remote.node_id)
        if known is None and member is not None and member.incarnation == remote.incarnation:
            known = NodeAddress(member.host, member.port)
        if known is not None and known != remote.address:
            raise RemoteProtocolError(
                f"{remote.address} says that it is the process {remote.node_id!r:.100} of {known}, incarnation included"
            )

    def is_foreign(self, link: Connection) -> bool:
        """Whether a node that was dialled belongs to another cluster of the same name, as it said then; logged once."""
        mine, theirs = self._node.control.machine, link.welcome_extra.get("cluster_id")
        if not mine.cluster_id or theirs in (None, "", mine.cluster_id):
            return False
        self._complain(
            f"{link.remote.address} is node {link.remote.node_id!r:.100} of another cluster that is named "
            f"{mine.name!r} ({shown(theirs, 40)}), this node is of {mine.cluster_id}: it is asked nothing; take it "
            "out of the seeds"
        )
        return True

    def is_member(self, node_id: str) -> bool:
        """Whether a node id is a member's, this node's included."""
        member = self._node.control.machine.members.get(node_id)
        return node_id == self._node.node_id or (member is not None and member.status != "removed")

    def speaker(self, link: Connection) -> Speaker:
        """Return for whom a link may speak."""
        role = self._judged_role if link is self._judged else self.role_of(link)
        speaker = self._speakers.get(link)
        if speaker is None or speaker.role != role:
            speaker = self._speakers[link] = Speaker(role, key_of(link), self.is_member, link.remote.address)
        return speaker

    def on_frame(self, link: Connection, kind: int, body: bytes) -> None:
        """Judge one frame and hand on what passes; raises `RemoteProtocolError` for what no correct process sends."""
        member = self._node.control.machine.members.get(link.remote.node_id)
        is_known = member is not None and member is self._rows.get(link)  # as `role_of` begins
        role = MEMBER if is_known else self.role_of(link)
        rule, handler = RULES.get(kind), self._handlers.get(kind)
        if role == STRANGER:
            self._check_copy(link)
        if rule is None or handler is None:
            raise frames.unexpected(kind, link.remote.role)
        verdict = rule[role]
        if verdict is TAKE:
            self._judged, self._judged_role = link, role
            try:
                handler(link, body)
            except Exception as error:  # what a node passed on may hold anything, and costs no link
                if kind not in CARRIED:
                    raise
                self.carried(link, error, role)
            self._judged = None
            return
        if role == STRANGER and verdict in (GROUP, KEEP, DROP):
            self._node.bootstrap.look_around()
        if verdict is GROUP:
            self._consensus(link, body, role)
        elif verdict is KEEP:
            self._keep(link, kind, body)
        elif verdict is DROP:
            self.drop(
                "frame", f"a frame of kind {kind} from {link.remote.node_id!r:.100}, a {ROLE_NAMES[role]}"
            )
        else:
            raise frames.unexpected(kind, link.remote.role)

    def drop(self, what: str, text: str) -> None:
        """Count and, once a second at most, log what did not count."""
        self.dropped += 1
        self._complaints[what].say(f"dropped: {text}")

    def carried(self, link: Connection, error: Exception, role: int) -> None:
        """A message that may be of others was not taken: a fault inside is a dead letter, and no fault of the link.

        A client passes nothing on: what is malformed is its own, and raised. What a message brings about here is never
        its fault.
        """
        if not isinstance(error, (ProtocolError, EncodingError, MessageTooLarge)):
            # A bug of ours, or of the user's that nothing else kept: it costs one message.
            report_lost(f"a message from {link.remote.node_id!r:.100} raised", error)
            self.dropped += 1
        elif role < STRANGER:
            raise error
        else:
            text = f"what {link.remote.node_id!r:.100} passed on: {shown(error, 200)}"
            if self._node.runtime.observe:
                self._node.runtime.observe(DeadLettered("", text))
            self.drop("carried", text)

    # -- who is who

    def refusal(self, hello: Hello, host: str) -> str | None:
        """Say why a process that dials from a host is not who it says, as far as this node sees; it is logged once."""
        if hello.role == "node":
            flaw = self.flaw_of_node(hello) or self._flaw_of_copy(hello, host)
        elif hello.role == "client" and self.is_member(hello.node_id):
            flaw = f"client id {hello.node_id!r:.100} is the id of a member; give the client another one"
        else:
            flaw = self._flaw_of_client(hello) if hello.role == "client" else None
        if flaw is not None:
            self._complain(flaw)
        return flaw

    def flaw_of_node(self, hello: Hello) -> str | None:
        """Say whether a process has the node id of another one: of a living one, or of the one it is a copy of."""
        node_id, address = hello.node_id, hello.address
        if node_id == self._node.node_id:
            return (
                f"node id {node_id!r:.100} is that of the node at {self._node.address}, which says so itself; "
                f"{address} needs another --node-id (two machines with one host name?)"
            )
        known = self._node.control.machine.members.get(node_id)
        if known is not None and "+" in hello.incarnation and known.is_replaced(hello.incarnation):
            return (
                f"the data directory of {node_id!r:.100} at {address} is out of date: the node went on with another "
                "one, or without, or this one is a copy; what it holds is not needed: move it away, and start again"
            )
        if known is None or (known.host, known.port) == address:
            return None
        if known.incarnation == hello.incarnation:
            return (
                f"{address} says that it is the process {node_id!r:.100} of {known.host}:{known.port}, incarnation "
                "included: a copy of a running machine? start it anew, with another --node-id"
            )
        if not self._node.links.is_linked(known.key):
            return None
        self._node.links.probe(known.key)  # it may be gone, and nobody has looked lately
        return (
            f"node id {node_id!r} belongs to {known.host}:{known.port}, which still answers; "
            f"{address} needs another --node-id"
        )

    def _flaw_of_copy(self, hello: Hello, host: str) -> str | None:
        """Say whether a process has the node id of another one that is linked from another machine.

        One that is restarted, or dials again, does so from its own machine, or its former link has ended: what of
        that is not seen is given up after `unreachable_after_s`, and until then the new one is refused.
        """
        for link in self._node.links.inbound:
            there = link.peer[0]
            if link.remote.node_id != hello.node_id or machine_of(there) == machine_of(host):
                continue
            link.probe()
            if link.remote.incarnation == hello.incarnation:
                return (
                    f"{host} says that it is the process {hello.node_id!r:.100}, incarnation included, and so does "
                    f"{there}: a copy of a running machine? start it anew, with another --node-id"
                )
            return (
                f"node id {hello.node_id!r:.100} is that of a process on {there}, which is linked; the one on {host} "
                "needs another --node-id (two machines with one host name?)"
            )
        return None

    def flaw_of_answer(self, hello: Hello, dialled: tuple[str, int]) -> str | None:
        """Say why who answered at an address is not who is looked for there.

        A seed may be another name of a node. Every other address came from the node itself, and who answers there as a
        node of another address speaks for somebody else.
        """
        if hello.address != dialled and not self._node.links.is_seed(dialled):
            return (
                f"expected the node that is reached at {NodeAddress(*dialled)}, found {hello.node_id!r:.100}, which "
                f"says that it is reached at {hello.address}"
            )
        return self.flaw_of_node(hello)

    def is_own(self, link: Connection, identity: Identity) -> bool:
        """Whether a request to join is of the process at the other end of the link."""
        if key_of(link) == identity.key and link.remote.address == (identity.host, identity.port):
            return True
        if self.role_of(link) != MEMBER:
            text = f"{link.remote.node_id!r:.100} asks to join in the name of {identity.node_id!r:.100}"
            self.drop("message", text)
        return False

    def may_join(self, link: Connection, identity: Identity) -> bool:
        """Whether a process may ask to join: for itself, or through a member, and under an id that is free."""
        if not self.is_own(link, identity) and self.role_of(link) != MEMBER:
            return False
        if link.remote.cluster_id and link.remote.cluster_id != self._node.control.machine.cluster_id:
            self.drop(
                "message",
                f"{link.remote.node_id!r:.100} of cluster {link.remote.cluster_id:.40} asks to join",
            )
            return False
        hello = link.remote._replace(
            node_id=identity.node_id, incarnation=identity.incarnation, host=identity.host, port=identity.port
        )
        flaw = self.flaw_of_node(hello)
        if flaw is not None:
            self._complain(flaw)
        return flaw is None

    def _complain(self, text: str) -> None:
        """Log something that is tried again and again, once; of what differs each time, a line a second."""
        if text not in self._said and self._complaints["identity"].say(text):
            self._said = dict.fromkeys([*self._said, text][-MAX_SAID:])

    # -- who has a say

    def _consensus(self, link: Connection, body: bytes, role: int) -> None:
        """Let the groups that hear a process step what it says."""
        sender = self._replica_id(link, role)
        if sender is None or self._node.links.is_superseded(link):
            return
        now_ns = self._node.runtime.clock.now()

        def is_heard(group: Group, message: list[Any]) -> bool:
            if hears(group.core, sender, now_ns, role, message[0] if message else None):
                return True
            if role == MEMBER:
                # A replica that lost its place stands for election now and then: that is nothing to tell anybody.
                self.dropped += 1
                return False
            name = f"group {group.number}"
            self.drop(
                "message", f"a consensus message of {sender!r:.100}, whom no configuration of {name} names"
            )
            return False

        self._node.host.on_consensus(sender, body, is_heard)

    def _replica_id(self, link: Connection, role: int) -> str | None:
        """Return under which key a process takes part in groups; None for one that takes a place which is not its own.

        The replica id of a disk outlives its processes, so a name alone does not show who has it: whom this node did
        not look for has to be where a process with that replica id is known to be.
        """
        key = key_of(link)
        replica_id = replica_id_of(key)
        member = self._node.control.machine.members.get(link.remote.node_id)
        if member is None or member.replica_id != replica_id:
            known = self._node.links.address_at(replica_id)
        elif key == replica_id != member.key:
            return None
        else:
            known = NodeAddress(member.host, member.port)
        if key == replica_id or role >= PEER or known == link.remote.address:
            return replica_id
        self.drop(
            "message", f"a consensus message of {link.remote.address} in the place of {replica_id!r:.100}"
        )
        return None

    def _keep(self, link: Connection, kind: int, body: bytes) -> None:
        kept = self._kept.setdefault(link, [])
        if len(kept) < MAX_KEPT:
            kept.append((kind, body))
        else:
            self.drop("frame", f"a frame of kind {kind} from {link.remote.node_id!r:.100}, a stranger")

    def look_again(self) -> None:
        """Members or links changed: take what was kept of those that are strangers no more."""
        for link in [link for link in self._kept if self.role_of(link) >= PEER]:
            for kind, body in self._kept.pop(link):
                self._handlers[kind](link, body)

    def forget(self, link: Connection) -> None:
        """The link is gone; where its other end is the reason, that is logged."""
        if link.has_failed:
            remote = link.remote
            self._complaints["link"].say(
                f"the link with {remote.role} {remote.node_id} at {link.peer[0]} is closed: {link.closed_reason}"
            )
        self._kept.pop(link, None)
        self._speakers.pop(link, None)
        self._rows.pop(link, None)
