"""Work that a run has done beside itself, from the beginning of a block to its end."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Background(ABC):
    """Does its work on a thread of its own while a ``with`` statement lasts.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    @abstractmethod
    def _work(self) -> None:
        """Work until `_end` is set."""
