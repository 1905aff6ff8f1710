from typing import assert_type
from casty.distributed.facade import Distributed
from casty.distributed.map import Dict
from casty.distributed.set import Set
from casty.distributed.queue import Queue
from casty.distributed.lock import Lock
from casty.system import ClusteredActorSystem
class User: ...
async def f(system: ClusteredActorSystem) -> None:
    d = Distributed(system)
    users = d.map[str, User]("users", shards=10)
    assert_type(users, Dict[str, User])
    assert_type(await users.get("a"), User | None)
    assert_type(d.map[str, dict[str, int]]("x"), Dict[str, dict[str, int]])
    assert_type(d.set[str]("tags"), Set[str])
    assert_type(d.queue[User]("jobs", timeout=None), Queue[User])
    d.queue[User | None]("jobs")
    d.map[str, int | None]("jobs")
    d.map("jobs")
    assert_type(await d.queue[User]("jobs").dequeue(), User | None)
    async with d.lock("a") as lock:
        assert_type(lock, Lock)
        assert_type(lock.token, int | None)
