"""Planted bugs in the structures themselves."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from casty.actor.replies import Replies
from casty.distributed import dead_letters
from casty.distributed.machines.barrier import Assembly, BarrierStructure
from casty.distributed.machines.base import Decision
from casty.distributed.machines.wait_queue import WaitQueue
from casty.distributed.map import Dict
from casty.errors import NotStarted

from .bug import Planted, bug_in, shown

__all__ = ["STRUCTURES"]


def _keeps_arrivals(_structure: Any, state: Any, _session: int) -> Decision:
    """The arrival of a session that ended is not withdrawn."""
    return Decision(state, [0])


def _counts_withdrawn(right: Any) -> Any:
    """A party that gave up is still counted."""

    def remove(assembly: Any, key: Any) -> Any:
        node_id = assembly.arrivals.get(key)
        gone = right(assembly, key)
        if gone and assembly.arrivals:
            assembly.parties[node_id] = 1
        return gone

    return remove


def _barges(right: Any) -> Any:
    """A new request goes before those that wait."""

    def ask(queue: Any, amount: int, ctx: Any, may_wait: bool, label: bytes = b"") -> Any:
        waiters, queue.waiters = queue.waiters, OrderedDict()
        reply = right(queue, amount, ctx, may_wait, label)
        waiters.update(queue.waiters)
        queue.waiters = waiters
        return reply

    return ask


def _last_first(right: Any) -> Any:
    """Who waits longest is granted last."""

    def promote(queue: Any, *most: int) -> Any:
        queue.waiters = OrderedDict(reversed(queue.waiters.items()))
        return right(queue, *most)

    return promote


def _no_revocations(right: Any) -> Any:
    """A destroyed lock is granted while its holder does not know yet."""

    def destroy(queue: Any) -> Any:
        effects = right(queue)
        for key in list(queue.revoked):
            queue.drop(key)
        return effects

    return destroy


def _one_permit_each(queue: Any) -> Any:
    """A grant of several permits counts as one."""
    return queue.capacity - len(queue.grants) - len(queue.revoked)


def _first_error_only(_structure: Any, errors: list[BaseException], *, is_any_done: bool) -> BaseException:
    """Of a map that is deleted in part is said what is true of the first key that was not."""
    del is_any_done
    return errors[0]


def _denied_at_shutdown(replies: Any) -> None:
    """Whoever asked is told at a shutdown that nothing was handled."""
    for path in list(replies.open):
        replies.fail(path, NotStarted("shut down before the reply came"))


_PARTLY = "tests/unit/distributed/test_in_part.py::"

STRUCTURES = (
    Planted("permits-uncounted", "permits", "semaphore", WaitQueue, "free", _one_permit_each),
    bug_in("barging", "order", "semaphore", WaitQueue, "ask", _barges),
    bug_in("last-first", "order", "lock", WaitQueue, "promote", _last_first),
    bug_in("destroyed-and-free", "destroy", "lock", WaitQueue, "destroy", _no_revocations, True),
    Planted(
        "dead-parties-stay", "barrier generation", "barrier", BarrierStructure, "end_session", _keeps_arrivals
    ),
    bug_in("withdrawn-parties-count", "barrier generation", "barrier", Assembly, "remove", _counts_withdrawn),
    shown(
        Planted("denied-in-part", "maps deleted in part", "map", Dict, "_in_part", _first_error_only),
        f"{_PARTLY}test_a_map_that_is_destroyed_in_part_is_not_said_to_be_untouched",
    ),
    shown(
        bug_in("requeued-and-denied", "dead letters requeued in part", "queue", dead_letters, "partly",
               lambda _: lambda _text, error: error),
        f"{_PARTLY}test_dead_letters_that_are_requeued_in_part_are_not_said_to_be_where_they_were",
    ),
    shown(
        Planted("denied-at-shutdown", "questions at a shutdown", "actors", Replies, "end_all", _denied_at_shutdown),
        "tests/unit/actor/test_ending.py::test_after_a_shutdown_a_question_is_refused_at_once",
    ),
)  # fmt: skip
