"""All Raft groups of one node, driven together."""
