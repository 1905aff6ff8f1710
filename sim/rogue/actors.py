"""Forged messages between actors, aimed at what is there: services, watches, numbers of senders, open questions.

A message that a user's actor would handle is never sent: whoever reaches a port may send that in its own name. What
arrives here under the name of somebody else, at an actor of the library, or about an actor of others must do nothing.
"""

from __future__ import annotations

from typing import Any

from casty.actor.services import Deregister, Register, ServiceKey
from casty.actor.watch_protocol import GONE, HEARD, OVER, UNWATCH
from casty.cluster.actors.remote import WATCHES, plain_sender
from casty.wire import frames
from casty.wire.codec import Codec
from casty.wire.pack import pack, unpack

from ..workloads.actors import INBOXES, NUM_SHARDS, REGION
from .guise import Aimed, Below, Guise
from .view import View

__all__ = ["ActorAims"]

JUNK = b"\xc1\xc1\xc1"
"""Bytes that are no message."""
ENTITIES = ("entity-1", "entity-2", "entity-3")
OF_LIBRARY = ("/$regions", "/$registrar", "/$receptionist", "/$events")
TELLS = (7, "up", [1, 2], ["tally", 9], None)
"""What nobody says to an actor of the library."""


class ActorAims:
    """Makes them.

    Parameters
    ----------
    view
        What is there.
    below
        Draws.
    nodes
        Names of the nodes.
    """

    def __init__(self, view: View, below: Below, nodes: list[str]) -> None:
        self._view = view
        self._below = below
        self._nodes = nodes
        self._codec = Codec()
        self._number = 0
        self.aims = (
            self.registration, self.gone, self.tell_library, self.in_name_of, self.entity_in_name_of,
            self.asks_for, self.entity_asks_for, self.malformed, self.bundled,
        )  # fmt: skip

    def _pick(self, purpose: str, items: Any) -> Any:
        rows = list(items)
        return rows[self._below(purpose, len(rows))] if rows else None

    def _message(
        self, at: str, guise: Guise, path: str, payload: bytes, source: str | None = None,
        number: int | None = None, sender: object = None, to: str | None = None,
    ) -> Aimed:  # fmt: skip
        """Return the frame of a message for a path at the node, or, over it, at another one."""
        self._number += 1
        target = at if to is None else to
        relayed = self._pick("via", [name for name in self._nodes if name != at]) if to is None else None
        kind = frames.ACTOR
        if to is not None:
            kind = frames.RELAY
        elif relayed is not None and self._below("relayed", 3) == 0:
            kind, target = frames.RELAY, relayed
        row = [target, path, source or guise.key, self._number if number is None else number, sender, payload]
        return kind, pack(row)

    def _elsewhere(self, at: str) -> tuple[str, str | None]:
        """Return the name of a node whose actors are aimed at, and the same again when it is not this one."""
        if self._below("elsewhere", 3):
            return at, None
        name = self._pick("node-aimed-at", self._nodes)
        return name, None if name == at else name

    def registration(self, at: str, guise: Guise) -> Aimed | None:
        """Take a living registration out, or register a living actor for what it does not do."""
        aimed_at, to = self._elsewhere(at)
        for actors in self._view.actors(aimed_at):
            registered = actors.receptionist.registered
            rows = [(key, ref) for key, refs in registered.items() for ref in refs.values()]
            row = self._pick("registered", rows)
            if row is None:
                continue
            key, ref = row
            request: object = Deregister(ServiceKey[Any](key), ref)
            if self._below("registers", 2):
                name = key if self._below("key", 2) else f"not-{INBOXES.name}"
                request = Register(ServiceKey[Any](name), actors.local.own_ref("inbox"))
            return self._message(at, guise, "/$receptionist", self._codec.encode(request), to=to)
        return None

    def gone(self, at: str, guise: Guise) -> Aimed | None:
        """Say of a living actor that is watched that it is gone, or of a living watcher that it watches no more."""
        aimed_at, to = self._elsewhere(at)
        for actors in self._view.actors(aimed_at):
            table = actors.local.watching.table
            watched = table.held.values()
            of_others = [(id, key) for rows in watched for key, id in rows]
            is_gone = self._below("how-gone", 2) == 0
            row = self._pick("watched", table.mine.items() if is_gone else of_others)
            if row is None:
                continue
            id, key = row
            kind = GONE if is_gone else (UNWATCH, HEARD, OVER)[self._below("how-over", 3)]
            source = guise.key if is_gone and self._below("own-name", 2) else key
            payload = pack(["", [[kind, id]]])
            body = pack([at if to is None else to, WATCHES, source, 0, None, payload])
            return frames.WATCH, body
        return None

    def tell_library(self, at: str, guise: Guise) -> Aimed | None:
        """Tell an actor of the library what only its own process may, or nonsense."""
        _, to = self._elsewhere(at)
        path = self._pick("library", OF_LIBRARY)
        message = self._pick("tells", TELLS)
        return self._message(at, guise, path, self._codec.encode(message), to=to)

    def in_name_of(self, at: str, guise: Guise) -> Aimed | None:
        """Send in the name of an honest process, numbered beyond what it has sent."""
        remote = self._pick("named-remote", self._view.remotes())
        if remote is None:
            return None
        _, to = self._elsewhere(at)
        source, number = remote.source, remote.number
        path = self._pick("path", ("/inbox", "/$receptionist", "/nobody"))
        return self._message(at, guise, path, JUNK, source, number + 1 + self._below("ahead", 1000), to=to)

    def entity_in_name_of(self, at: str, guise: Guise) -> Aimed | None:
        """Send in such a name what an entity would handle: it took nothing more of the other from then on."""
        del at
        actors = self._pick("named-router", self._view.actors())
        if actors is None:
            return None
        source, number = actors.router.source, actors.router.number
        ahead = number + 1 + self._below("ahead", 1000)
        return self._entity(source, ahead, None, self._codec.encode([guise.node_id, ahead, None]))

    def _entity(self, source: str, number: int, sender: object, payload: bytes = JUNK) -> Aimed:
        entity = ENTITIES[self._below("entity", len(ENTITIES))]
        home = next((topology.home for topology in self._view.topologies()), "")
        return frames.ENTITY, pack([REGION, NUM_SHARDS, entity, source, number, 0, sender, payload, home])

    def asks_for(self, at: str, guise: Guise) -> Aimed | None:
        """Send what cannot be read as the question of an honest process: its own would end with an error."""
        address = self._pick("asked", self._view.asks())
        if address is None:
            return None
        _, to = self._elsewhere(at)
        path = self._pick("asked-path", ("/inbox", "/$regions", "/nobody"))
        return self._message(at, guise, path, JUNK, sender=plain_sender(address), to=to)

    def entity_asks_for(self, at: str, guise: Guise) -> Aimed | None:
        """Send the same to an entity."""
        del at
        address = self._pick("asked", self._view.asks())
        self._number += 1
        return None if address is None else self._entity(guise.key, self._number, plain_sender(address))

    def bundled(self, at: str, guise: Guise) -> Aimed | None:
        """Send some of that in one frame, and between them what cannot be read; or a frame that cannot."""
        kind = (frames.ACTOR, frames.ENTITY)[self._below("bundled-kind", 2)]
        aims = {
            frames.ACTOR: (self.tell_library, self.in_name_of, self.asks_for),
            frames.ENTITY: (self.entity_in_name_of, self.entity_asks_for),
        }[kind]
        made = [aims[self._below("bundled-aim", len(aims))](at, guise) for _ in range(3)]
        rows: list[Any] = [unpack(one[1]) for one in made if one is not None and one[0] == kind]
        if self._below("bundled-junk", 3) == 0:
            rows.insert(self._below("junk-at", len(rows) + 1), self._pick("junk", TELLS))
        bodies: tuple[object, ...] = (
            [kind, rows],
            [kind, rows],
            [kind, rows],
            [kind, rows * 100],
            [99, rows],
            rows,
        )
        return frames.BUNDLE, pack(bodies[self._below("bundle", len(bodies))])

    def malformed(self, at: str, guise: Guise) -> Aimed | None:
        """Send by way of a node what another one cannot take: it must not end the link between the two."""
        to = self._pick("via", [name for name in self._nodes if name != at])
        if to is None:
            return None
        self._number += 1
        rows: tuple[list[object], ...] = (
            [to, "/inbox", guise.key, self._number, [1, 2, 3, 4], JUNK],
            [to, "/inbox", guise.key, self._number, "nobody", JUNK],
            [to, "/inbox", guise.key, str(self._number), None, JUNK],
            [to, "/inbox", guise.key, self._number, None, 5],
            [to, "", "", 0, None, pack([to, "/$ask/0-0", 99, "what"])],
            [to, "", "", 0, None, JUNK],
            [to, "/inbox"],
        )
        return frames.RELAY, pack(rows[self._below("malformed", len(rows))])
