"""The gate "all transactions finished", which EosTestDriver passes before it compares anything.

A read_committed reader stops at the first record of an open transaction. If it cannot reach the end of an
output partition, a transaction
hangs: what is behind it is neither lost nor delivered, and a comparison would blame the wrong one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from holdfast.chaos.checker.fold import not_evaluated
from holdfast.chaos.checker.verdict import Example, Finding, Validity, Verdict, verdict_of

RULES = ("unfinished-transactions",)


@dataclass(frozen=True, slots=True)
class PartitionEnd:
    """The two ends of an output partition, once the application has stopped.

    Attributes:
        committed: the position that a read_committed reader reaches, asked for after `end`; it may be higher,
            as the marker that ends a transaction takes an offset too.
        end: the end offset that a read_uncommitted reader is told (the high watermark).
    """

    topic: str
    partition: int
    committed: int
    end: int


def check_finished(ends: Iterable[PartitionEnd], *, examples: int = 8) -> Verdict:
    """Whether readers of committed records reach the end of every output partition."""
    looked_at = list(ends)
    stuck = sorted(
        (end for end in looked_at if end.committed < end.end), key=lambda end: end.committed - end.end
    )
    findings = []
    if stuck:
        shown = tuple(
            Example(
                f"{end.topic}-{end.partition}: a read_committed reader stands at {end.committed}, "
                f"and the end is {end.end}"
            )
            for end in stuck[:examples]
        )
        findings.append(Finding("unfinished-transactions", Validity.INVALID, len(stuck), shown))
    if not looked_at:
        findings.append(not_evaluated("the gate of finished transactions", "it was given no partitions"))
    return verdict_of(findings, RULES)
