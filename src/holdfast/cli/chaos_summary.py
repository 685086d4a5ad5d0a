"""A chaos run in a terminal, and many of them: the verdict, what it rests on, and how to do it again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from holdfast.chaos.report import (
    KindRecovery,
    clean,
    first_remarks,
    noun_of,
    recovery_by_kind,
    spread_text,
    trend_verdict,
    verdict_of,
)
from holdfast.chaos.run.result import FoundProblem, InvariantResult, RunResult
from holdfast.cli.rows import Column, fitting_table, print_table
from holdfast.cli.words import counted

COLOURS = {"valid": "green", "unknown": "yellow", "invalid": "bold red"}
_WORDS = {"valid": "holds", "unknown": "UNKNOWN", "invalid": "BROKEN"}

_RECOVERY = (
    Column("fault", name=True),
    Column("times", right=True, drop=2),
    Column("detection", right=True, drop=1),
    Column("longest gap", short="gap", right=True),
    Column("back to normal", short="normal", right=True),
    Column("never", right=True, drop=3),
)
_RUNS = (
    Column("began", name=True),
    Column("experiment", least=12),
    Column("seed", right=True, name=True),
    Column("verdict", name=True),
    Column("fault", name=True),
    Column("p50", right=True, drop=2),
    Column("p95", right=True, drop=1),
    Column("longest", right=True),
)
_INDENT = " " * 9

_EXAMPLES = 3
"""So many examples of a problem are shown; the page has those that the run kept."""


def print_run(console: Console, result: RunResult, written: Sequence[Path] = ()) -> None:
    """Print a run.

    Args:
        console: where.
        result: what it was.
        written: the files of its report.
    """
    verdict = verdict_of(result)
    title = f"{result.experiment}, seed {result.seed}, {result.began[:16].replace('T', ' ')} UTC"
    _say(console, f"[dim]{_safe(title)}[/]")
    _say(console, f"[{COLOURS[verdict.validity]}]{_safe(verdict.headline)}[/]")
    for remark in first_remarks(verdict):
        _say(console, _safe(remark), lead="  - ")
    console.print()
    for invariant in result.invariants:
        _print_invariant(console, invariant)
    kinds = recovery_by_kind(result)
    if kinds:
        several = any(kind.faults > 1 for kind in kinds)
        _say(console, f"\nrecovery by kind of fault{', p50 / p95 / max' if several else ''}")
        print_table(recovery_table(console, kinds), console)
    console.print()
    if written:
        _say(console, f"report  {_safe(str(written[0]))}")
    _say(console, f"repeat  {_safe(result.command)}")


def recovery_table(console: Console, kinds: Sequence[KindRecovery]) -> Table:
    """The recovery by kind of fault: p50 / p95 / max where there are several."""
    rows = [
        (
            _safe(it.kind),
            str(it.faults),
            *(spread_text(each) for each in (it.detection, it.longest_gap, it.back_to_normal)),
            f"[bold red]{it.never}[/]" if it.never else "",
        )
        for it in kinds
    ]
    return fitting_table(console, _RECOVERY, rows)


def print_runs(console: Console, results: Sequence[RunResult]) -> None:
    """Print many runs: a table by time, and the verdict on all of them.

    Args:
        console: where.
        results: two or more.
    """
    print_table(runs_table(console, results), console)
    console.print()
    verdict = trend_verdict(results)
    _say(console, f"[{COLOURS[verdict.validity]}]{_safe(verdict.headline)}[/]")


def runs_table(console: Console, results: Sequence[RunResult]) -> Table:
    """A row for each run and kind of fault, with the seconds until the output was normal again."""
    rows: list[tuple[str, ...]] = []
    for result in sorted(results, key=lambda it: (it.began, it.experiment, it.seed)):
        verdict = f"[{COLOURS[result.validity]}]{result.validity.upper()}[/]"
        began = _safe(result.began[:16].replace("T", " "))
        about = (began, _safe(result.experiment), str(result.seed), verdict)
        for kind in recovery_by_kind(result) or (None,):
            rows.append((*about, *_times(kind)))
            about = ("", "", "", "")
    return fitting_table(console, _RUNS, rows)


def _times(kind: KindRecovery | None) -> tuple[str, str, str, str]:
    if kind is None:
        return "", "", "", ""
    back = kind.back_to_normal
    if back is None:
        return _safe(kind.kind), "", "", "never"
    return _safe(kind.kind), f"{back.p50:.1f} s", f"{back.p95:.1f} s", f"{back.longest:.1f} s"


def _print_invariant(console: Console, invariant: InvariantResult) -> None:
    word = f"{_WORDS[invariant.validity]:<9}"
    _say(
        console,
        f"{_safe(invariant.name)}  [dim]{_safe(invariant.looked_at)}[/]",
        lead=word,
        look=COLOURS[invariant.validity],
    )
    for problem in invariant.problems:
        _print_problem(console, problem)


def _print_problem(console: Console, problem: FoundProblem) -> None:
    judged = "allowed" if problem.validity == "valid" else problem.validity
    why = f": {problem.why}" if problem.why else ""
    _say(console, f"{_safe(noun_of(problem))} ({judged}{_safe(why)})", lead=_INDENT)
    if problem.validity == "valid":
        return
    for example in problem.examples[:_EXAMPLES]:
        _say(console, _safe(example), lead=f"{_INDENT}- ")
    more = problem.count - min(len(problem.examples), _EXAMPLES)
    if more > 0 and problem.examples:
        _say(console, f"and {counted(more, 'other')}", lead=f"{_INDENT}- ")


def _say(console: Console, text: str, *, lead: str = "", look: str = "default") -> None:
    """Print a sentence; in a terminal it goes on under its begin, behind what leads it."""
    if not lead or not console.is_terminal:
        console.print(f"{lead}{text}", highlight=False)
        return
    grid = Table.grid()
    grid.add_column(width=len(lead), style=look)
    grid.add_column(overflow="fold")
    grid.add_row(lead, text)
    console.print(grid, highlight=False)


def _safe(text: str) -> str:
    return escape(clean(text))
