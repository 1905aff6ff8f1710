"""What a link can cause is logged by a `Complaint`: seldom, counted, and in characters that a terminal survives."""

from __future__ import annotations

import ast

from .source import dotted, modules

ROOMS = ("casty/transport", "casty/cluster", "casty/actor", "casty/wire")
LEVELS = ("debug", "info", "warning", "error", "exception", "critical", "log")

OTHERWISE: dict[str, int] = {
    "casty/actor/cell.py": 3,  # an actor of this process, or its strategy, failed: it stops, so once each
    "casty/actor/context.py": 3,  # what a user's own future raised, and what its actors say
    "casty/actor/ending.py": 1,  # actors of this process that do not stop, once a shutdown
    "casty/actor/events.py": 5,  # handlers of this process, and messages of its own actors
    "casty/actor/full.py": 1,  # once a second, and escaped
    "casty/actor/lease.py": 1,  # what a user's own code raised as it was closed, once an entity
    "casty/cluster/actors/wiring.py": 2,  # regions that this process registers
    "casty/cluster/node/change_log.py": 2,  # MOST_LINES a second, each escaped
    "casty/cluster/multiraft/host.py": 3,  # once a replica, and once for all of them when the disk fails
    "casty/cluster/node/disk.py": 2,  # this node's own disk, at its start and once a replica
    "casty/cluster/node/joining.py": 2,  # this node's own clock at its start; who it waits for, each 5 s, escaped
    "casty/cluster/slots/node_memory.py": 2,  # when the budget fills, or is open again
    "casty/cluster/node/address_check.py": 4,  # this node's own addresses, at its start
    "casty/cluster/actors/region_host.py": 1,  # once a hand-over of a slot, and escaped
    "casty/cluster/actors/receptionist.py": 2,  # this node's own registrations, when the control group answers
    "casty/cluster/node/succession.py": 1,  # once a process, which ends then, and escaped
    "casty/cluster/node/group_health.py": 1,  # each 5 s, and escaped
    "casty/transport/accepting.py": 2,  # once a second; errors of the system
}
"""Log calls with anything but constants that are no complaint, by file, and why each may be."""


def test_what_comes_from_elsewhere_is_logged_by_a_complaint() -> None:
    found: dict[str, int] = {}
    for module in modules(*ROOMS):
        for call in ast.walk(module.tree):
            if isinstance(call, ast.Call) and _is_log_call(call) and not _is_constant(call):
                found[module.path] = found.get(module.path, 0) + 1
    assert found == OTHERWISE


def _is_log_call(call: ast.Call) -> bool:
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in LEVELS:
        return False
    owner = call.func.value
    if isinstance(owner, ast.Call):
        return dotted(owner.func) == "logging.getLogger"
    return dotted(owner).split(".")[-1].strip("_") in ("log", "logger", "logging")


def _is_constant(call: ast.Call) -> bool:
    arguments = [*call.args, *(word.value for word in call.keywords if word.arg != "exc_info")]
    return all(isinstance(argument, ast.Constant) for argument in arguments)
