"""From a resolved leader task to what runs it: its function, its schedule, its way to outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from holdfast.engine.leader_log import TOKEN_HEADER, milliseconds
from holdfast.engine.leader_task import Leadership, TaskSpec, inspect_task
from holdfast.engine.outputs import Router
from holdfast.engine.plan import writing_router
from holdfast.engine.schedule import Schedule, schedule_of
from holdfast.record import Output
from holdfast.topology.resolved import ResolvedLeaderTask


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """A task, ready to run.

    Attributes:
        name: its name in the topology.
        spec: the user's function.
        schedule: when it runs.
        router: where its events go.
    """

    name: str
    spec: TaskSpec
    schedule: Schedule
    router: Router

    def run(self, leadership: Leadership) -> list[Output]:
        """Call the function and return what it wants to write; a generator is run to its end.

        Outputs have the scheduled time as their timestamp, and the leader's token as a header.

        Raises:
            HandlerError: it returned something that cannot be written.
            Exception: what the function raised.
        """
        call: Callable[..., object] = self.spec.function
        result = call(leadership) if self.spec.takes_leadership else call()
        if result is None:
            return []
        timestamp = milliseconds(leadership.scheduled_at)
        router = self.router
        outputs = (
            [router.one(result, timestamp)] if router.takes(result) else router.many(result, timestamp)  # type: ignore[arg-type] # it checks that itself
        )
        token = (TOKEN_HEADER, str(leadership.token).encode())
        return [output._replace(headers=[*output.headers, token]) for output in outputs]


def plan_task(resolved: ResolvedLeaderTask, app: str) -> TaskPlan:
    """Make a task ready to run.

    Args:
        resolved: the task; `check_handler` finds nothing wrong with it.
        app: the application's name, the `ce_source` of what it writes.

    Raises:
        HandlerError: the function's signature cannot be served.
        SchemaError: an event class cannot be used.
    """
    decl = resolved.decl
    router = writing_router(decl.name, resolved.writes, app, kind="leader task")
    return TaskPlan(decl.name, inspect_task(resolved.handler), schedule_of(decl), router)
