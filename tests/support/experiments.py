"""Short chaos experiments, written into a test."""

from __future__ import annotations

from pathlib import Path

from holdfast.chaos.experiment import load
from holdfast.chaos.run.result import RunResult
from holdfast.chaos.run.runner import Runner
from holdfast.chaos.run.settings import RunSettings, Untold
from holdfast.chaos.workloads.choice import application_of

LOAD = "rate: 1000, keys: 500, partitions: 4, workers: 2"
STEADY = "{fresh_within: 3s, for: 2s, reached_within: 90s}"


EXPERIMENT = """
name: one
description: For tests.
workload: {kind: sequence}
time_limit: 60s
faults:
  - {at: 5s, fault: worker.kill, target: any, for: 5s}
invariants: [exactly-once]
"""
"""One that can be read, for tests in which nothing is broken."""


def run(folder: Path, name: str, text: str, steady: str = STEADY) -> RunResult:
    """Run an experiment that is given without what all have; `LOAD` in it stands for a load."""
    head = f"name: {name}\ndescription: A short one for every change.\nsteady_state: {steady}\n"
    file = folder / f"{name}.yaml"
    file.write_text(head + text.replace("LOAD", LOAD))
    experiment = load(file)
    settings = RunSettings(1, folder / "run", "pytest", application=application_of(experiment))
    return Runner(experiment, settings, Untold()).run()
