"""Whole clusters in a world: nodes and clients as users run them, with names and addresses made up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

from .process import Process, Setup

if TYPE_CHECKING:
    from casty.client import ClusterClient
    from casty.system import ClusteredActorSystem

__all__ = ["CLUSTER_NAME", "NODE_PORT", "ClusterSupport"]

CLUSTER_NAME = "sim"
NODE_PORT = 25520


class ClusterSupport:
    """The part of a world that knows `ClusteredActorSystem` and `ClusterClient`."""

    processes: dict[str, Process]
    add_node: Callable[..., Process]
    start: Callable[[str], Awaitable[object]]

    def __init__(self) -> None:
        self.node_names: list[str] = []
        self._clients_made = 0

    async def cluster(self, nodes: int = 3, **options: Any) -> list[ClusteredActorSystem]:
        """Add and start so many nodes as co-founders, and return their systems once all serve.

        Parameters
        ----------
        nodes
            How many; they are called ``node-1``, ``node-2`` ...
        options
            Passed to each `ClusteredActorSystem`.
        """
        names = [f"node-{len(self.node_names) + index + 1}" for index in range(nodes)]
        seeds = [(name, NODE_PORT) for name in names]
        for name in names:
            self.add_node(name, _node_setup(seeds, options))
        self.node_names.extend(names)
        await asyncio.gather(*[self.start(name) for name in names])
        return [self.node(index) for index in range(nodes)]

    def node(self, index: int) -> ClusteredActorSystem:
        """Return the running system of the so-many-th node, from 0."""
        name = self.node_names[index]
        value = self.processes[name].value
        if value is None:
            raise ValueError(f"{name} is not running")
        return cast("ClusteredActorSystem", value)

    async def client(self, name: str | None = None, **options: Any) -> ClusterClient:
        """Add and start a client on a machine of its own, connected to all nodes there are."""
        self._clients_made += 1
        name = name or f"client-{self._clients_made}"
        points = [(node, NODE_PORT) for node in self.node_names]
        self.add_node(name, _client_setup(points, options))
        return cast("ClusterClient", await self.start(name))


def _node_setup(seeds: list[tuple[str, int]], options: dict[str, Any]) -> Setup:
    async def setup(process: Process) -> ClusteredActorSystem:
        from casty.system import ClusteredActorSystem  # only worlds with real nodes need it

        system = ClusteredActorSystem(
            name=CLUSTER_NAME,
            host=process.name,
            port=NODE_PORT,
            node_id=process.node_id,
            seed_nodes=seeds,
            **options,
        )
        return await system.__aenter__()

    return setup


def _client_setup(points: list[tuple[str, int]], options: dict[str, Any]) -> Setup:
    async def setup(process: Process) -> ClusterClient:
        from casty.client import ClusterClient  # only worlds with real clients need it

        client = ClusterClient(
            contact_points=points, system_name=CLUSTER_NAME, client_host=process.name, **options
        )
        return await client.__aenter__()

    return setup
