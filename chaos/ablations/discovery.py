"""Planted bugs in where nodes and clients look for a cluster."""

from __future__ import annotations

from typing import Any

from casty import config_file
from casty.cluster.control.ballots import Acceptor
from casty.cluster.control.formation import Founding, Policy
from casty.cluster.node import joining
from casty.discovery import Discovery

from .bug import Planted, bug_in, shown

__all__ = ["DISCOVERY"]


def _whenever(founding: Any, policy: Policy) -> bool:
    """Who promised something to one set of seeds helps another one."""
    founding.policy = policy
    founding.acceptor = Acceptor(founding.identity, policy.seed_set, policy.needed)
    return True


def _as_few_as_there_are(right: Any) -> Any:
    """Who sees few seeds yet needs no more than these."""

    def policy_of(*given: Any) -> Policy:
        policy: Policy = right(*given)
        return policy._replace(needed=min(policy.needed, len(policy.seed_set)))

    return policy_of


def _forgetful(right: Any) -> Any:
    """A name that is not answered has no addresses."""

    async def ask(discovery: Any, source: str, question: Any) -> Any:
        said = await right(discovery, source, question)
        return () if source in discovery.troubles else said

    return ask


def _once(_discovery: Any) -> None:
    """What was found at the start counts for ever."""


def _whatever(_variable: str, _value: str) -> bool:
    """What Kubernetes says of a Service is a setting."""
    return False


_SIM = "tests/cluster/test_discovery.py"

DISCOVERY = (
    shown(
        Planted("reseeded-after-a-promise", "one founding", "membership", Founding, "reseed", _whenever),
        "tests/unit/cluster/control/test_founding.py::test_two_sets_of_seeds_do_not_both_found",
    ),
    shown(
        bug_in("few-are-all", "one founding", "membership", joining, "policy_of", _as_few_as_there_are),
        f"{_SIM}::test_nodes_found_by_a_name_that_fills_up",
    ),
    shown(
        bug_in("forgotten-without-an-answer", "seeds", "membership", Discovery, "_ask", _forgetful),
        f"{_SIM}::test_while_a_name_is_not_answered_the_last_answer_counts",
    ),
    shown(
        Planted("asked-once", "seeds", "membership", Discovery, "hurry", _once),
        f"{_SIM}::test_all_nodes_are_replaced_and_a_client_finds_the_others",
    ),
    shown(
        Planted(
            "services-are-settings", "variables", "membership", config_file, "_is_of_kubernetes", _whatever
        ),
        "tests/unit/values/test_config_file.py::test_what_kubernetes_says_of_a_service_is_no_setting",
    ),
)
