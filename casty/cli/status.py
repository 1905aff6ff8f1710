"""``casty status``: what one node knows about its cluster, over a link that can only ask for that."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from casty import runtime as runtimes
from casty import tls
from casty.cli.files import read_config, read_secrets
from casty.cli.health import health_of
from casty.cluster.control.placement import slot_of
from casty.cluster.node.options import tls_of
from casty.config import SECOND_NS, Settings
from casty.distributed.machines.base import KIND_NAMES, MAP
from casty.errors import ConfigError, ProtocolError, Refused, Unavailable
from casty.secret import Secrets
from casty.traits import USUAL_WEIGHT
from casty.transport.connection import Connection
from casty.transport.output_batch import OutputBatch
from casty.transport.peers import Peer
from casty.wire import frames
from casty.wire.codec import default_codec
from casty.wire.hello import Hello
from casty.wire.pack import Plain, pack, unpack

__all__ = [
    "Place",
    "WaitQueue",
    "access_of",
    "ask_node",
    "fetch_status",
    "locate",
    "open_line",
    "run_status",
    "traits_of",
]

Document = dict[str, Any]

DOES_NOT_SERVE = 3
ASK_AGAIN_S = 0.25


def run_status(options: argparse.Namespace) -> int:
    """Print the status, or where one structure lives; 1 when nobody answers, 3 when the cluster does not serve."""
    place = None if options.locate is None else Place.parse(options.locate)
    config, secrets = access_of(options)
    ask = partial(fetch_status, options.contact, config=config, secrets=secrets)
    document = asyncio.run(
        ask(options.timeout) if options.wait is None else until_it_serves(ask, options.wait)
    )
    if place is not None:
        found = locate(document, place)
        print(json.dumps(found) if options.json else _sentence(place, found))
    else:
        print(json.dumps(document, indent=2) if options.json else render(document))
        if health_of(document).lacks:
            return DOES_NOT_SERVE
    return 0


def access_of(options: argparse.Namespace) -> tuple[tls.Config | None, Secrets | None]:
    """Return with what a command line is let in: TLS, and the shared secret."""
    config, secrets = None, read_secrets(options.secret_file)
    if options.config is not None:
        read = read_config(options.config)
        config = tls_of(read)
        if secrets is None and read.cluster is not None:
            secrets = read.cluster.secret
    return config, secrets


async def until_it_serves(ask: Callable[[float], Awaitable[Document]], within_s: float) -> Document:
    """Ask until the cluster serves, as far as the asked node knows; returns the last answer there was in time.

    Parameters
    ----------
    ask
        Asks once; takes how long to try, in seconds.
    within_s
        How long to go on, in seconds.

    Raises
    ------
    Unavailable
        Nobody answered in all that time.
    Refused
        The other end refused the handshake, the last time.
    """
    clock = runtimes.current().clock
    until_ns = clock.now() + int(within_s * SECOND_NS)
    answer: Document | None = None
    while True:
        left_s = (until_ns - clock.now()) / SECOND_NS
        try:
            answer = await ask(max(0.001, left_s))
        except (Unavailable, Refused):
            if answer is not None:
                return answer
            if left_s <= ASK_AGAIN_S:
                raise
        if (answer is not None and not health_of(answer).lacks) or left_s <= ASK_AGAIN_S:
            assert answer is not None, "who has no answer goes on, or raised"
            return answer
        await clock.sleep(ASK_AGAIN_S)


async def fetch_status(
    contact: tuple[str, int],
    timeout_s: float = 5.0,
    config: tls.Config | None = None,
    secrets: Secrets | None = None,
) -> Document:
    """Ask one node.

    Parameters
    ----------
    contact
        The node's host and port.
    timeout_s
        How long to try, in seconds.
    config
        TLS, where the cluster uses it.
    secrets
        The cluster's shared secret, where it has one.

    Raises
    ------
    Unavailable
        Nobody answered in time; the text says why the last attempt failed.
    Refused
        The other end refused the handshake.
    """
    document = await ask_node(contact, frames.STATUS, None, frames.STATUS_REPLY, timeout_s, config, secrets)
    if not isinstance(document, dict):
        raise ProtocolError(f"expected a status from {contact[0]}:{contact[1]}, found another value")
    return document


async def ask_node(
    contact: tuple[str, int],
    kind: int,
    content: Plain,
    reply_kind: int,
    timeout_s: float,
    config: tls.Config | None,
    secrets: Secrets | None,
) -> Plain:
    """Send one node one frame over a link of the role ``status``, and return what it answers; see `fetch_status`."""
    line = open_line(contact, config, secrets)
    try:
        return await line.ask(kind, content, reply_kind, timeout_s)
    finally:
        line.close()


def open_line(contact: tuple[str, int], config: tls.Config | None, secrets: Secrets | None) -> WaitQueue:
    """Return a link of the role ``status`` to one node, which dials again when it ends; who opens it closes it."""
    return WaitQueue(contact, config, secrets)


class WaitQueue:
    """One link, and one question at a time."""

    def __init__(self, contact: tuple[str, int], config: tls.Config | None, secrets: Secrets | None) -> None:
        self._contact = contact
        self._asked: tuple[int, bytes] | None = None
        self._reply_kind = 0
        self._answer: asyncio.Future[Plain] | None = None
        self._link: Connection | None = None
        runtime = runtimes.current()
        token = runtime.entropy.token("status", 8).hex()
        hello = Hello.of_status(client_id=f"status-{token}", incarnation=token)
        self._peer = Peer(
            runtime, contact, lambda: hello, Settings(), self, OutputBatch(runtime), config, secrets=secrets
        )

    async def ask(self, kind: int, content: Plain, reply_kind: int, timeout_s: float) -> Plain:
        """Send one frame and return the answer; a question is repeated when the link ends and another one is made.

        Raises
        ------
        Unavailable
            There was none in time; the text says why. Close the line then: an answer may come late.
        Refused
            The other end refused the handshake.
        """
        self._asked, self._reply_kind = (kind, pack(content)), reply_kind
        self._answer = asyncio.get_running_loop().create_future()
        if self._link is not None:
            self._link.send(*self._asked)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._answer
        except TimeoutError:
            where = f"{self._contact[0]}:{self._contact[1]}"
            if self._peer.last_refusal is not None:
                raise Refused(f"{where}: {self._peer.last_refusal}") from None
            reason = self._peer.last_error or "it took the link and did not answer"
            what = "status" if kind == frames.STATUS else "answer"
            raise Unavailable(f"no {what} from {where} within {timeout_s} s: {reason}") from None
        finally:
            self._asked = self._answer = None

    def close(self) -> None:
        """End the link."""
        self._peer.close()

    def on_open(self, connection: Connection) -> None:
        """Ask."""
        self._link = connection
        if self._asked is not None:
            connection.send(*self._asked)

    def on_frame(self, connection: Connection, kind: int, body: bytes) -> None:
        """Take the answer."""
        if kind != self._reply_kind:
            raise ProtocolError(f"expected an answer from {connection.peer}, found a frame of kind {kind}")
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(unpack(body))

    def on_closed(self, connection: Connection, reason: str) -> None:
        """The peer dials again by itself."""
        del reason
        if self._link is connection:
            self._link = None


@dataclass(frozen=True, slots=True)
class Place:
    """A structure as the command line names it: kind, name and, for a map, the key."""

    kind: int
    name: str
    key: str | None = None

    @staticmethod
    def parse(text: str) -> Place:
        """Read ``lock:NAME`` or ``map:NAME:KEY``; raises `ConfigError`.

        Examples
        --------
        >>> Place.parse("map:users:alice").key
        'alice'
        """
        kinds = {name: number for number, name in KIND_NAMES.items()}
        word, _, rest = text.partition(":")
        kind = kinds.get(word)
        if kind is None or not rest:
            known = ", ".join(kinds)
            raise ConfigError(f"--locate: expected KIND:NAME with a kind of {known}, found {text!r}")
        if kind != MAP:
            return Place(kind, rest)
        name, colon, key = rest.partition(":")
        if not colon or not name:
            raise ConfigError(f"--locate: expected map:NAME:KEY (each key lives by itself), found {text!r}")
        return Place(kind, name, key)

    @property
    def entity(self) -> bytes:
        """What the cluster calls it."""
        if self.key is None:
            return self.name.encode()
        return pack([self.name, default_codec().canonical(self.key)])


def locate(document: Document, place: Place) -> Document:
    """Return slot, leader and replicas of one structure, which need not exist.

    Parameters
    ----------
    document
        What `fetch_status` returned.
    place
        The structure.

    Raises
    ------
    Unavailable
        The node belongs to no cluster yet.
    """
    slots = document["slots"]
    if not slots:
        raise Unavailable("that node belongs to no cluster yet")
    slot = slots[slot_of(place.kind, place.entity, document["shared_slots"])]
    return {"slot": slot["slot"], "leader": slot["leader"], "replicas": slot["replicas"]}


def _sentence(place: Place, found: Document) -> str:
    kind = KIND_NAMES[place.kind]
    name = place.name if place.key is None else f"{place.name}[{place.key!r}]"
    leader = "no leader at the moment" if found["leader"] is None else f"led by {found['leader']}"
    return f"{kind} {name}: slot {found['slot']}, {leader}, replicas {', '.join(found['replicas'])}"


def render(document: Document) -> str:
    """Return the status for people."""
    leader = document["leader"] or "unknown"
    lines = [
        f"system {document['name'] or '(none yet)'}, generation {document['generation']}, led by {leader}"
    ]
    lines += [
        f"  {member['id']:<24} {member['address']:<24} {member['status']:<8} {traits_of(member)}".rstrip()
        for member in document["members"]
    ]
    lines.append(_led(document["slots"]))
    if document["moving"]:
        lines.append(f"on their way to other members: {len(document['moving'])} slots")
    if document["closed"]:
        lines.append(
            f"closed after a recovery, for one time to live: {len(document['closed'])} slots led by this node grant "
            "no lock or permit"
        )
    if document["places_to_move"]:
        lines.append(f"left to move to other members: {document['places_to_move']} replicas")
    lacks, risks = health_of(document)
    lines += [f"does not serve: {lack}" for lack in lacks]
    lines += [f"at risk: {risk}" for risk in risks]
    if document["missing"]:
        lines.append(f"not ready: {'; '.join(map(str, document['missing'][:5]))}")
    used = ", ".join(f"{count} {kind}" for kind, count in document["structures"].items() if count)
    lines.append(
        f"in the slots led by this node: {document['sessions']} sessions, structures: {used or 'none'}"
    )
    if any(document["messages"].values()):
        counts = ", ".join(
            f"{count} {what.replace('_', ' ')}" for what, count in document["messages"].items()
        )
        lines.append(f"messages of actors at this node: {counts}")
    memory = document["memory"]
    full = "; FULL: what grows is refused" if memory["is_full"] else ""
    lines.append(f"memory: {memory['used_bytes']:,} of {memory['budget_bytes']:,} bytes{full}")
    return "\n".join(lines)


def traits_of(member: Document) -> str:
    """Return what is unusual about a member in words."""
    words = [] if member["zone"] is None else [f"zone {member['zone']}"]
    if member["weight"] != USUAL_WEIGHT:
        words.append(f"weight {member['weight']}")
    if member["roles"]:
        words.append(f"roles {', '.join(member['roles'])}")
    return "; ".join(words)


def _led(slots: list[Document]) -> str:
    counts: dict[str, int] = {}
    for slot in slots:
        if slot["leader"] is not None:
            counts[slot["leader"]] = counts.get(slot["leader"], 0) + 1
    led = ", ".join(f"{node} leads {counts[node]}" for node in sorted(counts))
    return f"{len(slots)} slots: {led or 'none led'}"
