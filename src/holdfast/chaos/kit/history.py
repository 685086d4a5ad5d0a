"""A history that a test records itself."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from holdfast.chaos.checker import Verdict, check
from holdfast.chaos.history import Recorder, seal
from holdfast.errors import HistoryError


class RecordedHistory(Recorder):
    """Records what clients of a test do with logs, and judges it.

    Args:
        folder: where it is recorded.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        super().__init__(folder / "recordings", "test")

    def row(self, table: str, **values: object) -> NoReturn:  # noqa: ARG002 - none is taken
        """Refuse a row of `inputs`, `outputs` or `postings`, which the verdict would pass over.

        What they have to add up to, or what an account had before, only the test knows.

        Raises:
            HistoryError: always; with who takes and judges them.
        """
        raise HistoryError(
            f"a row of `{table}`: the verdict of this history is about logs alone and would not look at it; "
            "record it with `holdfast.chaos.history.Recorder`, `seal` that, and judge it with "
            "`check_fold_of` or `check_bank` of `holdfast.chaos.checker`"
        )

    def verdict(self) -> Verdict:
        """Judge what was recorded so far, by those rules of docs/guide/chaos-rules.md that are about logs.

        Raises:
            HistoryError: it cannot be sealed or read.
        """
        number = len(list(self._folder.glob("history-*")))
        return check(seal(self._folder / "recordings", self._folder / f"history-{number}"))
