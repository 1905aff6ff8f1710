"""``casty``: nodes, status, the demonstration and the simulator."""

from __future__ import annotations

import argparse
import importlib
import math
import sys
from collections.abc import Callable, Sequence

from casty.config_file import parse_address
from casty.errors import CastyError, ConfigError
from casty.version import __version__

__all__ = ["main"]

USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments
        The words after ``casty``; None means those of this process.

    Returns
    -------
    int
        The exit code: 0 done, 1 failed, 2 wrong usage.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["sim"]:
        return _simulator(words[1:])  # it has a parser of its own
    options = _parser().parse_args(words)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except ConfigError as error:
        print(f"casty: {error}", file=sys.stderr)
        return USAGE
    except (CastyError, OSError, TimeoutError) as error:
        print(f"casty: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def address(text: str) -> tuple[str, int]:
    """Read ``host:port`` for argparse."""
    try:
        return parse_address(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def seconds(text: str) -> float:
    """Read a time to wait for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected seconds, more than 0, found {text!r}")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="casty", description=__doc__)
    parser.add_argument("--version", action="version", version=f"casty {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_node(commands.add_parser("node", help="run one node until SIGTERM"))
    _add_status(commands.add_parser("status", help="show a cluster as one of its nodes sees it"))
    _add_member(
        commands.add_parser("member", help="list the members, remove one that is dead, drain one that lives")
    )
    _add_backup(commands.add_parser("backup", help="write the structures of a living cluster into a file"))
    _add_restore(
        commands.add_parser("restore", help="make the data directory of a new cluster out of a backup")
    )
    _add_recover(
        commands.add_parser(
            "recover", help="make a new generation out of what survived the loss of a majority"
        )
    )
    _add_salvage(
        commands.add_parser("salvage", help="take what a survivor without a data directory has, and end it")
    )
    _add_disk(commands.add_parser("disk", help="look into the data directory of a node that does not run"))
    demo = commands.add_parser("demo", help="start three nodes, use every structure, kill one, check")
    demo.add_argument("--seed", type=int, default=None, help="choose the simulated run at the end")
    demo.set_defaults(run=_demo)
    commands.add_parser("sim", help="run, sweep and replay simulations; see casty sim --help")
    return parser


def _add_node(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", metavar="SYSTEM", help="the system's name, equal on all nodes")
    parser.add_argument("--node-id", metavar="ID", help="this node's name over restarts; default host:port")
    parser.add_argument("--host", metavar="H", help="where others reach this node; auto: as the seeds see it")
    parser.add_argument("--port", type=int, metavar="P", help="the port; 0 picks a free one")
    parser.add_argument("--bind-host", metavar="H", help="the interface to listen on, if it is not --host")
    parser.add_argument(
        "--seed", type=address, nargs="+", action="extend", metavar="H:P", dest="seeds",
        help="nodes to found with or to join through; name all founders, three of them or more; dns://NAME:P is every "
        "address of a name, and needs --quorum",
    )  # fmt: skip
    _add_secret(parser)
    parser.add_argument(
        "--data-dir", metavar="DIR", help="keep replicas there over restarts; default in memory"
    )
    parser.add_argument(
        "--zone", metavar="Z", help="what this node fails together with: a rack, a data center"
    )
    parser.add_argument(
        "--weight", type=int, metavar="W", help="how much it takes to what others do; 100 is usual"
    )
    parser.add_argument(
        "--role", nargs="+", action="extend", metavar="R", dest="roles", help="what this node is for"
    )
    parser.add_argument("--quorum", type=int, metavar="K", help="found with K of the seeds; default all")
    parser.add_argument("--config", metavar="FILE", help="a casty.toml; default the nearest one")
    parser.add_argument("--app", metavar="MODULE:FUNCTION", help="awaited with the system once it is ready")
    parser.add_argument(
        "--leave-on-stop", action="store_true",
        help="leave the cluster for good when told to stop: the replicas move to other members first",
    )  # fmt: skip
    parser.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    parser.set_defaults(run=_node)


def _add_disk(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = actions.add_parser(
        "check", help="read all records, and say what is in them or damaged; 1 if it is"
    )
    check.add_argument("directory", metavar="DIR")
    check.add_argument("--json", action="store_true", help="print a document that programs may rely on")
    check.set_defaults(run=_disk)


def _add_backup(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="is there when all of it is")
    parser.add_argument("--contact", type=address, required=True, metavar="H:P", help="any node")
    parser.add_argument("--json", action="store_true", help="print a document that programs may rely on")
    parser.add_argument(
        "--timeout", type=seconds, default=30.0, metavar="S",
        help="seconds that one slot may be without a leader; default 30",
    )  # fmt: skip
    _add_secret(parser)
    parser.add_argument("--config", metavar="FILE", help="a casty.toml with [tls], or secret in [cluster]")
    parser.set_defaults(run=_backup)


def _add_new_node(parser: argparse.ArgumentParser, *, is_needed: bool) -> None:
    default = "" if is_needed else "; default that of the first survivor"
    parser.add_argument(
        "--data-dir", required=True, metavar="NEW", help="where nothing is yet; start a node with it"
    )
    parser.add_argument("--node-id", metavar="ID", help=f"that node's name{default or '; default host:port'}")
    parser.add_argument("--host", metavar="H", required=is_needed, help=f"where others reach it{default}")
    parser.add_argument("--port", type=int, metavar="P", required=is_needed, help=f"its port{default}")
    parser.add_argument("--json", action="store_true", help="print a document that programs may rely on")


def _add_restore(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE")
    _add_new_node(parser, is_needed=True)
    parser.add_argument("--name", metavar="SYSTEM", help="the new system's name; default that of the backup")
    parser.set_defaults(run=_restore)


def _add_recover(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "directories",
        nargs="+",
        metavar="DIR",
        help="the data directory of a survivor that does not run; name all",
    )
    _add_new_node(parser, is_needed=False)
    parser.add_argument("--dry-run", action="store_true", help="say what may be lost, and change nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask; for scripts")
    parser.add_argument(
        "--accept-empty", action="store_true", help="also where nobody has a replica of a slot"
    )
    parser.add_argument(
        "--again", action="store_true", help="also where a new generation was made from them before"
    )
    parser.set_defaults(run=_recover)


def _add_salvage(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR", help="where nothing is yet; give it to casty recover")
    parser.add_argument("--contact", type=address, required=True, metavar="H:P", help="the survivor")
    parser.add_argument("--yes", action="store_true", help="do not ask; for scripts")
    parser.add_argument(
        "--timeout", type=seconds, default=30.0, metavar="S", help="seconds without an answer; default 30"
    )
    _add_secret(parser)
    parser.add_argument("--config", metavar="FILE", help="a casty.toml with [tls], or secret in [cluster]")
    parser.set_defaults(run=_salvage)


def _add_secret(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--secret-file", metavar="FILE",
        help="the shared secret; a file, as anybody on this machine sees a command line",
    )  # fmt: skip


def _add_status(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--contact", type=address, required=True, metavar="H:P", help="any node")
    parser.add_argument("--json", action="store_true", help="print a document that programs may rely on")
    parser.add_argument(
        "--locate", metavar="KIND:NAME", help="where a structure lives: lock:NAME, map:NAME:KEY ..."
    )
    parser.add_argument(
        "--timeout", type=seconds, default=5.0, metavar="S", help="seconds to wait; default 5"
    )
    parser.add_argument(
        "--wait",
        type=seconds,
        metavar="S",
        help="ask again until the cluster serves, at most so many seconds",
    )
    _add_secret(parser)
    parser.add_argument("--config", metavar="FILE", help="a casty.toml with [tls], or secret in [cluster]")
    parser.set_defaults(run=_status)


def _add_member(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what", choices=("list", "remove", "drain"),
        help="remove: it is down and will not come back; drain: it hands everything over and leaves for good",
    )  # fmt: skip
    parser.add_argument("node_id", nargs="?", metavar="ID", help="which member; not for list")
    parser.add_argument("--contact", type=address, required=True, metavar="H:P", help="any node")
    parser.add_argument("--json", action="store_true", help="print a document that programs may rely on")
    parser.add_argument(
        "--timeout", type=seconds, default=10.0, metavar="S", help="seconds to wait; default 10"
    )
    _add_secret(parser)
    parser.add_argument("--config", metavar="FILE", help="a casty.toml with [tls], or secret in [cluster]")
    parser.set_defaults(run=_member)


def _node(options: argparse.Namespace) -> int:
    from casty.cli.node import run_node

    return run_node(options)


def _status(options: argparse.Namespace) -> int:
    from casty.cli.status import run_status

    return run_status(options)


def _member(options: argparse.Namespace) -> int:
    from casty.cli.member import run_member

    return run_member(options)


def _disk(options: argparse.Namespace) -> int:
    from casty.cli.disk import run_disk

    return run_disk(options)


def _backup(options: argparse.Namespace) -> int:
    from casty.cli.backup import run_backup

    return run_backup(options)


def _restore(options: argparse.Namespace) -> int:
    from casty.cli.backup import run_restore

    return run_restore(options)


def _recover(options: argparse.Namespace) -> int:
    from casty.cli.recover import run_recover

    return run_recover(options)


def _salvage(options: argparse.Namespace) -> int:
    from casty.cli.salvage import run_salvage

    return run_salvage(options)


def _demo(options: argparse.Namespace) -> int:
    from casty.cli.demo import run_demo

    return run_demo(options.seed)


def _simulator(words: list[str]) -> int:
    from casty import sim  # only who simulates pays for the simulator

    # The package has two names, one in a checkout and one installed; a wrong one would load it twice.
    command_line = importlib.import_module(f"{sim.__name__}.cli")
    simulate: Callable[[Sequence[str]], int] = command_line.main
    return simulate(words)
