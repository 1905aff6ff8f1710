"""What news of a process mean for the watches of its actors."""

from __future__ import annotations

import pytest

from casty.actor.standing import Presence, Standing, Verdict

UNKNOWN, LINKED, MEMBER, DOWN = Standing.UNKNOWN, Standing.LINKED, Standing.MEMBER, Standing.DOWN


@pytest.mark.parametrize(
    ("before", "now", "verdict"),
    [
        (None, MEMBER, Verdict.NOTHING),
        (None, DOWN, Verdict.DOWN),
        (None, UNKNOWN, Verdict.NOTHING),
        (MEMBER, DOWN, Verdict.DOWN),
        (DOWN, DOWN, Verdict.NOTHING),
        (DOWN, MEMBER, Verdict.BACK),
        (MEMBER, UNKNOWN, Verdict.GONE),
        (DOWN, UNKNOWN, Verdict.GONE),
        (MEMBER, LINKED, Verdict.GONE),
        (LINKED, MEMBER, Verdict.NOTHING),
        (LINKED, UNKNOWN, Verdict.NOTHING),
        (UNKNOWN, LINKED, Verdict.BACK),
    ],
)
def test_verdicts(before: Standing | None, now: Standing, verdict: Verdict) -> None:
    presence = Presence()
    if before is not None:
        presence.look(before)
    assert presence.look(now) is verdict


def test_who_is_missing_for_too_long_is_gone_and_who_comes_back_begins_anew() -> None:
    presence = Presence()
    presence.look(LINKED)
    assert not presence.passed(100, 10), "it is seen"
    presence.look(UNKNOWN)
    assert not presence.passed(9, 10)
    presence.look(UNKNOWN)
    assert presence.missing_ns == 9
    presence.look(LINKED)
    presence.look(UNKNOWN)
    assert not presence.passed(9, 10)
    assert presence.passed(1, 10)
