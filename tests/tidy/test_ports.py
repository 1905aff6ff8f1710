"""Time, entropy, network, threads and files are reached through the ports only."""

from __future__ import annotations

import ast

from tests.tidy.source import Module, called, dotted, imported, modules

COMMAND_LINE = "casty/cli/"
ALLOWED: dict[str, tuple[str, ...]] = {
    "time": ("casty/realtime.py", COMMAND_LINE),
    "random": (),
    "secrets": ("casty/realtime.py",),
    "socket": (
        "casty/transport/accepting.py",
        "casty/transport/names.py",
        "casty/transport/tcp.py",
        "casty/transport/tls.py",
        COMMAND_LINE,
    ),
    "ssl": ("casty/tls.py", "casty/transport/tcp.py", "casty/transport/tls.py"),
    "threading": ("casty/disk.py",),  # a sync of the disk would stop the loop
    "concurrent": ("casty/journal/sqlite.py",),
    "multiprocessing": (),
    "subprocess": (COMMAND_LINE,),
    "signal": (COMMAND_LINE,),
    "selectors": (),
    "os": (
        "casty/forks.py",  # descriptors, and what becomes of them in a child
        "casty/process_limits.py",
        "casty/transport/tcp.py",
        "casty/tls.py",
        "casty/config_file.py",
        "casty/pytest_plugin.py",
        "casty/disk.py",  # the lock of a data directory, and its sync
        COMMAND_LINE,
    ),
    "fcntl": ("casty/disk.py",),
    "queue": ("casty/disk.py",),
    "pathlib": (
        "casty/disk.py",
        "casty/journal/sqlite.py",  # what is there already has to be a database
        "casty/config_file.py",
        "casty/process_limits.py",
        "casty/pytest_plugin.py",
        COMMAND_LINE,
    ),
    "io": ("casty/wire/serializer.py",),
    "tempfile": (COMMAND_LINE,),
    "shutil": (),
    "resource": ("casty/process_limits.py",),
    "platform": (COMMAND_LINE, "casty/pytest_plugin.py"),
    "pickle": ("casty/wire/serializer.py",),
    "sqlite3": ("casty/disk.py", "casty/journal/sqlite.py"),
}
"""Who may import what; everybody else asks `runtime.current()`."""

ESCAPES = (
    "asyncio.sleep", "asyncio.wait_for", "asyncio.open_connection", "asyncio.start_server", "asyncio.to_thread",
    "asyncio.create_subprocess_exec", "asyncio.run", "datetime.datetime.now", "datetime.now", "datetime.utcnow",
    "datetime.date.today", "uuid.uuid1", "uuid.uuid4", "uuid4", "open", "os.urandom",
)  # fmt: skip
MAY_ESCAPE = ("casty/realtime.py", "casty/config_file.py", COMMAND_LINE)


def test_only_the_ports_import_the_world() -> None:
    strays = [
        f"{module.path}:{line} imports {name}"
        for module in modules("casty")
        for line, name in imported(module)
        if (allowed := ALLOWED.get(name.partition(".")[0])) is not None
        and not module.path.startswith(allowed)
    ]
    assert not strays


def test_nothing_calls_around_the_ports() -> None:
    strays = [
        f"{module.path}:{node.lineno} calls {called(node)}"
        for module in modules("casty")
        if not module.path.startswith(MAY_ESCAPE)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and called(node) in ESCAPES
    ]
    assert not strays


def test_no_order_comes_from_hash_or_address() -> None:
    strays = [
        f"{module.path}:{node.lineno}"
        for module in modules("casty", "sim")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and called(node) == "hash" and not _inside_hash(module, node)
    ]
    assert not strays


def _inside_hash(module: Module, call: ast.Call) -> bool:
    return any(
        isinstance(node, ast.FunctionDef) and node.name == "__hash__" and call in ast.walk(node)
        for node in ast.walk(module.tree)
    )


def test_no_branch_asks_whether_it_is_simulated() -> None:
    words = ("is_simulated", "is_simulation", "under_test", "PYTEST_CURRENT_TEST")
    strays = [module.path for module in modules("casty") for word in words if word in module.text]
    assert not strays


def test_broad_handlers_stand_at_the_boundaries_only() -> None:
    boundaries = (
        "casty/checks.py",
        "casty/actor/", "casty/transport/connection.py", "casty/cli/main.py", "casty/pytest_plugin.py",
        "casty/cluster/multiraft/host.py",  # a replica fails alone, as a process would
        # Constructors, properties and serializers of users raise what they like.
        "casty/wire/codec.py", "casty/wire/serializer_codec.py", "casty/wire/shapes.py",
        "casty/transport/peers.py",  # the user's address map
        "casty/discovery.py",  # the user's function that says seeds
        "casty/distributed/recording/recorder.py",  # the user's journal
        # A message of an actor costs itself, not its link, nor those that came in one frame with it.
        "casty/cluster/node/boundary.py", "casty/cluster/client.py", "casty/cluster/actors/bundles.py",
        "sim/kernel/loop.py", "sim/kernel/teardown.py", "sim/world/process.py",
        "sim/runner/shrink.py",  # the user's test
        "chaos/fuzz.py",  # whatever a mutant makes the library raise is what it looks for
    )  # fmt: skip
    strays = [
        f"{module.path}:{handler.lineno}"
        for module in modules("casty", "sim", "chaos", "benchmarks")
        for handler in ast.walk(module.tree)
        if isinstance(handler, ast.ExceptHandler)
        and not module.path.startswith(boundaries)
        and (handler.type is None or dotted(handler.type) in ("Exception", "BaseException"))
        and not _raises_again(handler)
    ]
    assert not strays


def _raises_again(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None
