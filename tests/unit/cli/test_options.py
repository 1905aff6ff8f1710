"""How ``casty node`` puts file and command line together."""

from __future__ import annotations

import argparse

import pytest

from casty.cli.node import merge
from casty.config import CastyConfig, ClusterSection
from casty.errors import ConfigError

NOTHING = {
    "name": None, "host": None, "port": None, "node_id": None, "bind_host": None, "quorum": None,
    "seeds": None, "secret_file": None, "data_dir": None,
    "zone": None, "weight": None, "roles": None,
}  # fmt: skip


def options(**given: object) -> argparse.Namespace:
    return argparse.Namespace(**{**NOTHING, **given})


def test_the_command_line_wins() -> None:
    config = CastyConfig(
        name="file", cluster=ClusterSection(host="h", port=1, node_id="a", seed_nodes=(("x", 1),))
    )
    merged = merge(config, options(name="line", port=2, seeds=[("y", 2)], quorum=1))
    assert merged.name == "line"
    assert merged.cluster == ClusterSection(
        host="h", port=2, node_id="a", seed_nodes=(("y", 2),), required_quorum=1
    )


def test_the_file_alone_is_enough() -> None:
    config = CastyConfig(name="file", cluster=ClusterSection())
    assert merge(config, options()) == config


@pytest.mark.parametrize("given", [{}, {"host": "h"}, {"port": 1}])
def test_something_has_to_say_where(given: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="--host and --port"):
        merge(CastyConfig(), options(**given))


def test_a_data_directory_comes_from_the_line_or_the_file() -> None:
    config = CastyConfig(name="file", cluster=ClusterSection(host="h", port=1, data_dir="/var/a"))
    for given, expected in (({}, "/var/a"), ({"data_dir": "/var/b"}, "/var/b")):
        merged = merge(config, options(**given)).cluster
        assert merged is not None and merged.data_dir == expected


def test_zone_weight_and_roles_come_from_the_line_or_the_file() -> None:
    config = CastyConfig(name="f", cluster=ClusterSection(zone="a", weight=50, roles=("web",)))
    for given, expected in (
        ({}, ("a", 50, ("web",))),
        ({"zone": "b", "roles": ["x", "y"]}, ("b", 50, ("x", "y"))),
    ):
        merged = merge(config, options(**given)).cluster  # type: ignore[arg-type]
        assert merged is not None and (merged.zone, merged.weight, merged.roles) == expected
    with pytest.raises(ConfigError, match="weight: expected 1 to 10000"):
        merge(config, options(weight=0))
