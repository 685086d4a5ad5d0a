"""Records whose handler is called again later, before a policy judges them.

The shard waits at such a record: nothing behind it in its input is handled meanwhile, so the order is kept.
What it waits for is a time, and not a sleep: other inputs, shards and the group go on.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from holdfast.engine.step import Run, stopping
from holdfast.resilience import Backoff, RetryBudget


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, and when, a handler that raised is called again for the same record.

    Attributes:
        attempts: how often it is called for a record in all; None has no limit.
        backoff: how long it waits in between.
        budget: what all shards of the worker may try again; None has no limit.
        clock: seconds that never go back.
        jitter: answers random numbers from 0 to 1.
    """

    attempts: int | None
    backoff: Backoff
    budget: RetryBudget | None
    clock: Callable[[], float]
    jitter: Callable[[], float] = random.random


@dataclass(slots=True)
class _Failed:
    """How often a record failed, and when it may be handled again."""

    attempts: int = 0
    due: float = 0.0


class RetryLater(Exception):
    """The record at which the shard stands is not to be handled before its time."""


class Retries:
    """The records of a shard that failed, until they are behind its last commit.

    Args:
        policy: when they are handled again; None for never.
    """

    def __init__(self, policy: RetryPolicy | None) -> None:
        self._policy = policy
        self._failed: dict[tuple[str, int], _Failed] = {}

    def again(self, topic: str, offset: int) -> float | None:
        """Note that a record failed; the seconds until its next attempt, or None if it has none left."""
        policy = self._policy
        if policy is None:
            return None
        failed = self._failed.setdefault((topic, offset), _Failed())
        failed.attempts += 1
        if policy.attempts is not None and failed.attempts >= policy.attempts:
            return None
        if policy.budget is not None and not policy.budget.take():
            return None
        wait_s = policy.backoff.wait_s(failed.attempts, policy.jitter)
        failed.due = policy.clock() + wait_s
        return wait_s

    def attempts(self, topic: str, offset: int) -> int:
        """How often a record failed so far."""
        failed = self._failed.get((topic, offset))
        return failed.attempts if failed is not None else 0

    def waits(self, topic: str, position: int) -> bool:
        """Whether the record at this position of an input is one that is not due yet."""
        failed = self._failed.get((topic, position))
        return failed is not None and self._policy is not None and failed.due > self._policy.clock()

    def hurry(self) -> None:
        """Have all that wait be due now, for a test that does not."""
        for failed in self._failed.values():
            failed.due = 0.0

    def guard(self, topic: str, run: Run) -> Run:
        """The loop for an input that stops before a record that is not due."""
        if not any(of == topic and self.waits(of, offset) for of, offset in self._failed):
            return run
        return stopping(run, lambda message: RetryLater() if self.waits(topic, message.offset()) else None)

    def forget(self, committed: Mapping[str, int]) -> None:
        """Forget what is behind the last commit: these records do not come again."""
        for place in [it for it in self._failed if it[1] < committed.get(it[0], 0)]:
            del self._failed[place]
