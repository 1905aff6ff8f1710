"""The session protocol's near end as a value: ``SessionCore.step(now_ns, input) -> effects``. Pure.

Nothing here reads a clock, holds a future or sends: instants come in with each step, and what is to be done goes out as
a list of effects, which `casty.cluster.sessions.driver` performs. What a step reads of its surroundings is named by
`surroundings.Surroundings`.
"""
