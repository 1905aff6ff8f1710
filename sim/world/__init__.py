"""A world of processes on one network, and the clusters that run in it."""
