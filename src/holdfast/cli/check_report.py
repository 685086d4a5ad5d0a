"""Chooses among an application's checks and shows what they found; shared by `verify` and `demo`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape

from holdfast.checks import Check, CheckResult
from holdfast.cli.words import counted
from holdfast.declaration.source import did_you_mean
from holdfast.errors import TopologyError


def choose_checks(declared: Mapping[str, Check], names: Collection[str] = ()) -> dict[str, Check]:
    """The checks with the given function names, or all of them.

    Raises:
        TopologyError: no check has such a name, or none is declared at all.
    """
    if not declared:
        raise TopologyError("the topology declares no `checks`; there is nothing to verify.")
    by_name = {reference.rpartition(":")[2]: check for reference, check in declared.items()}
    for name in names:
        if name not in by_name:
            raise TopologyError(
                f'no check is called "{name}"{did_you_mean(name, by_name)} (declared: {", ".join(by_name)})'
            )
    return {name: by_name[name] for name in names or by_name}


def print_result(console: Console, result: CheckResult) -> None:
    """Print one check: verdict, counts, and the first violations."""
    mark = "[green]holds[/]  " if result.ok else "[bold red]BROKEN[/] "
    counts = ", ".join(f"{name} {number:,}" for name, number in result.counts.items())
    console.print(f"{mark} {escape(result.name)}  [dim]{escape(counts)}[/]", highlight=False, soft_wrap=True)
    for example in result.examples:
        console.print(f"         - {escape(example)}", highlight=False, soft_wrap=True)
    if result.violations > len(result.examples):
        more = result.violations - len(result.examples)
        console.print(f"         … and {more:,} more", highlight=False)


def print_verdict(console: Console, results: Iterable[CheckResult]) -> bool:
    """Print the sum of all checks, and return whether all of them hold."""
    all_results = tuple(results)
    broken = [result for result in all_results if not result.ok]
    if broken:
        console.print(
            f"[bold red]{len(broken)} of {counted(len(all_results), 'invariant')} "
            f"{'does' if len(broken) == 1 else 'do'} not hold.[/]",
            highlight=False,
        )
    else:
        them = f"All {len(all_results)} invariants hold" if len(all_results) > 1 else "The invariant holds"
        console.print(f"[bold green]{them}.[/]", highlight=False)
    return not broken


def as_row(result: CheckResult) -> dict[str, Any]:
    """A result for programs."""
    return {
        "check": result.name,
        "ok": result.ok,
        "counts": dict(result.counts),
        "violations": result.violations,
        "examples": list(result.examples),
    }
