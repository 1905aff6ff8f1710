"""Configuration: the settings of a cluster, and the file and environment that they may come from."""

from casty.config_file import CastyConfig, ClusterSection, TlsSection, discover_config, load_config
from casty.settings import BOUNDS, SECOND_NS, Bound, Settings

__all__ = [
    "BOUNDS",
    "SECOND_NS",
    "Bound",
    "CastyConfig",
    "ClusterSection",
    "Settings",
    "TlsSection",
    "discover_config",
    "load_config",
]
