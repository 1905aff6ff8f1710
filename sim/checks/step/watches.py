"""Watches: the end is told once, never before it, soon after it, and behind what its actor said (55).

*Not before*: a watcher hears `Terminated` only of who is gone: its life ended, or its process was judged, or, a
client's, nobody heard of it for a session's time to live. *By when*: within `SOON_S` of a stop where no fault concerned
either process; in any case some time after the faults, see `overdue`. Watches are known from what the workload's actors
did, never from the cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from casty.actor.ref import RemoteActorRef

from ..violation import Violation

if TYPE_CHECKING:
    from casty.actor.ref import ActorRef
    from casty.config import Settings

    from ...world.world import World
    from .lives import Life, Lives

__all__ = ["SOON_S", "WATCHES", "Watch", "Watches"]

WATCHES = 55
SOON_S = 2.0
"""Several round trips, with a message that is repeated."""
_SECOND_NS = 1_000_000_000
_GRACE = 0.98
"""Clocks run apart by 1 % at most."""
_SAID_LAST = 12
"""Heard ends a watcher remembers; more it does not look at."""


class Watch:
    """One actor watches another.

    Parameters
    ----------
    watcher
        Who wants to know.
    ref
        Whom it named.
    target
        Who that is; None for a path where nobody ever was, or for whoever was there when the watch arrived.
    is_by_path
        Whether the ref names a path, and so whoever is there.
    began_ns
        When.
    """

    __slots__ = (
        "began_ns", "heard_ns", "is_by_path", "is_over_a_fault", "linked_ns", "ref", "target", "watcher",
    )  # fmt: skip

    def __init__(
        self, watcher: Life, ref: ActorRef[Any], target: Life | None, is_by_path: bool, began_ns: int
    ) -> None:
        self.watcher = watcher
        self.ref = ref
        self.target = target
        self.is_by_path = is_by_path
        self.began_ns = began_ns
        self.heard_ns: int | None = None
        self.linked_ns = 0
        """When the last link between the two processes came up by which the end may have been told."""
        self.is_over_a_fault = False
        """Its target stopped while a fault concerned either end."""

    def __str__(self) -> str:
        target = self.target or f"the path {self.ref.id}"
        return f"{self.watcher} watches {target} since {self.began_ns / _SECOND_NS:.3f} s"


class Watches:
    """All watches of one run.

    Parameters
    ----------
    world
        Where they are.
    lives
        Who lives.
    settings
        The cluster's.
    report
        Takes a violation.
    """

    def __init__(
        self, world: World, lives: Lives, settings: Settings, report: Callable[[Violation], None]
    ) -> None:
        self._world = world
        self._lives = lives
        self._report = report
        self._settle_ns = round((2 * settings.unreachable_after_s + 2) * _SECOND_NS)
        self._grace_ns = round(settings.session_ttl_s * _GRACE * _SECOND_NS)
        self._open: dict[str, list[Watch]] = {}
        """By the label of the watcher."""
        self._told: dict[str, list[Watch]] = {}
        self._spoken_ns: dict[tuple[str, str, int], int] = {}
        """When actors said what is on its way: by who hears it, and sender and number of the message."""
        self.counts: dict[str, int] = {}
        lives.on_stop = self._stopped

    # -- what the actors say

    def begun(self, watcher: Life, ref: ActorRef[Any], target: Life | None, *, is_by_path: bool) -> None:
        """An actor begins to watch; again what it watches already is the same watch."""
        if not any(watch.ref == ref for watch in self.open_of(watcher)):
            watch = Watch(watcher, ref, target, is_by_path, self._world.now_ns)
            self._open.setdefault(watcher.label, []).append(watch)
            self._count_begun(watch)

    def _count_begun(self, watch: Watch) -> None:
        target = watch.target
        self._count(f"watches of a {_kind(watch.ref)} by a {_kind(watch.watcher.ref)}")
        if target is None:
            there = any(_is_at(life, watch.ref) and not life.is_over for life in self._lives.all)
            self._count("watches of whoever is there" if there else "watches of nobody")
        elif target.is_over:
            self._count("watches of who was gone already")
        elif len(self.open_on(target)) > 1:
            self._count("watches of several of one")

    def ended(self, watcher: Life, ref: ActorRef[Any]) -> None:
        """An actor watches no longer."""
        watch = self._find(watcher, ref)
        if watch is not None:
            self._open[watcher.label].remove(watch)

    def open_of(self, watcher: Life) -> list[Watch]:
        """Return what an actor watches."""
        return self._open.get(watcher.label, [])

    def open_on(self, target: Life) -> list[Watch]:
        """Return the watches of one actor."""
        return [watch for watches in self._open.values() for watch in watches if watch.target is target]

    def heard(self, watcher: Life, ref: ActorRef[Any]) -> None:
        """An actor was told of an end."""
        watch = self._find(watcher, ref)
        if watch is None:
            text = f"it hears of the end of {ref.id} at {_home(ref)}, which it does not watch (any more)"
            self._broken(str(watcher), text)
            return
        self._open[watcher.label].remove(watch)
        watch.heard_ns = self._world.now_ns
        if watch.target is not None:
            watch.linked_ns = self._lives.linked_ns(watch.target.process.name, watcher.process.name)
        self._told.setdefault(watcher.label, []).append(watch)
        self._count("ends told")
        self._check_not_before(watch)

    def speaks(self, listener: str, sender: str, number: int) -> None:
        """An actor of a process begins to say something to the one of that label."""
        self._spoken_ns[listener, sender, number] = self._world.now_ns

    def said(self, watcher: Life, speaker: str, sender: str, number: int) -> None:
        """An actor was told something by another one: nobody speaks whose end it was told by the same way.

        What is behind a link that was replaced meanwhile may still come, and is promised no place: the end was said
        again on the next one, and waits for nothing.
        """
        spoken_ns = self._spoken_ns.pop((watcher.label, sender, number), 0)
        for watch in self._told.get(watcher.label, [])[-_SAID_LAST:]:
            target = watch.target
            if target is None or target.label != speaker or target.stopped_ns is None:
                continue
            # Who was given up, or died, may still be heard; who stopped and said so may not.
            is_one_way = watch.linked_ns <= spoken_ns
            if is_one_way and not self._lives.was_judged(target, 0) and _are_nodes(watch):
                self._broken(str(watcher), f"a message of {speaker} comes behind its end")

    # -- not before

    def _check_not_before(self, watch: Watch) -> None:
        target = watch.target
        if watch.is_by_path:
            target = self._always_there(watch)
        if target is None:
            return
        if target.is_over:
            self._count_cause(watch, target)
        elif target.home == watch.watcher.home:
            self._broken(
                str(watch.watcher), f"it hears of the end of {target}, which lives beside it: {watch}"
            )
        elif self._lives.was_judged(target, watch.began_ns):
            self._count("ends told of who was given up and lives")
        elif self._lives.was_out_of_reach(target, watch.watcher, watch.began_ns, self._grace_ns):
            self._count("ends told of clients out of reach")
        else:
            self._broken(str(watch.watcher), f"it hears of the end of {target}, which lives: {watch}")

    def _always_there(self, watch: Watch) -> Life | None:
        """Return who lived at a path all the time since somebody watches whoever is there."""
        for life in self._lives.all:
            if _is_at(life, watch.ref) and life.began_ns <= watch.began_ns and not life.is_over:
                return life
        return None

    def _count_cause(self, watch: Watch, target: Life) -> None:
        ended_ns = self._lives.ended_ns(target)
        if watch.is_over_a_fault:
            self._count("ends told over a fault")
        cause = "stopped" if target.stopped_ns is not None else "died with its process"
        self._count(f"ends told of who {cause}")
        if ended_ns is not None and self._world.now_ns - ended_ns > SOON_S * _SECOND_NS:
            self._count("ends told late")

    # -- by when

    def _stopped(self, life: Life) -> None:
        for watch in self.open_on(life):
            watch.is_over_a_fault = not self._is_calm(watch, 0)
        watched = [watch for watch in self.open_on(life) if self._is_calm(watch, self._settle_ns)]
        if watched:
            self._world.after(SOON_S, self._check_soon, life, watched)

    def _check_soon(self, life: Life, watched: list[Watch]) -> None:
        for watch in watched:
            if not self._is_calm(watch, self._settle_ns + round(SOON_S * _SECOND_NS)):
                continue
            self._count("ends that had to be told soon")
            if watch in self.open_of(watch.watcher) and not watch.watcher.is_deaf:
                self._broken(str(watch.watcher), f"not told within {SOON_S} s that {life} stopped: {watch}")

    def _is_calm(self, watch: Watch, within_ns: int) -> bool:
        """Whether no fault concerned either end; between clients any process may be on the way."""
        ends = (watch.watcher.process.name, _home(watch.ref))
        names = ends if any(name.startswith("node-") for name in ends) else ()
        return self._lives.is_calm(*names, within_ns=within_ns)

    def overdue(self, since_ns: int) -> Iterator[Watch]:
        """Yield the watches that have to have ended by now: of who was gone at a time, by who can still hear."""
        for watch in self._all_open():
            if watch.watcher.is_deaf or watch.began_ns > since_ns:
                continue
            if watch.target is None:
                is_gone = not any(_is_at(life, watch.ref) and not life.is_over for life in self._lives.all)
            else:
                ended_ns = self._lives.ended_ns(watch.target)
                is_gone = ended_ns is not None and ended_ns <= since_ns
            if is_gone:
                yield watch

    def too_late(self, watch: Watch, within_s: float) -> None:
        """Report a watch that is overdue."""
        text = f"not told {within_s:.1f} s after the faults of an end that was before: {watch}"
        successor = next(
            (life for life in self._lives.all if _is_at(life, watch.ref) and not life.is_over), None
        )
        self._broken(
            str(watch.watcher), text if successor is None else f"{text}; now {successor} lives there"
        )

    # -- inside

    def _all_open(self) -> Iterator[Watch]:
        for watches in list(self._open.values()):
            yield from list(watches)

    def _find(self, watcher: Life, ref: ActorRef[Any]) -> Watch | None:
        """Return the open watch that a ref is of: by the ref itself, or by whoever lives at its path."""
        watches = self.open_of(watcher)
        for watch in watches:
            if watch.ref == ref:
                return watch
        for watch in watches:
            if watch.is_by_path and (watch.ref.id, _home(watch.ref)) == (ref.id, _home(ref)):
                return watch
        return None

    def _broken(self, subject: str, text: str) -> None:
        self._report(Violation(WATCHES, subject, text))

    def _count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1


def _home(ref: ActorRef[Any]) -> str:
    """Return the machine that a ref names."""
    return str(ref.address.host) if isinstance(ref, RemoteActorRef) else ""


def _kind(ref: ActorRef[Any]) -> str:
    return _home(ref).partition("-")[0]


def _is_at(life: Life, ref: ActorRef[Any]) -> bool:
    return life.process.name == _home(ref) and life.ref.id == ref.id


def _are_nodes(watch: Watch) -> bool:
    return _kind(watch.ref) == "node" == _kind(watch.watcher.ref)
