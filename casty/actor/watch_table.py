"""The watches of one process over its border: its conversations with other processes, and who of them is there.

A row names its own watch by id and its target by a `Target`; actors and references are the business of `watching.py`.
Whoever cannot see another process itself - a client sees no other client's links - watches *the process* at a node,
its guardian, by the same protocol: path `PROCESS` with the key of the process behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple, Protocol

from casty.actor.shares import Shares
from casty.actor.standing import Presence, Standing, Verdict
from casty.actor.watch_protocol import ANSWERS, ENDED, LEFT, Conversation, Row, Target
from casty.address import node_id_of, peer_key
from casty.ports import Clock, Timer

__all__ = ["PROCESS", "Company", "Place", "WatchTable"]

PROCESS = "$process/"
"""Where a guardian is asked about a process."""

TICK_NS = 1_000_000_000
MAX_TICK_NS = 2 * TICK_NS
"""A tick that is later than that found this process suspended: the time before it says nothing of others, and what they
said meanwhile was not read yet."""

TALK_BYTES = 2000
"""About what it takes to know of one more process."""

UNRESOLVED = "@"
"""Before host and port in the place of a key: nobody is known there."""


class Company(Protocol):
    """What a process knows of the others, and its way to them."""

    judges: bool
    """Whether it sees who is linked with the cluster; else it asks a guardian."""

    @property
    def grace_ns(self) -> int:
        """How long a process may be missing."""
        ...

    def standing(self, node_id: str, incarnation: str) -> Standing:
        """Say how a process stands; with an empty incarnation, whichever has that id now."""
        ...

    def node_at(self, host: str | None, port: int | None) -> str | None:
        """Return the id of who is reached at an address, if known."""
        ...

    def is_sighted(self) -> bool:
        """Whether it is connected well enough to see that others are missing."""
        ...

    def guardian(self) -> str | None:
        """Return the peer key of a node that sees who is there; None while there is none."""
        ...

    def say(self, key: str, rows: list[Row]) -> bool:
        """Send rows to a process; False when there is no way or no room now."""
        ...


class Place(NamedTuple):
    """Where a watched actor lives, as far as its ref says."""

    path: str
    host: str | None
    port: int | None
    node_id: str | None
    incarnation: str | None
    number: int | None


class _Talk:
    """A conversation, and what is known of its other end.

    Bounds: `guarding` has a row per watch of that process here as a process, within what its watchers are admitted.
    """

    __slots__ = ("conversation", "guard_id", "guarding", "presence")

    def __init__(self, key: str) -> None:
        self.conversation = Conversation(key)
        self.presence = Presence()
        self.guard_id: int | None = None
        """The watch of the process itself, at a guardian."""
        self.guarding: dict[tuple[str, int], None] = {}
        """Who watches it here as a process: key and id."""

    @property
    def is_idle(self) -> bool:
        """Whether nobody here and nobody there wants anything."""
        return self.conversation.is_over and not self.guarding


class WatchTable:
    """The conversations of one process. It is the `Host` of each.

    Parameters
    ----------
    clock
        When what is owed is sent again.
    find
        Returns the living actor of a path and life, as a `Target`; None when there is none.
    told
        Called with the id of a watch whose target is gone.
    refused
        Called with the id of a watch that the other process has no room for.
    most_bytes
        What the rows of one other process may take here.

    Bounds: `_talks` has a row per process with watches here or of here, `_by_node` the same by node id; `mine` a row
    per watch of this process, `held` one per watched actor and watch of it. Each goes with the last watch.
    """

    def __init__(
        self,
        clock: Clock,
        find: Callable[[str, str | None, int | None], Target | None],
        told: Callable[[int], None],
        refused: Callable[[int], None],
        most_bytes: int,
    ) -> None:
        self._clock = clock
        self._find = find
        self._told = told
        self._refused = refused
        self.company: Company | None = None
        self.shares: Shares[int] = Shares(most_bytes)
        self.on_full: Callable[[str], None] = _nothing
        """Told of a process whose watch was not taken."""
        self._talks: dict[str, _Talk] = {}
        self._by_node: dict[str, dict[str, None]] = {}
        self.mine: dict[int, str] = {}
        """By id of a watch, the process it is at."""
        self._guards: dict[int, str] = {}
        """Those of them that watch a process at a guardian, which one."""
        self.held: dict[Target, dict[tuple[str, int], None]] = {}
        """By watched actor of this process: its watches, as the process that watches and its id there."""
        self._last_id = 0
        self._dirty: dict[str, None] = {}
        """What has something new to say; sent, or dropped, at the end of the turn."""
        self._timer: Timer | None = None
        self._ticked_ns = 0

    # -- what this process wants

    def new_id(self) -> int:
        """Return the id of the next watch."""
        self._last_id += 1
        return self._last_id

    def watch(self, id: int, place: Place) -> bool:
        """Watch an actor under a new id; False when it is known to be gone. `told` may be called before the return."""
        company = self.company
        if company is None:
            return False
        node_id = place.node_id or company.node_at(place.host, place.port)
        if node_id is None:
            key = f"{UNRESOLVED}{place.host}:{place.port}"
        elif company.standing(node_id, place.incarnation or "") is Standing.DOWN:
            return False
        else:
            key = peer_key(node_id, place.incarnation or "")
        self._ask(id, key, place.path, place.incarnation, place.number)
        return True

    def _ask(self, id: int, key: str, path: str, incarnation: str | None, number: int | None) -> None:
        self.mine[id] = key
        talk = self._talk(key)
        talk.conversation.watch(id, path, incarnation, number)
        self._changed(key)
        self._look(talk)

    def unwatch(self, id: int) -> None:
        """Watch no more; harmless when that is over."""
        key = self.mine.pop(id, None)
        if key is None:
            return
        conversation = self._talks[key].conversation
        if _is_unresolved(key):
            conversation.give_away(id)  # nobody was asked
        else:
            conversation.unwatch(id)
        self._changed(key)

    def target_ended(self, target: Target) -> None:
        """Tell who watches it."""
        for key, id in self.held.pop(target, {}):
            self._talks[key].conversation.target_ended(id)
            self._changed(key)

    def watchers_of(self, target: Target) -> int:
        """Return how many watches of other processes there are."""
        return len(self.held.get(target, ()))

    # -- what others say

    def take(self, source: str, rows: list[Row]) -> None:
        """Take the rows of another process."""
        now_ns = self._clock.now()
        talk = self._talk(source)
        unbound = peer_key(node_id_of(source), "")
        for row in rows:
            id = row[1]
            assert isinstance(id, int), "is_row was asked"
            if row[0] in ANSWERS and self.mine.get(id) == unbound != source:
                self._move(id, source)
            if row[0] in (LEFT, ENDED) and unbound in self._talks:
                self._talks[unbound].conversation.step(self, row, now_ns)
                self._changed(unbound)
            talk.conversation.step(self, row, now_ns)
        self._changed(source)
        self._look(talk)

    def _move(self, id: int, key: str) -> None:
        """A watch of whoever is there has an answer: it is of that process from now on."""
        old = self.mine[id]
        row = self._talks[old].conversation.give_away(id)
        assert row is not None, "each watch has its row"
        self.mine[id] = key
        self._talk(key).conversation.adopt(id, row)
        self._changed(old)
        self._changed(key)

    # -- the host of conversations

    def find(self, path: str, incarnation: str | None, number: int | None) -> Target | None:
        """Return what another process may watch here."""
        if not path.startswith(PROCESS):
            return self._find(path, incarnation, number)
        key, company = path.removeprefix(PROCESS), self.company
        if company is None or not company.judges or "#" not in key:
            return None
        if key in self._talks:
            self._look(self._talks[key])
        standing = company.standing(node_id_of(key), key.rpartition("#")[2])
        return None if standing is Standing.DOWN else key

    def number_of(self, target: Target) -> int:
        """Return an actor's number."""
        return target if isinstance(target, int) else 0

    def admit(self, conversation: Conversation, id: int, target: Target) -> bool:
        """Make a row, if that process may have one more."""
        key = conversation.key
        if not self.shares.add(key, id, TALK_BYTES + len(target) if isinstance(target, str) else 0):
            self.on_full(key)
            return False
        self.held.setdefault(target, {})[key, id] = None
        if isinstance(target, str):
            guarded = self._talk(target)
            guarded.guarding[key, id] = None
            self._look(guarded)
            self._arm()
        return True

    def release(self, conversation: Conversation, id: int, target: Target | None) -> None:
        """Forget a watch of another process."""
        self.shares.drop(conversation.key, id)
        if target is not None:
            self._let_go(conversation.key, id, target)

    def _let_go(self, key: str, id: int, target: Target) -> None:
        held = self.held.get(target, {})
        held.pop((key, id), None)
        if not held:
            self.held.pop(target, None)
        if isinstance(target, str) and target in self._talks:
            self._talks[target].guarding.pop((key, id), None)
            self._changed(target)

    def told(self, conversation: Conversation, id: int) -> None:
        """A target is gone."""
        del self.mine[id]
        guarded = self._guards.pop(id, None)
        if guarded is None:
            self._told(id)
        elif guarded in self._talks:
            self._gone(self._talks[guarded])

    def refused(self, conversation: Conversation, id: int) -> None:
        """The other process is full; it is asked again."""
        if id not in self._guards:
            self._refused(id)

    # -- who is there

    def look(self, node_id: str | None = None) -> None:
        """There is news of who is there: of one node or client, or of all."""
        keys = self._talks if node_id is None else self._by_node.get(node_id, ())
        for key in list(keys):
            talk = self._talks.get(key)
            if talk is not None:
                self._look(talk)

    def news_of(self, is_meant: Callable[[str], bool]) -> None:
        """There is news of the way to those whose id is meant: everything is said to them again."""
        for node_id in [node_id for node_id in self._by_node if is_meant(node_id)]:
            for key in list(self._by_node[node_id]):
                self._repeat(self._talks[key])

    def _repeat(self, talk: _Talk) -> None:
        talk.conversation.repeat(self)
        self._changed(talk.conversation.key)

    def _look(self, talk: _Talk) -> None:
        company, key = self.company, talk.conversation.key
        if company is None or talk.is_idle:
            return
        if _is_unresolved(key):
            self._resolve(talk, company)
            return
        standing = company.standing(node_id_of(key), key.rpartition("#")[2])
        match talk.presence.look(standing, self._clock.now()):
            case Verdict.GONE:
                self._gone(talk)
                return
            case Verdict.DOWN:
                self._down(talk)
            case Verdict.BACK:
                self._repeat(talk)
            case Verdict.NOTHING:
                pass
        if talk.presence.missing_ns is not None and not company.judges:
            self._guard(talk, company)
        self._arm()

    def _resolve(self, talk: _Talk, company: Company) -> None:
        """Ask whoever is known at an address now."""
        talk.presence.look(Standing.UNKNOWN, self._clock.now())
        host, _, port = talk.conversation.key.removeprefix(UNRESOLVED).rpartition(":")
        node_id = company.node_at(host, int(port)) if port.isdigit() else None
        if node_id is None:
            self._arm()
            return
        key = peer_key(node_id, "")
        for id in list(talk.conversation.mine):
            self._move(id, key)
        if key in self._talks:
            self._look(self._talks[key])

    def _guard(self, talk: _Talk, company: Company) -> None:
        """Ask a node about a process that this one cannot see."""
        guardian = company.guardian()
        if talk.guard_id in self._guards or guardian is None or guardian == talk.conversation.key:
            return
        talk.guard_id = self.new_id()
        self._guards[talk.guard_id] = talk.conversation.key
        self._ask(talk.guard_id, guardian, f"{PROCESS}{talk.conversation.key}", None, None)

    def _down(self, talk: _Talk) -> None:
        """The cluster took a member for lost: its actors count as ended, and it is told so if it lives."""
        for id in talk.conversation.end_all(self._last_id):
            self._lost(id)
        self._end_guarded(talk)
        self._changed(talk.conversation.key)

    def _gone(self, talk: _Talk) -> None:
        """A process has ended: nothing is said to it any more."""
        conversation = talk.conversation
        key = conversation.key
        self._end_guarded(talk)
        if self._talks.pop(key, None) is None:
            return
        self._forget_node(key)
        self._unguard(talk)
        for id, target in list(conversation.theirs.items()):
            self._let_go(key, id, target)
        self.shares.forget(key)
        for id in list(conversation.mine):
            self._lost(id)

    def _lost(self, id: int) -> None:
        """A watch is over, as the process it was at is lost; of who is guarded there, another one is asked."""
        self.mine.pop(id, None)
        guarded = self._guards.pop(id, None)
        if guarded is None:
            self._told(id)
        elif guarded in self._talks:
            self._look(self._talks[guarded])

    def _end_guarded(self, talk: _Talk) -> None:
        talk.guarding.clear()
        self.target_ended(talk.conversation.key)

    def _unguard(self, talk: _Talk) -> None:
        if talk.guard_id in self._guards:
            assert talk.guard_id is not None
            del self._guards[talk.guard_id]
            self.unwatch(talk.guard_id)

    # -- the table

    def _talk(self, key: str) -> _Talk:
        talk = self._talks.get(key)
        if talk is None:
            talk = self._talks[key] = _Talk(key)
            if not _is_unresolved(key):
                self._by_node.setdefault(node_id_of(key), {})[key] = None
            self._changed(key)
        return talk

    def _forget_node(self, key: str) -> None:
        node_id = node_id_of(key)
        keys = self._by_node.get(node_id, {})
        keys.pop(key, None)
        if not keys:
            self._by_node.pop(node_id, None)

    # -- time and frames

    def _changed(self, key: str) -> None:
        if not self._dirty:
            asyncio.get_running_loop().call_soon(self.flush)
        self._dirty[key] = None

    def flush(self) -> None:
        """Say what is new, and forget with whom nothing is left to be said."""
        dirty, self._dirty = self._dirty, {}
        now_ns = self._clock.now()
        for key in dirty:
            talk = self._talks.get(key)
            if talk is None:
                continue
            if not _is_unresolved(key):
                self._say(talk, talk.conversation.news(now_ns))
            if talk.is_idle:
                del self._talks[key]
                self._forget_node(key)
                self._unguard(talk)
            else:
                self._arm()

    def _say(self, talk: _Talk, frames: list[list[Row]]) -> None:
        company = self.company
        for frame in frames:
            if company is None or not company.say(talk.conversation.key, frame):
                return

    def _waits(self, talk: _Talk) -> bool:
        """Whether time matters to it: something is owed to somebody who may be reached, or somebody is missing."""
        if talk.presence.missing_ns is not None and talk.guard_id not in self._guards:
            return True
        return talk.conversation.owes and talk.presence.standing is not Standing.DOWN

    def _arm(self) -> None:
        if self._timer is None and any(self._waits(talk) for talk in self._talks.values()):
            self._ticked_ns = self._clock.now()
            self._timer = self._clock.call_at(self._ticked_ns + TICK_NS, self._tick)

    def _tick(self) -> None:
        self._timer = None
        company, now_ns, ticked_ns = self.company, self._clock.now(), self._ticked_ns
        is_sighted = company is not None and company.is_sighted() and now_ns - ticked_ns <= MAX_TICK_NS
        for talk in list(self._talks.values()):
            key = talk.conversation.key
            if self._talks.get(key) is not talk or company is None:
                continue
            self._look(talk)
            may_judge = is_sighted and (company.judges or _is_unresolved(key))
            passed_ns = now_ns - max(ticked_ns, talk.presence.since_ns)
            if may_judge and talk.presence.passed(passed_ns, company.grace_ns):
                self._gone(talk)
            elif not _is_unresolved(key) and talk.presence.standing is not Standing.DOWN:
                self._say(talk, talk.conversation.due(now_ns))
        self._arm()

    def close(self) -> None:
        """Say nothing more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _is_unresolved(key: str) -> bool:
    return key.startswith(UNRESOLVED) and "#" not in key


def _nothing(key: str) -> None:
    del key
