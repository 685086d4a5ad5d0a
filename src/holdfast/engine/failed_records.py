"""What a shard knows of its records that failed, and of those that wait behind them.

Most of it is about records that come again: after their attempt's time, after an abort, or redriven.
"""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.engine.letter_limit import LetterCount
from holdfast.engine.parking import ParkedKey, ParkedKeys
from holdfast.engine.processor_plan import ProcessorPlan
from holdfast.engine.retries import Retries
from holdfast.engine.state import ShardTable
from holdfast.engine.step import Run
from holdfast.engine.verdicts import Verdicts


class FailedRecords:
    """The failed records of one shard.

    Args:
        plan: what the processor's shards share.
        parked_keys: the table of parked keys, if the shard parks keys.
        fence: the fencing token of this ownership.

    Attributes:
        verdicts: what was found out about records after they were handled.
        retries: which of them are handled again, and when.
        letters: how many were set aside or dropped.
        parked: the keys that they hold up, if the shard parks keys.
    """

    def __init__(self, plan: ProcessorPlan, parked_keys: ShardTable[ParkedKey] | None, fence: int) -> None:
        self.verdicts = Verdicts()
        self.retries = Retries(plan.retry)
        self.letters = LetterCount(plan.letter_limit)
        self.parked = ParkedKeys(parked_keys, fence) if parked_keys is not None else None

    def guard(self, topic: str, run: Run) -> Run:
        """The loop for an input as it is to be at this moment: it stops at what is not to be handled."""
        run = self.verdicts.guard(topic, run)
        return self.retries.guard(topic, run if self.parked is None else self.parked.guard(run))

    def seal(self) -> None:
        """The records so far are committed together."""
        self.letters.seal()

    def committed(self, positions: Mapping[str, int]) -> None:
        """Forget what is behind these positions: those records do not come again."""
        self.verdicts.forget(positions)
        self.retries.forget(positions)
        self.letters.committed()

    def go_back(self) -> None:
        """What was not committed never happened; that a record failed is known all the same."""
        self.letters.go_back()
        if self.parked is not None:
            self.parked.go_back()
