"""The structures: the client class of each in a file of its own; their state machines are in `machines`."""
