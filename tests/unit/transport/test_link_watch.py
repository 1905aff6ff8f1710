"""When one end of a link looks whether the other is there."""

from __future__ import annotations

import pytest

from casty.transport.link_watch import LOOKS_PER_S, MISSED_PINGS, LinkWatch, Look, RestingLinks

UNREACHABLE_AFTER_S = 3.0
SHORT_S = UNREACHABLE_AFTER_S / MISSED_PINGS


OTHERS = 5 * LOOKS_PER_S - 1
LONG_S = 5 * SHORT_S
"""How long a link rests beside so many others."""


def resting() -> tuple[LinkWatch, RestingLinks]:
    """Return the end of a link that has gone to rest beside others."""
    watch, links = LinkWatch(), RestingLinks()
    links.count = OTHERS
    watch.may_rest(links)
    assert watch.look(is_silent=False, is_busy=False) is Look.NOTHING
    assert watch.is_resting and links.count == OTHERS + 1
    return watch, links


def looks_until_dead(watch: LinkWatch) -> float:
    """Return after how many seconds of silence a link is given up, from a look on."""
    passed_s = watch.pause_s(UNREACHABLE_AFTER_S)
    while watch.look(is_silent=True, is_busy=False) is not Look.DEAD:
        passed_s += watch.pause_s(UNREACHABLE_AFTER_S)
    return passed_s


def test_one_that_may_not_rest_is_pinged_at_every_silent_look_and_given_up() -> None:
    watch = LinkWatch()
    assert [watch.look(is_silent=True, is_busy=False) for _ in range(MISSED_PINGS)] == [
        Look.PING, Look.PING, Look.DEAD,
    ]  # fmt: skip


def test_one_on_which_nothing_is_said_rests_and_costs_a_ping_a_rest() -> None:
    watch, _ = resting()
    assert watch.pause_s(UNREACHABLE_AFTER_S) == LONG_S
    assert watch.look(is_silent=True, is_busy=False) is Look.PING
    assert watch.pause_s(UNREACHABLE_AFTER_S) == SHORT_S
    # The answer comes, and it rests again.
    assert watch.look(is_silent=False, is_busy=False) is Look.NOTHING
    assert watch.is_resting


def test_one_that_hears_pings_only_goes_on_resting_and_pings_nobody() -> None:
    watch, _ = resting()
    for _ in range(10):
        assert watch.look(is_silent=False, is_busy=False) is Look.NOTHING
        assert watch.is_resting


def test_what_is_said_ends_the_rest_and_a_silent_link_is_found_as_soon_as_ever() -> None:
    watch, links = resting()
    assert watch.said()
    assert not watch.is_resting and links.count == OTHERS
    assert looks_until_dead(watch) == UNREACHABLE_AFTER_S


def test_what_was_said_after_the_other_end_was_heard_keeps_it_awake_over_the_look() -> None:
    watch = LinkWatch()
    watch.may_rest(RestingLinks())
    # Both happened since the last look: nobody knows in which order.
    watch.said()
    assert watch.look(is_silent=False, is_busy=False) is Look.NOTHING
    assert not watch.is_resting
    assert watch.look(is_silent=True, is_busy=False) is Look.PING
    assert looks_until_dead(watch) == UNREACHABLE_AFTER_S - SHORT_S
    watch = LinkWatch()
    watch.may_rest(RestingLinks())
    watch.said()
    watch.look(is_silent=False, is_busy=False)
    # Heard since, and nothing more was said.
    assert watch.look(is_silent=False, is_busy=False) is Look.NOTHING
    assert watch.is_resting


def test_a_vanished_end_of_a_resting_link_is_found_a_rest_later() -> None:
    watch, _ = resting()
    assert looks_until_dead(watch) == LONG_S + (MISSED_PINGS - 1) * SHORT_S


def test_one_that_has_messages_to_confirm_does_not_rest() -> None:
    watch = LinkWatch()
    watch.may_rest(RestingLinks())
    assert watch.look(is_silent=False, is_busy=True) is Look.NOTHING
    assert not watch.is_resting


def test_a_few_rest_no_longer_than_others_are_awake() -> None:
    watch, links = LinkWatch(), RestingLinks()
    watch.may_rest(links)
    links.count = LOOKS_PER_S - 1
    watch.look(is_silent=False, is_busy=False)
    assert watch.is_resting and watch.pause_s(UNREACHABLE_AFTER_S) == SHORT_S
    assert looks_until_dead(watch) == UNREACHABLE_AFTER_S


@pytest.mark.parametrize("count", [1, 10, 100, 1000])
def test_all_resting_links_together_are_looked_at_no_more_than_so_often(count: int) -> None:
    links = RestingLinks()
    ends = [LinkWatch() for _ in range(count)]
    for end in ends:
        end.may_rest(links)
        end.look(is_silent=False, is_busy=False)
    for end in ends:
        end.look(is_silent=False, is_busy=False)
    a_second = sum(1 / end.pause_s(UNREACHABLE_AFTER_S) for end in ends)
    assert a_second <= LOOKS_PER_S + 1e-6


def test_links_that_end_are_counted_no_more() -> None:
    watch, links = resting()
    watch.wake()
    assert links.count == OTHERS
