"""Who judges watched processes: a node that hears the control group's leader and is linked with a majority."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from casty.cluster.actors.presence import NodeCompany
from casty.cluster.control.replica import CONTROL
from casty.config import SECOND_NS
from casty.settings import Settings

NOW_NS = 100 * SECOND_NS


def company(linked: list[str], heard_ago_s: float | None) -> NodeCompany:
    """Return what the node a of three sees; None: it knows no leader of the control group."""
    leader = None if heard_ago_s is None else "b"
    heard_ns = NOW_NS - int((heard_ago_s or 0) * SECOND_NS)
    core = SimpleNamespace(leader=leader, last_heard_ns=lambda: heard_ns)
    members = {name: SimpleNamespace(node_id=name, status="up") for name in ("a", "b", "c")}
    node: Any = SimpleNamespace(
        node_id="a",
        settings=Settings(unreachable_after_s=3.0),
        runtime=SimpleNamespace(clock=SimpleNamespace(now=lambda: NOW_NS)),
        host=SimpleNamespace(groups={CONTROL: SimpleNamespace(core=core, is_leading=False)}),
        links=SimpleNamespace(nodes=linked),
        topology=lambda: SimpleNamespace(members=members),
    )
    remote: Any = SimpleNamespace(node_at=None, say=None)
    clients: Any = None
    return NodeCompany(node, clients, remote)


@pytest.mark.parametrize(
    ("linked", "heard_ago_s", "is_sighted"),
    [
        (["b"], 3.0, True),
        ([], 0.0, False),
        # Links that rest may be down for a while before anybody looks.
        (["b", "c"], 3.1, False),
        (["b", "c"], None, False),
    ],
)
def test_who_is_sighted(linked: list[str], heard_ago_s: float | None, is_sighted: bool) -> None:
    assert company(linked, heard_ago_s).is_sighted() is is_sighted
