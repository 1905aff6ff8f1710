"""``casty node``: one node of a cluster, until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import inspect
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from casty.address import check_text
from casty.cli.files import read_config, read_secrets
from casty.config_file import CastyConfig, ClusterSection
from casty.errors import ConfigError
from casty.system import ClusteredActorSystem

__all__ = ["load_app", "merge", "run_node", "say_ready"]

log = logging.getLogger("casty.cli")

SWITCH_S = 0.0005
"""For how long a thread of the interpreter keeps it while another one waits; 5 ms unless it is set. The thread that
writes to the disk waits for its turn twice for each transaction, and what is acknowledged waits for that."""

LEAVE_S = 60.0
"""What ``--leave-on-stop`` may take; a second signal ends it at once."""

App = Callable[[ClusteredActorSystem], Awaitable[object]]


def run_node(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; the one line on standard output begins with ``ready``."""
    config = merge(read_config(options.config), options)
    app = None if options.app is None else load_app(options.app)
    logging.basicConfig(
        stream=sys.stderr,
        level=options.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    sys.setswitchinterval(min(SWITCH_S, sys.getswitchinterval()))
    return asyncio.run(_Service(config, app, leaves=options.leave_on_stop).run())


def merge(config: CastyConfig, options: argparse.Namespace) -> CastyConfig:
    """Let the command line override the file; raises `ConfigError` when the name is nowhere."""
    given = {
        "host": options.host,
        "port": options.port,
        "node_id": options.node_id,
        "bind_host": options.bind_host,
        "required_quorum": options.quorum,
        "data_dir": options.data_dir,
        "zone": options.zone,
        "weight": options.weight,
        "roles": None if options.roles is None else tuple(options.roles),
        "secret": read_secrets(options.secret_file),
        "seed_nodes": None if options.seeds is None else tuple(options.seeds),
    }
    cluster = config.cluster
    if cluster is None:
        if options.host is None or options.port is None:
            raise ConfigError("casty node needs --host and --port, or a [cluster] section in casty.toml")
        cluster = ClusterSection()
    changed = {key: value for key, value in given.items() if value is not None}
    name = config.name if options.name is None else options.name
    check_text("--name", name)
    return replace(config, name=name, cluster=replace(cluster, **changed))


def load_app(spec: str) -> App:
    """Return the function that ``module:function`` names; `ConfigError` for what cannot be awaited so."""
    module_name, colon, name = spec.partition(":")
    if not colon or not module_name or not name:
        raise ConfigError(f"--app: expected module:function, found {spec!r}")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        app: App | None = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"--app {spec}: {error}") from None
    if not callable(app):
        raise ConfigError(f"--app {spec}: expected a function, found {app!r}")
    _check_app(spec, app)
    return app


def _check_app(spec: str, app: App) -> None:
    """Refuse, before anything starts, what could not be awaited with the system."""
    found = inspect.unwrap(app)
    if not inspect.iscoroutinefunction(found) and not inspect.iscoroutinefunction(type(found).__call__):
        raise ConfigError(f"--app {spec}: expected `async def`, found a plain function; it is awaited")
    try:
        inspect.signature(app).bind(None)
    except TypeError as error:
        raise ConfigError(
            f"--app {spec}: expected a function of one argument, the system; {error} "
            f"in {spec.rpartition(':')[2]}{inspect.signature(app)}"
        ) from None


def say_ready(line: str) -> None:
    """Print a line for whoever waits for it. That nobody reads it any more is no reason to take a member away."""
    try:
        print(line, flush=True)
    except OSError as error:
        log.warning("nobody could be told that this node is ready: %s", error)
        # What is left in the buffer would be written again when the process ends, and fail again.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


class _Service:
    """The life of the process: start, say ``ready``, run the app, wait for a signal, stop cleanly."""

    def __init__(self, config: CastyConfig, app: App | None, *, leaves: bool = False) -> None:
        self._config = config
        self._leaves = leaves
        self._app = app
        self._stop = asyncio.Event()
        self._is_ready = False

    async def run(self) -> int:
        """Return the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        serving = loop.create_task(self._serve(), name="node")
        stopping = loop.create_task(self._stop.wait(), name="stop")
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not serving.done() and not self._is_ready:
            serving.cancel()  # still starting: nothing to hand over
        try:
            return await serving
        except asyncio.CancelledError:
            return 0

    def _on_signal(self, number: int) -> None:
        if self._stop.is_set():
            log.warning("second signal: going at once")
            os._exit(128 + number)
        log.info("%s: stopping", signal.Signals(number).name)
        self._stop.set()

    async def _serve(self) -> int:
        system = ClusteredActorSystem.from_config(self._config)
        async with system:
            self._is_ready = True
            address = system.self_node
            say_ready(f"ready {system.node_id} at {address.host}:{address.port}, pid {os.getpid()}")
            ended = asyncio.create_task(system.wait_stopped(), name="stopped")
            ended.add_done_callback(lambda _: self._stop.set())  # drained by an operator
            try:
                code = await self._until_stopped(system)
                if self._leaves and not ended.done():
                    await self._leave(system)
            finally:
                ended.cancel()
            return 1 if system.is_superseded else code

    async def _leave(self, system: ClusteredActorSystem) -> None:
        """Leave for good, in the time that there is; else stop all the same, and be counted as down."""
        try:
            await system.leave(LEAVE_S)
        except TimeoutError as error:
            log.warning("%s; it stops now", error)

    async def _until_stopped(self, system: ClusteredActorSystem) -> int:
        if self._app is None:
            await self._stop.wait()
            return 0
        app = asyncio.ensure_future(self._app(system))
        app.add_done_callback(self._app_ended)
        await self._stop.wait()
        failed = app.done() and not app.cancelled() and app.exception() is not None
        app.cancel()
        await asyncio.wait((app,))
        return 1 if failed else 0

    def _app_ended(self, app: asyncio.Future[object]) -> None:
        """A node whose application failed serves nobody; one whose application returned goes on."""
        if not app.cancelled() and (error := app.exception()) is not None:
            log.error("the application failed", exc_info=error)
            self._stop.set()
