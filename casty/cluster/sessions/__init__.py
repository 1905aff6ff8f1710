"""The client's half of the session protocol: calls on slots, each applied once."""
