"""Which faults are under way, on disk: each stands there before it begins, until it is undone."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.chaos.undo.actions import Action, AnyAction, adapter
from holdfast.errors import FaultFailed

RETRY_S = 0.2
TRY_FOR_S = 8.0
"""How long undoing is tried. The promise is ten seconds, for a runner that was killed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A fault that is not undone.

    Attributes:
        number: of the entry.
        fault: the fault in words.
        action: what ends it.
    """

    number: int
    fault: str
    action: AnyAction


class Journal:
    """The journal of one run.

    Args:
        path: its file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # Faults begin and end on threads of their own.
        self._lock = threading.Lock()
        self._numbers = itertools.count(1 + max((entry.number for entry in self.open_entries()), default=0))

    def begin(self, fault: str, action: Action) -> Entry:
        """Write down what ends a fault that is about to begin."""
        entry = Entry(next(self._numbers), fault, adapter.validate_python(action))
        self._append({"n": entry.number, "fault": fault, "undo": action.model_dump(mode="json")})
        return entry

    def end(self, entry: Entry) -> None:
        """Undo a fault, and note that it is done.

        Raises:
            FaultFailed: it cannot be undone; it stays in the journal.
        """
        _undo(entry, time.monotonic() + TRY_FOR_S)
        self._append({"done": entry.number})

    def open_entries(self) -> tuple[Entry, ...]:
        """Faults that are not undone, in the order in which they began."""
        found: dict[int, Entry] = {}
        for line in self._lines():
            if "done" in line:
                found.pop(line["done"], None)
            else:
                action = adapter.validate_python(line["undo"])
                found[line["n"]] = Entry(line["n"], line["fault"], action)
        return tuple(found.values())

    def undo_all(self) -> tuple[str, ...]:
        """Undo all that is open, the last first; return what could not be undone, in words."""
        failed = []
        deadline = time.monotonic() + TRY_FOR_S
        for entry in reversed(self.open_entries()):
            try:
                _undo(entry, deadline)
                self._append({"done": entry.number})
            except FaultFailed as error:
                failed.append(str(error))
        return tuple(failed)

    def _append(self, line: dict[str, object]) -> None:
        # One write for a line: a reader, or the next to append, never sees a part of it.
        with self._lock, self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def _lines(self) -> Iterator[dict[str, Any]]:
        with suppress(FileNotFoundError), self.path.open() as file:
            for line in file:
                # A line is torn only where the machine itself stopped, and then its fault never began.
                with suppress(json.JSONDecodeError):
                    yield json.loads(line)


def _undo(entry: Entry, deadline: float) -> None:
    while True:
        try:
            entry.action.perform()
        except Exception as error:
            if time.monotonic() >= deadline:
                raise FaultFailed(f"{entry.fault} cannot be undone: {error}") from error
            time.sleep(RETRY_S)
        else:
            return
