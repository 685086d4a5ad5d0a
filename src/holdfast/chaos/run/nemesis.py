"""Makes the planned faults happen at their times, and undoes each of them, whatever happens."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from holdfast.chaos.experiment import PlannedFault
from holdfast.chaos.run.faults import Aimed, FaultMaker
from holdfast.chaos.undo.journal import Entry, Journal
from holdfast.errors import HoldfastError


@dataclass(slots=True)
class Done:
    """A fault that was tried, on the monotonic clock.

    Attributes:
        planned: what was to happen.
        hit: whom it hit; empty if that could not be looked up.
        began: when it had happened, or had failed to.
        ended: when it was undone; None if it was not.
        evidence: what was seen of it.
        error: what went wrong, in words.
    """

    planned: PlannedFault
    hit: tuple[str, ...] = ()
    began: float = 0.0
    ended: float | None = None
    evidence: dict[str, Any] = field(default_factory=dict)
    error: str = ""


class Nemesis:
    """Runs a plan, each fault on a thread of its own, so that they may overlap; used in a ``with`` statement.

    Args:
        plan: the faults.
        maker: puts them together.
        journal: where it stands what undoes them, for strangers.
        zero: when the plan's time 0 is, on the monotonic clock.

    Attributes:
        done: what was tried, in the order of the beginnings.
    """

    def __init__(
        self, plan: Sequence[PlannedFault], maker: FaultMaker, journal: Journal, zero: float
    ) -> None:
        self._maker = maker
        self._journal = journal
        self._zero = zero
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._do, args=(each,), name=each.kind.name, daemon=True) for each in plan
        ]
        self.done: list[Done] = []

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def is_over(self) -> bool:
        """Whether every fault has been undone."""
        return not any(thread.is_alive() for thread in self._threads)

    def stop(self) -> None:
        """Undo what is under way, begin nothing more, and wait until that is done."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _wait_until(self, at: float) -> bool:
        """Wait until a moment; False if everything is over before."""
        return not self._over.wait(max(0.0, at - time.monotonic()))

    def _do(self, planned: PlannedFault) -> None:
        if not self._wait_until(self._zero + planned.at_ms / 1000):
            return
        done = Done(planned)
        with self._lock:
            self.done.append(done)
        try:
            aimed = self._maker.make(planned)
            done.hit = aimed.hit
            self._run(aimed, done)
        except HoldfastError as error:
            done.error = str(error)
            done.began = done.began or time.monotonic()

    def _run(self, aimed: Aimed, done: Done) -> None:
        what = f"{done.planned.kind.name} of {', '.join(aimed.hit)}"
        entries: list[Entry] = [self._journal.begin(what, action) for action in aimed.fault.undo()]
        try:
            done.began = time.monotonic()
            done.evidence["begin"] = dict(aimed.fault.begin())
            self._wait_until(time.monotonic() + (done.planned.for_ms or 0) / 1000)
        finally:
            # Also one that failed half way may have done a part.
            done.evidence["end"] = dict(aimed.fault.end())
            done.ended = time.monotonic()
            for entry in reversed(entries):
                self._journal.end(entry)
