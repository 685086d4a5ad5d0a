"""Reading an experiment: strict, and with every problem in one report."""

from __future__ import annotations

from pathlib import Path

from holdfast.chaos.experiment.check import cross_check
from holdfast.chaos.experiment.draft import draft_of
from holdfast.chaos.experiment.model import Experiment
from holdfast.chaos.experiment.sink_check import sink_problems
from holdfast.declaration.source import Parsed, Problem, content_of, parse
from holdfast.errors import ExperimentErrors

FOLDER = Path("chaos")
"""Where an application has its experiments."""

_NEEDED = "`name`, `description`, `workload`, `time_limit`, `invariants`, and `faults` or `random`"


def load(path: Path) -> Experiment:
    """Read an experiment.

    Imports nothing of the application, and touches no broker.

    Raises:
        ExperimentErrors: the file cannot be read or holds mistakes; all of them are in the report.
    """
    return build(parse(content_of(path, ExperimentErrors), path, _NEEDED))


def build(parsed: Parsed) -> Experiment:
    """Turn plain data into an experiment.

    Raises:
        ExperimentErrors: it holds mistakes; all of them are in the report.
    """
    data, source, problems = parsed
    if not isinstance(data, dict):
        wrong = () if problems else (Problem((), f"expected a mapping with {_NEEDED}"),)
        raise ExperimentErrors(source.report((*problems, *wrong)))
    draft = draft_of(data)
    found = (*problems, *draft.problems, *cross_check(draft), *sink_problems(draft, source.path))
    if found:
        raise ExperimentErrors(source.report(found))
    return draft.experiment(source)
