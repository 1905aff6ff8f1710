"""`ClusterClient(session_ttl_s=...)`: a time to live of its own, within the bounds of the cluster."""

from __future__ import annotations

from typing import Any

import pytest

from casty import ClusterClient
from casty.errors import Mismatch
from tests.spec.conftest import Run
from tests.spec.places import SETTINGS, TTL_S, Place


def test_what_a_silent_client_holds_stays_held_for_its_own_time(run: Run) -> None:
    async def body(place: Place) -> None:
        muffled = await place.muffled(session_ttl_s=2 * TTL_S)
        longer = muffled.client.distributed().lock("longer")
        other = (await place.client()).distributed().lock("longer")
        await longer.acquire()
        muffled.mute(range(len(place.nodes)))
        # A third of the time passes between two keep-alives, and drift takes a little.
        await place.sleep(1.25 * TTL_S)
        assert longer.held
        assert await other.try_acquire() is False
        took_s = await place.until(other.try_acquire, within_s=3 * TTL_S)
        assert not longer.held
        assert took_s < 2 * TTL_S
        muffled.unmute()
        assert await other.release() is True

    run(body)


def test_a_client_that_works_keeps_what_it_holds_with_any_time(run: Run) -> None:
    async def body(place: Place) -> None:
        client = await place.client(session_ttl_s=SETTINGS.shortest_ttl_s)
        async with client.distributed().lock("kept") as lock:
            await place.sleep(2 * TTL_S)
            assert lock.held

    run(body)


@pytest.mark.parametrize("ttl_s", [SETTINGS.shortest_ttl_s / 2, SETTINGS.max_session_ttl_s + 1])
def test_a_time_out_of_bounds_is_refused(run: Run, ttl_s: float) -> None:
    async def body(place: Place) -> None:
        d = (await place.client(session_ttl_s=ttl_s)).distributed()
        text = f"expected {SETTINGS.shortest_ttl_s} to {SETTINGS.max_session_ttl_s} s.*found {ttl_s}"
        for _ in range(2):
            with pytest.raises(Mismatch, match=text):
                await d.lock("refused").acquire()
        assert await d.counter("read").get() == 0

    run(body)


@pytest.mark.parametrize("ttl_s", [0, -1.0, float("nan"), float("inf"), 0.0001, 1e17, 2**70])
def test_what_is_no_time_is_refused_at_once(ttl_s: float) -> None:
    with pytest.raises(ValueError, match="session_ttl_s"):
        ClusterClient(contact_points=[("127.0.0.1", 1)], system_name="none", session_ttl_s=ttl_s)


@pytest.mark.parametrize("ttl_s", ["15", True])
def test_what_is_no_number_is_refused_at_once(ttl_s: Any) -> None:
    with pytest.raises(TypeError, match="session_ttl_s"):
        ClusterClient(contact_points=[("127.0.0.1", 1)], system_name="none", session_ttl_s=ttl_s)
