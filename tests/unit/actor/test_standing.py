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
        presence.look(before, 0)
    assert presence.look(now, 0) is verdict


def test_who_is_missing_for_too_long_is_gone_and_who_comes_back_begins_anew() -> None:
    presence = Presence()
    presence.look(LINKED, 0)
    assert not presence.passed(100, 10), "it is seen"
    presence.look(UNKNOWN, 0)
    assert not presence.passed(9, 10)
    presence.look(UNKNOWN, 0)
    assert presence.missing_ns == 9
    presence.look(LINKED, 0)
    presence.look(UNKNOWN, 0)
    assert not presence.passed(9, 10)
    assert presence.passed(1, 10)
