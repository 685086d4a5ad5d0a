"""Runs of leader tasks in this process, each on a thread of its own.

A function cannot be ended from outside. So a run may outlive the leadership that started it; what it returns
then is dropped, and as long as it runs the same task is not started again here.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from holdfast.engine.blame import explain, stack_of
from holdfast.engine.leader_plan import TaskPlan
from holdfast.engine.leader_task import Leadership
from holdfast.record import Output

log = logging.getLogger(__name__)

Clock = Callable[[], float]
"""Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended.

    Attributes:
        task: which task.
        leadership: what it was given.
        started: when it started, seconds since the epoch.
        ended: when it ended.
        outputs: what it wants to write.
        error: why it failed, in one line; None if it did not.
    """

    task: str
    leadership: Leadership
    started: float
    ended: float
    outputs: list[Output]
    error: str | None


class TaskRuns:
    """Starts runs, and knows which tasks run.

    Args:
        clock: the time.
    """

    def __init__(self, clock: Clock = time.time) -> None:
        self._clock = clock
        self._running: set[str] = set()

    @property
    def running(self) -> frozenset[str]:
        """The tasks that run, whoever started them."""
        return frozenset(self._running)

    def start(self, plan: TaskPlan, leadership: Leadership, done: Callable[[Result], None]) -> None:
        """Run a task on a new thread; `done` is called on that thread."""
        self._running.add(plan.name)
        # A daemon: a function that never returns must not keep the process from ending.
        threading.Thread(
            target=self._run, args=(plan, leadership, done), name=f"task-{plan.name}", daemon=True
        ).start()

    def _run(self, plan: TaskPlan, leadership: Leadership, done: Callable[[Result], None]) -> None:
        started = self._clock()
        outputs: list[Output] = []
        error = None
        try:
            outputs = plan.run(leadership)
        except BaseException as failure:  # noqa: BLE001 - `sys.exit` in a task is a failure of the task too
            error = explain(failure)
            log.error("leader task %s failed: %s\n%s", plan.name, error, stack_of(failure))
        finally:
            self._running.discard(plan.name)
        done(Result(plan.name, leadership, started, self._clock(), outputs, error))
