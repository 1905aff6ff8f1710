"""Workloads: what each kind of planned operation does, and how the structures are probed at the end."""

from .actors import INBOXES, host_actors, probe_entities
from .entities import host_odd
from .performing import PERFORMERS, perform
from .population import Population
from .probing import probe, probe_from_member, probe_growth
from .resting import Rest
from .services import probe_services
from .stage import Act, Stage
from .values import items_of

__all__ = [
    "INBOXES",
    "PERFORMERS",
    "Act",
    "Population",
    "Rest",
    "Stage",
    "host_actors",
    "host_odd",
    "items_of",
    "perform",
    "probe",
    "probe_entities",
    "probe_from_member",
    "probe_growth",
    "probe_services",
]
