"""Planted bugs in queues: waiting calls, reservations, dead letters, and what is put back."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from casty.cluster.sessions.core import router
from casty.cluster.sessions.core.client_session import ClientSession
from casty.cluster.slots.machine import SlotMachine
from casty.cluster.slots.records import SlotRecords
from casty.cluster.slots.visibility import Visibility
from casty.distributed.machines.base import OK, Decision
from casty.distributed.machines.queue import QueueStructure
from casty.distributed.machines.queue_state import Items

from .bug import Planted, bug_in, shown

__all__ = ["QUEUES"]


def _to_the_end(items: Any, item: Any) -> None:
    """What comes back stands behind all others."""
    items.returned.append(item)


def _last_served_first(right: Any) -> Any:
    """Who waits longest for an item gets one last."""

    def promote(items: Any) -> Any:
        if items.first() is not None:
            items.getters = OrderedDict(reversed(items.getters.items()))
        return right(items)

    return promote


def _acked_by_anybody(right: Any) -> Any:
    """An acknowledgement ends the reservation that somebody else has by then."""

    def end(structure: Any, items: Any, caller: Any, seq: int, *, is_done: bool) -> Any:
        if (caller[0], seq) not in items.reserved and items.reserved:
            items.finish(next(iter(items.reserved)))
            return [OK, True, 0, False], 0
        return right(structure, items, caller, seq, is_done=is_done)

    return end


def _room_for_one_more(items: Any) -> bool:
    """Reserved items keep no place."""
    return items.maxsize is None or len(items) < items.maxsize


def _never_dead(items: Any, item: Any) -> bool:
    """Deliveries are counted and never too many."""
    items.insert(item)
    return False


def _uncounted(right: Any) -> Any:
    """What comes back begins anew."""

    def give_back(items: Any, item: Any) -> Any:
        return right(items, item._replace(deliveries=0))

    return give_back


def _not_taken_back(_structure: Any, state: Any, _session: int, _seq: int, _reply: Any) -> Decision:
    """What a withdrawn call had taken is lost."""
    return Decision(state, [OK])


def _always_taken(_kind: int, _reply: Any) -> bool:
    """The slot hears of an answer before the caller has it."""
    return False


def _had_by_nobody(_router: Any, _call: Any) -> None:
    """That a caller has its item is taken note of by nobody."""


def _waited_for_no_longer(right: Any) -> Any:
    """The slot forgets what a call was answered that was given up."""

    def abandon(session: Any, seq: int, entity: Any) -> None:
        right(session, seq, entity)
        session._taking.clear()

    return abandon


def _confirmed_as_given_up(session: Any, seq: int, entity: Any) -> None:
    """To have an outcome is said in the words of giving it up."""
    session.abandoned[seq] = entity


def _ends_with_its_items(right: Any) -> Any:
    """What a session had reserved is gone with it."""

    def end_session(structure: Any, state: Any, session: int) -> Any:
        for key in [key for key in state.reserved if key[0] == session]:
            state.finish(key)
        return right(structure, state, session)

    return end_session


def _at_once(visibility: Any, session: int, held: Any, now_ns: int) -> None:
    """A reservation ends when the leader hears of it."""
    _heard(visibility, session, held, now_ns - 10**12)


_heard = Visibility.heard


def _handed_to_the_dead(right: Any) -> Any:
    """A session that ends in parts is served until the last of them."""

    def resolve(machine: Any, effects: Any, key: Any) -> Any:
        over = {effect.session: machine.sessions[effect.session].over for effect in effects}
        for session in over:
            machine.sessions[session].over = 0
        try:
            return right(machine, effects, key)
        finally:
            for session, kind in over.items():
                if session in machine.sessions:
                    machine.sessions[session].over = kind

    return resolve


def _position_of_the_last(right: Any) -> Any:
    """The caller's change is looked for where the last one is that its entry made."""

    def changed(records: Any, key: Any, *decided: Any) -> Any:
        position = right(records, key, *decided)
        record = records._of(key)
        return [record.number, *position[1:]] if position and record is not None else position

    return changed


def _settings_stay(sound: Any) -> Any:
    def destroy(items: Any, reply: Any) -> Any:
        """What is left of a destroyed queue keeps its settings, and the next one of that name gets them."""
        kept = items.maxsize, items.max_deliveries
        effects = sound(items, reply)
        items.maxsize, items.max_deliveries = kept
        return effects

    return destroy


_SLOT = "tests/unit/cluster/slots/test_slot_queues.py"
_GATEWAY = "tests/unit/cluster/sessions/test_gateway_queues.py"

QUEUES: tuple[Planted, ...] = (
    shown(
        bug_in("settings-outlive-their-queue", "settings of a queue", "queue", Items, "destroy", _settings_stay),
        "tests/unit/distributed/machines/test_queue.py::"
        "test_settings_end_with_the_queue_also_where_something_is_left_of_it",
    ),
    Planted("returned-to-the-end", "order", "queue", Items, "insert", _to_the_end),
    bug_in("acked-by-anybody", "reservations are fenced", "queue", QueueStructure, "_end", _acked_by_anybody),
    Planted("never-dead", "max_deliveries", "queue", Items, "give_back", _never_dead),
    bug_in("deliveries-forgotten", "deliveries", "queue", Items, "give_back", _uncounted),
    shown(bug_in("last-getter-first", "order", "queue", Items, "promote", _last_served_first),
          f"{_SLOT}::test_who_waits_is_served_in_the_order_of_requests"),
    shown(Planted("room-for-the-reserved", "maxsize", "queue", Items, "room", property(_room_for_one_more)),
          f"{_SLOT}::test_a_reserved_item_keeps_its_place"),
    shown(
        bug_in("reserved-dies-with-its-session", "session end", "queue", QueueStructure, "end_session",
               _ends_with_its_items),
        f"{_SLOT}::test_a_session_gives_back_in_order_what_it_had",
    ),
    shown(
        Planted("visible-for-no-time", "visibility", "queue", Visibility, "heard", _at_once),
        f"{_SLOT}::test_a_reservation_ends_its_visibility_after_a_keep_alive_named_it",
    ),
    shown(
        Planted("takes-not-undone", "withdrawal", "queue", QueueStructure, "take_back", _not_taken_back),
        f"{_SLOT}::test_a_withdrawn_call_gives_back_what_it_took",
    ),
    shown(
        bug_in("handed-to-the-dead", "sessions that end in parts", "queue", SlotMachine, "_resolve",
               _handed_to_the_dead),
        f"{_SLOT}::test_a_session_that_ends_in_parts_is_served_no_more",
    ),
    shown(
        bug_in("position-of-the-last", "positions on record", "queue", SlotRecords, "changed",
               _position_of_the_last),
        f"{_SLOT}::test_what_others_are_served_is_on_record_and_who_waits_is_told_no_position",
    ),
    shown(
        Planted("answered-before-it-is-had", "withdrawal", "queue", router, "is_taken", _always_taken),
        f"{_GATEWAY}::test_what_crosses_a_cancellation_is_put_back",
    ),
    shown(
        Planted("had-by-nobody", "confirmation of takes", "queue", router.CallRouter, "taken", _had_by_nobody),
        f"{_GATEWAY}::test_an_item_whose_caller_has_it_is_confirmed_while_an_older_call_waits",
    ),
    shown(
        bug_in("given-up-and-forgotten", "marks of what is given up", "queue", ClientSession, "abandon",
               _waited_for_no_longer),
        f"{_GATEWAY}::test_a_cancelled_waiter_whose_item_came_first_gives_it_back",
    ),
    shown(
        Planted("confirmed-as-given-up", "confirmation of takes", "queue", ClientSession, "confirm",
                _confirmed_as_given_up),
        f"{_GATEWAY}::test_an_item_whose_caller_has_it_is_confirmed_while_an_older_call_waits",
    ),
)  # fmt: skip
