"""Actors across processes: remote references, regions of entities, services, membership events."""
