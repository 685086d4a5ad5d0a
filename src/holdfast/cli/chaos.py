"""`holdfast chaos`: experiments as they are written; what they would do, with no broker touched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from rich.markup import escape

from holdfast.chaos.experiment import FOLDER, Experiment, PlannedFault, Target, load, needs_of, schedule
from holdfast.chaos.experiment.fields import Value
from holdfast.cli import chaos_report
from holdfast.cli.app import App
from holdfast.cli.console import out
from holdfast.cli.rows import AsJson, Column, fitting_table, print_json_lines, print_table, wants_json
from holdfast.cli.words import counted
from holdfast.declaration.source import is_stream
from holdfast.errors import ChaosError, ExperimentErrors

chaos = App(
    name="chaos", help="Break a cluster on purpose, and prove that nothing was lost.", no_args_is_help=True
)

_LIST_COLUMNS = (
    Column("experiment", name=True),
    Column("shows", least=50),
    Column("length", right=True, drop=2),
    Column("faults", drop=1, most=28),
    Column("needs", drop=3),
)
_PLAN_COLUMNS = (
    Column("at", right=True, name=True),
    Column("until", right=True, name=True),
    Column("fault", name=True),
    Column("target", name=True),
    Column("with", drop=1),
)


@chaos.command("list")
def list_experiments(
    folder: Path = typer.Argument(
        FOLDER, metavar="FOLDER", help="Where the experiments are.", show_default=True
    ),
    as_json: bool = AsJson,
) -> None:
    """Show the experiments of a folder: what each shows, how long it takes, and what it needs.

    One that holds mistakes does not hide the others: it is told at the end, and the exit code is 1.
    """
    files = _files(folder)
    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    for file in files:
        if is_stream(file):
            problems.append(f"{file}: this is no file, but a pipe or a device; remove it")
            continue
        try:
            rows.append(_listed(load(file)))
        except ExperimentErrors as error:
            problems += error.problems
    if wants_json(as_json):
        print_json_lines(rows)
    elif rows:
        print_table(fitting_table(out, _LIST_COLUMNS, _list_cells(rows)))
    if problems:
        raise ExperimentErrors(tuple(problems))


def _files(folder: Path) -> list[Path]:
    """The experiments of a folder.

    Raises:
        ChaosError: it cannot be read, is none, or holds none.
    """
    try:
        if not folder.is_dir():
            what = "this is no folder" if folder.exists() else "there is no such folder"
            raise ChaosError(f"{folder}: {what}; name the folder that holds the experiments")
        files = sorted(file for file in folder.iterdir() if file.suffix in (".yaml", ".yml"))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ChaosError(f"{folder}: cannot be read: {why}") from error
    if not files:
        raise ChaosError(
            f"{folder}: there are no experiments (*.yaml, *.yml); name the folder that holds them"
        )
    return files


@chaos.command()
def plan(
    file: Path = typer.Argument(..., metavar="FILE", help="The experiment's file."),
    seed: int = typer.Option(0, "--seed", metavar="N", min=0, help="Which of its runs."),
    as_json: bool = AsJson,
) -> None:
    """Show what a run would do, and when. The same seed gives the same plan; nothing is started.

    Times count from the moment when the steady state has held for the first time.
    """
    experiment = load(file)
    planned = schedule(experiment, seed)
    if wants_json(as_json):
        print_json_lines(_planned(it) for it in planned)
        return
    cells = [
        (
            f"{it.at_ms / 1000:.1f} s",
            f"{it.end_ms / 1000:.1f} s" if it.for_ms is not None else "",
            it.kind.name,
            escape(str(it.target or "")),
            escape(_with(it)),
        )
        for it in planned
    ]
    print_table(fitting_table(out, _PLAN_COLUMNS, cells))
    limit = f"{experiment.time_limit_ms / 1000:g} s"
    text = (
        f"{experiment.name}, seed {seed}: {counted(len(planned), 'fault')} in {limit}. Nothing was started."
    )
    out.print(escape(text), highlight=False, soft_wrap=True)


def _listed(experiment: Experiment) -> dict[str, Any]:
    """An experiment for programs; the length in milliseconds, without what is waited for before and after."""
    return {
        "experiment": experiment.name,
        "shows": experiment.summary,
        "description": experiment.description,
        "file": str(experiment.source.path),
        "length_ms": experiment.time_limit_ms,
        "faults": list(dict.fromkeys(fault.kind.name for fault in experiment.faults)),
        "needs": [need.name for need in needs_of(experiment)],
    }


def _list_cells(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """A line for each; those that have the name of another one say in which file they are."""
    often = Counter(row["experiment"] for row in rows)
    return [
        (
            f"{row['experiment']} ({escape(Path(row['file']).name)})"
            if often[row["experiment"]] > 1
            else row["experiment"],
            escape(row["shows"]),
            f"{row['length_ms'] / 1000:g} s",
            ", ".join(row["faults"]),
            ", ".join(row["needs"]),
        )
        for row in rows
    ]


def _planned(it: PlannedFault) -> dict[str, Any]:
    return {
        "at_ms": it.at_ms,
        "for_ms": it.for_ms,
        "fault": it.kind.name,
        "target": str(it.target) if it.target else None,
        "parameters": {name: _plain(value) for name, value in it.parameters.items()},
        "draw": it.draw,
    }


def _plain(value: Value | None) -> Any:
    return str(value) if isinstance(value, Target) else value


def _with(it: PlannedFault) -> str:
    values = ((each, it.parameters[each.name]) for each in it.kind.parameters)
    return ", ".join(
        f"{each.name} {_plain(value)}{f' {each.unit}' if each.unit else ''}"
        for each, value in values
        if value is not None
    )


def register(app: typer.Typer) -> None:
    """Add `chaos`."""
    chaos.command()(chaos_report.report)
    app.add_typer(chaos)
