"""Real ``casty node`` processes, as the demonstration, the chaos suite and the benchmarks start them."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["HOST", "Cluster", "NodeProcess", "StartFailed", "free_ports"]

HOST = "127.0.0.1"
READY_S = 30.0
STOP_S = 5.0
TAIL_LINES = 20


class StartFailed(RuntimeError):
    """A node process ended, or said nothing, before it was ready; its last log lines are in the text."""


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            each.bind((HOST, 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


class NodeProcess:
    """One node: started, killed, paused and stopped as often as wanted, always under the same name and port.

    Parameters
    ----------
    system
        The system's name.
    node_id, port, seeds
        What the node is told.
    log_path
        Its standard error is appended there.
    extra
        Further words for ``casty node``.
    settings
        Fields of `casty.config.Settings` that differ from their defaults.
    launcher
        A command that starts the node's, such as ``("prlimit", "--as=...")``.
    """

    def __init__(
        self,
        system: str,
        node_id: str,
        port: int,
        seeds: Sequence[int],
        log_path: Path,
        extra: Sequence[str] = (),
        settings: Mapping[str, int | float | str] | None = None,
        launcher: Sequence[str] = (),
    ) -> None:
        self.node_id = node_id
        self.port = port
        self.log_path = log_path
        self._launcher = tuple(launcher)
        self._words = [
            "-m", "casty.cli", "node", "--name", system, "--node-id", node_id,
            "--host", HOST, "--port", str(port), "--seed", *[f"{HOST}:{seed}" for seed in seeds], *extra,
        ]  # fmt: skip
        self._variables = {
            f"CASTY_SETTINGS_{name.upper()}": str(value) for name, value in (settings or {}).items()
        }
        self._process: asyncio.subprocess.Process | None = None
        self.is_paused = False

    @property
    def is_running(self) -> bool:
        """Whether its process exists; a paused one does."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int | None:
        """The process id, while it runs."""
        return self._process.pid if self._process is not None and self.is_running else None

    async def start(self) -> None:
        """Start it; `ready` waits for it."""
        assert not self.is_running, f"{self.node_id} runs already"
        with self.log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._launcher,
                sys.executable,
                *self._words,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, **self._variables},
            )

    async def ready(self, timeout_s: float = READY_S) -> str:
        """Return the ``ready`` line; raises `StartFailed`."""
        assert self._process is not None and self._process.stdout is not None, "start it first"
        try:
            async with asyncio.timeout(timeout_s):
                line = (await self._process.stdout.readline()).decode().strip()
        except TimeoutError:
            raise StartFailed(f"{self.node_id}: not ready within {timeout_s} s\n{self.log_tail()}") from None
        if not line.startswith("ready"):
            raise StartFailed(f"{self.node_id}: ended before it was ready\n{self.log_tail()}")
        return line

    def log_tail(self) -> str:
        """Return the last lines of its log."""
        if not self.log_path.exists():
            return ""
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-TAIL_LINES:])

    async def kill(self) -> None:
        """SIGKILL; nothing of it runs after this returns."""
        await self._end(signal.SIGKILL)

    async def stop(self, timeout_s: float = STOP_S) -> int | None:
        """SIGTERM, and SIGKILL when it does not go in time; returns its exit code."""
        self.resume()
        try:
            async with asyncio.timeout(timeout_s):
                await self._end(signal.SIGTERM)
        except TimeoutError:
            await self.kill()
        return None if self._process is None else self._process.returncode

    async def ended(self) -> int:
        """Wait until it goes by itself; returns its exit code."""
        assert self._process is not None, "start it first"
        return await self._process.wait()

    def pause(self) -> None:
        """SIGSTOP."""
        self._send(signal.SIGSTOP)
        self.is_paused = True

    def resume(self) -> None:
        """SIGCONT, if it was paused."""
        if self.is_paused:
            self._send(signal.SIGCONT)
        self.is_paused = False

    async def _end(self, number: signal.Signals) -> None:
        self._send(number)
        if self._process is not None:
            await self._process.wait()
        self.is_paused = False

    def _send(self, number: signal.Signals) -> None:
        if self._process is not None and self.is_running:
            self._process.send_signal(number)


class Cluster:
    """A few node processes that found a cluster together.

    Parameters
    ----------
    count
        How many.
    folder
        For their logs.
    system
        The system's name.
    extra
        Further words for each ``casty node``.
    settings
        Fields of `casty.config.Settings` that differ from their defaults.
    names
        The node ids; None: ``a``, ``b`` ...
    data
        Where each node gets a data directory of its name; None: replicas are in memory.
    """

    def __init__(
        self,
        count: int,
        folder: Path,
        *,
        system: str = "demo",
        extra: Sequence[str] = (),
        settings: Mapping[str, int | float | str] | None = None,
        names: Sequence[str] | None = None,
        data: Path | None = None,
    ) -> None:
        ports = free_ports(count)
        chosen = names or [chr(ord("a") + index) for index in range(count)]
        self.system = system
        self.nodes = {
            name: NodeProcess(
                system,
                name,
                port,
                ports,
                folder / f"{name}.log",
                extra if data is None else (*extra, "--data-dir", str(data / name)),
                settings,
            )
            for name, port in zip(chosen, ports, strict=True)
        }

    @property
    def contacts(self) -> list[tuple[str, int]]:
        """Return every node's address."""
        return [(HOST, node.port) for node in self.nodes.values()]

    async def start(self, timeout_s: float = READY_S) -> None:
        """Start all and wait until all are ready."""
        for node in self.nodes.values():
            await node.start()
        for node in self.nodes.values():
            await node.ready(timeout_s)

    async def stop(self) -> dict[str, int | None]:
        """Stop all that run; returns their exit codes."""
        nodes = list(self.nodes.values())
        codes = await asyncio.gather(*(node.stop() for node in nodes))
        return {node.node_id: code for node, code in zip(nodes, codes, strict=True)}
