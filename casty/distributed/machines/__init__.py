"""The state machines of the structures, one file each. Pure: every replica comes to the same state."""
