"""The command line: nodes, status, the demonstration and the simulator."""
