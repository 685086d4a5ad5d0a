"""One measurement: one engine, one job, one guarantee, observed from outside.

The same definition of the rate for every engine. The clock starts when the engine's handler
is called for the first record (the engine prints that moment) and stops when this process sees
that the group's *committed* offsets cover the whole input. So the rate includes the last
commit, and excludes starting an interpreter or a JVM and joining the group; `rate_with_startup`
includes those. `rate_second_half` looks at the second half of the events only, when a
just-in-time compiler has warmed up.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import KafkaException

from benchmarks.cluster import Cluster
from benchmarks.engines import Engine
from benchmarks.orders import Truth
from benchmarks.process import EngineFailedError, EngineProcess, start, state_folder
from benchmarks.runners.common import Settings
from benchmarks.verify import verify

POLL = 0.02


@dataclass(frozen=True, slots=True)
class Dataset:
    """A preloaded input topic and what must come out of it."""

    topic: str
    truth: Truth


@dataclass(frozen=True, slots=True)
class Task:
    """What one measurement measures."""

    engine: Engine
    job: str
    guarantee: str
    round: int

    @property
    def name(self) -> str:
        """Unique within a run; used for topics, groups and the log file."""
        return f"{self.engine.name}-{self.job}-{self.guarantee}-r{self.round}"


@dataclass(slots=True)
class Measurement:
    """The result of a task.

    Attributes:
        events: number of input records.
        rate: events/s from the first record to the last commit; 0 if the engine failed.
        rate_with_startup: events/s from the start of the process to the last commit.
        rate_second_half: events/s over the second half of the events.
        startup_s: from the start of the process to the first record.
        cpu_s: user and system seconds from the first record to the last commit.
        cpu_total_s: the same from the start of the process.
        peak_mb: highest resident memory.
        problems: what is wrong with the results; empty if they are right.
        versions: what ran.
    """

    engine: str
    job: str
    guarantee: str
    round: int
    events: int = 0
    rate: float = 0.0
    rate_with_startup: float = 0.0
    rate_second_half: float = 0.0
    startup_s: float = 0.0
    cpu_s: float = 0.0
    cpu_total_s: float = 0.0
    peak_mb: float = 0.0
    problems: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)


def measure(
    task: Task, data: Dataset, cluster: Cluster, *, commit_interval_ms: int, timeout: float, logs: Path
) -> Measurement:
    """Run `task` on `data`; a failing engine is a measurement with problems, never an exception."""
    result = Measurement(task.engine.name, task.job, task.guarantee, task.round, data.truth.events)
    app_id = f"{cluster.run_id}-{task.name}"
    output = cluster.create_topic(f"{task.name}-out")
    cluster.groups.add(task.engine.group_of(app_id))
    try:
        with state_folder() as folder:
            settings = Settings(
                job=task.job,
                guarantee=task.guarantee,
                bootstrap_servers=cluster.bootstrap_servers,
                input=data.topic,
                output=output,
                app_id=app_id,
                state_dir=folder,
                commit_interval_ms=commit_interval_ms,
                partitions=cluster.partitions,
                replication=cluster.replicas,
            )
            with start(task.engine.command(), settings, logs / f"{task.name}.log") as engine:
                _observe(engine, task.engine.group_of(app_id), data, cluster, timeout, result)
        result.problems += verify(task.engine, settings, data.truth, cluster)
    except (EngineFailedError, KafkaException, TimeoutError) as error:
        result.problems.append(str(error))
    finally:
        cluster.delete_topics(app_id)
    return result


def _observe(
    engine: EngineProcess, group: str, data: Dataset, cluster: Cluster, timeout: float, result: Measurement
) -> None:
    """Watch the engine until its committed offsets cover the input, and fill in the figures."""
    deadline = time.monotonic() + timeout
    first = engine.wait_first(timeout)
    cpu_first = engine.cpu_seconds()
    half: tuple[int, int] | None = None
    while True:
        done, now = cluster.committed(group, data.topic), time.time_ns()
        if done >= result.events:
            break
        if half is None and done >= result.events / 2:
            half = (now, done)
        engine.check_alive()
        if time.monotonic() > deadline:
            raise EngineFailedError(
                f"{done} of {result.events} committed after {timeout:g} s\n{engine.log_tail()}"
            )
        time.sleep(POLL)
    result.cpu_total_s = engine.cpu_seconds()
    result.cpu_s = result.cpu_total_s - cpu_first
    result.peak_mb = engine.peak_memory_mb()
    result.startup_s = (first - engine.started_ns) / 1e9
    result.rate = result.events / (now - first) * 1e9
    result.rate_with_startup = result.events / (now - engine.started_ns) * 1e9
    if half is not None and now > half[0]:
        result.rate_second_half = (result.events - half[1]) / (now - half[0]) * 1e9
    result.versions = engine.versions
