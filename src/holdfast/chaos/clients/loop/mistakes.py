"""What is done wrong in consume-process-produce loops: one mistake for each member.

Each is made in the loop that is right otherwise (`transactions`). Where somebody's users met it, the thread
is named: F is faust-streaming/faust, R robinhood/faust, Q quixio/quix-streams on GitHub.
"""

from __future__ import annotations

from enum import StrEnum


class Mistake(StrEnum):
    """A seeded mistake; the value is how commands and tables name it."""

    NO_TRANSACTION = "no-transaction"
    """Outputs, states and positions are written one after the other. A worker that dies in between has its
    successor do it again. FastStream #2512: "don't currently support" exactly-once."""

    OFFSETS_FIRST = "offsets-first"
    """Positions are committed while the transaction with the results is still open. Who dies in between has
    lost them. R#75 and F PR#273: offsets committed before the producer was flushed; FastStream's default
    `ACK_FIRST`."""

    OFFSETS_OUTSIDE = "offsets-outside"
    """Positions are committed by the consumer, now and then, after the transactions. Who dies in between,
    or was replaced, leaves results whose records are read again. F#177: parts of the work outside of the
    transaction."""

    AUTO_COMMIT = "auto-commit"
    """`enable.auto.commit` is left on, as it is by default: positions are committed by a clock, whatever
    has become of the records. With FastStream this is what happens when the user says nothing."""

    STARTS_AT_END = "starts-at-end"
    """A partition is taken up at its end, not where the group was: all that came meanwhile is never read.
    platformatic/kafka #267: an answer that could not be used fell through to `latest`."""

    FORGETS_AT_REBALANCE = "forgets-at-rebalance"
    """Records are taken in batches, and half of one is left out when the group takes the partition away,
    while the position counts all of it. F PR#217, parallel-consumer #857."""

    NOT_RESTORED = "not-restored"
    """A shard that comes in a rebalance begins with empty state. Q PR#1146: after a rebalance during the
    recovery a partition was never read from its beginning."""

    KEEPS_REVOKED_STATE = "keeps-revoked-state"
    """The state of a shard that was taken away is kept, and used as it was when the shard comes back,
    though others have changed it meanwhile. F#221 and PR#223: what an old generation had read was still
    used."""

    RESTORES_UNCOMMITTED = "restores-uncommitted"
    """The changelog is read with what aborted transactions wrote into it. F#47, R#658: recovery and the
    control records of transactions."""

    KEEPS_ABORTED_STATE = "keeps-aborted-state"
    """After an abort the records are read again, and applied to a state that has them already. KIP-892 is
    about the same: under exactly-once, Kafka Streams deletes a store which may hold uncommitted changes."""

    CHANGELOG_AFTER_COMMIT = "changelog-after-commit"
    """The changelog is written when the transaction is committed, by the next one. Who dies in between has
    outputs and positions that the state knows nothing of. F#177."""

    NO_REWIND = "no-rewind"
    """After an abort it goes on with the next record: those of the aborted transaction are passed over.
    Spring Kafka has an `AfterRollbackProcessor` for it; F#315: after an exception the event was skipped."""

    SWALLOWS_ERRORS = "swallows-errors"
    """An error of the producer is logged, and all goes on as if the unit had been committed. FastStream's
    acknowledgement middleware does so; Faust acknowledges what its agent failed at (user guide, agents)."""

    COMMIT_TAKEN_FOR_ABORT = "commit-taken-for-abort"
    """The answer to a commit was lost, and it is tried again from the start, though it had happened:
    everything is applied twice. Jepsen calls such an outcome indefinite."""

    KEEPS_DEAD_PRODUCER = "keeps-dead-producer"
    """A producer that was fenced is used on, and every transaction fails: the worker lives, has its shards,
    and does nothing. F#175 and F#136 (long-running exactly-once applications that stop)."""

    NO_FENCING = "no-fencing"
    """A random transactional.id for each start, positions without the group's metadata, and no difference
    between shards that are lost and those that are given back: nothing keeps a worker that was frozen from
    committing what others have done by now. Quix chooses a random id; aiokafka sends TxnOffsetCommit v0,
    which names no member (aiokafka #844, F#323)."""

    READS_UNCOMMITTED = "reads-uncommitted"
    """`isolation.level` is read_uncommitted: records of transactions that are aborted later are processed.
    It is the Java client's default."""

    OUT_OF_ORDER = "out-of-order"
    """Records go to a pool of threads one by one, and those of one key overtake each other. F#606, F#312:
    with `concurrency=2`."""

    DROPS_UNDER_LOAD = "drops-under-load"
    """Beyond some number in a unit records are dropped in silence, as by a queue that is full. F#74:
    buffers that ran full during recovery."""

    WRONG_PARTITIONER = "wrong-partitioner"
    """Outputs are partitioned by librdkafka's default (CRC32), the other producers' by murmur2: one key is
    in two shards. Faust's `confluent://` driver uses Python's hash(), which differs from process to
    process."""

    TWO_TRANSACTIONS = "two-transactions"
    """A transfer is taken from one account in a transaction, and sent to the other in the next one. Who
    dies in between makes the money vanish. F#177: sends outside of the transaction."""

    WRONG_BALANCE = "wrong-balance"
    """Now and then a change is applied to the state of the key before it, as when a variable outlives its
    record (Q#1123: a key prefix in the wrong scope)."""
