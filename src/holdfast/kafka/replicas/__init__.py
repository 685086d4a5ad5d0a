"""Do all replicas of a partition hold the same records?

    check      asks the cluster what there is, has every replica read, gives a verdict on each
    partition  reads the replicas of one partition side by side
    facts      what the brokers say of a topic: racks, leaders, in-sync replicas, retention
    plan       which replica can be read by itself, and why another cannot (pure)
    reader     reads one replica, and believes only what it can prove to come from it
    sort       what a client handed out, by whether it came from the replica (pure)
    origin     which broker served which offsets, from what the client says of its fetches (pure)
    digest     a record in 16 bytes (pure)
    compare    digests of several replicas against each other, in bounded memory (pure)
    findings   from what was read and compared to the verdicts (pure)
    verdict    what is said of a replica in the end (pure)

A replica is read by *follower fetching* (KIP-392): a client names a rack, and the leader sends it to the
in-sync replica of that rack.
"""
