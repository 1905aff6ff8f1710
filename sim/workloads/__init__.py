"""Workloads: what each kind of planned operation does, and how the structures are probed at the end."""
