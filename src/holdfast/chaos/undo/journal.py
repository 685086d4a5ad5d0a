"""Which faults are under way, on disk: each stands there before it begins, until it is undone."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.chaos.undo.actions import Action, AnyAction, adapter, depends
from holdfast.errors import FaultFailed

RETRY_S = 0.2
TRY_FOR_S = 8.0
"""How long undoing is tried. The promise is ten seconds, for a runner that was killed."""

ORDER_S = 2.0
"""How long one waits for another that comes before it: one that hangs may even hang because of it."""


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
        self.note_undone(entry)

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
        """Undo all that is open, side by side; return what could not be undone, in words.

        Where the order matters, the last is undone first. One that hangs keeps no other, whatever it is.
        """
        under_way: list[_Undoing] = []
        for entry in reversed(self.open_entries()):
            before = [it for it in under_way if depends(it.entry.action, entry.action)]
            under_way.append(_Undoing(self, entry, before))
            under_way[-1].start()
        for undoing in under_way:
            undoing.join_in_time()
        return tuple(undoing.failure for undoing in under_way if undoing.failure)

    @property
    def longest_s(self) -> float:
        """Seconds that `undo_all` may take of what is open now, whatever hangs."""
        entries = self.open_entries()
        longest = max((entry.action.longest_s for entry in entries), default=0.0)
        return TRY_FOR_S + longest + ORDER_S * len(entries)

    def note_undone(self, entry: Entry) -> None:
        """Write down that a fault is over."""
        self._append({"done": entry.number})

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


class _Undoing(threading.Thread):
    """The undoing of one entry, which may hang in the system for ever: then nobody waits for it.

    Args:
        journal: takes note.
        entry: what is undone.
        before: what should be undone before it.
    """

    def __init__(self, journal: Journal, entry: Entry, before: Sequence[_Undoing]) -> None:
        super().__init__(name=entry.fault, daemon=True)
        self.entry = entry
        self._journal = journal
        self._before = tuple(before)
        own_s = TRY_FOR_S + entry.action.longest_s
        self._deadline = time.monotonic() + own_s + ORDER_S * len(self._before)
        self.failure = f"{entry.fault} is not undone after {own_s:g} s: it hangs"

    def run(self) -> None:
        """Wait a little for those before it, then undo it."""
        for other in self._before:
            other.join(ORDER_S)
        try:
            _undo(self.entry, time.monotonic() + TRY_FOR_S)
            self._journal.note_undone(self.entry)
        except (FaultFailed, OSError) as error:
            self.failure = str(error)
        else:
            self.failure = ""

    def join_in_time(self) -> None:
        """Wait until it is done or has had its time."""
        self.join(max(0.0, self._deadline - time.monotonic()))


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
