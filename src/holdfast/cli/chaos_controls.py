"""`holdfast chaos controls`: whether the lab catches what is wrong, and spares what is right."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import typer
from rich.markup import escape

from holdfast.chaos.controls.cases import RIGHT, WRONG, Case
from holdfast.chaos.controls.gauntlet import Gauntlet, Outcome
from holdfast.chaos.controls.short import short_runs
from holdfast.chaos.run.possible import require_possible
from holdfast.cli.chaos import chaos
from holdfast.cli.chaos_run import RUNS
from holdfast.cli.cluster_progress import ClusterProgress
from holdfast.cli.console import err, out
from holdfast.cli.rows import Column, fitting_table, print_table
from holdfast.declaration.source import did_you_mean
from holdfast.errors import ChaosError

_COLUMNS = (
    Column("control", name=True),
    Column("workload"),
    Column("faults"),
    Column("must be caught by"),
    Column("verdict", name=True),
    Column("found"),
    Column("events", right=True, drop=2),
    Column("of unknown fate", right=True, drop=3),
    Column("seconds", right=True, drop=1),
)


def controls(
    names: list[str] = typer.Argument(None, metavar="[NAME...]", help="Which ones; all unless given."),
    seed: int = typer.Option(0, "--seed", metavar="N", min=0, help="Which of their runs."),
    short: int | None = typer.Option(
        None,
        "--short",
        metavar="N",
        min=1,
        help="Instead: N short runs of what is right, with seeds of their own.",
    ),
    folder: Path = typer.Option(RUNS, "--folder", metavar="FOLDER", help="Where the runs are kept."),
) -> None:
    """Run the catalogue of loops that make one mistake each, and of engines that make none.

    Exit code 0 if each mistake was caught by its rule and nothing else was blamed, 1 if not.
    """
    if short and names:
        raise ChaosError("--short runs what is right, one after the other; leave the names out")
    cases = list(short_runs(seed, short)) if short else [(seed, case) for case in _chosen(names or [])]
    _require_all(case for _, case in cases)
    place = folder / f"controls-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-seed-{seed}"
    outcomes = []
    with ClusterProgress() as progress, Gauntlet(place, progress) as gauntlet:
        for number, case in cases:
            err.print(escape(case.name), style="bold", highlight=False)
            outcomes.append(gauntlet.run(case, number))
            err.print(escape(_line(outcomes[-1])), highlight=False)
    print_table(fitting_table(out, _COLUMNS, [_cells(outcome) for outcome in outcomes]))
    raise typer.Exit(0 if all(outcome.is_as_due for outcome in outcomes) else 1)


def _require_all(cases: Iterable[Case]) -> None:
    """Refuse what cannot be run here before any brokers start: it depends on who works, and on what.

    Raises:
        ChaosError: says what is missing.
    """
    for case in {(case.engine, case.workload): case for case in cases}.values():
        require_possible(case.experiment())


def _chosen(names: Sequence[str]) -> list[Case]:
    known = {case.name: case for case in (*WRONG, *RIGHT)}
    for name in names:
        if name not in known:
            raise ChaosError(f'there is no control "{name}"{did_you_mean(name, known)}')
    return [known[name] for name in names] if names else list(known.values())


def _line(outcome: Outcome) -> str:
    verdict = "as it must be" if outcome.is_as_due else "NOT AS IT MUST BE"
    trouble = f"  {'; '.join(outcome.trouble)}" if outcome.trouble else ""
    return f"{outcome.case.name}: {outcome.validity}, {_found(outcome)}: {verdict}{trouble}"


def _cells(outcome: Outcome) -> tuple[str, ...]:
    case = outcome.case
    return (
        case.name,
        case.workload,
        case.faults,
        case.rule or "nothing",
        outcome.validity if outcome.is_as_due else f"[red]{outcome.validity}[/]",
        escape(_found(outcome)),
        f"{outcome.published:,}",
        f"{outcome.unknown:,}",
        f"{outcome.seconds:.0f}",
    )


def _found(outcome: Outcome) -> str:
    return ", ".join(f"{rule} {count:,}" for rule, count in sorted(outcome.found.items())) or "nothing"


def register(_app: typer.Typer) -> None:
    """Add it to `chaos`, hidden: it judges the lab, not a user's application."""
    chaos.command("controls", hidden=True)(controls)
