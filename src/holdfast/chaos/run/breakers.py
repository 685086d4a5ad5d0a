"""The states of circuit breakers over time, as workers tell them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from holdfast.chaos.run.background import Background
from holdfast.chaos.run.parts import NOBODY, Holders
from holdfast.chaos.run.result import Span
from holdfast.runtime.supervisor import WorkerView

_LOOK_S = 0.1
"""Workers tell their states up to four times a second; see `holdfast.runtime.status`."""


class BreakerStates:
    """In which state each breaker was, as intervals. Pure.

    A worker that has ended, or is still to come up, has no breakers.
    """

    def __init__(self) -> None:
        self._states = Holders()
        self._known: dict[str, None] = {}

    def see(self, workers: Mapping[str, WorkerView], at: float) -> None:
        """Take a look at what is known of all workers that are supervised, by their names."""
        found = {
            f"{sink} of {name}": state
            for name, view in workers.items()
            for sink, state in view.status.breakers.items()
        }
        self._known |= dict.fromkeys(found)
        self._states.see({**dict.fromkeys(self._known, NOBODY), **found}, at)

    def as_spans(self, zero: float) -> tuple[Span, ...]:
        """The intervals for the report, in seconds since `zero`."""
        return tuple(span for span in self._states.as_spans(zero) if span.state != NOBODY)


class BreakerWatch(Background):
    """Looks at the breakers of workers again and again, on a thread of its own. Used in a ``with`` statement.

    Args:
        views: what is known of the workers at the moment, by their names.
    """

    def __init__(self, views: Callable[[], Mapping[str, WorkerView]]) -> None:
        self._views = views
        self._states = BreakerStates()
        super().__init__("breakers")

    def as_spans(self, zero: float) -> tuple[Span, ...]:
        """The states, in seconds since `zero` on the monotonic clock; none if no worker has a breaker."""
        return self._states.as_spans(zero)

    def _work(self) -> None:
        is_last = False
        while not is_last:
            # The last look is at the end: what has just changed is not missed.
            is_last = self._end.wait(_LOOK_S)
            self._states.see(self._views(), time.monotonic())
