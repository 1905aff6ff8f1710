"""Virtual time: the event loop, clocks, draws, fences around the real world, and the trace."""
