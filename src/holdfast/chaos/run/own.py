"""Invariants of an experiment's own: found, and tried before anything is started."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from holdfast.chaos.checker.invariants import PythonInvariant, SqlInvariant, sql_problem
from holdfast.chaos.experiment import Experiment, OwnInvariant
from holdfast.chaos.experiment.invariants import WorkloadKind
from holdfast.chaos.history.blank import blank_history, tables_of
from holdfast.declaration.source import Problem
from holdfast.errors import ChaosError, TopologyError
from holdfast.topology.references import References

_RETURN_NO_VALUE = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)

_FILLED_BY: Mapping[str, tuple[WorkloadKind, ...]] = {
    "inputs": ("bank", "sequence"),
    "outputs": ("bank", "sequence"),
    "postings": ("bank",),
}
"""Tables of a history that not every workload has rows for (`workloads.processed` writes them)."""


def of_user(experiment: Experiment, invariant: OwnInvariant) -> SqlInvariant | PythonInvariant:
    """An invariant of an experiment's own, ready to be evaluated.

    A function is looked for in the experiment's folder first, which stays on the import path as a topology's
    does.

    Raises:
        ChaosError: its function cannot be found, is none, or does not take a database alone.
    """
    if invariant.sql is not None:
        return SqlInvariant(invariant.name, invariant.sql, invariant.over)
    assert invariant.check is not None, "it is one of the two"
    folder = experiment.functions or experiment.source.path.parent
    try:
        found = References(folder.absolute()).find(invariant.check)
    except TopologyError as error:
        raise ChaosError(str(error)) from error
    if not callable(found):
        raise ChaosError(f'"{invariant.check}" is no function, but {type(found).__name__}')
    _require_takes_one(invariant.check, found)
    return PythonInvariant(invariant.name, found)


def _require_takes_one(name: str, function: Callable[..., object]) -> None:
    """Refuse what can only fail when it is called, at the end of a run.

    Raises:
        ChaosError: says what.
    """
    if inspect.isclass(function):
        raise ChaosError(f'"{name}" is a class: name a function that returns an `Evaluated`')
    if inspect.isbuiltin(function):
        raise ChaosError(f'"{name}" is written in C, and returns no `Evaluated`: name a function of your own')
    # An object that can be called says it in its `__call__`.
    if any(is_other(it) for is_other in _RETURN_NO_VALUE for it in (function, type(function).__call__)):
        raise ChaosError(f'"{name}" has to return an `Evaluated`: write it without `async` and `yield`')
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # written in C: nobody knows
    try:
        signature.bind(None)
    except TypeError:
        raise ChaosError(
            f'"{name}" is called with one argument, the database, and takes {signature}'
        ) from None


def own_problems(experiment: Experiment) -> Iterator[Problem]:
    """Yield what can be evaluated on no history, where it stands in the experiment's file."""
    for invariant in experiment.own_invariants:
        at = experiment.own_places.get(invariant.name, ("invariants",))
        try:
            ready = of_user(experiment, invariant)
        except ChaosError as error:
            yield Problem((*at, "check"), str(error))
            continue
        if isinstance(ready, SqlInvariant):
            if text := sql_problem(ready):
                # If a query without mistakes could not be evaluated either, it is what it looks at.
                of_over = ready.over is not None and sql_problem(replace(ready, wrong="SELECT 1 WHERE false"))
                yield Problem((*at, "over" if of_over else "sql"), text)
            elif text := _never_filled(ready, experiment.workload.kind):
                yield Problem((*at, "sql" if ready.over is None else "over"), text)


def _never_filled(invariant: SqlInvariant, workload: str) -> str:
    """Which table without rows a query that can be run would look at; empty if there is none."""
    if invariant.over is None:
        with blank_history() as blank:
            tables = tables_of(blank, invariant.wrong)
    else:
        # What a query gives that is a query itself, nobody knows before.
        tables = (invariant.over.strip().lower(),)
    for table in tables:
        fillers = _FILLED_BY.get(table, (workload,))
        if workload not in fillers:
            only = " and ".join(f"`{kind}`" for kind in fillers)
            return f"it never evaluates for `{workload}`: `{table}` has rows of {only} only"
    return ""
