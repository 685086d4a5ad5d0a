"""Whoever reads a topic when all is over, as the history has it."""

from __future__ import annotations

from holdfast.chaos.history import Recorder, Step
from holdfast.chaos.history.model import READ_ALL

READ_AT_ONCE = 500
"""Records of one poll in the history."""


class LastReader:
    """Reads logs from their beginnings, in polls of some records.

    Args:
        recorder: takes the history.
        topic: whose partitions are the logs.
        partitions: how many there are.
    """

    def __init__(self, recorder: Recorder, topic: str, partitions: int) -> None:
        self._recorder = recorder
        self._steps: list[Step] = []
        self.logs = [f"{topic}-{number}" for number in range(partitions)]
        recorder.invoke("reader", "assign").ok(assigned=self.logs, sought=self.logs)

    def take(self, step: Step) -> None:
        """A record was read."""
        self._steps.append(step)
        if len(self._steps) == READ_AT_ONCE:
            self._end_poll()

    def end(self) -> None:
        """All logs were read to their ends."""
        self._end_poll()
        self._recorder.invoke("reader", READ_ALL).ok(assigned=self.logs)

    def _end_poll(self) -> None:
        if self._steps:
            self._recorder.invoke("reader", "poll").ok(self._steps)
            self._steps = []
