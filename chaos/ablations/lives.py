"""Planted bugs in the lives of actors: how they stop, restart and fail, under which lease they act, where they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from casty.actor import ending, pipes
from casty.actor import local as locals_
from casty.actor.cell import Cell
from casty.actor.ending import STOP_GRACE_NS, until_stopped
from casty.actor.lease import may_act
from casty.actor.local import LocalSystem
from casty.actor.mailbox import Mailbox
from casty.cluster.actors import region_router
from casty.cluster.actors.draining import HandOver
from casty.cluster.actors.receptionist import Receptionist
from casty.cluster.actors.region_host import RegionHost
from casty.cluster.actors.senders import Heard
from casty.cluster.node.leader_tasks import SlotDuties

from .bug import Planted, bug_in, shown

__all__ = ["LIVES"]


def _as_it_is(text: str) -> str:
    """An entity's id is part of a path as it is: one with a slash is the child of another one."""
    return text


def _never_due(hand_over: Any, now_ns: int) -> bool:
    """An entity whose handler does not end keeps its slot where it is."""
    del hand_over, now_ns
    return False


def _unsaid(right: Any) -> Any:
    """A hand-over is begun, and the next leader hears of it when something else happens in the group."""

    def hand_over(duties: Any, *args: Any) -> bool:
        host, duties._host = duties._host, _Unmarked()
        try:
            done: bool = right(duties, *args)
        finally:
            duties._host = host
        return done

    return hand_over


class _Unmarked:
    def mark(self, group: object) -> None:
        """Let nobody look at the group."""


def _only_waits(grace: Any) -> None:
    """Nobody who stops is forced to."""
    grace._timer = grace._clock.call_at(grace._clock.now() + STOP_GRACE_NS, grace._passed)


async def _one_after_the_other(clock: Any, roots: Sequence[Any], log: Any) -> None:
    """Each actor of a system that stops has a grace of its own, when the one before is gone."""
    for root in roots:
        await until_stopped(clock, [root], log)


def _children_kept(right: Any) -> Any:
    """A restart keeps the children."""

    async def restart(cell: Any, error: Exception | None) -> None:
        kept, cell.children = cell.children, {}
        await right(cell, error)
        cell.children = {**kept, **cell.children}

    return restart


def _orphans(right: Any) -> Any:
    """Children live on when their parent stopped."""

    async def end(cell: Any) -> None:
        cell.children = {}
        await right(cell)

    return end


def _only_exceptions(right: Any) -> Any:
    """What is no `Exception` ends the task of its actor, and nothing else of it."""

    def fail(cell: Any, error: BaseException) -> None:
        if not isinstance(error, Exception):
            raise error
        right(cell, error)

    return fail


async def _without_lease(work: Any, lease: Any) -> None:
    """What runs beside an entity runs on when the lease ended."""
    del lease
    await work


async def _acts_always(cell: Any, work: Any) -> bool:
    """Handlers and hooks of entities run on when their lease ended."""
    done: bool = await cell._guarded(work)
    return done


def _never_looked_at(host: Any, slot: int) -> None:
    """Entities are stopped when another node is known to lead, not when the lease ends."""
    del host, slot


def _in_whose_name(right: Any) -> Any:
    """Whoever set up a timer has to have a lease for what it starts."""

    def spawn_at(local: Any, path: str, *args: Any, **kwargs: Any) -> Any:
        if not may_act():
            raise RuntimeError(f"actor {path!r}: expected an entity whose lease lasts, but it ended")
        return right(local, path, *args, **kwargs)

    return spawn_at


def _within_bounds(mailbox: Any, message: object) -> None:
    """A full mailbox has no room for what the system has to say."""
    mailbox.add(message)


def _never_overtaken(heard: Any, source: str, number: int) -> bool:
    """A message that a later one overtook is handled all the same."""
    del heard, source, number
    return False


def _second_last(right: Any) -> Any:
    """Where three messages wait the last two change places."""

    def add(mailbox: Any, message: object, *size_bytes: int) -> None:
        right(mailbox, message, *size_bytes)
        if len(mailbox._items) == 3:
            mailbox._items[1], mailbox._items[2] = mailbox._items[2], mailbox._items[1]

    return add


_SCENARIO = "actors"


def _bug(
    name: str, safeguard: str, owner: Any, attribute: str, broken: Any, *, is_hard: bool = False
) -> Planted:
    return Planted(name, safeguard, _SCENARIO, owner, attribute, broken, is_hard)


def _made(
    name: str,
    safeguard: str,
    owner: Any,
    attribute: str,
    make: Callable[[Any], Any],
    *,
    is_hard: bool = False,
) -> Planted:
    return bug_in(name, safeguard, _SCENARIO, owner, attribute, make, is_hard)


def _leaves_nothing(cell: Any, left: list[tuple[object, int]]) -> None:
    """What an entity that ended itself had not read is gone with it."""
    del cell, left


def _unread(right: Any) -> Any:
    """A node that stops in order ends its entities after the message in hand."""

    async def shutdown(local: Any, *, is_forced: bool = False) -> None:
        for cell in local.cells.values():
            cell.read_out = None
        await right(local, is_forced=is_forced)

    return shutdown


LIVES = (
    shown(
        _made("stops-unread", "entities read before a stop", LocalSystem, "shutdown", _unread),
        "tests/unit/cluster/actors/test_entities_at_shutdown.py::test_what_was_sent_before_is_read",
    ),
    shown(
        _bug("receptionist-drops", "services said at once", Receptionist, "_mailbox", staticmethod(Mailbox)),
        "tests/cluster/test_discoverable.py"
        "::test_what_is_offered_at_once_is_all_listed_however_small_mailboxes_are",
    ),
    shown(
        _bug("mail-not-inherited", "mail of who ends itself", Cell, "_leave", _leaves_nothing),
        "tests/cluster/test_mail_of_the_stopped.py::test_mail_reaches_the_next_life_in_order_and_once",
    ),
    _bug("ids-are-paths", "ids are opaque", region_router, "_escaped", _as_it_is),
    _bug("hand-over-never-forced", "hand-overs are bounded", HandOver, "is_due", _never_due, is_hard=True),
    shown(
        _made(
            "hand-over-unsaid", "hand-overs are said at once", SlotDuties, "_hand_over", _unsaid, is_hard=True
        ),
        "tests/sim/test_scenarios.py::test_what_once_failed_holds[hand-over-unsaid]",
    ),
    _bug("nobody-is-forced", "who stops is forced to", vars(ending)["_Grace"], "_passed", _only_waits),
    _bug("one-grace-each", "one grace for all", locals_, "until_stopped", _one_after_the_other),
    _made("restart-keeps-children", "a restart ends children", Cell, "_restart", _children_kept),
    _made("orphans", "children end with their parent", Cell, "_end", _orphans),
    _made("exceptions-only", "whatever is raised ends its actor", Cell, "_fail", _only_exceptions),
    _bug(
        "pipes-without-lease", "nothing acts after its lease", pipes, "_leased", _without_lease, is_hard=True
    ),
    _bug("acts-without-lease", "nothing acts after its lease", Cell, "_acts", _acts_always, is_hard=True),
    _bug("leases-not-looked-at", "entities stop in time", RegionHost, "_arm", _never_looked_at),
    shown(
        _made(
            "in-anothers-name",
            "a timer acts for nobody",
            LocalSystem,
            "spawn_at",
            _in_whose_name,
            is_hard=True,
        ),
        "tests/unit/cluster/actors/test_draining.py::test_what_an_entity_began_serves_others_after_its_lease",
    ),
    shown(
        _bug(
            "system-mail-is-bounded",
            "system mail is not lost",
            Mailbox,
            "put_beyond",
            _within_bounds,
            is_hard=True,
        ),
        "tests/unit/actor/test_mailbox.py::test_what_the_system_says_comes_beyond_the_bound",
    ),
    _bug("overtaken-all-the-same", "order", Heard, "is_overtaken", _never_overtaken, is_hard=True),
    _made("second-before-first", "order", Mailbox, "add", _second_last),
)
