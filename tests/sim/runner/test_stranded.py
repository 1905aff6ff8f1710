"""How long a client could hear of somebody: its link had both ends, it ran, and there was somebody to hear of."""

from __future__ import annotations

import pytest

from casty.events import LinkDown, LinkUp, TopologyChanged
from sim import World
from sim.kernel.events import Crashed, Paused, Resumed
from sim.kernel.trace import Trace
from sim.runner.stranded import Hearing

S = 1_000_000_000
NEWS = (0, "node-2", TopologyChanged(1, 2))
LINKED = ((0, "client-1", LinkUp("node-1")), (0, "node-1", LinkUp("client-id#1")))


@pytest.mark.parametrize(
    ("events", "heard_s"),
    [
        ((NEWS, *LINKED), 9),
        (LINKED, 0),
        ((*LINKED, (4, "node-2", TopologyChanged(1, 2))), 5),
        ((NEWS, LINKED[0]), 0),
        ((NEWS, LINKED[1]), 0),
        ((NEWS, *LINKED, (3, "node-1", LinkDown("client-id#1", "silent"))), 3),
        ((NEWS, *LINKED, (2, "client-1", LinkDown("node-1", "reset")), (4, "client-1", LinkUp("node-1"))), 5),
        ((NEWS, *LINKED, (2, "client-1", Paused()), (8, "client-1", Resumed())), 2),
        ((NEWS, *LINKED, (1, "node-1", Crashed(is_power_loss=True))), 1),
        ((NEWS, *LINKED, (1, "client-1", Crashed(is_power_loss=False))), 1),
        ((NEWS, LINKED[0], (0, "node-1", LinkUp("another-id#1"))), 0),
    ],
)
def test_only_what_could_be_heard_counts(
    events: tuple[tuple[int, str, tuple[object, ...]], ...], heard_s: int
) -> None:
    trace = Trace()
    for at_s, node, event in (*events, (9, "nemesis", ("over",))):
        trace.add(at_s * S, node, event)
    with World(1) as world:
        client = world.add_node("client-1", lambda process: process)
        assert Hearing(client, "client-id", ["node-2"]).read(trace) == heard_s * S
