"""One slot: its state machine, its replica on a node, and what its leader knows besides."""
