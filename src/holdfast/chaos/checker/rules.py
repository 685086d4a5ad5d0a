"""The catalogue of rules: what each finds, and whether a correct Kafka may do it.

The names and definitions are Jepsen's (jepsen-io/jepsen, jepsen/src/jepsen/tests/kafka.clj, and Elle for
the cycles) where `source` says so; where a rule differs, `differs` says in what. The docs page
`docs/guide/chaos-rules.md` tells the same.
"""

from __future__ import annotations

from dataclasses import dataclass

JEPSEN, ELLE, HOLDFAST, KAFKA = (
    "Jepsen's kafka workload",
    "Elle, as Jepsen's kafka workload uses it",
    "Holdfast",
    "Kafka's EosTestDriver",
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One anomaly that is looked for.

    Attributes:
        name: as in Jepsen.
        meaning: what a case of it is.
        source: whose rule it is.
        allowed: when a correct system may do it; empty for never.
        differs: how it differs from its source.
    """

    name: str
    meaning: str
    source: str = JEPSEN
    allowed: str = ""
    differs: str = ""


RULES = (
    Rule("inconsistent-offsets", "one offset of a log was seen with more than one record"),
    Rule("duplicate", "one record stands at more than one offset of its log"),
    Rule(
        "lost-write",
        "a record that is certainly in the log stands before one that was read, and nobody read it",
        differs="of an unknown outcome only transactions can be certain, since single sends are not atomic; "
        "a read by an operation that failed counts as read",
    ),
    Rule(
        "unseen",
        "a record was acknowledged, and nobody had read it when the history ended: lost, or very late",
        differs="a read by an operation that did not end ok counts as read",
    ),
    Rule(
        "vanished",
        "a record that is certainly in the log was read, and is not there when the log is read to its end",
        HOLDFAST,
    ),
    Rule(
        "torn-transaction",
        "of one transaction some records were read and others not, when the history ended",
        HOLDFAST,
    ),
    Rule(
        "G1a",
        "a read_committed reader was given a record whose sender had failed (aborted read)",
        differs="also in reads of operations that did not end ok: the consumer had delivered it",
    ),
    Rule("precommitted-read", "a transaction read a record that it had sent itself"),
    Rule("stray-read", "a record was read that nobody in the history sent", HOLDFAST),
    Rule("int-poll-skip", "within one operation reads of a log passed over a known record"),
    Rule("int-nonmonotonic-poll", "within one operation reads of a log went back or repeated a record"),
    Rule(
        "poll-skip",
        "between two operations of one process its reads of a log passed over a known record",
        allowed="under subscribe: a rebalance may move the position",
        differs="what an operation of unknown outcome read may or may not be read again; "
        "allowed for processes that subscribed, not for all",
    ),
    Rule(
        "nonmonotonic-poll",
        "between two operations of one process its reads of a log went back or repeated a record",
        allowed="under subscribe: a rebalance may move the position",
        differs="as poll-skip",
    ),
    Rule(
        "int-send-skip",
        "within one operation two sends to a log have records of others between them",
        allowed="always: Kafka does not isolate writes",
    ),
    Rule("int-nonmonotonic-send", "within one operation a later send stands before an earlier one"),
    Rule("nonmonotonic-send", "a process's later send stands before one of its earlier operations"),
    Rule(
        "reordered",
        "of one record key, a process's later send stands before an earlier one",
        HOLDFAST,
    ),
    *(
        Rule(
            f"G0{variant}",
            f"transactions wrote between each other's writes in a circle{through}",
            ELLE,
            "always: Kafka does not isolate writes",
        )
        for variant, through in (
            ("", ""),
            ("-process", ", with the order in a process"),
            ("-realtime", ", with the order in time"),
        )
    ),
    *(
        Rule(
            f"G1c{variant}",
            f"information flowed in a circle{through}: each read from, or follows, the one before it",
            ELLE,
            "if one of its steps is a write over a write, since Kafka does not isolate writes",
            "a circle of reads alone is never allowed, also when write order is looked at",
        )
        for variant, through in (
            ("", ""),
            ("-process", ", with the order in a process"),
            ("-realtime", ", with the order in time"),
        )
    ),
    Rule("fold-lost", "an input of the stateful processor has no output", KAFKA),
    Rule("fold-twice", "an input was applied twice", KAFKA),
    Rule("fold-stranger", "an output names an input that does not exist, or has another key", KAFKA),
    Rule("fold-order", "inputs of one partition and key were applied out of order", KAFKA),
    Rule("fold-state", "a state is not what the fold gives from the state before it", KAFKA),
    Rule("unfinished-transactions", "read_committed readers cannot get to the end of a partition", KAFKA),
    Rule("bank-total", "a transfer, or the bank, gained or lost money", HOLDFAST),
    Rule("bank-balance", "an account's balance is not the one before it plus the amount", HOLDFAST),
    Rule("bank-twice", "a transfer was posted to an account twice", HOLDFAST),
    Rule("invariant", "an invariant of the user's does not hold", HOLDFAST),
    Rule("not-evaluated", "an invariant or check had nothing to look at", HOLDFAST),
    Rule(
        "ambiguous-values",
        "the workload sent a value to a log twice, so that its records cannot be told apart",
        HOLDFAST,
    ),
    Rule(
        "overlapping-operations",
        "a process began an operation, other than one send after another, before its last one had ended",
        HOLDFAST,
    ),
    Rule("nothing-acknowledged", "no send was acknowledged", HOLDFAST),
    Rule("nothing-read", "no record was read", HOLDFAST),
)
"""All rules, in the order of the docs."""

NAMED = {rule.name: rule for rule in RULES}
