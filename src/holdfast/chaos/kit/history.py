"""A history that a test records itself."""

from __future__ import annotations

from pathlib import Path

from holdfast.chaos.checker import Verdict, check
from holdfast.chaos.history import Recorder, seal


class RecordedHistory(Recorder):
    """Records what clients of a test do, and judges it.

    Args:
        folder: where it is recorded.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        super().__init__(folder / "recordings", "test")

    def verdict(self) -> Verdict:
        """Judge what was recorded so far, by the rules of docs/guide/chaos-rules.md.

        Raises:
            HistoryError: it cannot be sealed or read.
        """
        number = len(list(self._folder.glob("history-*")))
        return check(seal(self._folder / "recordings", self._folder / f"history-{number}"))
