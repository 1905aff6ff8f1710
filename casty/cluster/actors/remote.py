"""Actor messages between processes: encoding, the way they take, and what happens when there is none.

A message goes over the link to the target's process. A client has links to nodes only, and a node may lack
a link to a client; then one node that has it passes the message on (`RELAY`). Every process numbers what it
sends to another, and a receiver takes only rising numbers of a sender's incarnation: a message that was
overtaken on another way is a dead letter, so order is kept per sender, receiver and incarnation, and
nothing arrives twice.

``ACTOR`` and ``RELAY`` body: ``[target node id, path, source key, number, sender or None, payload]``, and behind these
``[incarnation or None, number or None]`` where the message is for one life of an actor and no successor at its path.
``WATCH`` has the same with the path `WATCHES`, the number 0, and the payload ``[target incarnation, rows]``, see
`casty.actor.watch_protocol`: an empty incarnation means whoever has the id now. It is passed on as it is.
``ENTITY_REFUSED`` body: ``[target node id, reply path, error number, text]``.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeGuard

from casty.actor.local import LocalSystem
from casty.actor.ref import RemoteActorRef
from casty.actor.services import Find, Subscribe
from casty.actor.unread import MESSAGE_BYTES
from casty.actor.watch_protocol import ROWS_A_FRAME, Row, is_row
from casty.address import ActorAddress, NodeAddress, node_id_of
from casty.checks import shown
from casty.cluster.actors.senders import Heard, Senders
from casty.cluster.authority import (
    PEER,
    STRANGER,
    Speaker,
    heard_as,
    is_public_name,
    may_ask_receptionist,
    may_name,
)
from casty.cluster.control.topology import Topology
from casty.errors import (
    AskFailed,
    CastyError,
    EncodingError,
    MessageTooLarge,
    Overloaded,
    RemoteProtocolError,
    Unavailable,
    Undecodable,
    UnknownRegion,
)
from casty.limits import MAX_NUMBER, MAX_PORT
from casty.wire import frames
from casty.wire.pack import pack, unpack

__all__ = ["ActorRoutes", "MessageCodec", "Remote", "plain_sender", "sender_of"]

_ERRORS: tuple[type[CastyError], ...] = (
    CastyError,
    EncodingError,
    UnknownRegion,
    Overloaded,
    Unavailable,
    AskFailed,
    MessageTooLarge,
)
"""What a refusal may say, by its number on the wire; appended to, never reordered."""

REPLY_PREFIX = "/$ask/"
"""Where the paths of reply refs begin; see `casty.actor.replies`."""

WATCHES = "$watch"
"""In the place of a path, which begins with a slash."""

RECEPTIONIST = "$receptionist"
_QUESTIONS = (Find, Subscribe)

MAX_SOURCES = 65_536
"""Processes whose last number is remembered; a key of one is at most some 600 bytes."""

_LIKELY = ("up", "leaving", "joining", "down", "removed")
"""Of two members at one address the one that is more likely to answer there."""

UNREAD_BYTES = 8 * 1024
"""A message for nobody is decoded only when it is this short."""

SHOWN = 200
"""Characters of a path or reason that came over the network, in a text."""


class MessageCodec(Protocol):
    """Turns messages into bytes and back; refs inside work where they arrive."""

    def encode(self, value: object) -> bytes:
        """Return the bytes of a message; raises `EncodingError`."""
        ...

    def decode(self, data: bytes) -> object:
        """Return the message of bytes; raises `EncodingError`."""
        ...


class ActorRoutes(Protocol):
    """What a node or client offers to its actors."""

    def topology(self) -> Topology | None:
        """Return the present topology."""
        ...

    def send(self, node_id: str, kind: int, body: bytes) -> bool:
        """Stage a frame for a node, or for a client linked here; False without a way or room."""
        ...

    def relays_to(self, node_id: str) -> Sequence[str]:
        """Return linked nodes that may reach `node_id` for us, best first."""
        ...

    def relay_paths_to(self, node_id: str) -> Sequence[str]:
        """Return linked nodes that may pass on what is said of watches, which needs no order; best first."""
        ...

    def is_there(self, key: str) -> bool:
        """Whether a process, by its peer key, is known to live."""
        ...

    def address_of(self, key: str) -> NodeAddress | None:
        """Return where a node is that is known, by its peer key; None for one that is not, and for clients."""
        ...


class Remote:
    """The `RemoteSender` of one process.

    Parameters
    ----------
    local
        The actors here.
    routes
        The ways out.
    codec
        Encodes messages.
    source
        This process's peer key: node or client id and incarnation.
    max_value_bytes
        The largest encoded message; None where the cluster has not been heard of, which says it: until `limited`.
    """

    def __init__(
        self,
        local: LocalSystem,
        routes: ActorRoutes,
        codec: MessageCodec,
        source: str,
        max_value_bytes: int | None,
    ) -> None:
        self._local = local
        self._routes = routes
        self._codec = codec
        self.decode = codec.decode
        """Returns the message of bytes; raises `EncodingError`."""
        self.source = source
        """This process, as receivers tell senders apart."""
        self._incarnation = source.rpartition("#")[2]
        self.max_value_bytes = max_value_bytes
        self.number = 0
        """That of the message to an actor that was sent last; none is used twice."""
        self.senders = Senders(local.runtime.clock, routes.is_there, routes.address_of)
        """Shared with the entities here, which keep numbers of their own."""
        self.heard = Heard(self.senders, MAX_SOURCES)
        """The numbers that came from each sender, for all actors here that are no entities."""
        self.overtaken = 0

    def limited(self, max_value_bytes: int) -> None:
        """The cluster takes messages of so many bytes."""
        self.max_value_bytes = max_value_bytes

    # -- out

    def encode(self, message: object) -> bytes:
        """Return a message's bytes; raises `EncodingError` or `MessageTooLarge`, before anything is sent."""
        data = self._codec.encode(message)
        most_bytes = self.max_value_bytes
        if most_bytes is not None and len(data) > most_bytes:
            raise self.too_large(type(message).__name__, len(data))
        return data

    def is_too_large(self, size_bytes: int) -> bool:
        """Whether the cluster takes no message of so many bytes; False while that is not known yet."""
        return self.max_value_bytes is not None and size_bytes > self.max_value_bytes

    def too_large(self, what: str, size_bytes: int) -> MessageTooLarge:
        """Return the error of what is too large."""
        return MessageTooLarge(
            f"{what}: expected at most max_value_bytes = {self.max_value_bytes}, "
            f"found {size_bytes} bytes; send it in parts"
        )

    def send(self, address: ActorAddress, message: object, sender: ActorAddress | None) -> None:
        """Send to another process; a message without a way is a dead letter."""
        try:
            payload = self.encode(message)
        except CastyError as error:
            if not address.path.startswith(REPLY_PREFIX):
                raise
            # It is the asker's error: whoever answers is none the wiser, and shall not be restarted for it.
            self._local.dead_letter(
                message, self._local.make_ref(address), f"the reply cannot be sent: {error}"
            )
            # The type says what is wrong with the value; that a question was handled only the text can say.
            self.refuse(
                address, type(error)(f"the reply cannot be sent, though the question was handled: {error}")
            )
            return
        node_id = address.node_id
        if node_id is None:
            node_id = self.resolve(address).node_id
        if node_id is not None:
            self.number += 1
            row: list[object] = [
                node_id,
                address.path,
                self.source,
                self.number,
                None if sender is None else plain_sender(sender),
                payload,
            ]
            if address.incarnation is not None or address.number is not None:
                row.append([address.incarnation, address.number])
            body = pack(row)
            if self._routes.send(node_id, frames.ACTOR, body) or self._goes_around(node_id, body):
                return
        # Who asked may be gone: that happens to any client, and loses nobody's message.
        level = logging.INFO if address.path.startswith(REPLY_PREFIX) else logging.WARNING
        ref = self._local.make_ref(address)
        self._local.dead_letter(message, ref, f"no way to {address.to_uri()}", level=level)

    def refuse(self, sender: ActorAddress | None, error: CastyError) -> None:
        """Tell whoever asked that there will be no reply, and why; nobody hears it when nobody asked."""
        if sender is None:
            return
        if self._local.is_own(sender):
            self._local.replies.fail(sender.path, error)
            return
        number = max(number for number, kind in enumerate(_ERRORS) if isinstance(error, kind))
        if sender.node_id is not None:
            self._stage(
                sender.node_id, frames.ENTITY_REFUSED, [sender.node_id, sender.path, number, str(error)]
            )

    def _goes_around(self, node_id: str, body: bytes) -> bool:
        """Have another node pass a message on."""
        relays = self._routes.relays_to(node_id)
        return any(self._routes.send(relay, frames.RELAY, body) for relay in relays)

    def _stage(self, node_id: str, kind: int, row: list[object]) -> bool:
        body = pack(row)
        if self._routes.send(node_id, kind, body):
            return True
        if kind == frames.WATCH:  # not a message: it is sent again, and is no loss
            return any(self._routes.send(relay, kind, body) for relay in self._routes.relay_paths_to(node_id))
        return self._goes_around(node_id, pack([node_id, "", "", 0, None, body]))

    def resolve(self, address: ActorAddress) -> ActorAddress:
        """Add who lives at an address, if known; one read from a uri names only host and port."""
        if address.node_id is not None:
            return address
        node_id = self.node_at(address.host, address.port)
        return address if node_id is None else replace(address, node_id=node_id)

    def node_at(self, host: str | None, port: int | None) -> str | None:
        """Return the id of the member at an address, if known: one that is up before any other."""
        topology = self._routes.topology()
        members = () if topology is None else topology.members.values()
        here = [member for member in members if (member.host, member.port) == (host, port)]
        here.sort(key=lambda member: _LIKELY.index(member.status))
        return here[0].node_id if here else None

    def say(self, key: str, rows: list[Row]) -> bool:
        """Send rows about watches to a process; False when there is no way or no room now."""
        node_id, _, incarnation = key.rpartition("#")
        payload = pack([incarnation, rows])
        return self._stage(node_id, frames.WATCH, [node_id, WATCHES, self.source, 0, None, payload])

    # -- in

    def on_actor(self, node_id: str, body: bytes, speaker: Speaker | None = None) -> None:
        """Take an ``ACTOR`` frame for this process, whose id is `node_id`, from a link that may be believed so far.

        A client is told by nodes only, and believes them: there is no `speaker`.
        """
        self.on_row(node_id, unpack(body), speaker)

    def on_row(self, node_id: str, row: Any, speaker: Speaker | None = None) -> None:
        """Take what is in such a frame, or was in a bundle."""
        target, path, source, number, sender, payload, incarnation, actor_number = _checked(row)
        address = None if sender is None else self._asker(sender, speaker)
        heard, is_stranger = source, False
        if speaker is not None:
            if speaker.key != source and not may_name(speaker, source):
                why = f"{shown(speaker.key, 100)} does not speak for {shown(source, 100)}"
                self._lost(path, payload, why)
                return
            if speaker.role < PEER:  # of all others it is the source; see there
                heard, is_stranger = heard_as(speaker, source), speaker.role == STRANGER
        if target != node_id:
            self._lost(path, payload, f"the message is for {target[:SHOWN]}, this is {node_id}", address)
        elif self.heard.is_overtaken(heard, number):
            self.overtaken += 1
            self._lost(path, payload, "a later message of the same sender came first", address)
        elif incarnation is not None and incarnation != self._incarnation:
            self._lost(path, payload, "its process has ended; another one has its node id", address)
        else:
            self._receive(path, payload, address, source, is_stranger, actor_number)

    def _asker(self, plain: object, speaker: Speaker | None) -> ActorAddress | None:
        """Return who waits for a reply; a client speaks for nobody's questions but its own."""
        address = sender_of(plain, self._local.name)
        if address is None or speaker is None or speaker.role >= PEER:
            return address
        return address if address.node_id == node_id_of(speaker.key) else None

    def on_relay(self, node_id: str, body: bytes, may_pass_on: bool, speaker: Speaker | None = None) -> None:
        """Take a ``RELAY`` frame: pass it to its target, or, if it came from a client, to a node that can.

        It is checked whole before it is passed on: the next node could only blame this one.
        """
        row = _row(body)
        target = row[0]
        if row[1]:
            asker = self._asker(row[4], speaker)
            if speaker is not None and not may_name(speaker, row[2]):
                self._lost(
                    row[1], row[5], f"{shown(speaker.key, 100)} does not speak for {shown(row[2], 100)}"
                )
                return
            if speaker is not None and target != node_id and speaker.role < PEER:
                # Whoever gets it from here believes that this node knows who sent it, and who asks.
                row[2] = heard_as(speaker, row[2])
                row[4] = None if asker is None else row[4]
                life = row[6:]
                body = pack([*row[:6], life] if life != _NO_LIFE else row[:6])
        else:
            _refusal(row[5])
        if target == node_id:
            self._take_relayed(node_id, row, body, speaker)
            return
        kind, inner = (frames.ACTOR, body) if row[1] else (frames.ENTITY_REFUSED, row[5])
        if self._routes.send(target, kind, inner):
            return
        relays = self._routes.relays_to(target) if may_pass_on else ()
        if not any(self._routes.send(relay, frames.RELAY, body) for relay in relays):
            self._lost(row[1], row[5], f"no way to {target[:SHOWN]}", sender_of(row[4], self._local.name))

    def _take_relayed(self, node_id: str, row: list[Any], body: bytes, speaker: Speaker | None) -> None:
        if row[1]:
            self.on_actor(node_id, body, speaker)
        else:
            self.on_refused(row[5])

    def on_watch(
        self, node_id: str, body: bytes, speaker: Speaker | None = None, *, may_pass_on: bool = False
    ) -> None:
        """Take a ``WATCH`` frame, or pass it to its target, or, if it came from a client, to a node that can.

        A member passes on what another one says that has no link to the target. What is for a former process of this
        id, or in somebody else's name, is a dead letter.
        """
        target, path, source, _, _, payload, *_ = _row(body)
        incarnation, rows = _watch_rows(path, payload)
        if speaker is not None and not may_name(speaker, source, passes_on=True):
            why = f"{shown(speaker.key, 100)} does not speak for {shown(source, 100)}"
        elif target != node_id and speaker is not None:
            relays = self._routes.relays_to(target) if may_pass_on else ()
            if not self._routes.send(target, frames.WATCH, body):
                any(self._routes.send(relay, frames.WATCH, body) for relay in relays)
            return
        elif target != node_id or incarnation not in ("", self._incarnation):
            why = f"what is said of watches is for another process, {shown(f'{target}#{incarnation}', 100)}"
        elif source == self.source or "#" not in source:
            why = "no process says this"
        else:
            self._local.watching.take(source, rows)
            return
        self._lost(path, payload, why, level=logging.INFO)

    def on_refused(self, body: bytes) -> None:
        """Take an ``ENTITY_REFUSED`` frame: the question ends with its error."""
        row = _refusal(body)
        self._local.replies.fail(row[1], _ERRORS[row[2]](row[3]))

    def _receive(
        self,
        path: str,
        payload: bytes,
        sender: ActorAddress | None,
        source: str,
        is_stranger: bool,
        number: int | None = None,
    ) -> None:
        most_bytes, size_bytes = self.max_value_bytes, len(payload)
        if most_bytes is not None and size_bytes > most_bytes:
            self._lost(path, payload, str(self.too_large("message", size_bytes)), sender)
            return
        name = path.lstrip("/")
        if size_bytes > UNREAD_BYTES and not self._is_there(name):
            # Decoding may cost very much more than reading, and nobody is there for whom it would be worth it.
            self._lost(path, payload, "no such actor", sender, level=logging.INFO)
            return
        try:
            message = self.decode(payload)
        except EncodingError as error:
            self._undecodable(path, payload, sender, error)
            return
        if sender is None and name in self._local.replies.open and not isinstance(message, Subscribe):
            self._local.replies.open[name].receive(message)  # nearly all that begin with $ are such
            return
        why = None
        if name[:1] == "$" or isinstance(message, Subscribe):
            why = self._flaw(name, message, source)
            if why is None and is_stranger and isinstance(message, Subscribe):
                # Whoever nobody names leaves nothing behind here: nobody would say when it is gone.
                why = "a node that is no member yet subscribes to nothing"
        if why is None:
            self._local.receive(name, message, sender, MESSAGE_BYTES + size_bytes, number)
        else:
            self._local.dead_letter(message, self._local.own_ref(name), why)
            self.refuse(sender, AskFailed(f"ask {path[:SHOWN]}: {why}; there will be no reply"))

    def _is_there(self, path: str) -> bool:
        return is_public_name(path) and (path in self._local.cells or path in self._local.endpoints)

    def _flaw(self, path: str, message: object, source: str) -> str | None:
        """Say why a message of another process is not for this path; None when it is."""
        if isinstance(message, Subscribe) and not _is_of(message, node_id_of(source)):
            return f"{shown(source, 100)} does not speak for the actor that it names"
        if not is_public_name(path):
            return "it takes no message of another process"
        if path == RECEPTIONIST and not may_ask_receptionist(message, _QUESTIONS):
            return "registrations are told by actors of the same process"
        return None

    def _undecodable(
        self, path: str, payload: bytes, sender: ActorAddress | None, error: EncodingError
    ) -> None:
        """Tell whoever waits: for this message as a reply, or for the reply to it."""
        question = self._local.replies.at(path)
        if question is not None:
            text = f"ask {shown(question.target)}: the reply cannot be decoded here: {error}"
            self._local.replies.fail(path, Undecodable(text, payload, was_applied=True))
            return
        self._local.undecodable.say(f"a message that cannot be decoded was dropped: {path[:SHOWN]}: {error}")
        self._lost(path, payload, f"undecodable: {error}", level=0)
        self.refuse(sender, EncodingError(f"{path[:SHOWN]}: {error}"))

    def _lost(
        self,
        path: str,
        payload: bytes,
        reason: str,
        asker: ActorAddress | None = None,
        level: int = logging.WARNING,
    ) -> None:
        self._local.dead_letter(payload, self._local.own_ref(path.lstrip("/")), reason, level=level)
        self.refuse(asker, AskFailed(f"ask {path[:SHOWN]}: {reason[:SHOWN]}; there will be no reply"))


def _is_of(message: Subscribe[Any], node_id: str) -> bool:
    """Whether a subscription is told by the process of the actor that subscribes.

    Such a ref is that process's own and names it: one that names an address only could be of anybody there.
    """
    ref = message.reply_to
    return isinstance(ref, RemoteActorRef) and ref.address.node_id == node_id


def _watch_rows(path: str, payload: bytes) -> tuple[str, list[Row]]:
    plain: Any = unpack(payload)
    if path != WATCHES or not _is_shaped(plain, (str, list)) or len(plain[1]) > ROWS_A_FRAME:
        raise RemoteProtocolError(f"watch: expected [incarnation, rows], {ROWS_A_FRAME} at most")
    incarnation, rows = plain
    if not all(is_row(row) for row in rows):
        raise RemoteProtocolError("watch: found a row that no process says")
    return incarnation, rows


def _refusal(body: bytes) -> list[Any]:
    row: Any = unpack(body)
    if not _is_shaped(row, (str, str, int, str)) or not 0 <= row[2] < len(_ERRORS):
        raise RemoteProtocolError("refusal: expected [target, reply path, error number, text]")
    return row


def plain_sender(sender: ActorAddress | None) -> list[object] | None:
    """Return a sender as it travels; the system's name is that of the link."""
    return None if sender is None else [sender.path, sender.host, sender.port, sender.node_id]


def sender_of(plain: object, system: str) -> ActorAddress | None:
    """Return what `plain_sender` wrote."""
    if plain is None:
        return None
    if type(plain) is not list or len(plain) != 4:
        raise RemoteProtocolError("sender: expected [path, host, port, node id]")
    path, host, port, node_id = plain
    if not (type(path) is type(host) is type(node_id) is str and isinstance(port, int)):
        raise RemoteProtocolError("sender: expected [path, host, port, node id]")
    if not 0 <= port <= MAX_PORT:
        raise RemoteProtocolError(f"sender: expected a port up to {MAX_PORT}, found {shown(port)}")
    return ActorAddress(system, path, host, port, node_id)


_FIELDS = "actor message: expected [target, path, source, number, sender, payload]"


def _row(body: bytes) -> list[Any]:
    """Return the six fields of a frame, and of whose life it is: the incarnation and the number, each may be None."""
    return _checked(unpack(body))


def _checked(row: Any) -> list[Any]:
    if type(row) is not list or not 6 <= len(row) <= 7:
        raise RemoteProtocolError(_FIELDS)
    life = row.pop() if len(row) == 7 else _NO_LIFE
    target, path, source, number, _, payload = row
    # What was unpacked has no subtypes but bool: where it has none, `type` says the same at half the price.
    if not (type(target) is type(path) is type(source) is str and isinstance(number, int)):
        raise RemoteProtocolError(_FIELDS)
    if life is not _NO_LIFE and not _is_life(life):
        raise RemoteProtocolError(
            "actor message: expected [incarnation or None, number or None] of its target"
        )
    if type(payload) is not bytes:
        raise RemoteProtocolError("actor message: expected bytes as payload")
    if not 0 <= number <= MAX_NUMBER:  # it is kept
        raise RemoteProtocolError(
            f"actor message: expected a number up to {MAX_NUMBER}, found {shown(number)}"
        )
    row += life
    return row


_NO_LIFE: list[Any] = [None, None]
"""Of a message for whoever has the path."""


def _is_life(plain: Any) -> bool:
    if type(plain) is not list or len(plain) != 2:
        return False
    incarnation, number = plain
    return (incarnation is None or type(incarnation) is str) and (
        number is None or (type(number) is int and 0 <= number <= MAX_NUMBER)
    )


def _is_shaped(row: Any, shape: Sequence[type]) -> TypeGuard[list[Any]]:
    return (
        isinstance(row, list)
        and len(row) == len(shape)
        and all(isinstance(value, kind) for value, kind in zip(row, shape, strict=True))
    )
