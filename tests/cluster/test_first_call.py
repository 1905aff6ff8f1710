"""A client's first call may be any: also one that asks every slot, before it knows how many there are."""

from __future__ import annotations

import pytest

from casty import Settings
from sim import World


@pytest.mark.parametrize("slots", [1, 4, 100])
def test_a_map_may_be_destroyed_before_anything_is_known_of_the_cluster(slots: int) -> None:
    async def main(world: World) -> None:
        (node,) = await world.cluster(1, config=Settings(slots=slots))
        entries = node.distributed().map[int, int]("m")
        for key in range(20):
            await entries.put(key, key)
        client = await world.client("client")
        assert client.topology is None, "it has only begun to connect"
        assert await client.distributed().map[int, int]("m").destroy()
        assert not await entries.contains(1)

    with World(1) as world:
        world.run(main(world), limit_s=60)
        assert world.errors == []
