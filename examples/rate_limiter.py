"""At most so many calls in a while, over all processes together: a key per caller, which ends by itself."""

import asyncio

from casty import ClusteredActorSystem, Dict
from casty.structures import MapChange, MapWatch

LIMIT, WINDOW_S = 3, 0.5


async def is_allowed(windows: Dict[str, int], caller: str) -> bool:
    """Count a call, unless the caller has had as many as it may in this window; its first call begins one."""
    while not await windows.put_if_absent(caller, 1, ttl_s=WINDOW_S):
        used, left_s = await windows.get(caller), await windows.ttl(caller)
        if used is None or not left_s:
            continue  # the window ends just now
        if used >= LIMIT:
            return False
        if await windows.compare_and_set(caller, used, used + 1, ttl_s=left_s):
            return True
    return True


async def report(events: MapWatch[str, int]) -> None:
    """Say when a window ends; any process may listen."""
    async for event in events:
        if isinstance(event, MapChange) and event.kind == "expired":
            print(f"{event.key} may call again")


async def main() -> None:
    async with ClusteredActorSystem(name="limits", host="127.0.0.1", port=0) as system:
        windows = system.distributed().map[str, int]("windows")
        async with windows.watch() as events:
            reporter = asyncio.create_task(report(events))
            for _ in range(5):
                print("allowed" if await is_allowed(windows, "alice") else "refused")
            while await windows.contains("alice"):
                await asyncio.sleep(0.05)
            print("allowed" if await is_allowed(windows, "alice") else "refused")
        await reporter  # it ends with the watch


if __name__ == "__main__":
    asyncio.run(main())
