"""The scenarios of the simulator on real ``casty node`` processes: the same workloads, histories and checkers."""
