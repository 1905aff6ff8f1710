"""The floor: a raw framed msgpack echo between two processes, with nothing of casty on the way."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable

import msgpack

from benchmarks.measure import Result, measure, table

__all__ = ["EchoClient", "main", "run_echo"]

HEADER_BYTES = 4
HOST = "127.0.0.1"
PAYLOAD = ["increment", 12345, 67890, "a-name-of-usual-length", b"some bytes of a value"]


class Framed(asyncio.Protocol):
    """Cuts length-prefixed frames; answers of one turn leave in one write."""

    def __init__(self) -> None:
        self._rest = b""
        self._packer = msgpack.Packer()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Cut and hand on."""
        data = self._rest + data
        start, answers = 0, []
        while len(data) - start >= HEADER_BYTES:
            end = start + HEADER_BYTES + int.from_bytes(data[start : start + HEADER_BYTES], "big")
            if end > len(data):
                break
            answer = self.take(msgpack.unpackb(data[start + HEADER_BYTES : end]))
            if answer is not None:
                answers.append(answer)
            start = end
        self._rest = data[start:]
        if answers and self.transport is not None:
            self.transport.write(b"".join(answers))

    def take(self, message: object) -> bytes | None:
        """Echo."""
        return self.frame(message)

    def frame(self, message: object) -> bytes:
        """Return the bytes of one message."""
        body = self._packer.pack(message)
        return len(body).to_bytes(HEADER_BYTES, "big") + body


class EchoClient(Framed):
    """Sends numbered messages and wakes the caller whose number comes back."""

    def __init__(self) -> None:
        super().__init__()
        self._number = 0
        self._waiting: dict[int, asyncio.Future[None]] = {}

    def call(self) -> Awaitable[None]:
        """One round trip."""
        self._number += 1
        future = self._waiting[self._number] = asyncio.get_running_loop().create_future()
        assert self.transport is not None
        self.transport.write(self.frame([self._number, *PAYLOAD]))
        return future

    def take(self, message: object) -> bytes | None:
        """Wake a caller."""
        assert isinstance(message, list)
        self._waiting.pop(message[0]).set_result(None)
        return None


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(Framed, HOST, 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def run_echo(callers: list[int], seconds: float) -> list[Result]:
    """Start the server process and measure."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.echo", "serve", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    port = int(await process.stdout.readline())
    transport, client = await asyncio.get_running_loop().create_connection(EchoClient, HOST, port)
    try:
        results = []
        for count in callers:
            calls: list[Callable[[], Awaitable[object]]] = [client.call] * count
            results.append(await measure("raw framed msgpack echo", calls, seconds))
        return results
    finally:
        transport.close()
        process.kill()
        await process.wait()


def main() -> None:
    """Serve, or measure."""
    if sys.argv[1:] == ["serve"]:
        asyncio.run(_serve())
    else:
        print(table(asyncio.run(run_echo([1, 16, 64], 3.0))))


if __name__ == "__main__":
    main()
