"""Planted bugs of maps: times to live that the log agrees on, and what watchers are told."""

from __future__ import annotations

from typing import Any

from casty.cluster.slots import machine as machines
from casty.cluster.slots import map_service
from casty.cluster.slots.feed import Feed
from casty.cluster.slots.lapses import LapseClock
from casty.cluster.slots.machine import SlotMachine
from casty.cluster.slots.map_service import SlotMaps
from casty.distributed.machines.base import MAP, OK
from casty.distributed.machines.map import Lasting, MapStructure
from casty.distributed.map_watch import MapWatch

from .bug import Planted, bug_in, shown

__all__ = ["LASTING"]

MAPS = "map"
_FEED = "tests/unit/cluster/slots/test_feed.py"
_SERVICE = "tests/unit/cluster/slots/test_map_service.py"
_LAPSES = "tests/unit/cluster/slots/test_lapses.py"
_ENDS = "keys end where the log says"
_TOLD = "watchers are told"


def _by_its_clock(sound: Any) -> Any:
    def answer(maps: Any, group: Any, answers: Any, call_id: int, read: list[Any]) -> None:
        """A leader says by its own clock that a key has ended; the next one may not think so."""
        state = maps._machine.entities.get((MAP, read[1]))
        if isinstance(state, Lasting) and state.end <= maps._time() and read[2][0] in (1, 2):
            answers.add(call_id, [OK, None if read[2][0] == 1 else False])
        else:
            sound(maps, group, answers, call_id, read)

    return answer


def _own_clock(_clock: Any, state_time: int, now_ns: int) -> int:
    """The time of a slot is that of whichever node leads it."""
    return max(state_time, int(now_ns) // 10_000_000)


def _never_new(_command: Any) -> bool:
    """A time to live counts from whenever the log told the time last."""
    return False


def _named_is_over(entities: Any, key: Any, time: int) -> list[bytes]:
    """Whoever is named has ended, though it was stored anew meanwhile."""
    del time
    return [key[1]] if key[0] == MAP and isinstance(entities.get(key), Lasting) else []


def _keeps_ttl(sound: Any) -> Any:
    def decide(structure: Any, state: Any, command: Any, ctx: Any) -> Any:
        """What is stored without a time to live keeps the one that was there."""
        decision = sound(structure, state, command, ctx)
        if isinstance(state, Lasting) and isinstance(decision.state, bytes) and command[0] == 1:
            return decision._replace(state=state._replace(value=decision.state))
        return decision

    return decide


def _nobody_asks(_clock: Any, _ends: Any, _state_time: int, _now_ns: int) -> None:
    """Only keys that somebody asks for are let go."""


def _without_time(sound: Any) -> Any:
    """A snapshot is restored without the time of the slot."""
    return property(sound.fget, lambda machine, numbers: sound.fset(machine, (*numbers[:3], 0, numbers[4])))


def _ends_untold(sound: Any) -> Any:
    def tell(machine: Any, key: Any, *, has_ended: bool = False) -> None:
        """Whoever watches is not told that a time to live was over."""
        if not has_ended:
            sound(machine, key)

    return tell


def _all_known(sound: Any) -> Any:
    def make(feed: Any, machine: Any, origin: bytes) -> None:
        """A new leader believes to know all changes there ever were."""
        sound(feed, machine, origin)
        feed._floor = 0

    return make


def _any_log(sound: Any) -> Any:
    def news(feed: Any, asked: Any) -> Any:
        """What a watcher knows of another log, or of a time that is forgotten, counts."""
        floor, feed._floor = feed._floor, 0
        try:
            return sound(feed, asked._replace(origin=feed._origin))
        finally:
            feed._floor = floor

    return news


def _floor_stays(sound: Any) -> Any:
    def forget(feed: Any) -> None:
        """That a change is forgotten is not remembered."""
        floor = feed._floor
        sound(feed)
        feed._floor = floor

    return forget


def _cut_anywhere(sound: Any) -> Any:
    def since(feed: Any, asked: Any) -> Any:
        """Of the changes of one entry some go out, and the cursor stands behind all of them."""
        changes, upto = sound(feed, asked)
        return changes[:1], upto

    return since


def _beyond_the_page(sound: Any) -> Any:
    def since(feed: Any, asked: Any) -> Any:
        """Changes of keys that are still to come on a page go out before it."""
        return sound(feed, asked._replace(state=2))

    return since


def _answers_forgotten(_feed: Any, _answers: Any) -> tuple[()]:
    """Questions outlive the link that they came over."""
    return ()


def _keeps_cursor(sound: Any) -> Any:
    def take(watch: Any, slot: Any, answer: list[Any]) -> None:
        """Whoever watches asks again for what it was told."""
        cursor = slot.cursor
        sound(watch, slot, answer)
        if cursor[2] == 2 and answer[2]:
            slot.cursor = cursor

    return take


def _set_back_by_nobody(sound: Any) -> Any:
    def applied(clock: Any, state_time: int, now_ns: int) -> None:
        """A replica that takes it to be later than an entry says goes on counting from there."""
        if clock._at_ns is None or state_time >= clock.time(state_time, now_ns):
            sound(clock, state_time, now_ns)

    return applied


def _set_back_by_itself(sound: Any) -> Any:
    def applied(maps: Any, entry: Any, *, is_known: bool) -> Any:
        """Each entry that a leader proposed sets it back by the time that it took to be committed."""
        del is_known
        return sound(maps, entry, is_known=False)

    return applied


def _blind_to_its_log(sound: Any) -> Any:
    def led(clock: Any, _logged: int | None, state_time: int, now_ns: int) -> None:
        """A new leader speaks by what it had counted, whatever the leader before it had said since."""
        sound(clock, None, state_time, now_ns)

    return led


LASTING = (
    shown(
        bug_in("ended-by-its-clock", _ENDS, MAPS, SlotMaps, "answer", _by_its_clock),
        f"{_SERVICE}::test_a_read_of_a_key_that_is_over_waits_for_the_log_to_say_so",
    ),
    Planted("a-clock-of-ones-own", _ENDS, MAPS, LapseClock, "time", _own_clock),
    shown(
        bug_in("set-back-by-nobody", _ENDS, MAPS, LapseClock, "applied", _set_back_by_nobody, True),
        f"{_LAPSES}::test_no_key_ends_early_whoever_leads",
    ),
    shown(
        bug_in("set-back-by-itself", _ENDS, MAPS, SlotMaps, "applied", _set_back_by_itself),
        f"{_SERVICE}::test_time_goes_on_however_late_the_leader_s_own_entries_are_committed",
    ),
    shown(
        bug_in("blind-to-its-log", _ENDS, MAPS, LapseClock, "led", _blind_to_its_log, True),
        f"{_LAPSES}::test_no_key_ends_early_whoever_leads",
    ),
    Planted("counted-from-the-last-entry", _ENDS, MAPS, map_service, "needs_time", _never_new),
    shown(
        Planted("late-end-takes-a-successor", _ENDS, MAPS, machines, "lapse_of", _named_is_over),
        f"{_LAPSES}::test_a_late_entry_leaves_alone_what_was_stored_anew",
    ),
    bug_in("put-keeps-the-ttl", _ENDS, MAPS, MapStructure, "decide", _keeps_ttl),
    Planted("let-go-when-asked-for", "memory is given back", MAPS, LapseClock, "heartbeat", _nobody_asks),
    bug_in("snapshot-without-time", "snapshot", MAPS, SlotMachine, "numbers", _without_time),
    bug_in("ends-untold", _TOLD, MAPS, SlotMachine, "tell", _ends_untold),
    bug_in("new-leader-knows-all", _TOLD, MAPS, Feed, "__init__", _all_known),
    bug_in("any-log-will-do", _TOLD, MAPS, Feed, "_news", _any_log),
    bug_in("told-twice", _TOLD, MAPS, MapWatch, "_take", _keeps_cursor),
    shown(
        bug_in("overflow-untold", _TOLD, MAPS, Feed, "_drop_first", _floor_stays),
        f"{_FEED}::test_who_lacks_forgotten_changes_is_told_the_present_state",
    ),
    shown(
        bug_in("half-an-entry", _TOLD, MAPS, Feed, "_since", _cut_anywhere),
        f"{_FEED}::test_the_changes_of_one_entry_go_out_together",
    ),
    shown(
        bug_in("changes-before-their-page", _TOLD, MAPS, Feed, "_since", _beyond_the_page),
        f"{_FEED}::test_changes_of_keys_that_are_on_a_later_page_are_not_told",
    ),
    shown(
        Planted("questions-outlive-links", "tables end with links", MAPS, Feed, "forget", _answers_forgotten),
        f"{_FEED}::test_questions_end_with_their_link",
    ),
)  # fmt: skip
"""All of them."""
