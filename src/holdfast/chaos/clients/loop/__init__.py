"""Consume, process, produce, commit: loops as teams write them, with the Kafka client alone.

They are controls of the chaos lab. `at_least_once` is the common loop, without transactions. `transactions`
is the same loop done right. `mistakes` names what can be done wrong in that one, and `broken_*` do it.

    batches                 the right loop in another shape
    base                    records, rebalances, state: what all loops share
    job, changelog, state   the workload's handler on records; states, and the topic that they come back from
    orders, process         a worker process, and what it is told
"""
