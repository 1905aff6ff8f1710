"""The parts of a plan that is drawn from a seed."""
