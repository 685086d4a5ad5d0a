"""Hand-made histories: one operation after another, each in a line, and their verdicts."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from holdfast.chaos.checker import Options, Verdict, check
from holdfast.chaos.history import Event, History, Isolation, Operation, Outcome, Step, seal, write_recording

TICK = 10
"""ns from the beginning of one operation to that of the next; each takes a half of it."""


class Story:
    """Operations in the order in which they are told, unless times are given."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self._now = 0

    def ok(
        self, process: str, action: str, *steps: Step, at: tuple[int, int] | None = None, **more: object
    ) -> Story:
        """An operation that happened."""
        return self._add(process, action, Outcome.OK, steps, at, more)

    def fail(self, process: str, action: str, *steps: Step, at: tuple[int, int] | None = None) -> Story:
        """One that did not."""
        return self._add(process, action, Outcome.FAIL, steps, at, {"error": "failed"})

    def unknown(
        self, process: str, action: str, *steps: Step, at: tuple[int, int | None] | None = None
    ) -> Story:
        """One of which nobody knows."""
        return self._add(process, action, Outcome.UNKNOWN, steps, at, {"error": "timed out"})

    def _add(
        self,
        process: str,
        action: str,
        outcome: Outcome,
        steps: tuple[Step, ...],
        at: tuple[int, int | None] | None,
        more: dict[str, object],
    ) -> Story:
        self._now += TICK
        began, ended = at or (self._now, self._now + TICK // 2)
        self.operations.append(
            Operation(process, action, began, ended, outcome, steps, **more)  # type: ignore[arg-type]
        )
        return self


def sealed(operations: Iterable[Operation], folder: Path, events: list[Event] | None = None) -> History:
    """Operations as a sealed history in a new folder below the one given."""
    place = Path(tempfile.mkdtemp(dir=folder))
    (place / "recordings").mkdir()
    write_recording(place / "recordings" / "story.recording.jsonl", operations, events or [])
    return seal(place / "recordings", place / "history")


def verdict(operations: Iterable[Operation], folder: Path, *, write_order: bool = False) -> Verdict:
    """What the checker says of operations."""
    return check(sealed(operations, folder), Options(write_order=write_order))


def uncommitted() -> dict[str, object]:
    """The arguments of an operation that reads uncommitted records."""
    return {"isolation": Isolation.UNCOMMITTED}
