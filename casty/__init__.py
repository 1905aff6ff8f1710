"""casty: typed actors, sharded entities and coordination structures on a cluster, simulation-tested."""
