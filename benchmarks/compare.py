"""Compare the engines side by side: `python -m benchmarks.compare --help`.

Rounds are interleaved (A B C, A B C), so that a drift of the machine hits every engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from benchmarks import engines, report, target
from benchmarks.cluster import Cluster, run_on
from benchmarks.engines import Engine
from benchmarks.environments import REPOSITORY, UnavailableError
from benchmarks.measure import Dataset, Measurement, Task, measure
from benchmarks.orders import ORDER_BYTES, Truth, make_orders

RESULTS = REPOSITORY / "benchmarks" / "results"
DOCS = REPOSITORY / "docs" / "benchmarks.md"
console = Console()


class JobChoice(StrEnum):
    """Which job to measure."""

    TOTALS = "totals"
    ENRICH = "enrich"
    BOTH = "both"


class GuaranteeChoice(StrEnum):
    """Which guarantee to ask for."""

    AT_LEAST_ONCE = "at-least-once"
    EXACTLY_ONCE = "exactly-once"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Plan:
    """What this run measures."""

    engines: list[Engine]
    jobs: list[str]
    guarantees: list[str]
    events: int
    small_events: int
    keys: int
    seed: int
    rounds: int
    commit_interval_ms: int
    timeout: float

    def tasks(self) -> Iterator[Task]:
        """Every measurement, engines innermost."""
        for number in range(1, self.rounds + 1):
            for job in self.jobs:
                for guarantee in ["none", *self.guarantees]:
                    for engine in self.engines:
                        if guarantee in engine.guarantees:
                            yield Task(engine, job, guarantee, number)


def available(chosen: list[Engine]) -> list[Engine]:
    """Make the engines' environments; leave out, with a line, those that cannot run here."""
    usable = []
    for engine in chosen:
        try:
            with console.status(f"preparing {engine.name}"):
                command = engine.command()
            usable.append(replace(engine, command=lambda command=command: command))
        except UnavailableError as reason:
            console.print(f"[yellow]{engine.name} is left out:[/] {escape(str(reason))}")
    return usable


def preload(plan: Plan, cluster: Cluster) -> dict[bool, Dataset]:
    """The input topics: the small one for engines marked `small` (key True), the big one for the others."""
    data = {}
    for small, events in ((False, plan.events), (True, min(plan.small_events, plan.events))):
        if any(engine.small is small for engine in plan.engines):
            truth = Truth()
            topic = cluster.create_topic("orders-small" if small else "orders")
            with console.status(f"preloading {events:,} orders of {ORDER_BYTES} bytes"):
                orders = make_orders(events=events, keys=plan.keys, seed=plan.seed, truth=truth)
                cluster.preload(topic, orders)
            data[small] = Dataset(topic, truth)
    return data


def execute(plan: Plan, cluster: Cluster, logs: Path) -> list[Measurement]:
    """Run the plan; one line per measurement."""
    data = preload(plan, cluster)
    tasks, done = list(plan.tasks()), []
    for number, task in enumerate(tasks, 1):
        with console.status(f"{number}/{len(tasks)} {task.name}"):
            result = measure(
                task,
                data[task.engine.small],
                cluster,
                commit_interval_ms=plan.commit_interval_ms,
                timeout=plan.timeout,
                logs=logs,
            )
        done.append(result)
        outcome = f"[red]{escape('; '.join(result.problems))}[/]" if result.problems else "[green]ok[/]"
        console.print(
            f"{number:>3}/{len(tasks)} {task.name:<45} {result.rate:>9,.0f}/s {result.cpu_s:>6.1f} CPU s "
            f"{result.peak_mb:>5,.0f} MB  {outcome}"
        )
    return done


def facts_of(
    plan: Plan, brokers: int, before: dict[str, Any], measurements: list[Measurement]
) -> dict[str, Any]:
    """What was measured on what."""
    small = ", ".join(engine.name for engine in plan.engines if engine.small)
    slow = f" ({min(plan.small_events, plan.events):,} for {small})" if small else ""
    return before | {
        "cluster": f"{brokers} brokers, replication factor {min(3, brokers)}",
        "input": f"{plan.events:,} JSON orders, {ORDER_BYTES} bytes{slow}, {plan.keys:,} keys, 4 partitions",
        "commit interval": f"{plan.commit_interval_ms} ms",
        "rounds": f"{plan.rounds}, interleaved",
        "versions": report.versions(measurements),
    }


def main(
    *,
    events: Annotated[int, typer.Option(help="Input records.", min=1000)] = 500_000,
    small_events: Annotated[
        int, typer.Option(help="Input records of slow engines (faust).", min=1000)
    ] = 30_000,
    engine_names: Annotated[
        str, typer.Option("--engines", help=f"Comma-separated, of {', '.join(engines.ENGINES)}; default all.")
    ] = "",
    guarantee: GuaranteeChoice = GuaranteeChoice.BOTH,
    job: JobChoice = JobChoice.BOTH,
    commit_interval: Annotated[int, typer.Option(help="Milliseconds, for every engine.", min=1)] = 100,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    keys: Annotated[int, typer.Option(help="Number of customers.", min=1)] = 10_000,
    seed: int = 7,
    timeout: Annotated[float, typer.Option(help="Seconds for one measurement.")] = 300.0,
    bootstrap_servers: Annotated[
        str | None, typer.Option(help="A cluster; default: an embedded one.")
    ] = None,
    markdown: Annotated[bool, typer.Option(help="Write the table into docs/benchmarks.md.")] = False,
) -> None:
    """Measure the engines on the same preloaded topics of one cluster and print the table."""
    try:
        chosen = engines.named(engine_names)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--engines") from error
    plan = Plan(
        engines=available(chosen),
        jobs=["totals", "enrich"] if job is JobChoice.BOTH else [job.value],
        guarantees=["at-least-once", "exactly-once"]
        if guarantee is GuaranteeChoice.BOTH
        else [guarantee.value],
        events=events,
        small_events=small_events,
        keys=keys,
        seed=seed,
        rounds=rounds,
        commit_interval_ms=commit_interval,
        timeout=timeout,
    )
    before, stamp = report.machine(), datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    with target.bootstrap_servers(bootstrap_servers) as servers, run_on(servers) as cluster:
        brokers = cluster.brokers()
        measurements = execute(plan, cluster, RESULTS / f"logs-{stamp}")
    rows, facts = report.summarise(measurements), facts_of(plan, brokers, before, measurements)
    Console(width=max(console.width, 200)).print(report.table(rows))
    report.write_json(RESULTS / f"compare-{stamp}.json", facts, measurements, rows)
    console.print(f"all figures: {RESULTS.relative_to(REPOSITORY)}/compare-{stamp}.json")
    if markdown:
        report.replace_section(DOCS, report.markdown(rows, facts), mark="results")
    if any(one.problems for one in measurements):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
