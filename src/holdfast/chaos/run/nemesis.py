"""Makes the planned faults happen at their times, and undoes each of them, whatever happens."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from holdfast.chaos.experiment import PlannedFault
from holdfast.chaos.history import Recorder
from holdfast.chaos.run.claims import Claims, Span, meet
from holdfast.chaos.run.faults import Aimed, FaultMaker
from holdfast.chaos.undo.journal import Entry, Journal
from holdfast.errors import FaultFailed, HoldfastError, NothingMet

LEAST_SHARE = 0.5
"""A fault that lasted for less than this share of its time is told as one that failed."""

STOP_S = 120.0
"""Seconds for all faults to be over, once the run is: a server that is started again has 90 s to serve."""

HURRY_S = 30.0
"""The same where the run was interrupted: what is not over then is left to the guard."""

OVERDUE_S = 30.0
"""Seconds that a fault waits for another one to let go of the same server when it should have: one that is
started again takes a while to be back."""

_LOOK_S = 0.05
_NS = 1_000_000_000


@dataclass(slots=True)
class Done:
    """A fault that was tried, on the monotonic clock.

    Attributes:
        planned: what was to happen.
        hit: whom it hit; until it is over, whom it is aimed at. Empty if that could not be looked up.
        began: when it was begun.
        ended: when it was undone; None if it was not.
        evidence: what was seen of it.
        error: what went wrong, in words.
        met_nobody: whether it was begun and undone, and nobody had suffered from it.
        left_out: why nothing was done, if it was not: another fault was in the way, or nobody was meant.
    """

    planned: PlannedFault
    hit: tuple[str, ...] = ()
    began: float = 0.0
    ended: float | None = None
    evidence: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    met_nobody: bool = False
    left_out: str = ""

    def fail(self, error: Exception) -> None:
        """Take what went wrong; a later mistake is told beside the first one."""
        text = str(error) if isinstance(error, HoldfastError) else f"{type(error).__name__}: {error}"
        self.error = f"{self.error}; then {text}" if self.error else text

    def note_in(self, recorder: Recorder) -> None:
        """Put it into the history, for invariants that ask for it.

        One that did not begin, or that nobody met, was no fault.
        """
        if "begin" not in self.evidence or self.met_nobody:
            return
        ended = None if self.ended is None else round(self.ended * _NS)
        evidence = json.dumps(self.evidence, default=str)
        recorder.fault(self.planned.kind.name, ", ".join(self.hit), round(self.began * _NS), ended, evidence)


class Nemesis:
    """Runs a plan, each fault on a thread of its own, so that they may overlap; used in a ``with`` statement.

    Args:
        plan: the faults.
        maker: puts them together.
        journal: where it stands what undoes them, for strangers.
        zero: when the plan's time 0 is, on the monotonic clock.
        until_stopped: faults last until the end of the block, whatever the plan says.
        claims: what others do to the same brokers, workers and sinks meanwhile; its own unless given.
        patience_s: for how long a fault waits for another one that should have let go of its target.

    Attributes:
        done: what was tried, in the order of the beginnings.

    Raises:
        FaultFailed: when the block is entered: the system gives no thread for each of them.
    """

    def __init__(
        self,
        plan: Sequence[PlannedFault],
        maker: FaultMaker,
        journal: Journal,
        zero: float,
        *,
        until_stopped: bool = False,
        claims: Claims | None = None,
        patience_s: float = OVERDUE_S,
    ) -> None:
        self._maker = maker
        self._journal = journal
        self._zero = zero
        self._until_stopped = until_stopped
        self._lock = threading.Lock()
        self._claims = claims or Claims()
        self._patience_s = patience_s
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._do, args=(each,), name=each.kind.name, daemon=True) for each in plan
        ]
        self.done: list[Done] = []

    def __enter__(self) -> Self:
        for number, thread in enumerate(self._threads):
            try:
                thread.start()
            except RuntimeError as error:
                # The block is not entered, so that nobody else would end those that were started.
                planned, self._threads = len(self._threads), self._threads[:number]
                self.stop()
                raise FaultFailed(f"no thread for more than {number} of {planned} faults: {error}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        is_interrupted = kind is not None and not issubclass(kind, Exception)
        self.stop(HURRY_S if is_interrupted else STOP_S)

    def stop(self, within: float = STOP_S) -> None:
        """Undo what is under way, begin nothing more, and wait until that is done.

        Args:
            within: seconds; a fault that is not over then is told, and what undoes it stays in the journal.
        """
        self._over.set()
        deadline = time.monotonic() + within
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if not any(thread.is_alive() for thread in self._threads):
            return
        for done in self.done:
            if done.ended is None and not done.error and not done.left_out:
                done.fail(FaultFailed(f"it was not over {within:g} s after the run"))

    def _wait_until(self, at: float) -> bool:
        """Wait until a moment; False if everything is over before."""
        return not self._over.wait(max(0.0, at - time.monotonic()))

    def _do(self, planned: PlannedFault) -> None:
        if not self._wait_until(self._zero + planned.at_ms / 1000):
            return
        done = Done(planned, began=time.monotonic())
        with self._lock:
            self.done.append(done)
        # Whatever goes wrong is told: a fault that did not happen, and that nobody knows of, makes a verdict
        # worthless.
        try:
            self._try(done)
        except Exception as error:  # noqa: BLE001
            done.fail(error)

    def _try(self, done: Done) -> None:
        """Do it to whom it is aimed at now, or leave it out."""
        give_up = time.monotonic() + self._patience_s
        while taken := self._attempt(done):
            if not self._let_go(done, give_up):
                done.left_out = (
                    f"a fault that is still under way does the same to {', '.join(taken)}, and the end "
                    "of one would undo the other"
                )
                return

    def _attempt(self, done: Done) -> list[str]:
        """Do it, unless others do the same to whom it is aimed at: these are returned."""
        planned = done.planned
        try:
            aimed = self._maker.make(planned)
        except HoldfastError as error:
            # Who has a role depends on what happened before: nobody leads while brokers are away.
            done.left_out = str(error)
            return []
        aimed.fault.over = self._over
        done.hit = aimed.hit
        if not aimed.hit:
            done.left_out = f"nobody is {planned.target or 'meant'} now"
            return []
        with self._claims.claimed(planned.kind.alters, aimed.hit, self._span(planned)) as taken:
            if not taken:
                self._run(aimed, done)
        return taken

    def _span(self, planned: PlannedFault) -> Span:
        """When it is to be under way."""
        begin, end = (self._zero + moment_ms / 1000 for moment_ms in (planned.at_ms, planned.end_ms))
        return begin, math.inf if self._until_stopped or planned.kind.open_end else end

    def _let_go(self, done: Done, give_up: float) -> bool:
        """Wait until others have let go of whom it is aimed at; False if they meet it by the plan, or do not.

        A fault lasts from when it has begun, and its end takes time: by the plan it was over before. Nor do
        those that wait come in their order.
        """
        alters, span = done.planned.kind.alters, self._span(done.planned)
        while others := self._claims.spans(alters, done.hit):
            too_late = time.monotonic() >= give_up
            if too_late or any(meet(span, other) for other in others) or self._over.wait(_LOOK_S):
                return False
        return True

    def _run(self, aimed: Aimed, done: Done) -> None:
        what = f"{done.planned.kind.name} of {', '.join(aimed.hit)}"
        entries: list[Entry] = [self._journal.begin(what, action) for action in aimed.fault.undo()]
        try:
            done.began = time.monotonic()
            done.evidence["begin"] = dict(aimed.fault.begin())
            self._last(done)
        except Exception as error:  # noqa: BLE001 - it is told, after what was begun is ended
            done.fail(error)
        try:
            # Also one that failed half way may have done a part.
            done.evidence["end"] = dict(aimed.fault.end())
            done.ended = time.monotonic()
            done.hit = aimed.fault.met(done.hit)
        except NothingMet as error:
            # It is over all the same.
            done.ended, done.met_nobody = time.monotonic(), True
            done.fail(error)
        except Exception as error:  # noqa: BLE001
            done.fail(error)
        for entry in reversed(entries):
            # One that cannot be undone keeps no other from it.
            try:
                self._journal.end(entry)
            except Exception as error:  # noqa: BLE001
                done.fail(error)

    def _last(self, done: Done) -> None:
        """Let it last as long as it is planned to."""
        begun, wanted = time.monotonic(), (done.planned.for_ms or 0) / 1000
        if self._wait_until(begun + wanted) or self._until_stopped:
            return
        lasted = time.monotonic() - begun
        if lasted < wanted * LEAST_SHARE:
            raise FaultFailed(f"it lasted {lasted:.1f} s of {wanted:.1f} s: the run ended before")
