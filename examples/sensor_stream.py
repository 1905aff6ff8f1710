"""Readings of a sensor, as a stream: a node offers them as a service, a client takes them at its own pace."""

import asyncio
from dataclasses import dataclass

from casty import ActorRef, Behaviors, ClusterClient, ClusteredActorSystem, ServiceKey, message
from casty.errors import StreamError
from casty.streams import (
    GetSink,
    GetSource,
    ProducerMessage,
    SinkRef,
    SourceRef,
    stream_consumer,
    stream_producer,
)

SENSOR: ServiceKey[ProducerMessage] = ServiceKey("sensor")
READINGS = 20


@message(name="example.reading")
@dataclass(frozen=True)
class Reading:
    number: int
    celsius: float


async def measure(system: ClusteredActorSystem) -> None:
    """Be the sensor: no faster than whoever listens."""
    producer = system.spawn(Behaviors.discoverable(stream_producer(buffer_size=4), key=SENSOR), "sensor")
    sink: SinkRef[Reading] = await system.ask(producer, lambda reply_to: GetSink(reply_to))
    for number in range(READINGS):
        await sink.put(Reading(number, 20.0 + number / 10))
    await sink.complete()
    await sink.closed()  # whoever listened has them all


async def sensor(client: ClusterClient) -> ActorRef[ProducerMessage]:
    """Return the sensor, when the cluster knows of one."""
    while not (found := list(client.lookup(SENSOR).instances)):
        await asyncio.sleep(0.05)
    return found[0].ref


async def listen(client: ClusterClient) -> list[Reading]:
    """Take the readings; what came before the stream broke is in order and without a hole."""
    consumer = client.spawn(stream_consumer(await sensor(client), initial_demand=8), "listener")
    source: SourceRef[Reading] = await client.ask(consumer, lambda reply_to: GetSource(reply_to))
    got: list[Reading] = []
    try:
        async with source:
            async for reading in source:
                print(f"{reading.number}: {reading.celsius:.1f} degrees")
                got.append(reading)
    except StreamError as error:
        print("the stream broke:", error)
    return got


async def main() -> None:
    async with ClusteredActorSystem(name="plant", host="127.0.0.1", port=0) as system:
        async with ClusterClient(contact_points=[system.self_node], system_name="plant") as client:
            measuring = asyncio.create_task(measure(system))
            readings = await listen(client)
            await measuring
            print(f"{len(readings)} readings, the last one {readings[-1].celsius:.1f} degrees")


if __name__ == "__main__":
    asyncio.run(main())
