"""Leader tasks: what a user writes, and what the engine learns from its signature.

A task is a function without parameters, or with one of the type `Leadership`. Like a handler it returns
nothing, one event, an iterable of events, or yields them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar, overload

from holdfast.engine.handler import hints_of
from holdfast.errors import HandlerError

Task = Callable[..., Any]
F = TypeVar("F", bound=Task)


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Leadership:
    """The leadership under which a task runs, and what this run is for.

    Attributes:
        token: the fencing token: every later leader of the application has a larger one. Give it to
            whatever the task writes outside of Kafka, and let that refuse a token smaller than the
            largest that it has seen.
        slot: the leader's slot.
        elected_at: when it was elected, by its own clock, in UTC.
        scheduled_at: the time that this run is for, in UTC: in the past if nobody led then, or if the
            run before took too long. A run that is done again has the same one.
        missed: how many earlier times passed without a run since the one before.
    """

    token: int
    slot: str
    elected_at: datetime
    scheduled_at: datetime
    missed: int = 0
    _is_held: Callable[[], bool] = field(default=_always, repr=False, compare=False)

    @property
    def held(self) -> bool:
        """Whether this process still leads, as far as it knows; False is certain, True is not.

        A task that takes long asks now and then, and returns when it is False: nothing of the run counts
        any more.
        """
        return self._is_held()


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """A task and what its signature says.

    Attributes:
        function: the user's function.
        name: `module:function`, for messages.
        takes_leadership: whether it has the parameter.
        returns: the return annotation; None if there is none.
    """

    function: Task
    name: str
    takes_leadership: bool
    returns: Any = None


@overload
def leader_task(function: F, /) -> F: ...
@overload
def leader_task() -> Callable[[F], F]: ...
def leader_task(function: F | None = None, /) -> F | Callable[[F], F]:
    """Mark a function as a leader task, and check its signature where it is defined.

    When it runs is said in topology.yaml, under `leader_tasks`.

    Raises:
        HandlerError: the signature cannot be served; the text says which parameter.
    """
    if function is None:
        return leader_task
    inspect_task(function)
    return function


def inspect_task(function: Task) -> TaskSpec:
    """Read a task's signature.

    Raises:
        HandlerError: it is not a function, is `async`, or has a parameter other than one `Leadership`.
    """
    name = f"{getattr(function, '__module__', '?')}:{getattr(function, '__qualname__', function)}"
    if not inspect.isfunction(function):
        raise HandlerError(f"{name} is not a function; a leader task is a plain or a generator function")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise HandlerError(f"{name} is async; leader tasks are plain or generator functions")
    hints = hints_of(function, name)
    parameters = list(inspect.signature(function).parameters.values())
    for parameter in parameters:
        positional = parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        if hints.get(parameter.name) is not Leadership or not positional or len(parameters) > 1:
            raise HandlerError(
                f"{name}: parameter {parameter.name!r} cannot be supplied; a leader task takes nothing, or "
                "one parameter with the annotation Leadership"
            )
    return TaskSpec(function, name, bool(parameters), hints.get("return"))
