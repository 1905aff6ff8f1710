"""The structures: one file each, holding its state, its pure `decide` and its client class."""
