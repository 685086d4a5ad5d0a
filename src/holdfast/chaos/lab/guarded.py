"""What every lab begins with: a journal of what is under way, and a guard that undoes it when we are gone."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from holdfast.chaos.undo.guard import Guard
from holdfast.chaos.undo.journal import Journal


class GuardedLab(ABC):
    """A lab that is opened and closed by a ``with`` statement.

    Attributes:
        journal: what is under way.
    """

    journal: Journal

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-lab-")))
            self.journal = Journal(folder / "faults.jsonl")
            self._stack.enter_context(Guard(self.journal.path, folder))
            self._open(folder)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @abstractmethod
    def _open(self, folder: Path) -> None:
        """Start what there is to be started; what ends it goes onto the stack.

        Args:
            folder: of the lab, deleted in the end.
        """
