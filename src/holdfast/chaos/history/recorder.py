"""Recording what clients do, so that being killed takes nothing of it away.

A line is given to the operating system before the call that writes it returns: `kill -9` of the client
leaves at worst an operation that never returned, whose outcome is unknown. (Only the machine's own death
could lose lines; a chaos run does not outlive that.) Each recorder writes a file of its own, so several
processes may record into one folder.
"""

from __future__ import annotations

import itertools
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypedDict, Unpack

from holdfast.chaos.history import lines, tables
from holdfast.chaos.history.model import Event, Isolation, Operation, Outcome, Step, fault
from holdfast.errors import HistoryError

SUFFIX = ".recording.jsonl"


class About(TypedDict, total=False):
    """What may be told of an operation beside its steps, whatever its outcome; see `model.Operation`."""

    isolation: Isolation
    assigned: Iterable[str]
    sought: Iterable[str]
    rebalanced: Iterable[str]


class Invoked:
    """An operation that is being tried; it ends with one of `ok`, `fail`, `unknown`, called once.

    If none is called, its outcome is unknown. The steps that are given at the end are what was done, in
    order, with offsets where they are known; sends that were named before and are not named again are kept.
    """

    def __init__(self, recorder: Recorder, op: int) -> None:
        self._recorder = recorder
        self._op = op
        self._is_open = True

    def tries(self, steps: Iterable[Step]) -> None:
        """Names sends that were not known when it began, before they are tried."""
        self._recorder.write(lines.tries(self._op, self._recorder.now(), steps))

    def ok(self, steps: Iterable[Step] = (), **about: Unpack[About]) -> None:
        """It happened."""
        self._end(Outcome.OK, None, steps, about)

    def fail(self, error: str, steps: Iterable[Step] = (), **about: Unpack[About]) -> None:
        """It definitely did not happen; the steps are what it had read."""
        self._end(Outcome.FAIL, error, steps, about)

    def unknown(self, error: str, steps: Iterable[Step] = (), **about: Unpack[About]) -> None:
        """It may have happened, or may happen yet; the steps are what is known of it."""
        self._end(Outcome.UNKNOWN, error, steps, about)

    def _end(self, outcome: Outcome, error: str | None, steps: Iterable[Step], about: About) -> None:
        if not self._is_open:
            raise HistoryError("an operation of the history was ended twice: call ok, fail or unknown once")
        self._is_open = False
        now = self._recorder.now()
        self._recorder.write(lines.complete(self._op, now, outcome, steps=steps, error=error, **about))


class Recorder:
    """Writes one file of a history; may be shared by threads, not by processes.

    Args:
        folder: where the files of one history gather; it is made if it is missing.
        name: of whoever records, for people who look into the folder.
        now: the clock in ns. The default is shared by all processes of one machine.

    Raises:
        HistoryError: the folder cannot be written to, also later. From the first line on that is not written
            whole none is taken any more, of any thread: what follows half a line could not be read.
    """

    def __init__(
        self, folder: Path, name: str = "client", *, now: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self.now = now
        self.path = folder / f"{name}-{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}"
        self._next_op = itertools.count(1)
        # A number that one thread closes is soon that of another file: nobody may write to it meanwhile.
        self._lock = threading.Lock()
        self._over = ""
        self._is_closed = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        except OSError as error:
            raise HistoryError(f"no history can be recorded in {folder}: {error.strerror}") from error
        self.write(lines.start(now(), time.time_ns(), name))

    def invoke(self, process: str, action: str, steps: Iterable[Step] = ()) -> Invoked:
        """An operation is about to be tried; the steps are the sends that are known already."""
        op = next(self._next_op)
        self.write(lines.invoke(op, self.now(), process, action, steps))
        return Invoked(self, op)

    def event(self, kind: str, data: Mapping[str, object]) -> None:
        """Something happened now beside the operations, such as a sample of a metric."""
        self.write(lines.event(Event(self.now(), kind, data)))

    def fault(self, name: str, target: str, began: int, ended: int | None, evidence: str) -> None:
        """A fault was there from `began` to `ended` (ns of this recorder's clock)."""
        self.write(lines.event(fault(name, target, began, ended, evidence)))

    def row(self, table: str, **values: object) -> None:
        """A row of `inputs`, `outputs` or `postings`, for the rules that look at them."""
        self.write(lines.row(table, tables.checked_row(table, values)))

    def write(self, line: bytes) -> None:
        """Appends one line; only what `lines` makes belongs here."""
        with self._lock:
            if self._over:
                raise HistoryError(self._over)
            try:
                written = os.write(self._file, line)
            except OSError as error:
                raise self._ended(error.strerror or str(error)) from error
            if written != len(line):
                raise self._ended("the disk took a part of a line only")

    def close(self) -> None:
        """Ends the file; it may be called again. Operations that are still tried stay of unknown outcome.

        Raises:
            HistoryError: the disk did not take what was written.
        """
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            self._over = self._over or f"{self.path}: it is closed, and nothing more can be recorded in it"
            try:
                os.close(self._file)
            except OSError as error:
                raise self._ended(error.strerror or str(error)) from error

    def _ended(self, why: str) -> HistoryError:
        """Refuse every line from now on; the error to raise."""
        self._over = f"{self.path}: {why}; the history ends here"
        return HistoryError(self._over)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def write_recording(path: Path, operations: Iterable[Operation], events: Sequence[Event] = ()) -> None:
    """Writes operations that are over as a recording: for what was generated or comes from elsewhere."""
    with path.open("wb") as file:
        file.write(lines.start(0, 0, path.name.removesuffix(SUFFIX)))
        file.writelines(lines.event(event) for event in events)
        for op, operation in enumerate(operations, start=1):
            file.writelines(_both_lines(op, operation))


def _both_lines(op: int, operation: Operation) -> Iterable[bytes]:
    tried = operation.steps if operation.ended is None else ()
    yield lines.invoke(op, operation.began, operation.process, operation.action, tried)
    if operation.ended is not None:
        yield lines.complete(
            op,
            operation.ended,
            operation.outcome,
            steps=operation.steps,
            error=operation.error,
            isolation=operation.isolation,
            assigned=operation.assigned,
            sought=operation.sought,
            rebalanced=operation.rebalanced,
        )
