"""The simulated network: machines, listeners, links, and the paths between them."""
