"""Planted bugs in streams: elements that are lost, doubled or too many, and ends of which one side never hears."""

from __future__ import annotations

from typing import Any

from casty.actor.streams.behaviors import Consumer
from casty.actor.streams.consuming import Consuming
from casty.actor.streams.messages import StreamClose, StreamElements, StreamEnd, Why
from casty.actor.streams.producing import Producing
from casty.actor.streams.sink import Feed

from .bug import Planted, bug_in, shown

__all__ = ["STREAMS"]

_STATES = "tests/unit/actor/test_stream_states.py"


def _gap_unseen(consuming: Any, message: StreamElements) -> None:
    """Whatever comes is handed out, also behind elements that did not come."""
    if consuming._is_mine(message.stream):
        consuming._here.extend(message.elements)
        consuming.received = message.first + len(message.elements) - 1


def _dropped_when_stopped(consumer: Any) -> None:
    """With the consumer goes what came and was not read, and the reader hears of the end as it was known."""
    consumer._flow.detach()
    if not consumer._flow.is_drained:
        consumer._say(consumer._stream.close(StreamEnd(Why.lost, "the consumer stopped")))
        consumer._flow.wake()


def _progress_unread(consuming: Any, message: Any) -> None:
    """How much was sent is no matter: a lost element is missed only when another one follows."""
    consuming._is_mine(message.stream)


def _end_believed(consuming: Any, message: Any) -> Any:
    """The end is believed, also where elements before it did not come."""
    if message.stream != consuming.stream:
        return None
    return StreamClose(consuming.stream, consuming.end) if consuming.end else consuming._over(message.end)


def _end_said_once(right: Any) -> Any:
    """A check is answered with how much was sent, also behind the end: one that was lost is not said again."""

    def heard(producing: Any, until: int) -> Any:
        producing._is_ending, is_ending = False, producing._is_ending
        answer = right(producing, until)
        producing._is_ending = is_ending
        return answer

    return heard


def _closed_once(right: Any) -> Any:
    """That the consumer is done is said once: a producer that does not hear it waits for its silence."""

    def tick(consuming: Any) -> Any:
        return None if consuming.end is not None else right(consuming)

    return tick


def _demand_forgotten(right: Any) -> Any:
    """What is sent is not bounded by what was asked for."""

    def due(producing: Any, most: int = 256) -> Any:
        producing.until = max(producing.until, producing.sent + most)
        return right(producing, most)

    return due


def _patient_for_ever(producing: Any) -> None:
    """A consumer that is not heard any more is waited for."""


def _loss_untold(consuming: Any, reason: str) -> None:
    """That the producer is gone ends nothing."""


async def _put_without_waiting(feed: Any, element: object) -> None:
    """Whoever puts does not wait for room."""
    if feed.stream.end is None:
        feed.stream._waiting.append(element)
        feed.call()


def _only_ticked(consumer: Any) -> None:
    """What the reader called and nobody heard is not looked for."""
    consumer._say(consumer._stream.tick())


STREAMS = (
    shown(
        Planted("stream-call-unheard", "streams", "actors", Consumer, "_ticked", _only_ticked, True),
        "tests/unit/actor/test_stream_mailboxes.py"
        "::test_a_stream_goes_on_though_what_its_user_said_once_found_no_room",
    ),
    Planted("stream-gap-unseen", "streams", "actors", Consuming, "came", _gap_unseen),
    shown(
        Planted("stream-end-believed", "streams", "actors", Consuming, "ending", _end_believed),
        f"{_STATES}::test_a_lost_element_is_noticed_by_the_next_one_by_a_check_and_by_the_end",
    ),
    shown(
        bug_in("stream-end-said-once", "streams", "actors", Producing, "_heard", _end_said_once),
        f"{_STATES}::test_an_end_that_was_lost_is_said_again_until_it_is_confirmed",
    ),
    Planted("stream-put-without-waiting", "streams", "actors", Feed, "put", _put_without_waiting),
    shown(
        Planted("stream-progress-unread", "streams", "actors", Consuming, "progressed", _progress_unread),
        f"{_STATES}::test_a_lost_element_is_noticed_by_the_next_one_by_a_check_and_by_the_end",
    ),
    shown(
        bug_in("stream-closed-once", "streams", "actors", Consuming, "tick", _closed_once),
        f"{_STATES}::test_an_end_that_was_lost_is_said_again_until_it_is_confirmed",
    ),
    shown(
        Planted(
            "stream-dropped-when-stopped", "streams", "actors", Consumer, "_stopped", _dropped_when_stopped
        ),
        "tests/sim/test_scenarios.py::test_what_once_failed_holds[complete-and-not-read]",
    ),
    bug_in("stream-demand-forgotten", "streams", "actors", Producing, "due", _demand_forgotten),
    shown(
        Planted("stream-patient-for-ever", "streams", "actors", Producing, "tick", _patient_for_ever),
        f"{_STATES}::test_silence_ends_both_sides_and_says_of_whom",
    ),
    shown(
        Planted("stream-loss-untold", "streams", "actors", Consuming, "lost", _loss_untold),
        f"{_STATES}::test_that_a_side_is_gone_ends_the_stream_for_the_other_behind_what_came",
    ),
)
