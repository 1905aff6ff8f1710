"""The cluster: control group, slots, routing and sessions on the consensus core."""
