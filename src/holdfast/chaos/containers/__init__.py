"""Kafka in containers, for faults that processes cannot have: a network of its own that can be taken away.

    with ContainerCluster() as cluster:
        AdminClient({"bootstrap.servers": cluster.bootstrap_servers})

`cluster` is what tests and experiments use. `images` makes the brokers' image from the jars and the Java of
the embedded cluster, on a base that needs no image registry (`base`). `engine` finds the Docker engine, and
says what to do where there is none. `reaper` removes what a killed owner left behind.

It needs the extra `containers`. `python -m holdfast.chaos.containers` only makes the image.
"""
