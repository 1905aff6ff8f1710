"""Planted bugs in what grows, is sent again, or goes on when nothing happens."""

from __future__ import annotations

from typing import Any

from casty.cluster.control.machine import ControlMachine
from casty.cluster.control.topology import Topology
from casty.cluster.node.openings import Openings
from casty.cluster.sessions.core.call_table import CallTable
from casty.cluster.sessions.core.client_sessions import CallSessions
from casty.cluster.sessions.core.life import CallEvent
from casty.cluster.sessions.core.retries import Retries
from casty.cluster.sessions.core.session_core import SessionCore
from casty.cluster.slots.session_record import SlotSession
from casty.consensus.core import Core
from casty.distributed.machines.base import NOT_LEADER

from .bug import Planted, bug_in, shown

__all__ = ["BOUNDS"]


def _never_compacts(_core: Any, _index: int) -> None:
    """A log keeps everything."""


def _for_who_is_behind(right: Any) -> Any:
    """A leader keeps what a follower lacks, however long that one is down."""

    def compact(core: Any, index: int) -> None:
        behind = [progress.match for progress in core.progress.values()]
        if min(behind, default=index) + core.limits.retained_entries >= index:
            right(core, index)

    return compact


def _is_full_by_number(core: Any) -> bool:
    """Bytes of entries do not count, only entries."""
    limits = core.limits
    return bool(core.applied - core.log.offset >= limits.retained_entries + limits.compact_entries)


def _no_back_off(right: Any) -> Any:
    """What is refused is tried again after the same short pause for ever."""

    def retry_later(table: Any, slot: int, *, is_longer: bool = True) -> None:
        del is_longer
        right(table, slot, is_longer=False)

    return retry_later


def _with_all_news(right: Any) -> Any:
    """Whoever was refused tries again with every piece of news, of whatever slot."""

    def wake(retries: Any, news: Any = None) -> None:
        del news
        right(retries)

    return wake


def _redirects_at_once(right: Any) -> Any:
    """Who is told that somebody does not lead asks again at once, whoever is said to lead."""

    def again(core: Any, call: Any, reply: Any) -> None:
        if reply[0] == NOT_LEADER and not call.seq % 2:
            call.move(CallEvent.REFUSE)
            core._router.resume(call)
        else:
            right(core, call, reply)

    return again


def _forgets_to_count(right: Any) -> Any:
    """Who is parked and ends there stays in the count."""

    def end(table: Any, call: Any, *event: Any) -> None:
        was_parked = call.is_parked
        right(table, call, *event)
        table.parked_count += was_parked

    return end


def _never_full(_sessions: Any, _session: Any) -> bool:
    """A gateway numbers requests whatever its session's window says."""
    return False


def _never_passes(_session: Any, _low: int, _wait_low: int) -> int:
    """A slot keeps what its client has confirmed."""
    return 0


def _version_of_nothing(right: Any) -> Any:
    """Each node that names a region makes a version, whether it is known or not."""

    def region(machine: Any, *fields: Any) -> Any:
        before = machine.version
        reply = right(machine, *fields)
        machine.version = before + 1
        return reply

    return region


def _never_the_same(_one: Topology, _other: object) -> bool:
    """Equal topologies are kept once for each link."""
    return False


def _opens_for_ever(_openings: Openings, _now_ns: int) -> bool:
    """A link may open as many sessions as the slots take."""
    return True


BOUNDS = (
    Planted("topologies-apart", "bound of tables", "entities", Topology, "__eq__", _never_the_same),
    shown(
        Planted("sessions-without-end", "bound of sessions", "", Openings, "takes", _opens_for_ever),
        "tests/cluster/test_floods_over_sockets.py"
        "::test_a_link_that_opens_sessions_without_end_is_put_off_and_nobody_else",
    ),
    Planted("log-never-compacted", "bound of logs", "mixed", Core, "compact", _never_compacts),
    Planted("log-bytes-ignored", "bound of logs", "mixed", Core, "is_log_full", property(_is_full_by_number)),
    bug_in("log-kept-for-the-dead", "bound of logs", "mixed", Core, "compact", _for_who_is_behind),
    bug_in("retries-without-back-off", "bound of retries", "mixed", CallTable, "retry_later", _no_back_off),
    shown(
        bug_in("retries-with-all-news", "bound of retries", "mixed", Retries, "wake", _with_all_news, True),
        "tests/unit/cluster/sessions/test_parked_calls.py"
        "::test_news_of_the_cluster_send_nothing_again_where_nobody_else_leads",
    ),
    bug_in("redirects-at-once", "bound of retries", "mixed", SessionCore, "_again", _redirects_at_once),
    bug_in("parked-not-counted", "bound of parked calls", "mixed", CallTable, "end", _forgets_to_count),
    Planted("window-ignored", "window", "mixed", CallSessions, "is_full", _never_full, True),
    Planted("replies-never-forgotten", "window", "mixed", SlotSession, "pass_marks", _never_passes, True),
    bug_in("version-without-change", "versions", "mixed", ControlMachine, "_region", _version_of_nothing),
)
