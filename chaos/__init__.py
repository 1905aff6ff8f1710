"""The simulator's scenarios on real ``casty node`` processes: same workloads, histories and checkers."""
