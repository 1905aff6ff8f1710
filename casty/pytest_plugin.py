"""The pytest plugin: seeds for tests made with `casty.sim.simulate`.

``--casty-seed N`` runs one seed, ``--casty-seeds A:B`` other seeds than the tests name, ``--casty-jobs N``
shares the seeds of each test among processes, ``--casty-artifacts DIR`` keeps two files about each seed that
failed: what was seen, and the plan of its network and faults. ``--casty-plan FILE`` runs the test of such a plan
with exactly those faults; the file may be edited and shortened before.
"""

from __future__ import annotations

import inspect
import json
import os
import platform
import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

__all__ = ["pytest_addoption", "pytest_generate_tests", "pytest_pyfunc_call", "pytest_report_header"]

_SEED = "casty_seed"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("casty", "simulated clusters (casty.sim)")
    group.addoption("--casty-seed", type=int, default=None, metavar="N", help="run only this seed")
    group.addoption(
        "--casty-seeds", type=_seeds, default=None, metavar="A:B", help="run seeds A to B-1 (or N: 0 to N-1)"
    )
    group.addoption(
        "--casty-jobs", type=int, default=1, metavar="N", help="processes that share a test's seeds"
    )
    group.addoption(
        "--casty-artifacts", default=None, metavar="DIR", help="keep a report and a plan of each failed seed"
    )
    group.addoption(
        "--casty-plan",
        type=_plan,
        default=None,
        metavar="FILE",
        help="run the test of a plan with its faults",
    )


def _plan(path: str) -> Any:
    from casty.sim import Plan, PlanError

    try:
        return Plan.from_json(Path(path).read_bytes())
    except OSError as error:
        raise pytest.UsageError(f"--casty-plan: cannot read {path!r}: {error}") from None
    except PlanError as error:
        raise pytest.UsageError(f"--casty-plan: {path!r}: {error}") from None


def _seeds(text: str) -> tuple[int, ...]:
    first, colon, last = text.partition(":")
    try:
        return tuple(range(int(first), int(last))) if colon else tuple(range(int(text)))
    except ValueError:
        raise pytest.UsageError(f"--casty-seeds: expected A:B or N, found {text!r}") from None


def pytest_report_header(config: pytest.Config) -> str:
    """Say which seeds run."""
    seed, seeds = config.getoption("--casty-seed"), config.getoption("--casty-seeds")
    plan = config.getoption("--casty-plan")
    which = "as the tests name them"
    if plan is not None:
        which = f"of the plan of {plan.scenario}, seed {plan.seed}"
    elif seed is not None:
        which = f"only {seed}"
    elif seeds:
        which = f"{seeds[0]} to {seeds[-1]}"
    return f"casty: seeds {which}, jobs {config.getoption('--casty-jobs')}"


def _chosen(config: pytest.Config, simulation: Any) -> tuple[int, ...]:
    seed = config.getoption("--casty-seed")
    if seed is not None:
        return (seed,)
    seeds: tuple[int, ...] = config.getoption("--casty-seeds") or simulation.seeds
    return seeds


def _jobs(config: pytest.Config) -> int:
    return int(config.getoption("--casty-jobs") or 1)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test for each seed; one for all of them when processes share them."""
    simulation = getattr(metafunc.function, "casty_simulation", None)
    if simulation is None:
        return
    plan = metafunc.config.getoption("--casty-plan")
    if plan is not None:
        is_of_it = plan.scenario == simulation.scenario
        metafunc.parametrize(_SEED, [plan] if is_of_it else [], ids=["plan"] if is_of_it else None)
        return
    seeds = _chosen(metafunc.config, simulation)
    if _jobs(metafunc.config) > 1 and len(seeds) > 1:
        metafunc.parametrize(_SEED, [seeds], ids=[f"seeds{seeds[0]}-{seeds[-1]}"])
    else:
        metafunc.parametrize(_SEED, seeds, ids=[f"seed{seed}" for seed in seeds])


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object:
    """Run the seeds of a test that processes share."""
    seeds = pyfuncitem.funcargs.get(_SEED)
    if getattr(pyfuncitem.obj, "casty_simulation", None) is None or not isinstance(seeds, tuple):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names if name != _SEED}
    failed = _first_failure(pyfuncitem.obj, seeds, arguments, _jobs(pyfuncitem.config))
    if failed is not None:
        pyfuncitem.obj(**arguments, **{_SEED: failed})
        pytest.fail(f"seed {failed} failed in another process and held in this one: it is not deterministic")
    return True


def _first_failure(test: Any, seeds: tuple[int, ...], arguments: dict[str, Any], jobs: int) -> int | None:
    """Run every seed in forked processes and return the lowest that failed."""
    if not hasattr(os, "fork"):
        return _first_failure_of(test, seeds, arguments)
    readers = [_shard(test, seeds[start::jobs], arguments) for start in range(min(jobs, len(seeds)))]
    failures: list[int] = []
    for reader, child in readers:
        with os.fdopen(reader) as stream:
            text = stream.read()
        _, status = os.waitpid(child, 0)
        if text.strip():
            failures.append(int(text))
        elif status:
            raise RuntimeError(f"a process that ran seeds died with status {status}")
    return min(failures, default=None)


def _shard(test: Any, seeds: tuple[int, ...], arguments: dict[str, Any]) -> tuple[int, int]:
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        return reader, child
    status = 1
    try:
        os.close(reader)
        failed = _first_failure_of(test, seeds, arguments)
        os.write(writer, b"" if failed is None else b"%d" % failed)
        status = 0
    finally:
        os._exit(status)


def _first_failure_of(test: Any, seeds: tuple[int, ...], arguments: dict[str, Any]) -> int | None:
    for seed in seeds:
        try:
            test(**arguments, **{_SEED: seed})
        except BaseException:  # the boundary of a process: the parent runs the seed again and sees the error
            return seed
    return None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep a file about a seed that failed."""
    report = yield
    folder = item.config.getoption("--casty-artifacts")
    error = call.excinfo.value if call.excinfo else None
    notes = [note for note in getattr(error, "__notes__", []) if note.startswith("casty:")]
    if folder and report.when == "call" and report.failed and notes:
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        content = {
            "test": item.nodeid,
            "error": f"{type(error).__name__}: {error}",
            "timeline": "\n".join(notes).splitlines(),
            "python": platform.python_version(),
        }
        name = re.sub(r"[^A-Za-z0-9_.-]+", "-", item.nodeid)
        (place / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        plan = getattr(error, "casty_plan", None)
        if plan is not None:
            (place / f"{name}.plan.json").write_text(plan, encoding="utf-8")
    return report
