"""Memory over a long run; time to restart with much state: `python -m benchmarks.memory_restart --help`."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks import engines, report, target
from benchmarks.cluster import Cluster, run_on
from benchmarks.compare import RESULTS
from benchmarks.orders import Truth, make_orders
from benchmarks.process import EngineFailedError, EngineProcess, start, state_folder
from benchmarks.runners.common import Settings

SAMPLE = 0.1
MORE_ORDERS = 1_000
LEAST_RESTORE_S = 0.5
console = Console()
app = typer.Typer(help=__doc__)

EngineOption = Annotated[str, typer.Option("--engine", help="One of the engines of benchmarks.compare.")]
CommandOption = Annotated[str | None, typer.Option("--command", help="An engine as a command line instead.")]
GroupOption = Annotated[str, typer.Option("--group", help="Consumer group of --command; {app}: the app id.")]
GuaranteeOption = Annotated[str, typer.Option("--guarantee")]
ServersOption = Annotated[str | None, typer.Option("--bootstrap-servers", help="Default: an embedded one.")]
TimeoutOption = Annotated[float, typer.Option("--timeout", help="Seconds for one run of the engine.")]


@dataclass(frozen=True, slots=True)
class Sample:
    """Resident memory at one moment of a run; `committed` is the sum of the committed offsets."""

    seconds: float
    committed: int
    memory_mb: float


@dataclass(frozen=True, slots=True)
class Restart:
    """One start of the engine on existing topics: with its local state, or from an empty disk.

    Attributes:
        kind: what was done before the start.
        first_s: from the start of the process to the first record, of whichever partition.
        caught_up_s: from the start of the process until every partition's new orders are committed.
    """

    kind: str
    first_s: float
    caught_up_s: float


@dataclass(slots=True)
class Bench:
    """One engine on the totals job, over several starts of its process."""

    engine: engines.Engine
    cluster: Cluster
    settings: Settings
    timeout: float
    truth: Truth

    def preload(self, events: int, keys: int) -> None:
        """Add `events` orders to the input; every key comes once before any comes twice."""
        orders = make_orders(
            events=events, keys=keys, seed=self.truth.events, truth=self.truth, all_keys_first=True
        )
        with console.status(f"publishing {events:,} orders"):
            self.cluster.preload(self.settings.input, orders)

    def run(self, kind: str, *, kill: bool = False) -> tuple[Restart, list[Sample]]:
        """Start the engine, wait until the input is committed, stop it (`kill`: with SIGKILL).

        Returns:
            The times of this start, and memory samples that begin at the first record.
        """
        log = RESULTS / "logs-memory-restart" / f"{self.settings.app_id}.log"
        with start(self.engine.command(), self.settings, log) as process:
            first = process.wait_first(self.timeout)
            samples = self._sample(process)
            done = time.time_ns()
            if kill:
                process.kill()
        began = process.started_ns
        return Restart(kind, (first - began) / 1e9, (done - began) / 1e9), samples

    def _sample(self, process: EngineProcess) -> list[Sample]:
        begin, samples = time.monotonic(), list[Sample]()
        group = self.engine.group_of(self.settings.app_id)
        while not samples or samples[-1].committed < self.truth.events:
            process.check_alive()
            elapsed = time.monotonic() - begin
            if elapsed > self.timeout:
                raise EngineFailedError(f"not done after {self.timeout:g} s\n{process.log_tail()}")
            done = self.cluster.committed(group, self.settings.input)
            samples.append(Sample(elapsed, done, process.memory_mb()))
            if done < self.truth.events:
                time.sleep(SAMPLE)
        return samples


@contextmanager
def _fresh_bench(
    engine: engines.Engine, servers: str | None, guarantee: str, timeout: float
) -> Iterator[Bench]:
    """A `Bench` with topics and a state folder of its own; everything is deleted at the end."""
    with target.bootstrap_servers(servers) as found, run_on(found) as cluster, state_folder() as folder:
        app_id = f"{cluster.run_id}-{engine.name}"
        cluster.groups.add(engine.group_of(app_id))
        settings = Settings(
            job="totals",
            guarantee=guarantee,
            bootstrap_servers=cluster.bootstrap_servers,
            input=cluster.create_topic("orders"),
            output=cluster.create_topic("out"),
            app_id=app_id,
            state_dir=folder,
            commit_interval_ms=100,
            partitions=cluster.partitions,
            replication=cluster.replicas,
        )
        yield Bench(engine, cluster, settings, timeout, Truth())


@app.command()
def memory(
    *,
    engine_name: EngineOption = "holdfast",
    command: CommandOption = None,
    group: GroupOption = "{app}",
    guarantee: GuaranteeOption = "exactly-once",
    events: Annotated[int, typer.Option(help="Input records.")] = 10_000_000,
    keys: Annotated[int, typer.Option(help="Customers, each with a total in the table.")] = 10_000,
    bootstrap_servers: ServersOption = None,
    timeout: TimeoutOption = 1800.0,
) -> None:
    """Resident memory while a long input is worked through; it should be flat."""
    engine = _chosen(engine_name, command, group)
    with _fresh_bench(engine, bootstrap_servers, guarantee, timeout) as bench:
        bench.preload(events, keys)
        with console.status(f"{engine.name}: {events:,} orders, {keys:,} keys"):
            _, samples = bench.run("first start")
    drawn = Table(title=f"{engine.name}: resident memory, {events:,} orders, {keys:,} keys")
    for title in ("committed", "seconds", "MB"):
        drawn.add_column(title, justify="right")
    for sample in _tenths(samples, events):
        drawn.add_row(f"{sample.committed:,}", f"{sample.seconds:.1f}", f"{sample.memory_mb:,.0f}")
    console.print(drawn)
    console.print(
        f"highest {max(sample.memory_mb for sample in samples):,.0f} MB; "
        f"second half {_growth(samples, events):+.2f} MB per million orders"
    )
    _write("memory", {"engine": engine.name, "keys": keys, "samples": [asdict(one) for one in samples]})


@app.command()
def restart(
    *,
    engine_name: EngineOption = "holdfast",
    command: CommandOption = None,
    group: GroupOption = "{app}",
    guarantee: GuaranteeOption = "exactly-once",
    keys: Annotated[int, typer.Option(help="Customers, each with a total in the table.")] = 1_000_000,
    bootstrap_servers: ServersOption = None,
    timeout: TimeoutOption = 600.0,
) -> None:
    """Time from start to first record: with local state after SIGTERM and SIGKILL, and from an empty disk."""
    engine = _chosen(engine_name, command, group)
    with _fresh_bench(engine, bootstrap_servers, guarantee, timeout) as bench:
        bench.preload(keys, keys)
        with console.status(f"{engine.name}: building {keys:,} totals"):
            first, samples = bench.run("first start, no state")
        starts = [first]
        for kind, kill, wipe in _RESTARTS:
            if wipe:
                _empty(bench.settings.state_dir)
            bench.preload(MORE_ORDERS, keys)
            with console.status(f"{engine.name}: {kind}"):
                starts.append(bench.run(kind, kill=kill)[0])
        restored = _changelog_records(bench)
    _show_restarts(engine.name, keys, starts, restored, max(sample.memory_mb for sample in samples))


_RESTARTS = (
    # what preceded this start, how this start's run is ended, empty the local state first
    ("local state, after SIGTERM", True, False),
    ("local state, after SIGKILL", False, False),
    ("empty disk", False, True),
)


def _show_restarts(name: str, keys: int, starts: list[Restart], restored: int, peak_mb: float) -> None:
    drawn = Table(title=f"{name}: seconds from the start of the process, {keys:,} keys")
    for title in ("start", "to the first record", "until caught up"):
        drawn.add_column(title, justify="left" if title == "start" else "right")
    for one in starts:
        drawn.add_row(one.kind, f"{one.first_s:.2f}", f"{one.caught_up_s:.2f}")
    console.print(drawn)
    # What an empty start costs beyond one that finds its state is the restore itself.
    restore_s = starts[-1].caught_up_s - starts[1].caught_up_s
    rate = restored / restore_s if restore_s >= LEAST_RESTORE_S else 0.0
    verdict = f"{rate:,.0f}/s" if rate else "too short to tell, use more keys"
    console.print(f"{restored:,} changelog records in {restore_s:.2f} s: {verdict}; {peak_mb:,.0f} MB")
    _write(
        "restart",
        {
            "engine": name,
            "keys": keys,
            "starts": [asdict(one) for one in starts],
            "changelog_records": restored,
            "restore_per_s": rate,
            "peak_mb": peak_mb,
        },
    )


def _changelog_records(bench: Bench) -> int:
    changelog = bench.engine.changelog_of(bench.settings.app_id, bench.settings.input)
    return bench.cluster.read_all(changelog, lambda _key, _value: None) if changelog else 0


def _chosen(name: str, command: str | None, group: str) -> engines.Engine:
    return engines.custom(command, group=group) if command else engines.named(name)[0]


def _empty(folder: str) -> None:
    for entry in Path(folder).iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _tenths(samples: list[Sample], events: int) -> list[Sample]:
    """The first sample at or after each tenth of the events."""
    return [next(one for one in samples if one.committed >= events * part // 10) for part in range(11)]


def _growth(samples: list[Sample], events: int) -> float:
    """Memory growth over the second half of the events, in MB per million."""
    half = next(one for one in samples if one.committed >= events / 2)
    done = samples[-1].committed - half.committed
    return (samples[-1].memory_mb - half.memory_mb) / done * 1e6 if done else 0.0


def _write(name: str, content: dict[str, Any]) -> None:
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}-{stamp}.json"
    path.write_text(json.dumps({"facts": report.machine()} | content, indent=1) + "\n")


if __name__ == "__main__":
    app()
